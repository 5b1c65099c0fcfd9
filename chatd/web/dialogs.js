/** New conversations, details of one, and one's own link. */

import { attempt, avatar, button, h, icon, plural, toast } from "./dom.js";
import { chatButtons } from "./chat-settings.js";
import { blockButton, reportUser } from "./safety.js";
import { confirm, showDialog, showMenu } from "./menu.js";

const USER_ID = /usr_[0-7][0-9a-hjkmnp-tv-z]{25}/;

const linkOf = (main) => new URL(`#/with/${main.model.me.id}`, `${main.client.url}/`).href;

/** Open the conversation with somebody; there is one at most. Raises ChatdError. */
export async function startDirect(main, userId) {
  if (userId === main.model.me.id) throw Object.assign(new Error("This is your own link: send it to somebody."), { code: "conflict" });
  main.model.put(await main.client.rest("POST", "/chats", { type: "direct", member_ids: [userId] }));
  main.model.emit("list");
  const ids = [...main.model.chats.values()];
  main.go(`chat/${ids.find((chat) => chat.peer_id === userId).id}`);
}

export function shareLink(main) {
  const field = h("input", { readonly: true, value: linkOf(main), "aria-label": "Your link", onfocus: (event) => event.target.select() });
  showDialog("Your link",
    h("p", {}, "Whoever opens it can write to you. Send it to a friend."),
    h("div", { class: "copying" }, field, button("copy", "Copy", async () => {
      field.select();
      if (navigator.clipboard && await attempt(() => navigator.clipboard.writeText(field.value))) toast("Copied.");
      else toast("Select and copy it yourself.");
    })));
}

/** Choose people: those whose names are known, or by link or id. Returns `{element, chosen}`. */
function chooser(main, { changed, without = [] }) {
  const { people, me } = main.model;
  const chosen = new Set();
  const unseen = new Set([me.id, ...without]);
  const list = h("ul", { class: "people" });
  const status = h("p", { class: "muted", role: "status" });
  const field = h("input", { type: "search", placeholder: "A name, or somebody's link", "aria-label": "Find people", autofocus: true, autocomplete: "off", oninput: () => draw() });
  const toggle = (id) => {
    if (!chosen.delete(id)) chosen.add(id);
    changed(chosen);
    draw();
  };
  const draw = async () => {
    const words = field.value.trim();
    const id = USER_ID.exec(words)?.[0];
    if (id && !people.get(id)) {
      const ok = await attempt(async () => people.learn((await main.client.rest("GET", `/users?ids=${id}`)).users));
      if (!ok || field.value.trim() !== words) return;
    }
    const fits = (user) => !unseen.has(user.id) && (id ? user.id === id : user.display_name.toLowerCase().includes(words.toLowerCase()));
    const found = people.all().filter((user) => fits(user) || chosen.has(user.id));
    list.replaceChildren(...found.slice(0, 100).map((user) => h("li", {}, h("label", {},
      h("input", { type: "checkbox", checked: chosen.has(user.id), onchange: () => toggle(user.id) }),
      avatar(user.id, user.display_name, { url: user.avatar_url }), h("span", { class: "name" }, user.display_name), icon("check")))));
    status.textContent = found.length ? "" : id ? "There is nobody with this id." : words ? "Nobody of this name among the people you know. Paste their link." : "You know nobody here yet. Paste somebody's link.";
  };
  draw();
  return { chosen, element: h("div", { class: "chooser" }, h("div", { class: "search" }, icon("search"), field), list, status) };
}

export function newChat(main) {
  const title = h("label", { class: "field", hidden: true }, h("span", {}, "Name of the group"), h("input", { name: "title", maxlength: "120", autocomplete: "off" }));
  const go = h("button", { type: "submit", class: "primary wide", disabled: true }, "Start");
  const people = chooser(main, { changed: (chosen) => {
    title.hidden = chosen.size < 2;
    go.disabled = chosen.size === 0;
    go.textContent = chosen.size > 1 ? `Start a group of ${chosen.size + 1}` : "Start";
  } });
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    const ids = [...people.chosen];
    const done = await attempt(async () => {
      if (ids.length === 1) return startDirect(main, ids[0]);
      const name = form.elements.title.value.trim();
      const chat = main.model.put(await main.client.rest("POST", "/chats", { type: "group", member_ids: ids, ...(name && { title: name }) }));
      main.go(`chat/${chat.id}`);
    });
    if (done) dialog.close();
  } }, people.element, title, h("div", { class: "actions" },
    h("button", { type: "button", class: "text", onclick: () => { dialog.close(); shareLink(main); } }, "Share your link"), go));
  const dialog = showDialog("New conversation", form);
}

