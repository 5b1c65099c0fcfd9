/** What can be done with a message beside the common things: its thread, a pin, forwarding, its link, a report. */

import { attempt, avatar, h, icon, toast } from "./dom.js";
import { showDialog } from "./menu.js";
import { plainText } from "./message.js";
import { mayPin, pin } from "./pins.js";
import { report } from "./safety.js";
import { openThread } from "./thread.js";

const ROUTES = {
  thread: ["GET", "/chats/{chat_id}/threads/{message_id}"],
  pin: ["PUT", "/chats/{chat_id}/messages/{message_id}/pin"],
  forward: ["POST", "/chats/{chat_id}/messages/{message_id}/forward"],
  report: ["POST", "/chats/{chat_id}/messages/{message_id}/report"],
};

/** Which of them this server has. */
export async function offered(features) {
  const found = await Promise.all(Object.entries(ROUTES).map(async ([name, [method, path]]) => [name, await features.has(method, path)]));
  return Object.fromEntries(found);
}

/** Items of a message's menu. */
export function actionsOf(view, message, can) {
  const mine = message.sender_id === view.model.me.id;
  return [
    can.thread && !view.inThread && (message.thread || message.thread_id) && { icon: "thread", label: "Show the thread", run: () => openThread(view, message.thread_id ?? message.id) },
    can.forward && { icon: "forward", label: "Forward", run: () => forward(view, message) },
    can.pin && mayPin(view.chat) && { icon: "pinned", label: message.pinned_at ? "Unpin" : "Pin", run: () => pin(view, message) },
    can.report && !mine && { icon: "flag", label: "Report", run: () => report(view, message) },
  ];
}

/** Say a message again in another conversation. */
function forward(view, message) {
  const { main, model } = view;
  const keys = new Map(); // a second try is the same forward
  const send = (chat) => async () => {
    if (!keys.has(chat.id)) keys.set(chat.id, crypto.getRandomValues(new Uint32Array(4)).join("-"));
    const done = await attempt(() => main.client.rest("POST", `/chats/${view.chatId}/messages/${message.id}/forward`, { chat_id: chat.id, client_message_id: keys.get(chat.id) }));
    if (!done) return;
    dialog.close();
    toast(`Forwarded to ${model.titleOf(chat)}.`);
  };
  const list = h("ul", { class: "people" });
  const field = h("input", { type: "search", placeholder: "Search", "aria-label": "Find a conversation", autofocus: true, autocomplete: "off", oninput: () => draw() });
  const draw = () => {
    const wanted = field.value.trim().toLocaleLowerCase();
    const fits = model.sorted().filter((chat) => !chat.read_only && model.titleOf(chat).toLocaleLowerCase().includes(wanted)).slice(0, 50);
    list.replaceChildren(...fits.map((chat) => h("li", {}, h("button", { type: "button", class: "person", onclick: send(chat) },
      avatar(chat.peer_id ?? chat.id, model.titleOf(chat), { url: model.people.avatarUrl(chat.peer_id) }), h("span", { class: "name" }, model.titleOf(chat)), icon("send")))));
  };
  draw();
  const dialog = showDialog("Forward to", h("blockquote", { tabindex: "0" }, plainText(message)), h("div", { class: "search" }, icon("search"), field), list);
}
