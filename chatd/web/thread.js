/** A chain of replies by itself: the message that began it, what was said to it, and a box to go on. */

import { announce, attempt, batched, explain, h, icon, plural, reconcile } from "./dom.js";
import { showAttachment } from "./media.js";
import { messageElement, plainText, signature } from "./message.js";
import { showDialog } from "./menu.js";

/** The number of replies under a message; opens the thread. */
export function threadLink(view, message) {
  const count = message.thread?.reply_count;
  if (!count || view.inThread) return null;
  return h("button", { type: "button", class: "thread-link", tabindex: "-1", onclick: () => openThread(view, message.id) },
    icon("thread"), plural(count, "reply", "replies"));
}

export function openThread(view, rootId) { return new Thread(view, rootId).open(); }

class Thread {
  #offs = [];
  #older = null;
  inThread = true;

  constructor(view, rootId) {
    Object.assign(this, { main: view.main, model: view.model, chat: view.chat, chatId: view.chatId, above: view, rootId });
    this.messages = new Map();
    this.log = h("ol", { class: "log", "aria-label": "Messages of the thread" });
    this.more = h("button", { type: "button", class: "text", hidden: true, onclick: () => attempt(() => this.#load()) }, "Show earlier replies");
    this.status = h("p", { class: "muted", role: "status" }, "Loading…");
    this.input = h("textarea", { rows: "2", maxlength: "4000", placeholder: "Reply to the thread", "aria-label": "Reply to the thread", autofocus: true,
      onkeydown: (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.#send(); } } });
    this.composer = { reply: () => this.input.focus(), edit: (message) => { this.dialog.close(); view.composer.edit(message); } };
  }

  async open() {
    this.dialog = showDialog("Thread", this.status, this.more, this.log,
      !this.chat.read_only && h("form", { class: "in-thread", onsubmit: (event) => { event.preventDefault(); this.#send(); } }, this.input,
        h("button", { type: "submit", class: "primary" }, "Reply")));
    this.dialog.classList.add("thread");
    const draw = batched(() => this.#draw());
    this.#offs.push(this.model.on("messages", ({ chatId, message }) => { if (chatId === this.chatId) { this.#live(message); draw(); } }), this.model.on("people", draw));
    this.dialog.addEventListener("close", () => this.#offs.forEach((off) => off()));
    try {
      await this.#load();
    } catch (error) {
      if (!error.code) throw error;
      this.status.textContent = explain(error);
    }
  }

  get can() { return this.above.can; }

  get offering() { return this.above.offering; }

  command(...call) { return this.above.command(...call); }

  attachment(attachment, message) { return showAttachment(this, attachment, message); }

  moreActions(message) { return this.above.moreActions(message); }

  settle() {}

  goTo(id) { this.dialog.close(); return this.above.goTo(id); }

  async #load() {
    const before = this.#older ? `&before_seq=${this.#older}` : "";
    const thread = await this.main.client.rest("GET", `/chats/${this.chatId}/threads/${this.rootId}?limit=50${before}`);
    this.rootId = thread.root.id;
    for (const message of [thread.root, ...thread.messages]) this.messages.set(message.id, message);
    this.#older = thread.next_before_seq;
    this.more.hidden = this.#older === null;
    this.#draw();
    this.#read();
  }

  #live(message) {
    if (message?.thread_id !== this.rootId) return;
    this.messages.set(message.id, message);
    if (message.sender_id !== this.model.me.id) announce(`${this.model.people.name(message.sender_id)}: ${plainText(message)}`);
    this.#read();
  }

  #read() {
    const newest = [...this.messages.values()].reduce((a, b) => (b.seq > a.seq ? b : a));
    if (newest.id === this.rootId) return;
    this.main.client.rest("POST", `/chats/${this.chatId}/threads/${this.rootId}/read`, { last_read_message_id: newest.id })
      .catch((error) => console.warn(`the thread's mark stays: ${error.code}`)); // the next reply moves it
  }

  #draw() {
    for (const id of this.messages.keys()) {
      const newer = this.chat.messages.get(id);
      if (newer) this.messages.set(id, newer);
    }
    const all = [...this.messages.values()].sort((a, b) => a.seq - b.seq);
    this.status.hidden = all.length > 0;
    const items = all.map((message, index) => {
      const look = { first: index < 2 || all[index - 1].sender_id !== message.sender_id, last: index === 0 || all[index + 1]?.sender_id !== message.sender_id,
        ...(message.sender_id === this.model.me.id ? this.model.delivery(this.chat, message) : {}) };
      return [message.id, signature(this, message, look), () => messageElement(this, message, look)];
    });
    items.splice(1, 0, ["count", String(all.length), () => h("li", { class: "day" }, h("span", {}, plural(Math.max(0, all.length - 1), "reply", "replies")))]);
    const atEnd = this.dialog.scrollHeight - this.dialog.scrollTop - this.dialog.clientHeight < 120;
    reconcile(this.log, items);
    if (atEnd) this.dialog.scrollTop = this.dialog.scrollHeight;
  }

  #send() {
    const text = this.input.value.trim();
    if (!text) return;
    this.main.client.send(this.chatId, text, { replyTo: this.rootId });
    this.input.value = "";
  }
}