/** Details of a conversation: its name, its members, and leaving it. */
export function details(view) {
  const { main, chat, model } = view;
  if (chat.type === "direct") return person(main, chat.peer_id, chat);
  const may = chat.my_role !== "member" && chat.type === "group";
  const list = h("ul", { class: "people" });
  const draw = () => list.replaceChildren(...sortedMembers(model, chat).map((member) => row(view, member, draw)));
  draw();
  const rename = h("form", { class: "rename", onsubmit: async (event) => {
    event.preventDefault();
    const title = rename.elements.title.value.trim();
    if (await attempt(async () => model.put(await main.client.rest("PATCH", `/chats/${chat.id}`, { title: title || null })))) model.emit("chat", { chatId: chat.id });
  } }, h("label", { class: "field" }, h("span", {}, "Name"), h("input", { name: "title", value: chat.title ?? "", maxlength: "120", autocomplete: "off" })),
  h("button", { type: "submit", class: "plain" }, "Save"));
  const dialog = showDialog(model.titleOf(chat), chatButtons(main, chat, () => dialog.close()), may && rename,
    h("h3", {}, plural(chat.member_count, "member")), list,
    h("div", { class: "actions" },
      may && h("button", { type: "button", class: "plain", onclick: () => { dialog.close(); addPeople(view); } }, "Add people"),
      chat.type === "group" && h("button", { type: "button", class: "danger quiet", onclick: () => leave(view, dialog) }, "Leave")));
  const offs = [model.on("chat", draw), model.on("people", draw), model.on("presence", draw)];
  dialog.addEventListener("close", () => offs.forEach((off) => off()));
}

const RANK = { owner: 2, moderator: 1, member: 0 };

function sortedMembers(model, chat) {
  return [...(chat.members ?? [])].sort((a, b) => RANK[b.role] - RANK[a.role] || model.people.name(a.user_id).localeCompare(model.people.name(b.user_id))).slice(0, 300);
}

function row(view, member, draw) {
  const { model, chat, main } = view;
  const name = model.people.name(member.user_id);
  const mine = member.user_id === model.me.id;
  const below = RANK[chat.my_role] > RANK[member.role] && !mine;
  const change = (work) => () => attempt(async () => { await work(); await model.open(chat.id); draw(); });
  const path = `/chats/${chat.id}/members/${member.user_id}`;
  const role = (to) => change(() => main.client.rest("PUT", path, { role: to }));
  const actions = [
    !mine && { icon: "send", label: "Write to them", run: () => { document.querySelector("dialog")?.close(); attempt(() => startDirect(main, member.user_id)); } },
    below && chat.my_role === "owner" && (member.role === "member"
      ? { icon: "check", label: "Make moderator", run: role("moderator") } : { icon: "close", label: "Make member", run: role("member") }),
    below && { icon: "trash", label: "Remove from the group", danger: true, run: change(() => main.client.rest("DELETE", path)) },
  ];
  return h("li", {}, h("div", { class: "person" },
    avatar(member.user_id, name, { status: model.statusOf(member.user_id), url: model.people.avatarUrl(member.user_id) }),
    h("span", { class: "name" }, mine ? `${name} (you)` : name), member.role !== "member" && h("span", { class: "role" }, member.role),
    !mine && button("more", `What to do with ${name}`, (event) => showMenu(event.currentTarget, actions), { "aria-haspopup": "menu" })));
}

function addPeople(view) {
  const { main, chat, model } = view;
  const go = h("button", { type: "submit", class: "primary wide", disabled: true }, "Add");
  const people = chooser(main, { without: (chat.members ?? []).map((member) => member.user_id), changed: (chosen) => { go.disabled = !chosen.size; } });
  const dialog = showDialog("Add people", h("form", { onsubmit: async (event) => {
    event.preventDefault();
    const done = await attempt(async () => {
      await main.client.rest("POST", `/chats/${chat.id}/members`, { user_ids: [...people.chosen] });
      await model.open(chat.id);
    });
    if (done) dialog.close();
  } }, people.element, h("div", { class: "actions" }, go)));
}

async function leave(view, dialog) {
  dialog.close();
  if (!(await confirm("Leave this group?", "You will not get its messages any more.", "Leave"))) return;
  await attempt(() => view.main.client.rest("DELETE", `/chats/${view.chatId}/members/me`));
}

/** Somebody's profile. */
async function person(main, userId, chat = null) {
  await attempt(async () => {
    const user = await main.client.rest("GET", `/users/${userId}`);
    const block = await blockButton(main, user.id, user.display_name);
    const dialog = showDialog(user.display_name, h("div", { class: "profile" }, avatar(user.id, user.display_name, { big: true, url: user.avatar_url, status: main.model.statusOf(user.id) }),
      user.city && h("p", { class: "muted" }, user.city), user.bio && h("p", {}, user.bio),
      user.interests.length > 0 && h("ul", { class: "tags", "aria-label": "Interests" }, user.interests.map((interest) => h("li", {}, interest)))),
    chat && chatButtons(main, chat, () => dialog.close()), h("div", { class: "actions" }, await reportUser(main, user, () => dialog.close()), block ?? ""));
  });
}
