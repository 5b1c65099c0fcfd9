/** Where one writes: a new message, a reply, an edit; drafts stay until they are sent. */

import { attempt, button, h, icon, toast } from "./dom.js";
import { showMenu } from "./menu.js";
import { plainText } from "./message.js";
import { Attaching } from "./media.js";

const MAX = 4000;
const EMOJI = [..."😀😂🥰😎🤔😅😭😡👍👎👏🙌🙏💪🎉🔥", "❤️", ..."💯✅👀🤝😴🥳🤯🫡🍀☕🍕🚀🌍"];
/** Drafts of this page; storage may be full or forbidden, and a draft is not worth an error. */
const drafts = new Map();

export class Composer {
  constructor(view) {
    this.view = view;
    this.replyTo = null;
    this.editing = null;
    this.attaching = new Attaching(view.main, () => this.#resize());
    this.input = h("textarea", { rows: "1", maxlength: String(MAX), placeholder: "Message", "aria-label": "Message", autocomplete: "off",
      oninput: () => this.#typed(), onkeydown: (event) => this.#key(event), onpaste: (event) => this.attaching.pasted(event) });
    this.context = h("div", { class: "context", hidden: true });
    this.sendButton = h("button", { type: "submit", class: "round send", "aria-label": "Send", title: "Send" }, icon("send"));
    this.smile = button("smile", "Emoji", () => this.#emoji(), { "aria-haspopup": "menu" });
    this.form = h("form", { class: "write", onsubmit: (event) => { event.preventDefault(); this.#send(); } },
      this.attaching.button, h("div", { class: "box" }, this.input, this.smile), this.sendButton);
    this.closed = h("p", { class: "closed muted", hidden: true }, "Nobody can write here any more.");
    this.element = h("footer", { class: "composer" }, this.context, this.attaching.element, this.form, this.closed);
  }

  start() {
    this.draw();
    this.input.value = drafts.get(this.view.chatId) ?? "";
    this.#resize();
    // On a phone the keyboard would cover what one came to read.
    if (matchMedia("(hover: hover)").matches) this.focus();
  }

  leave() {
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
    if (this.editing) this.input.value = drafts.get(this.view.chatId) ?? "";
    this.replyTo = this.editing = null;
    this.context.hidden = true;
    this.#resize();
    this.focus();
  }

  #keep() {
    if (this.input.value) drafts.set(this.view.chatId, this.input.value);
    else drafts.delete(this.view.chatId);
  }

  #typed() {
    this.#resize();
    if (this.editing) return;
    if (this.input.value.trim()) this.view.main.client.typing(this.view.chatId);
    else this.view.main.client.stopTyping(this.view.chatId);
  }

  #resize() {
    if (!this.sendButton) return; // not built yet
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 160)}px`;
    this.sendButton.disabled = !this.input.value.trim() && !this.attaching.ready.length;
  }

  #key(event) {
    if (event.isComposing) return;
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

  async #send() {
    const text = this.input.value.trim();
    const attachments = this.attaching.ready;
    if (this.attaching.busy) return toast("Wait until the file is there.");
    if (!text && !attachments.length) return;
    if (this.editing) return this.#change(text);
    const { view } = this;
    const content = { type: "text", text, attachments: attachments.map(({ media_id }) => ({ media_id })) };
    view.main.client.send(view.chatId, content, { replyTo: this.replyTo?.id ?? null });
    view.unreadFrom = null;
    this.input.value = "";
    drafts.delete(view.chatId);
    this.attaching.clear();
    this.#cancel();
    view.toEnd();
  }

  async #change(text) {
    const message = this.editing;
    if (text === message.content.text || await attempt(() => this.view.command("message.edit", { message_id: message.id, content: { ...message.content, text } }))) this.#cancel();
  }

  #emoji() {
    const insert = (emoji) => {
      this.input.setRangeText(emoji, this.input.selectionStart, this.input.selectionEnd, "end");
      this.#typed();
      this.focus();
    };
    showMenu(this.smile, [], { emoji: EMOJI, pick: insert });
  }
}
