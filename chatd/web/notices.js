/** What happened that concerns me: notifications, and messages that mention me. */

import { attempt, batched, button, explain, h, icon, shortTime } from "./dom.js";
import { Page } from "./page.js";
import { plainText } from "./message.js";

const ICONS = { new_login: "lock", data_export: "download", mention: "at" };
const PLACES = { new_login: "settings/sessions", data_export: "settings/data" };

/** The bell of the list, with how many are unread. */
export class Bell {
  #off;

  constructor(main) {
    this.main = main;
    this.count = h("span", { class: "badge", "aria-hidden": "true" });
    this.element = h("a", { class: "round bell", href: "#/notifications", hidden: true }, icon("bell"), this.count);
    main.features.has("GET", "/notifications").then((has) => { this.element.hidden = !has; });
    this.#off = main.model.on("notifications", () => this.draw());
    this.draw();
  }

  leave() { this.#off(); }

  draw() {
    const { unread } = this.main.mine;
    this.count.hidden = unread === 0;
    this.count.textContent = unread > 99 ? "99+" : String(unread);
    const text = unread ? `Notifications, ${unread} unread` : "Notifications";
    this.element.setAttribute("aria-label", text);
    this.element.title = text;
  }
}

export class Notices extends Page {
  #offs = [];
  #cursor = null;
  #items = [];

  constructor(main) {
    super(main, "Notifications", { actions: [h("a", { class: "round", href: "#/settings/notifications", "aria-label": "Settings of notifications", title: "Settings of notifications" }, icon("gear"))] });
    this.all = h("button", { type: "button", class: "text", hidden: true, onclick: () => this.#readAll() }, "Mark all as read");
    this.list = h("ul", { class: "cards" });
    this.more = h("button", { type: "button", class: "text wide", hidden: true, onclick: () => attempt(() => this.#load()) }, "Show more");
    this.status = h("p", { class: "muted", role: "status" }, "Loading…");
    this.mentions = h("ul", { class: "cards" });
    this.inner.append(h("div", { class: "line" }, h("h3", {}, "News"), this.all), this.status, this.list, this.more, h("h3", {}, "Mentions of you"), this.mentions);
    this.#offs.push(main.client.on("notification.new", ({ notification }) => { this.#items.unshift(notification); this.#draw(); }),
      main.client.on("notification.read", ({ notification_ids }) => this.#seen(notification_ids)),
      main.model.on("people", batched(() => this.#draw())));
  }

  leave() { for (const off of this.#offs) off(); }

  async start() {
    const done = await Promise.allSettled([this.#load(), this.#loadMentions()]);
    const failed = done.find(({ status }) => status === "rejected");
    if (failed && !failed.reason.code) throw failed.reason;
    if (failed) this.status.textContent = explain(failed.reason);
  }

  async #load() {
    const page = await this.main.client.rest("GET", `/notifications?limit=30${this.#cursor ? `&cursor=${encodeURIComponent(this.#cursor)}` : ""}`);
    const known = new Set(this.#items.map(({ id }) => id));
    this.#items.push(...page.notifications.filter(({ id }) => !known.has(id)));
    this.#cursor = page.next_cursor;
    this.main.mine.count(page.unread_count);
    this.status.textContent = "";
    this.status.hidden = true;
    this.#draw();
  }

  async #loadMentions() {
    if (!(await this.main.features.has("GET", "/mentions"))) return;
    this.found = (await this.main.client.rest("GET", "/mentions?limit=20")).items;
    this.main.model.people.want(this.found.map(({ sender_id }) => sender_id));
    this.#draw();
  }

  #draw() {
    const { model } = this.main;
    this.all.hidden = !this.#items.some(({ is_read }) => !is_read);
    this.more.hidden = this.#cursor === null;
    this.list.replaceChildren(...this.#items.map((item) => h("li", {}, h("button", { type: "button", class: item.is_read ? "card-row" : "card-row fresh", onclick: () => this.#open(item) },
      icon(ICONS[item.type] ?? "bell"), h("span", { class: "lines" },
        h("span", { class: "line" }, h("strong", {}, item.title), h("time", { class: "muted", datetime: item.created_at }, shortTime(item.created_at))),
        h("span", {}, item.message), !item.is_read && h("span", { class: "unseen" }, "unread"))))));
    if (!this.#items.length && !this.status.textContent) this.list.replaceChildren(h("li", { class: "nothing" }, icon("bell"), "Nothing new. New log-ins and the like are told here."));
    this.mentions.replaceChildren(...(this.found ?? []).map((message) => h("li", {}, h("a", { class: "card-row", href: `#/chat/${message.chat_id}/${message.id}` },
      icon("at"), h("span", { class: "lines" },
        h("span", { class: "line" }, h("strong", {}, model.people.name(message.sender_id)), h("time", { class: "muted", datetime: message.sent_at }, shortTime(message.sent_at))),
        h("span", {}, plainText(message)))))));
    if (this.found && !this.found.length) this.mentions.replaceChildren(h("li", { class: "nothing" }, icon("at"), "Nobody has mentioned you yet."));
  }

  #seen(ids) {
    this.#items = this.#items.map((item) => (ids === null || ids.includes(item.id) ? { ...item, is_read: true } : item));
    this.#draw();
  }

  async #open(item) {
    if (!item.is_read) {
      await attempt(async () => {
        const { unread_count } = await this.main.client.rest("POST", `/notifications/${item.id}/read`);
        this.main.mine.count(unread_count);
        this.#seen([item.id]);
      });
    }
    const within = /^#?\/((?:chat|gp|settings|with)\b.*)$/.exec(item.action_url ?? "")?.[1];
    if (within ?? PLACES[item.type]) this.main.go(within ?? PLACES[item.type]);
  }

  #readAll() {
    return attempt(async () => {
      const { unread_count } = await this.main.client.rest("POST", "/notifications/read");
      this.main.mine.count(unread_count);
      this.#seen(null);
    });
  }
}
