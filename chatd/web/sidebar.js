/** The list of chats, with who one is and what one can start. */

import { attempt, avatar, batched, button, h, icon, shortTime } from "./dom.js";
import { reconcile } from "./dom.js";
import { newChat, profile, shareLink } from "./dialogs.js";
import { showMenu } from "./menu.js";
import { Requests, privacy } from "./safety.js";
import { searchMessages } from "./search.js";
import { snippet } from "./message.js";

export class Sidebar {
  #offs = [];

  constructor(main) {
    this.main = main;
    const { model, client } = main;
    this.filter = "";
    this.me = h("button", { type: "button", class: "me", "aria-haspopup": "menu", onclick: () => this.#menu() });
    this.list = h("ul", { class: "chats", onkeydown: (event) => this.#walk(event) });
    this.found = h("div", { class: "found" });
    this.more = h("button", { type: "button", class: "text wide", hidden: true, onclick: () => attempt(() => model.more()) }, "Show more");
    this.field = h("input", { type: "search", placeholder: "Search", "aria-label": "Search conversations and messages", autocomplete: "off",
      oninput: () => this.#search(), onkeydown: (event) => { if (event.key === "ArrowDown") this.#links()[0]?.focus(); } });
    this.near = h("a", { class: "round", href: "#/gp", "aria-label": "Nearby", title: "Nearby", hidden: true }, icon("pin"));
    main.features.has("GET", "/gp/list").then((has) => { this.near.hidden = !has; });
    this.requests = new Requests(main);
    this.element = h("aside", { class: "side", "aria-label": "Conversations" },
      h("header", {}, this.me, h("h1", {}, "Chats"), this.near, button("plus", "New conversation", () => newChat(main))),
      h("div", { class: "search" }, icon("search"), this.field),
      h("nav", { "aria-label": "Conversations" }, this.requests.element, this.list, this.found, this.more));
    const draw = batched(() => this.draw());
    for (const topic of ["list", "people", "presence", "typing", "chat"]) this.#offs.push(model.on(topic, draw));
    this.#offs.push(client.on("outbox", draw));
    this.draw();
  }

  leave() {
    for (const off of this.#offs) off();
    this.requests.leave();
  }

  focus(chatId) { this.list.querySelector(`[data-key="${chatId}"] a`)?.focus({ preventScroll: true }); }

  draw() {
    const { model } = this.main;
    const name = model.people.name(model.me.id);
    this.me.replaceChildren(avatar(model.me.id, name, { url: model.people.avatarUrl(model.me.id) }), h("span", { class: "unseen" }, `${name}: your account`));
    const wanted = this.filter.trim().toLowerCase();
    const chats = model.sorted().filter((chat) => !wanted || model.titleOf(chat).toLowerCase().includes(wanted));
    reconcile(this.list, chats.map((chat) => this.#item(chat)));
    this.more.hidden = !model.nextCursor || Boolean(wanted);
    const empty = model.listed && chats.length === 0;
    const text = wanted ? "No conversation of this name." : "No conversations yet. Start one, or share your link.";
    if (empty) this.list.replaceChildren(h("li", { class: "empty muted", dataset: { key: "empty", signature: wanted } }, h("p", {}, text),
      !wanted && h("button", { type: "button", class: "primary", onclick: () => newChat(this.main) }, "Start a conversation")));
    else if (!model.listed) this.list.replaceChildren(...Array.from({ length: 5 }, () => h("li", { class: "ghost", "aria-hidden": "true" })));
    this.list.setAttribute("aria-busy", String(!model.listed));
  }

  #item(chat) {
    const { model } = this.main;
    const title = model.titleOf(chat);
    const typists = model.typists(chat);
    const status = chat.peer_id ? model.statusOf(chat.peer_id) : null;
    const last = chat.last_message;
    const time = last?.sent_at ?? chat.created_at;
    const words = typists.length ? "typing…" : last ? snippet(model, chat, last) : "No messages yet";
    const current = chat.id === model.openId;
    const unread = current ? 0 : chat.unread_count;
    const signature = [title, words, status, unread, current, shortTime(time), model.people.avatarUrl(chat.peer_id), typists.length].join("\u0001");
    return [chat.id, signature, () => h("li", {},
      h("a", { href: `#/chat/${chat.id}`, "aria-current": current && "page", class: unread ? "unread" : null },
        avatar(chat.peer_id ?? chat.id, title, { status, url: model.people.avatarUrl(chat.peer_id) }),
        h("span", { class: "lines" },
          h("span", { class: "line" }, h("span", { class: "name" }, title), h("time", { datetime: time }, shortTime(time))),
          h("span", { class: "line" }, h("span", { class: typists.length ? "preview typing" : "preview" }, words),
            unread > 0 && h("span", { class: "badge" }, unread > 99 ? "99+" : String(unread), h("span", { class: "unseen" }, " unread")))),
        status && status !== "offline" && h("span", { class: "unseen" }, `, ${status}`)))];
  }

  #search() {
    this.filter = this.field.value;
    this.draw();
    searchMessages(this.main, this.filter, this.found);
  }

  #links() { return [...this.element.querySelectorAll("nav a")]; }

  #walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const links = this.#links();
    const at = links.indexOf(document.activeElement.closest("a"));
    if (at + step < 0) this.field.focus();
    else links[at + step]?.focus();
  }

  async #menu() {
    const { main } = this;
    const hasPrivacy = await main.features.has("GET", "/privacy");
    showMenu(this.me, [
      { icon: "info", label: "Your profile", run: () => profile(main) },
      hasPrivacy && { icon: "eye", label: "Privacy", run: () => privacy(main) },
      { icon: "link", label: "Share your link", run: () => shareLink(main) },
      { icon: "out", label: "Log out", run: () => attempt(() => main.client.session.logout()) },
    ]);
  }
}
