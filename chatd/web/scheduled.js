/** Messages that are sent at their time: made, listed, taken back. */

import { attempt, button, h, icon, plural, sameDay, timeOf, toast } from "./dom.js";
import { confirm, showDialog } from "./menu.js";
import { plainText } from "./message.js";

const FAILURES = { forbidden: "You could not write there any more", chat_not_found: "The conversation was gone", muted: "You were muted", blocked: "It was not accepted" };

/** A time as `datetime-local` has it. */
function local(date) {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Times that people mean when they say later. */
function suggestions(now) {
  const at = (days, hours) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, hours);
  return [
    ["In an hour", new Date(now.getTime() + 3_600_000)],
    now.getHours() < 19 && ["This evening", at(0, 20)],
    ["Tomorrow morning", at(1, 9)],
    ["Monday morning", at((8 - now.getDay()) % 7 || 7, 9)],
  ].filter(Boolean);
}

/** What is being left with the server, chat by chat, under which id: a second try is the same message, not another. */
const asked = new Map();

function keyOf(chatId, said) {
  if (asked.get(chatId)?.said !== said) asked.set(chatId, { said, key: crypto.getRandomValues(new Uint32Array(4)).join("-") });
  return asked.get(chatId).key;
}

/** Leave it with the server until then, once, however often that is tried. Raises ChatdError. */
async function leaveIt({ client }, chatId, message) {
  const said = JSON.stringify([message.content, message.reply_to]);
  const client_message_id = keyOf(chatId, said);
  try {
    await client.rest("POST", `/chats/${chatId}/scheduled`, { ...message, client_message_id }, { retries: 2 });
  } catch (error) {
    if (error.code !== "conflict") throw error;
    // An earlier try did arrive, but its answer did not; since then somebody chose another time.
    const { items } = await client.rest("GET", `/scheduled?chat_id=${chatId}&limit=100`);
    const there = items.find((item) => item.client_message_id === client_message_id);
    if (!there) {
      asked.delete(chatId); // sent or taken back meanwhile: what is asked for next is another
      throw error;
    }
    await client.rest("PATCH", `/scheduled/${there.id}`, { send_at: message.send_at });
  }
  asked.delete(chatId);
}

/** Ask when, and leave `content` with the server until then; `done()` once it is there. */
export function sendLater(view, content, replyTo, done) {
  let going = false;
  const once = async (work) => {
    if (going) return; // a double click is one message
    going = true;
    await attempt(work).finally(() => { going = false; });
  };
  const go = (date) => once(async () => {
    if (!(date > new Date())) throw Object.assign(new Error("Choose a time that is still to come."), { code: "validation_failed" });
    await leaveIt(view.main, view.chatId, { content, send_at: date.toISOString(), ...(replyTo && { reply_to: replyTo }) });
    dialog.close();
    done();
    toast(`It is sent: ${when(date.toISOString())}.`);
  });
  const now = new Date();
  const field = h("input", { type: "datetime-local", name: "at", required: true, min: local(now), value: local(new Date(now.getTime() + 3_600_000)) });
  const dialog = showDialog("Send later", h("blockquote", { tabindex: "0" }, plainText({ content })),
    h("div", { class: "choices" }, suggestions(now).map(([label, date]) => h("button", { type: "button", class: "plain", onclick: () => go(date) },
      h("span", {}, label), h("small", { class: "muted" }, when(date.toISOString()))))),
    h("form", { onsubmit: (event) => { event.preventDefault(); go(new Date(field.value)); } },
      h("label", { class: "field" }, h("span", {}, "Another time"), field),
      h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Schedule"))));
}

const soon = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const far = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

/** today, 20:00 · tomorrow, 09:00 · Mon, 30 Nov, 09:00 · 1 Jan 2027, 09:00 */
function when(iso) {
  const [date, now] = [new Date(iso), new Date()];
  const near = date - now < 60 * 86_400_000 && date.getFullYear() === now.getFullYear();
  const day = sameDay(iso, now) ? "today" : sameDay(iso, new Date(now.getTime() + 86_400_000)) ? "tomorrow" : (near ? soon : far).format(date);
  return `${day}, ${timeOf(iso)}`;
}

/** A line above the box of a conversation while something waits there. */
export class Waiting {
  #offs = [];

  constructor(view) {
    this.view = view;
    this.element = h("button", { type: "button", class: "waiting", hidden: true, onclick: () => this.#show() });
    this.#offs.push(view.model.on("scheduled", () => this.draw()));
    this.draw();
  }

  leave() { for (const off of this.#offs) off(); }

  draw() {
    const { length } = this.view.main.mine.waiting(this.view.chatId);
    this.element.hidden = length === 0;
    this.element.replaceChildren(icon("clock"), h("span", {}, `${plural(length, "message")} scheduled`));
  }

  #show() {
    const { main, model, chatId } = this.view;
    const list = h("ul", { class: "cards" });
    const draw = () => { list.replaceChildren(...rows(main, main.mine.waiting(chatId))); if (!list.children.length) dialog.close(); };
    const dialog = showDialog("Scheduled messages", list);
    const off = model.on("scheduled", draw);
    dialog.addEventListener("close", off);
    draw();
  }
}

function rows(main, items, { named = false } = {}) {
  return [...items].sort((a, b) => a.send_at.localeCompare(b.send_at)).map((item) => {
    const chat = main.model.chats.get(item.chat_id);
    return h("li", {}, h("div", { class: "card-row" },
      h("span", { class: "line" }, h("strong", {}, when(item.send_at)), named && chat && h("span", { class: "muted" }, main.model.titleOf(chat))),
      h("span", {}, plainText(item)),
      item.failure && h("span", { class: "failure" }, `Not sent: ${FAILURES[item.failure] ?? item.failure}`)),
    button("trash", "Take it back", () => cancel(main, item)));
  });
}

async function cancel(main, item) {
  if (!(await confirm("Take this message back?", "It will not be sent.", "Take it back"))) return;
  if (await attempt(() => main.client.rest("DELETE", `/scheduled/${item.id}`))) {
    main.mine.scheduled.delete(item.id);
    main.model.emit("scheduled", { item });
  }
}

/** All of mine, in the settings: what waits, and what could not be sent. */
export async function drawScheduled(main, place) {
  const show = async () => {
    const [pending, failed] = await Promise.all(["pending", "failed"].map((status) => main.client.rest("GET", `/scheduled?status=${status}&limit=100`)));
    const items = [...failed.items, ...pending.items];
    place.replaceChildren(items.length ? h("ul", { class: "cards" }, rows(main, items, { named: true })) : h("p", { class: "muted" }, "Nothing waits to be sent. Use the clock beside the box of a conversation to send a message later."));
  };
  await show();
  return main.model.on("scheduled", () => attempt(show));
}
