/** Pinned messages: a line above the conversation, and all of them in a list. */

import { attempt, button, h, icon, shortTime } from "./dom.js";
import { plainText } from "./message.js";
import { showDialog } from "./menu.js";

export const mayPin = (chat) => chat.type === "direct" || chat.my_role !== "member";

/** Pin a message, or take its pin away. */
export function pin(view, message) {
  const path = `/chats/${view.chatId}/messages/${message.id}/pin`;
  return attempt(async () => { view.model.onUpdate({ chat_id: view.chatId, message: await view.main.client.rest(message.pinned_at ? "DELETE" : "PUT", path) }); });
}

/** The line; hidden where nothing is pinned. */
export class Pins {
  #off;
  #pinned = [];
  #known = "";

  constructor(view) {
    this.view = view;
    this.element = h("div", { class: "pins", role: "group", "aria-label": "Pinned", hidden: true });
    this.#off = view.model.on("messages", ({ chatId }) => { if (chatId === view.chatId) this.#look(); });
    this.load();
  }

  leave() { this.#off(); }

  /** What is pinned among the messages that are here; another set than before is asked for anew. */
  #look() {
    const now = this.view.chat.order.filter((message) => message.pinned_at || this.#pinned.some(({ id }) => id === message.id)).map(({ id, pinned_at, updated_seq }) => `${id} ${pinned_at} ${updated_seq}`).join();
    if (now === this.#known) return;
    this.#known = now;
    this.load();
  }

  async load() {
    if (!(await this.view.main.features.has("GET", "/chats/{chat_id}/pins"))) return;
    try {
      this.#pinned = (await this.view.main.client.rest("GET", `/chats/${this.view.chatId}/pins`)).messages;
    } catch (error) {
      if (!error.code) throw error;
      return console.warn(`pins were not loaded: ${error.code}`);
    }
    this.#draw();
  }

  #draw() {
    const [newest] = this.#pinned;
    this.element.hidden = !newest;
    if (!newest) return this.element.replaceChildren();
    this.element.replaceChildren(icon("pinned"),
      h("button", { type: "button", class: "lines", onclick: () => this.view.goTo(newest.id) },
        h("strong", {}, this.#pinned.length > 1 ? `Pinned (1 of ${this.#pinned.length})` : "Pinned"), h("span", {}, plainText(newest))),
      button("list", "All pinned messages", () => this.#all()));
  }

  #all() {
    const { view } = this;
    const go = (id) => () => { dialog.close(); view.goTo(id); };
    const dialog = showDialog("Pinned messages", h("ul", { class: "cards" }, this.#pinned.map((message) => h("li", {},
      h("button", { type: "button", class: "card-row", onclick: go(message.id) },
        h("span", { class: "line" }, h("strong", {}, view.model.people.name(message.sender_id)), h("time", { class: "muted", datetime: message.sent_at }, shortTime(message.sent_at))),
        h("span", {}, plainText(message))),
      mayPin(view.chat) && button("close", "Unpin", async () => { dialog.close(); await pin(view, message); })))));
  }
}
