/** One message as an element, and what can be done with it. */

import { attempt, avatar, explain, h, icon, timeOf } from "./dom.js";
import { mentionsMe, worded } from "./mentions.js";
import { confirm, showMenu } from "./menu.js";
import { threadLink } from "./thread.js";

export const QUICK = ["👍", "❤️", "😂", "😮", "😢", "🙏"];
const SYSTEM = {
  members_joined: (who, whom) => (who === whom ? `${who} joined` : `${who} added ${whom}`),
  member_left: (who) => `${who} left`,
  member_removed: (who, whom) => `${who} removed ${whom}`,
  role_changed: (who, whom, { role }) => `${whom} is now ${role}`,
  title_changed: (who, _, { title }) => (title ? `${who} named the group “${title}”` : `${who} took the group's name away`),
};

/** What a system message says. */
export function systemText(model, message) {
  const { event, user_ids = [], ...rest } = message.content;
  const nameOf = (id) => (id === model.me.id ? "You" : model.people.name(id));
  const whom = user_ids.slice(0, 3).map(nameOf).join(", ") + (user_ids.length > 3 ? ` and ${user_ids.length - 3} more` : "");
  model.people.want(user_ids.slice(0, 3));
  const text = SYSTEM[event]?.(nameOf(message.sender_id), whom, rest) ?? "Something changed here";
  return text.replace("You is", "You are");
}

const hidden = (message) => !["visible", "flagged", undefined].includes(message.moderation_status) && message.content.type !== "system";

/** A message in one line. */
export function snippet(model, chat, message) {
  if (message.content.type === "system") return systemText(model, message);
  const who = message.sender_id === model.me.id ? "You: " : chat.type === "direct" ? "" : `${model.people.name(message.sender_id).split(" ")[0]}: `;
  return who + plainText(message);
}

export function plainText(message) {
  if (message.content.type === "tombstone") return "Message deleted";
  if (hidden(message)) return "Hidden by a moderator";
  const { text = "", attachments = [] } = message.content;
  return text || (attachments.length ? "📎 Attachment" : "");
}

/** Everything that decides how a message looks, as one string. */
export function signature(view, message, { first, last, status, readers }) {
  const { model } = view;
  const parent = message.reply_to && view.chat.messages.get(message.reply_to);
  return [message.updated_seq, message.moderation_status, first, last, status, readers, message.error?.code, model.people.name(message.sender_id),
    model.people.avatarUrl(message.sender_id), parent?.updated_seq, parent && model.people.name(parent.sender_id), message.thread?.reply_count, message.pinned_at,
    message.reply_preview?.text, message.content.mentions?.map((id) => model.people.name(id)).join(),
    message.content.type === "system" && systemText(model, message)].join("\u0001");
}

/** The element of a message, delivered or on its way. */
export function messageElement(view, message, look) {
  const { model, chat } = view;
  if (message.content.type === "system") return h("li", { class: "system", tabindex: "-1" }, h("span", {}, systemText(model, message)));
  const mine = message.sender_id === model.me.id;
  const name = model.people.name(message.sender_id);
  const gone = message.content.type === "tombstone" || hidden(message);
  const group = chat.type !== "direct";
  const bubble = h("div", { class: "bubble" },
    !mine && group && look.first && h("span", { class: "sender" }, name),
    !gone && message.content.forwarded && h("span", { class: "forwarded" }, icon("forward"), "Forwarded"),
    !gone && message.reply_to && !view.inThread && quote(view, message),
    ...(gone ? [h("p", { class: "gone" }, plainText(message))] : body(view, message)),
    h("span", { class: "meta" }, !gone && message.pinned_at && icon("pinned", "Pinned"), !gone && message.edited_at && h("span", {}, "edited"),
      h("time", { datetime: message.sent_at }, timeOf(message.sent_at)), mine && !gone && tick(look)));
  const actions = !gone && !message.pending && h("button", { type: "button", class: "dots", tabindex: "-1", "aria-label": "What to do with this message",
    "aria-haspopup": "menu", onclick: (event) => openActions(view, message, event.currentTarget) }, icon("more"));
  const failed = look.status === "failed" && failure(view, message);
  return h("li", {
    class: ["message", mine ? "mine" : "theirs", look.first && "opens", look.last && "ends", gone && "is-gone", onlyEmoji(message) && "emoji-only", !gone && mentionsMe(model, message) && "for-me"].filter(Boolean).join(" "),
    tabindex: "-1", dataset: { id: message.id ?? message.key },
    onkeydown: (event) => keys(view, message, event),
    oncontextmenu: (event) => { if (actions && !event.target.closest("a") && !getSelection().toString()) { event.preventDefault(); openActions(view, message, bubble); } },
  },
  h("span", { class: "unseen" }, mine ? "You said: " : `${name} said: `),
  !mine && group && (look.last ? avatar(message.sender_id, name, { url: model.people.avatarUrl(message.sender_id) }) : h("span", { class: "avatar none" })),
  h("div", { class: "column" }, h("div", { class: "row" }, bubble, actions), failed, !gone && reactions(view, message), !gone && threadLink(view, message)));
}

