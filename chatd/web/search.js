/** Search in the messages of my chats, where the server has it. */

import { announce, avatar, h, shortTime } from "./dom.js";

const WAIT_MS = 300;
let timer = null;
let running = null;

/** Look for `text` soon, and show what is found in `place`; an empty text clears it. */
export function searchMessages(main, text, place) {
  clearTimeout(timer);
  running?.abort();
  if (text.trim().length < 2) return place.replaceChildren();
  timer = setTimeout(() => look(main, text.trim(), place), WAIT_MS);
}

async function look(main, text, place) {
  if (!(await main.features.has("GET", "/search/messages"))) return;
  running = new AbortController();
  const { signal } = running;
  try {
    const page = await main.client.rest("GET", `/search/messages?q=${encodeURIComponent(text)}&limit=20`, undefined, { signal });
    if (!signal.aborted) show(main, page, place);
  } catch (error) {
    if (signal.aborted) return;
    if (!error.code) throw error;
    place.replaceChildren(h("p", { class: "muted pad", role: "status" }, "Messages cannot be searched right now."));
  }
}

function show(main, page, place) {
  const { model } = main;
  model.people.want(page.items.map(({ message }) => message.sender_id));
  const found = page.items.length ? "Messages" : "No messages found";
  announce(found);
  place.replaceChildren(h("h2", {}, found),
    h("ul", { class: "chats" }, page.items.map(({ message, highlight }) => {
      const chat = model.chats.get(message.chat_id);
      const title = chat ? model.titleOf(chat) : "A conversation";
      return h("li", {}, h("a", { href: `#/chat/${message.chat_id}/${message.id}` },
        avatar(chat?.peer_id ?? message.chat_id, title, { url: model.people.avatarUrl(chat?.peer_id) }),
        h("span", { class: "lines" },
          h("span", { class: "line" }, h("span", { class: "name" }, title), h("time", { datetime: message.sent_at }, shortTime(message.sent_at))),
          h("span", { class: "line" }, h("span", { class: "preview" }, highlight ? marked(highlight) : message.content.text ?? "")))));
    })));
}

const ENTITIES = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'", "&#34;": '"', "&amp;": "&" };

/** The server's highlight, which is escaped HTML with <mark>, as elements: no string here becomes HTML. */
function marked(html) {
  const plain = (text) => text.replace(/&(?:lt|gt|quot|amp|#x27|#39|#34);/g, (entity) => ENTITIES[entity]);
  return html.split(/(<mark>.*?<\/mark>)/s).map((part) => {
    const match = /^<mark>(.*)<\/mark>$/s.exec(part);
    return match ? h("mark", {}, plain(match[1])) : plain(part);
  });
}
