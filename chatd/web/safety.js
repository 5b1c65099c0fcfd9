/** What keeps people safe: requests of strangers, blocks, reports, and who may see and write what. */

import { attempt, avatar, h, shortTime, toast } from "./dom.js";
import { confirm, showDialog } from "./menu.js";
import { plainText } from "./message.js";

const REASONS = { spam: "Spam", harassment: "Harassment", hate: "Hate", violence: "Violence", sexual: "Sexual content", self_harm: "Self-harm", illegal: "Something illegal", impersonation: "Somebody pretending to be another", other: "Something else" };

const FIRST_LOOK_MS = 1000;
const LAST_LOOK_MS = 120_000;

/** A line above the list while strangers wait for an answer. */
export class Requests {
  #offs = [];

  constructor(main) {
    this.main = main;
    this.items = [];
    this.element = h("button", { type: "button", class: "requests", hidden: true, onclick: () => this.#show() });
    this.#offs.push(main.client.on("request.new", ({ chat_id }) => this.#expect(chat_id, FIRST_LOOK_MS)), main.model.on("people", () => this.#draw()));
    this.load();
  }

  leave() {
    clearTimeout(this.timer);
    for (const off of this.#offs) off();
  }

  /** A request is there before its first word, and shown with it: look again until there is one. */
  #expect(chatId, ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      await this.load();
      if (!this.items.some((item) => item.chat_id === chatId) && ms < LAST_LOOK_MS) this.#expect(chatId, ms * 2);
    }, ms);
  }

  async load() {
    if (!(await this.main.features.has("GET", "/message-requests"))) return;
    try {
      this.items = (await this.main.client.rest("GET", "/message-requests")).items;
    } catch (error) {
      if (!error.code) throw error;
      return console.warn(`requests were not loaded: ${error.code}`); // the next one loads them all
    }
    this.main.model.people.want(this.items.map((item) => item.from_id));
    this.#draw();
  }

  #draw() {
    const { length } = this.items;
    this.element.hidden = length === 0;
    this.element.textContent = length === 1 ? `${this.main.model.people.name(this.items[0].from_id)} wants to write to you` : `${length} people want to write to you`;
  }

  #show() {
    const { main } = this;
    const answer = (item, how) => () => attempt(async () => {
      await main.client.rest("POST", `/message-requests/${item.chat_id}/${how}`);
      dialog.close();
      await this.load();
      if (how === "accept") main.go(`chat/${item.chat_id}`);
    });
    const dialog = showDialog("Message requests", h("p", { class: "muted" }, "They do not see whether you have read this."), h("ul", { class: "people" }, this.items.map((item) => {
      const name = main.model.people.name(item.from_id);
      return h("li", { class: "request" }, h("div", { class: "person" }, avatar(item.from_id, name, { url: main.model.people.avatarUrl(item.from_id) }),
        h("span", { class: "name" }, name), h("time", { class: "muted" }, shortTime(item.created_at))),
      item.messages.map((message) => h("p", {}, plainText(message))),
      h("div", { class: "actions" }, h("button", { type: "button", class: "plain", onclick: answer(item, "decline") }, "Decline"),
        h("button", { type: "button", class: "primary", onclick: answer(item, "accept") }, "Accept")));
    })));
  }
}

/** Report a message: to the people who moderate. */
export function report(view, message) {
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    const { reason, description } = Object.fromEntries(new FormData(form));
    const done = await attempt(() => view.main.client.rest("POST", `/chats/${view.chatId}/messages/${message.id}/report`, { reason, ...(description && { description }) }));
    if (done) { dialog.close(); toast("Thank you. Somebody will look at it."); }
  } }, h("blockquote", {}, plainText(message)),
  h("label", { class: "field" }, h("span", {}, "What is wrong with it"), h("select", { name: "reason" }, Object.entries(REASONS).map(([value, text]) => h("option", { value }, text)))),
  h("label", { class: "field" }, h("span", {}, "Anything to add"), h("textarea", { name: "description", rows: "2", maxlength: "1000" })),
  h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Report")));
  const dialog = showDialog("Report a message", form);
}

/** A button that blocks somebody, or takes it back. Nothing where the server has no blocks. */
export async function blockButton(main, userId, name) {
  if (!(await main.features.has("PUT", "/blocks/{user_id}"))) return null;
  let blocked = false;
  for (let cursor = ""; !blocked && cursor !== null;) {
    const page = await main.client.rest("GET", `/blocks?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    blocked = page.items.some((block) => block.user_id === userId);
    cursor = page.next_cursor;
  }
  const element = h("button", { type: "button", class: "danger quiet", onclick: async () => {
    if (!blocked && !(await confirm(`Block ${name}?`, "You will not hear of each other any more: no messages, no typing, not whether you are here. They are not told.", "Block"))) return;
    if (await attempt(() => main.client.rest(blocked ? "DELETE" : "PUT", `/blocks/${userId}`))) { blocked = !blocked; draw(); }
  } });
  const draw = () => { element.textContent = blocked ? "Unblock" : "Block"; };
  draw();
  return element;
}

const AUDIENCES = { everyone: "Everybody", shared_chats: "People of my groups", nobody: "Nobody" };

/** Who may see and write what. */
export async function privacy(main) {
  await attempt(async () => {
    const now = await main.client.rest("GET", "/privacy");
    const choice = (label, name) => h("label", { class: "field" }, h("span", {}, label),
      h("select", { name }, Object.entries(AUDIENCES).map(([value, text]) => h("option", { value, selected: now[name] === value }, text))));
    const form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      const { last_seen, messages_from, read_receipts } = Object.fromEntries(new FormData(form));
      if (await attempt(() => main.client.rest("PATCH", "/privacy", { last_seen, messages_from, read_receipts: read_receipts === "on" }))) { dialog.close(); toast("Saved."); }
    } }, choice("Who may see when I was last here", "last_seen"), choice("Who may write to me directly", "messages_from"),
    h("label", { class: "check" }, h("input", { type: "checkbox", name: "read_receipts", checked: now.read_receipts }), h("span", {}, "Let others see what I have read")),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Save")));
    const dialog = showDialog("Privacy", form);
  });
}
