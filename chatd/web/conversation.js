/** One open conversation: its head, its messages, and where they are read from and to. */

import { announce, attempt, avatar, batched, button, dayName, h, icon, lastSeen, plural, reconcile, sameDay } from "./dom.js";
import { actionsOf, offered } from "./actions.js";
import { Composer } from "./composer.js";
import { details } from "./dialogs.js";
import { GpBar } from "./gp.js";
import { showAttachment } from "./media.js";
import { Pins } from "./pins.js";
import { messageElement, plainText, signature } from "./message.js";

/** Messages of one person within so many ms stand together. */
const TOGETHER_MS = 5 * 60_000;
const NEAR_PX = 120;

export class Conversation {
  #offs = [];
  #atEnd = true;
  #observer = null;
  #sizes = null;

  constructor(main, chat) {
    Object.assign(this, { main, chat, chatId: chat.id, model: main.model });
    this.unreadFrom = chat.unread_count > 0 ? chat.last_read_seq : null;
    this.composer = new Composer(this);
    this.head = h("header", { class: "head" });
    this.top = h("li", { class: "top" });
    this.log = h("ol", { class: "log", "aria-label": "Messages", onkeydown: (event) => this.#walk(event) });
    this.typing = h("div", { class: "typing-line", "aria-live": "polite" });
    this.jump = h("button", { type: "button", class: "jump", hidden: true, "aria-label": "Go to the newest message", onclick: () => this.toEnd() }, icon("down"), this.count = h("span", { "aria-hidden": "true" }));
    this.scroller = h("div", { class: "scroller", tabindex: "-1", onscroll: () => this.#scrolled() }, this.log, this.typing);
    this.bar = chat.type === "gp" && chat.context_id ? new GpBar(this) : null;
    this.pins = new Pins(this);
    /** What more can be done here; null until it is known. */
    this.can = null;
    this.element = h("section", { class: "conversation", "aria-label": "Conversation", ondragover: (event) => event.preventDefault(), ondrop: (event) => this.composer.attaching.dropped(event) }, this.head, this.bar?.element ?? "", this.pins.element, this.scroller, h("div", { class: "jump-place" }, this.jump), this.composer.element);
    this.arrived = 0;
  }

  start() {
    const { model } = this;
    const draw = batched(() => this.#draw());
    const head = batched(() => this.#head());
    const mine = (then) => ({ chatId }) => { if (!chatId || chatId === this.chatId) then(); };
    this.#offs.push(
      model.on("messages", (detail) => { if (detail.chatId === this.chatId) { this.#heard(detail.message); draw(); } }),
      model.on("people", () => { draw(); head(); }), model.on("presence", head),
      model.on("chat", mine(() => { head(); draw(); this.composer.draw(); })),
      model.on("typing", mine(() => { head(); this.#typists(); })), model.on("state", head));
    this.seen = () => this.#read();
    for (const event of ["focus", "visibilitychange"]) addEventListener(event, this.seen);
    this.#observer = new IntersectionObserver(([entry]) => { if (entry.isIntersecting && this.chat.loaded && this.chat.hasOlder) this.#older(); }, { root: this.scroller, rootMargin: "600px 0px 0px 0px" });
    this.#observer.observe(this.top);
    this.#offs.push(model.on("loaded", mine(() => this.#lookUp())));
    // The keyboard of a phone comes and goes, a line is added to the box: who was at the end still is.
    this.#sizes = new ResizeObserver(() => this.settle());
    this.#sizes.observe(this.scroller);
    this.#head();
    this.#draw();
    this.composer.start();
    this.offering = offered(this.main.features).then((can) => { this.can = can; });
    if (!this.chat.loaded) this.loading = this.#older();
    else this.toEnd();
  }

  leave() {
    for (const off of this.#offs) off();
    for (const event of ["focus", "visibilitychange"]) removeEventListener(event, this.seen);
    this.#observer.disconnect();
    this.#sizes.disconnect();
    this.composer.leave();
    this.bar?.leave();
    this.pins.leave();
  }

  /** A command about this chat. */
  command(type, fields) { return this.main.client.command(type, { chat_id: this.chatId, ...fields }); }

  attachment(attachment, message) { return showAttachment(this, attachment, message); }

  /** What more can be done with a message than the common things. */
  moreActions(message) { return actionsOf(this, message, this.can); }

  /** Something has taken its place: who was at the end still is. */
  settle() { if (this.#atEnd) this.toEnd(); }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#scrolled();
  }

  /** Show a message; older pages are loaded until it is there. */
  async goTo(messageId) {
    await this.loading; // the first page, where this conversation has only just been opened
    for (let pages = 0; pages < 20 && !this.chat.messages.has(messageId) && this.chat.hasOlder; pages++) {
      if (!(await attempt(() => this.model.loadOlder(this.chat)))) return;
    }
    this.#draw();
    const element = this.log.querySelector(`[data-id="${messageId}"]`);
    if (!element) return;
    this.#atEnd = false;
    element.scrollIntoView({ block: "center" });
    element.focus({ preventScroll: true });
    element.classList.add("flash");
    setTimeout(() => element.classList.remove("flash"), 1600);
  }

  /** The last message of mine that can be edited. */
  lastOwn() { return this.chat.order.findLast((message) => message.sender_id === this.model.me.id && message.content.type === "text" && !message.content.forwarded); }

  // ----------------------------------------------------------------------- drawing

  #head() {
    const { model, chat } = this;
    const title = model.titleOf(chat);
    const typists = model.typists(chat);
    const presence = chat.peer_id && model.presence.get(chat.peer_id);
    const status = chat.peer_id ? model.statusOf(chat.peer_id) : null;
    const online = chat.peer_id ? 0 : (chat.members ?? []).filter((member) => member.user_id !== model.me.id && model.statusOf(member.user_id) !== "offline").length;
    const below = typists.length ? typingText(model, chat, typists)
      : chat.peer_id ? { online: "Online", away: "Away", offline: lastSeen(presence?.last_active_at, this.main.client.now()) }[status]
      : plural(chat.member_count, "member") + (online ? `, ${online} online` : "");
    const now = [title, below, status, model.people.avatarUrl(chat.peer_id)].join("\u0001");
    if (now === this.headNow) return;
    this.headNow = now;
    this.head.replaceChildren(
      h("a", { class: "round back", href: "#/", "aria-label": "Back to the list" }, icon("back")),
      h("div", { class: "who" },
        avatar(chat.peer_id ?? chat.id, title, { status, url: model.people.avatarUrl(chat.peer_id) }),
        // A heading within a button would be none: what a button holds is its name and nothing else.
        h("div", { class: "lines" }, h("h2", {}, h("button", { type: "button", "aria-haspopup": "dialog", onclick: () => details(this) }, title)),
          h("span", { class: typists.length ? "sub typing" : "sub" }, below))),
      button("info", "Details", () => details(this)));
  }

  #typists() {
    const typists = this.model.typists(this.chat);
    this.typing.replaceChildren(...(typists.length ? [h("span", { class: "bouncing", "aria-hidden": "true" }, h("i"), h("i"), h("i")), h("span", { class: "unseen" }, typingText(this.model, this.chat, typists))] : []));
    if (this.#atEnd) this.toEnd();
  }

  #draw() {
    const before = { height: this.scroller.scrollHeight, top: this.scroller.scrollTop, oldest: this.log.querySelector(".message")?.dataset.key };
    reconcile(this.log, this.#items());
    if (this.#atEnd) this.toEnd();
    // Older messages came in above: what was looked at stays where it was.
    else if (before.oldest !== this.log.querySelector(".message")?.dataset.key) this.scroller.scrollTop = before.top + this.scroller.scrollHeight - before.height;
    if (!this.log.querySelector('[tabindex="0"]')) this.log.querySelector("li.message:last-of-type")?.setAttribute("tabindex", "0");
    this.count.textContent = this.arrived ? String(this.arrived) : "";
    this.#read();
  }

  #items() {
    const { chat, model } = this;
    const state = chat.loading ? "Loading…" : !chat.loaded ? "" : chat.hasOlder ? "" : "The beginning of this conversation";
    const items = [["top", state, () => { this.top.textContent = state; return this.top; }]];
    const pending = this.main.client.outbox.list(this.chatId).map((entry) => ({
      ...entry, pending: true, sender_id: model.me.id, client_message_id: entry.key, sent_at: entry.created_at, reactions: [],
    }));
    const all = [...chat.order, ...pending];
    all.forEach((message, index) => {
      const [previous, next] = [all[index - 1], all[index + 1]];
      const newDay = !previous || !sameDay(previous.sent_at, message.sent_at);
      if (newDay) items.push([`day ${message.sent_at.slice(0, 10)} ${message.id ?? message.key}`, dayName(message.sent_at), () => h("li", { class: "day" }, h("span", {}, dayName(message.sent_at)))]);
      const unread = this.unreadFrom !== null && message.seq > this.unreadFrom && !(previous?.seq > this.unreadFrom) && message.sender_id !== model.me.id;
      if (unread) items.push(["unread", "", () => h("li", { class: "unread-line" }, h("span", {}, "New messages"))]);
      const look = {
        first: newDay || unread || !together(previous, message),
        last: !next || !sameDay(next.sent_at, message.sent_at) || !together(message, next),
        ...(message.pending ? { status: message.status, readers: 0 } : message.sender_id === model.me.id ? model.delivery(chat, message) : {}),
      };
      const key = message.sender_id === model.me.id && message.client_message_id ? `own ${message.client_message_id}` : message.id;
      items.push([key, signature(this, message, look), () => messageElement(this, message, look)]);
    });
    if (chat.loaded && !all.length) items.push(["empty", "", () => h("li", { class: "empty muted" }, "Say the first word.")]);
    return items;
  }

  // ----------------------------------------------------------------- reading along

  async #older() { await attempt(() => this.model.loadOlder(this.chat)); }

  /** Where the top is in sight still (a tall window, short messages), no change would tell of it: look anew. */
  #lookUp() {
    this.#observer.unobserve(this.top);
    this.#observer.observe(this.top);
  }

  #heard(message) {
    if (!message) return;
    const mine = message.sender_id === this.model.me.id;
    if (mine) this.#atEnd = true;
    else {
      if (!this.#atEnd) this.arrived++;
      if (message.content.type === "text") announce(`${this.model.people.name(message.sender_id)}: ${plainText(message)}`);
    }
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.jump.hidden = this.#atEnd;
    if (this.#atEnd) {
      this.arrived = 0;
      this.count.textContent = "";
      this.#read();
    }
  }

  /** What stands before somebody's eyes has been read. */
  #read() {
    if (this.#atEnd && this.chat.loaded && document.visibilityState === "visible" && document.hasFocus()) this.model.markRead(this.chat);
  }

  #walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const at = event.target.closest("li.message, li.system");
    if (!step && event.key !== "Home" && event.key !== "End" || event.target !== at) return;
    const all = [...this.log.querySelectorAll("li.message, li.system")];
    const next = event.key === "Home" ? all[0] : event.key === "End" ? all.at(-1) : all[all.indexOf(at) + step];
    event.preventDefault();
    if (!next) return void (step > 0 && this.composer.focus());
    at.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

function together(a, b) {
  return a && a.sender_id === b.sender_id && a.content.type !== "system" && b.content.type !== "system" && new Date(b.sent_at) - new Date(a.sent_at) < TOGETHER_MS;
}

function typingText(model, chat, typists) {
  if (chat.type === "direct") return "typing…";
  const names = typists.slice(0, 2).map((id) => model.people.name(id).split(" ")[0]);
  if (typists.length > 2) return `${names.join(", ")} and ${typists.length - 2} more are typing…`;
  return names.length === 2 ? `${names.join(" and ")} are typing…` : `${names[0]} is typing…`;
}
