/** What I am told, and who may see and write what. */

import { attempt, h, toast } from "./dom.js";
import { obstacle, subscribed, turnOff, turnOn } from "./push.js";

const AUDIENCES = { everyone: "Everybody", shared_chats: "People of my groups", nobody: "Nobody" };
const MAILS = { off: "Never", daily: "Once a day", weekly: "Once a week" };

const check = (name, label, checked) => h("label", { class: "check" }, h("input", { type: "checkbox", name, checked }), h("span", {}, label));
const choice = (name, label, options, now) => h("label", { class: "field" }, h("span", {}, label),
  h("select", { name }, Object.entries(options).map(([value, text]) => h("option", { value, selected: now === value }, text))));
const save = () => h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Save"));

export async function drawNotifications(main, place) {
  const now = await main.client.rest("GET", "/notifications/settings");
  const time = (name, label) => h("label", { class: "field" }, h("span", {}, label), h("input", { type: "time", name, value: now[name]?.slice(0, 5) ?? "" }));
  const form = h("form", { class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    const { push, preview, email, quiet_from: from, quiet_until: until } = Object.fromEntries(new FormData(form));
    if (Boolean(from) !== Boolean(until)) return toast("Quiet hours need a beginning and an end.", { bad: true });
    const change = { push: push === "on", preview: preview === "on", email, quiet_from: from ? `${from}:00` : null, quiet_until: until ? `${until}:00` : null };
    const done = await attempt(async () => {
      await main.client.rest("PATCH", "/notifications/settings", change);
      // Quiet hours are hours of somewhere.
      if (from) await main.client.rest("PATCH", "/users/me", { time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone });
    });
    if (done) toast("Saved.");
  } }, check("push", "Push messages to my devices while I am away", now.push), check("preview", "Show in a push what was said", now.preview),
  h("fieldset", { class: "pair" }, h("legend", {}, "Quiet hours"), time("quiet_from", "From"), time("quiet_until", "Until")),
  choice("email", "A letter about what I have not read", MAILS, now.email), save());
  place.replaceChildren(await browserPush(main), form);
}

/** Push in this browser; asked for on a click only. */
async function browserPush(main) {
  const state = h("p", { class: "muted", role: "status" });
  const turn = h("button", { type: "button", class: "plain", onclick: async () => {
    turn.disabled = true;
    await attempt(async () => { await (turn.dataset.on === "yes" ? turnOff(main) : turnOn(main)); });
    await draw();
    turn.disabled = false;
  } });
  const draw = async () => {
    const why = await obstacle(main);
    const on = !why && await subscribed(main);
    turn.hidden = Boolean(why);
    turn.dataset.on = on ? "yes" : "no";
    turn.textContent = on ? "Turn off" : "Turn on";
    state.textContent = why ?? (on ? "You are told here when this page is closed." : "You are not told here while this page is closed.");
  };
  await draw();
  return h("div", { class: "panel line", role: "group", "aria-label": "In this browser" }, h("div", { class: "lines" }, h("strong", {}, "In this browser"), state), turn);
}

export async function drawPrivacy(main, place) {
  const now = await main.client.rest("GET", "/privacy");
  const form = h("form", { class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    const { last_seen, messages_from, profile, read_receipts } = Object.fromEntries(new FormData(form));
    if (await attempt(() => main.client.rest("PATCH", "/privacy", { last_seen, messages_from, profile, read_receipts: read_receipts === "on" }))) toast("Saved.");
  } }, choice("last_seen", "Who may see when I was last here", AUDIENCES, now.last_seen), choice("messages_from", "Who may write to me directly", AUDIENCES, now.messages_from),
  choice("profile", "Who may see more of me than my name", AUDIENCES, now.profile),
  check("read_receipts", "Let others see what I have read", now.read_receipts), save());
  place.replaceChildren(form);
}