function body(view, message) {
  const { text = "", attachments = [] } = message.content;
  return [...attachments.map((attachment) => view.attachment(attachment, message)), text && h("p", { class: "words", dir: "auto" }, worded(view.model, message.content))];
}

function quote(view, message) {
  const parent = view.chat.messages.get(message.reply_to);
  const shown = parent ? { sender: parent.sender_id, text: plainText(parent) }
    : message.reply_preview ? { sender: message.reply_preview.sender_id, text: message.reply_preview.text } : null;
  if (shown) view.model.people.want([shown.sender]);
  const who = !shown ? "A message from before" : shown.sender === view.model.me.id ? "You" : view.model.people.name(shown.sender);
  return h("button", { type: "button", class: "quote", tabindex: "-1", onclick: () => view.goTo(message.reply_to) },
    h("strong", {}, who), h("span", { dir: "auto" }, shown ? shown.text ?? "Message deleted" : "Show it"));
}

const TICKS = {
  queued: ["clock", "Waiting to be sent"], sending: ["clock", "Being sent"], failed: ["warn", "Not sent"],
  sent: ["check", "Sent"], delivered: ["checks", "Delivered"], read: ["checks", "Read"],
};

function tick({ status, readers }) {
  const [name, label] = TICKS[status];
  const text = status === "read" && readers > 1 ? `Read by ${readers}` : label;
  return h("span", { class: `tick ${status}`, title: text }, icon(name, text));
}

function failure(view, message) {
  const { outbox } = view.main.client;
  return h("p", { class: "failure", role: "alert" }, message.error ? explain(message.error) : "Not sent", " ",
    h("button", { type: "button", class: "text", onclick: () => outbox.retry(message.key) }, "Try again"), " ",
    h("button", { type: "button", class: "text", onclick: () => outbox.discard(message.key) }, "Discard"));
}

function reactions(view, message) {
  if (!message.reactions?.length) return null;
  const { model } = view;
  return h("div", { class: "reactions", role: "group", "aria-label": "Reactions" }, message.reactions.map(({ emoji, count, user_ids }) => {
    const own = user_ids.includes(model.me.id);
    const names = user_ids.slice(0, 10).map((id) => (id === model.me.id ? "You" : model.people.name(id))).join(", ");
    return h("button", { type: "button", class: own ? "own" : null, "aria-pressed": String(own), title: names, tabindex: "-1",
      "aria-label": `${emoji}, ${count}: ${names}`, onclick: () => react(view, message, emoji, own) }, emoji, count > 1 ? h("span", {}, String(count)) : "");
  }));
}

function react(view, message, emoji, own) {
  return attempt(() => view.command(own ? "reaction.remove" : "reaction.add", { message_id: message.id, emoji }));
}

/** The menu of a message. */
export function openActions(view, message, anchor) {
  if (!view.can) return void view.offering.then(() => openActions(view, message, anchor));
  const { model, chat } = view;
  const mine = message.sender_id === model.me.id;
  const may = mine || chat.my_role !== "member" && chat.type !== "direct";
  const { text } = message.content;
  showMenu(anchor, [
    { icon: "reply", label: "Reply", run: () => view.composer.reply(message) },
    text && { icon: "copy", label: "Copy text", run: () => attempt(() => copy(text)) },
    mine && !message.content.forwarded && { icon: "edit", label: "Edit", run: () => view.composer.edit(message) },
    ...view.moreActions(message),
    may && { icon: "trash", label: "Delete", danger: true, run: () => remove(view, message) },
  ], {
    emoji: QUICK,
    pick: (emoji) => react(view, message, emoji, message.reactions.some((one) => one.emoji === emoji && one.user_ids.includes(model.me.id))),
  });
}

async function remove(view, message) {
  if (await confirm("Delete this message?", "It disappears for everybody. Nobody can bring it back.", "Delete")) {
    await attempt(() => view.command("message.delete", { message_id: message.id }));
  }
}

async function copy(text) {
  if (!navigator.clipboard) throw Object.assign(new Error("This browser allows copying on https only."), { code: "unsupported" });
  await navigator.clipboard.writeText(text);
}

function keys(view, message, event) {
  if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
  const mine = message.sender_id === view.model.me.id;
  const gone = message.content.type === "tombstone" || message.pending;
  if (event.key === "Enter" || event.key === " " || event.key === "ContextMenu") {
    if (!gone) openActions(view, message, event.currentTarget.querySelector(".bubble"));
  } else if (event.key === "r" && !gone) view.composer.reply(message);
  else if (event.key === "e" && mine && !gone && !message.content.forwarded) view.composer.edit(message);
  else if (event.key === "Delete" && mine && !gone) remove(view, message);
  else return;
  event.preventDefault();
}

const EMOJI_ONLY = /^(?:\p{Extended_Pictographic}[\p{Emoji_Modifier}\uFE0F\u200D\p{Extended_Pictographic}]*\s*){1,3}$/u;

function onlyEmoji({ content, reply_to }) {
  return content.type === "text" && !reply_to && !content.attachments?.length && EMOJI_ONLY.test(content.text);
}
