/** Where one writes: a new message, a reply, an edit; drafts stay until they are sent. */

import { attempt, batched, button, h, icon, toast } from "./dom.js";
import { showMenu } from "./menu.js";
import { plainText } from "./message.js";
import { Attaching } from "./media.js";
import { Mentioning } from "./mentions.js";
import { Waiting, sendLater } from "./scheduled.js";

const MAX = 4000;
const EMOJI = [..."😀😂🥰😎🤔😅😭😡👍👎👏🙌🙏💪🎉🔥", "❤️", ..."💯✅👀🤝😴🥳🤯🫡🍀☕🍕🚀🌍"];

export class Composer {
  constructor(view) {
    this.view = view;
    this.replyTo = null;
    this.editing = null;
    this.attaching = new Attaching(view.main, () => this.#resize());
    this.input = h("textarea", { rows: "1", maxlength: String(MAX), placeholder: "Message", "aria-label": "Message", autocomplete: "off", dir: "auto",
      oninput: () => this.#typed(), onkeydown: (event) => this.#key(event), onpaste: (event) => this.attaching.pasted(event) });
    this.context = h("div", { class: "context", hidden: true });
    this.sendButton = h("button", { type: "submit", class: "round send", "aria-label": "Send", title: "Send" }, icon("send"));
    this.smile = button("smile", "Emoji", () => this.#emoji(), { "aria-haspopup": "menu" });
    this.mentioning = new Mentioning(view, this.input);
    this.waiting = new Waiting(view);
    this.later = button("clock", "Send later", () => this.#later(), { hidden: true, "aria-haspopup": "dialog" });
    view.main.features.has("POST", "/chats/{chat_id}/scheduled").then((has) => { this.canWait = has; this.#resize(); });
    this.form = h("form", { class: "write", onsubmit: (event) => { event.preventDefault(); this.#send(); } },
      this.attaching.button, h("div", { class: "box" }, this.input, this.later, this.smile), this.sendButton);
    this.closed = h("p", { class: "closed muted", hidden: true }, "Nobody can write here any more.");
    this.element = h("footer", { class: "composer" }, this.waiting.element, this.context, this.attaching.element, this.mentioning.element, this.form, this.closed);
  }

  start() {
    this.draw();
    this.#take();
    const { chatId, model } = this.view;
    const here = (then) => (detail) => { if (!detail.chatId || detail.chatId === chatId) then(); };
    const learnt = batched(() => this.mentioning.learnt());
    this.offs = [model.on("drafts", here(() => this.#take())), model.on("people", learnt), model.on("chat", here(learnt))];
    // On a phone the keyboard would cover what one came to read.
    if (matchMedia("(hover: hover)").matches) this.focus();
  }

  leave() {
    this.offs?.forEach((off) => off());
    this.waiting.leave();
    if (!this.editing) this.#keep();
    this.attaching.leave();
    this.view.main.client.stopTyping(this.view.chatId);
  }

  draw() {
    this.form.hidden = this.view.chat.read_only === true;
    this.closed.hidden = !this.form.hidden;
  }

  focus() { this.input.focus({ preventScroll: true }); }

  reply(message) {
    this.editing = null;
    this.replyTo = message;
    this.#context("reply", `Reply to ${message.sender_id === this.view.model.me.id ? "yourself" : this.view.model.people.name(message.sender_id)}`, plainText(message));
  }

  edit(message) {
    this.#keep();
    this.replyTo = null;
    this.editing = message;
    this.input.value = message.content.text;
    this.#context("edit", "Edit your message", message.content.text);
    this.#resize();
  }

  // ------------------------------------------------------------------------ inside

  #context(name, title, text) {
    this.context.hidden = false;
    this.context.replaceChildren(icon(name), h("span", { class: "lines" }, h("strong", {}, title), h("span", {}, text)), button("close", "Cancel", () => this.#cancel()));
    this.focus();
  }

  #cancel() {
    if (this.editing) this.input.value = this.view.main.mine.draft(this.view.chatId)?.text ?? "";
    this.replyTo = this.editing = null;
    this.context.hidden = true;
    this.#resize();
    this.focus();
  }

  #keep() { this.view.main.mine.write(this.view.chatId, this.input.value, this.replyTo?.id ?? null); }

  /** Take over what was begun here before, or on another device; never over what is being written now. */
  #take() {
    const { text = "", reply_to: replyTo = null } = this.view.main.mine.draft(this.view.chatId) ?? {};
    if (this.editing || this.input.value === text) return;
    this.input.value = text;
    const parent = replyTo && this.view.chat.messages.get(replyTo);
    if (parent && text) this.reply(parent);
    this.#resize();
  }

  #typed() {
    this.#resize();
    this.mentioning.typed();
    if (this.editing) return;
    this.#keep();
    if (this.input.value.trim()) this.view.main.client.typing(this.view.chatId);
    else this.view.main.client.stopTyping(this.view.chatId);
  }

  #resize() {
    if (!this.sendButton) return; // not built yet
    this.sendButton.disabled = !this.input.value.trim() && !this.attaching.ready.length;
    this.later.hidden = !this.canWait || this.sendButton.disabled || Boolean(this.editing);
    this.input.style.height = "auto"; // after the buttons: they take of its width
    this.input.style.height = `${Math.min(this.input.scrollHeight, 160)}px`;
  }

  #key(event) {
    if (event.isComposing || this.mentioning.key(event)) return;
    const phone = !matchMedia("(hover: hover)").matches;
    if (event.key === "Enter" && !event.shiftKey && !phone) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "Escape" && (this.replyTo || this.editing)) {
      event.preventDefault();
      this.#cancel();
    } else if (event.key === "ArrowUp" && !this.input.value) {
      const own = this.view.lastOwn();
      if (own) {
        event.preventDefault();
        this.edit(own);
      }
    }
  }

  /** What stands here, as the content of a message; null where there is nothing to send yet. */
  #content() {
    const text = this.input.value.trim();
    const attachments = this.attaching.ready;
    if (this.attaching.busy) toast("Wait until the file is there.");
    if (this.attaching.busy || (!text && !attachments.length)) return null;
    return { type: "text", text, attachments, ...this.mentioning.fields(text) };
  }

  #send() {
    const content = this.#content();
    if (!content) return;
    if (this.editing) return this.#change(content.text);
    const { view } = this;
    view.main.client.send(view.chatId, content, { replyTo: this.replyTo?.id ?? null });
    this.#sent();
    view.toEnd();
  }

  #later() {
    const content = this.#content();
    if (content) sendLater(this.view, content, this.replyTo?.id ?? null, () => this.#sent());
  }

  #sent() {
    const { view } = this;
    view.unreadFrom = null;
    this.input.value = "";
    this.mentioning.picked.clear();
    view.main.mine.write(view.chatId, "");
    this.attaching.clear();
    this.#cancel();
  }

  async #change(text) {
    const message = this.editing;
    const { attachments = [], mentions = [], mentions_all = false } = message.content;
    for (const id of mentions) this.mentioning.picked.set(id, this.view.model.people.name(id));
    if (mentions_all) this.mentioning.picked.set("all", "all");
    const content = { type: "text", text, attachments: attachments.map(({ media_id }) => ({ media_id })), ...this.mentioning.fields(text) };
    if (text === message.content.text || await attempt(() => this.view.command("message.edit", { message_id: message.id, content }))) this.#cancel();
  }

  #emoji() {
    const insert = (emoji) => {
      this.input.setRangeText(emoji, this.input.selectionStart, this.input.selectionEnd, "end");
      this.#typed();
      this.focus();
    };
    showMenu(this.smile, [], { emoji: EMOJI, pick: insert, doing: "Insert" });
  }
}
