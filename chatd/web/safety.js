/** What keeps people safe: requests of strangers, blocks and reports. */

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
  complain(view.main, "Report a message", `/chats/${view.chatId}/messages/${message.id}/report`, h("blockquote", { tabindex: "0" }, plainText(message)));
}

/** A button that reports somebody; null where the server takes no reports. */
export async function reportUser(main, user, close) {
  if (!(await main.features.has("POST", "/users/{user_id}/report"))) return null;
  return h("button", { type: "button", class: "text", onclick: () => { close(); complain(main, `Report ${user.display_name}`, `/users/${user.id}/report`); } }, "Report");
}

function complain(main, title, path, about = null) {
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    const { reason, description } = Object.fromEntries(new FormData(form));
    const done = await attempt(() => main.client.rest("POST", path, { reason, ...(description && { description }) }));
    if (done) { dialog.close(); toast("Thank you. Somebody will look at it."); }
  } }, about,
  h("label", { class: "field" }, h("span", {}, "What is wrong"), h("select", { name: "reason" }, Object.entries(REASONS).map(([value, text]) => h("option", { value }, text)))),
  h("label", { class: "field" }, h("span", {}, "Anything to add"), h("textarea", { name: "description", rows: "2", maxlength: "1000" })),
  h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Report")));
  const dialog = showDialog(title, form);
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

/** Whom I have blocked, in the settings. */
export async function drawBlocked(main, place) {
  const items = [];
  for (let cursor = ""; cursor !== null;) {
    const page = await main.client.rest("GET", `/blocks?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    items.push(...page.items);
    cursor = page.next_cursor;
  }
  const { people } = main.model;
  people.want(items.map(({ user_id }) => user_id));
  const draw = () => place.replaceChildren(items.length ? h("ul", { class: "cards" }, items.map((item) => h("li", {}, h("div", { class: "card-row" },
    avatar(item.user_id, people.name(item.user_id), { url: people.avatarUrl(item.user_id) }), h("span", { class: "lines" }, h("strong", {}, people.name(item.user_id)))),
  h("button", { type: "button", class: "plain", "aria-label": `Unblock ${people.name(item.user_id)}`, onclick: () => unblock(item) }, "Unblock")))) : h("p", { class: "muted" }, "You have blocked nobody. You can do it in the details of a conversation."));
  const unblock = (item) => attempt(async () => {
    await main.client.rest("DELETE", `/blocks/${item.user_id}`);
    items.splice(items.indexOf(item), 1);
    draw();
  });
  draw();
  return main.model.on("people", draw);
}
