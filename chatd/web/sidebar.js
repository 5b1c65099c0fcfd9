/** The list of chats, with who one is and what one can start. */

import { attempt, avatar, batched, button, h, icon, shortTime } from "./dom.js";
import { reconcile } from "./dom.js";
import { chatActions } from "./chat-settings.js";
import { newChat, shareLink } from "./dialogs.js";
import { logOut } from "./leaving.js";
import { isMuted } from "./mine.js";
import { Bell } from "./notices.js";
import { showMenu } from "./menu.js";
import { Requests } from "./safety.js";
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
    this.bell = new Bell(main);
    this.archive = h("button", { type: "button", class: "archive-row", hidden: true, onclick: () => { this.archived = !this.archived; this.draw(); } });
    this.archived = false;
    this.element = h("aside", { class: "side", "aria-label": "Conversations" },
      h("header", {}, this.me, h("h1", {}, "Chats"), this.bell.element, this.near, button("plus", "New conversation", () => newChat(main))),
      h("div", { class: "search" }, icon("search"), this.field),
      h("nav", { "aria-label": "Conversations" }, this.requests.element, this.archive, this.list, this.found, this.more));
    const draw = batched(() => this.draw());
    for (const topic of ["list", "people", "presence", "typing", "chat", "drafts"]) this.#offs.push(model.on(topic, draw));
    this.#offs.push(client.on("outbox", draw));
    this.draw();
  }

  leave() {
    for (const off of this.#offs) off();
    this.requests.leave();
    this.bell.leave();
  }

  focus(chatId) { this.list.querySelector(`[data-key="${chatId}"] a`)?.focus({ preventScroll: true }); }

  draw() {
    const { model } = this.main;
    const name = model.people.name(model.me.id);
    this.me.replaceChildren(avatar(model.me.id, name, { url: model.people.avatarUrl(model.me.id) }), h("span", { class: "unseen" }, `${name}: your account`));
    const wanted = this.filter.trim().toLowerCase();
    const away = model.sorted({ archived: true });
    if (!away.length) this.archived = false;
    this.archive.hidden = Boolean(wanted) || !away.length;
    this.archive.setAttribute("aria-expanded", String(this.archived));
    this.archive.replaceChildren(icon(this.archived ? "back" : "archive"), h("span", {}, this.archived ? "Back to all conversations" : `Archived (${away.length})`));
    const shown = this.archived || wanted ? [...(wanted ? model.sorted() : []), ...away] : model.sorted();
    const chats = shown.filter((chat) => !wanted || model.titleOf(chat).toLowerCase().includes(wanted));
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
    const current = chat.id === model.openId;
    const draft = current || typists.length ? null : this.main.mine.draft(chat.id)?.text;
    const words = typists.length ? "typing…" : draft ?? (last ? snippet(model, chat, last) : "No messages yet");
    const [muted, pinned] = [isMuted(chat), Boolean(chat.settings?.pinned)];
    const unread = current ? 0 : chat.unread_count;
    const signature = [title, words, status, unread, current, shortTime(time), model.people.avatarUrl(chat.peer_id), typists.length, draft ? 1 : 0, muted, pinned].join("\u0001");
    return [chat.id, signature, () => h("li", { class: muted ? "is-muted" : null, oncontextmenu: (event) => { event.preventDefault(); this.#actions(chat, event.currentTarget); } },
      h("a", { href: `#/chat/${chat.id}`, "aria-current": current && "page", class: unread ? "unread" : null },
        avatar(chat.peer_id ?? chat.id, title, { status, url: model.people.avatarUrl(chat.peer_id) }),
        h("span", { class: "lines" },
          h("span", { class: "line" }, h("span", { class: "name" }, title), muted && icon("muted", "Muted"), h("time", { datetime: time }, shortTime(time))),
          h("span", { class: "line" }, h("span", { class: typists.length ? "preview typing" : "preview" }, draft && h("em", {}, "Draft: "), words), pinned && icon("pinned", "Pinned"),
            unread > 0 && h("span", { class: "badge" }, unread > 99 ? "99+" : String(unread), h("span", { class: "unseen" }, " unread")))),
        status && status !== "offline" && h("span", { class: "unseen" }, `, ${status}`)),
      h("button", { type: "button", class: "dots", tabindex: "-1", "aria-label": `What to do with ${title}`, "aria-haspopup": "menu",
        onclick: (event) => this.#actions(chat, event.currentTarget) }, icon("more")))];
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

  async #actions(chat, anchor) {
    if (await this.main.features.has("PUT", "/chats/{chat_id}/settings")) showMenu(anchor, chatActions(this.main, chat));
  }

  #menu() {
    const { main } = this;
    showMenu(this.me, [
      { icon: "people", label: "Your profile", run: () => main.go("settings/profile") },
      { icon: "gear", label: "Settings", run: () => main.go("settings") },
      { icon: "link", label: "Share your link", run: () => shareLink(main) },
      { icon: "out", label: "Log out", run: () => attempt(() => logOut(main.client)) },
    ]);
  }
}
