/** How I have a conversation: quiet, on top of the list, out of the way. */

import { attempt, h, icon, toast } from "./dom.js";
import { isMuted } from "./mine.js";
import { showDialog } from "./menu.js";

const HOUR_MS = 3_600_000;
const SPANS = [["For an hour", HOUR_MS], ["For 8 hours", 8 * HOUR_MS], ["For a week", 168 * HOUR_MS], ["Until I turn it on again", null]];
const LEVELS = { all: "Everything", mentions: "Only mentions of me", none: "Nothing" };

/** What can be done with a conversation of the list, as items of a menu. */
export function chatActions(main, chat) {
  const { settings = {} } = chat;
  const set = (change, word) => async () => { if (await attempt(() => main.mine.set(chat.id, change)) && word) toast(word); };
  return [
    { icon: "pinned", label: settings.pinned ? "Unpin" : "Pin to the top", run: set({ pinned: !settings.pinned }) },
    isMuted(chat) ? { icon: "bell", label: "Unmute", run: set({ muted: false }) } : { icon: "muted", label: "Mute…", run: () => mute(main, chat) },
    { icon: "archive", label: settings.archived ? "Take out of the archive" : "Archive", run: set({ archived: !settings.archived }, settings.archived ? "Back in the list." : "Archived.") },
  ];
}

/** The same as a row of buttons, for the details of a conversation. */
export function chatButtons(main, chat, close) {
  return h("div", { class: "quick", role: "group", "aria-label": "This conversation" }, chatActions(main, chat).map(({ icon: name, label, run }) =>
    h("button", { type: "button", onclick: () => { close(); run(); } }, icon(name), h("span", {}, label))));
}

function mute(main, chat) {
  const choose = (ms) => async () => {
    if (await attempt(() => main.mine.set(chat.id, { muted: true, muted_until: ms && new Date(Date.now() + ms).toISOString() }))) dialog.close();
  };
  const level = h("select", { onchange: () => attempt(() => main.mine.set(chat.id, { notifications: level.value })) },
    Object.entries(LEVELS).map(([value, text]) => h("option", { value, selected: (chat.settings?.notifications ?? "all") === value }, text)));
  const dialog = showDialog("Mute this conversation", h("p", { class: "muted" }, "You still get its messages, without a sound. A mention of you is told all the same."),
    h("div", { class: "choices" }, SPANS.map(([label, ms]) => h("button", { type: "button", class: "plain", onclick: choose(ms) }, label))),
    h("label", { class: "field" }, h("span", {}, "Tell me of"), level));
}
