/** Where I am logged in, my password, a copy of my data, and the end of my account. */

import { attempt, explain, h, icon, lastSeen, plural, toast } from "./dom.js";
import { confirm, showDialog } from "./menu.js";

const LOOK_MS = 2000;
const MOST_LOOKS = 300;

export async function drawSessions(main, place) {
  const draw = async () => {
    const { sessions } = await main.client.rest("GET", "/auth/sessions");
    const others = sessions.length - 1;
    place.replaceChildren(h("ul", { class: "cards" }, sessions.map((session) => h("li", {}, h("div", { class: "card-row" }, icon("device"), h("span", { class: "lines" },
      h("strong", {}, session.device_name ?? session.device_platform ?? "An unknown device"),
      h("span", {}, session.current ? "This device" : [lastSeen(session.last_used_at, main.client.now()), session.address].filter(Boolean).join(" · ")))),
    !session.current && h("button", { type: "button", class: "plain", "aria-label": `Log out ${session.device_name ?? "this device"}`, onclick: () => end(session) }, "Log out")))),
    others > 0 && h("div", { class: "actions" }, h("button", { type: "button", class: "danger quiet", onclick: endOthers }, "Log out everywhere else")) || "");
  };
  const end = (session) => attempt(async () => { await main.client.rest("DELETE", `/auth/sessions/${session.id}`); await draw(); toast("Logged out there."); });
  const endOthers = async () => {
    if (!(await confirm("Log out everywhere else?", "Your other devices are logged out at once.", "Log out"))) return;
    await attempt(async () => { const { ended } = await main.client.rest("DELETE", "/auth/sessions"); await draw(); toast(`${plural(ended, "device")} logged out.`); });
  };
  await draw();
}

export async function drawPassword(main, place) {
  const field = (label, name, autocomplete) => h("label", { class: "field" }, h("span", {}, label),
    h("input", { type: "password", name, required: true, maxlength: "128", autocomplete, "aria-describedby": "password-problem" }));
  const problem = h("p", { class: "problem", role: "alert", id: "password-problem" });
  const form = h("form", { class: "panel", novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    const { current, fresh, again } = Object.fromEntries(new FormData(form));
    problem.textContent = [...fresh].length < 8 ? "The new password needs at least 8 characters." : fresh !== again ? "The two new passwords differ." : "";
    if (problem.textContent) return;
    try {
      await main.client.rest("POST", "/auth/password", { current_password: current, new_password: fresh });
      form.reset();
      toast("Your password is changed. Your other devices are logged out.");
    } catch (error) {
      if (!error.code) throw error;
      problem.textContent = ["unauthenticated", "forbidden"].includes(error.code) ? "The present password is not right." : explain(error);
    }
  } }, h("input", { type: "text", autocomplete: "username", value: main.model.me.email ?? "", hidden: true, readonly: true }),
  field("Present password", "current", "current-password"), field("New password", "fresh", "new-password"), field("New password again", "again", "new-password"),
  problem, h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Change password")));
  place.replaceChildren(form);
}

export async function drawData(main, place) {
  let left = false;
  const state = h("p", { class: "muted", role: "status" }, "Your profile, your messages, your settings: everything that is held of you, as one file.");
  const ask = h("button", { type: "button", class: "plain", onclick: async () => {
    ask.disabled = true;
    state.textContent = "The copy is being made. You may go on and come back: you are told when it is there.";
    await attempt(async () => {
      const ready = await made(main, await main.client.rest("POST", "/users/me/export"), () => left);
      if (!ready) return;
      state.textContent = "Fetching it…";
      await download(main, ready);
      state.textContent = "The copy has been downloaded.";
    });
    ask.disabled = false;
  } }, "Ask for a copy");
  place.replaceChildren(
    h("section", { class: "panel", "aria-label": "A copy of your data" }, h("h3", {}, "A copy of your data"), state, h("div", { class: "actions" }, ask)),
    h("section", { class: "panel", "aria-label": "Delete your account" }, h("h3", {}, "Delete your account"),
      h("p", { class: "muted" }, "You are logged out everywhere, and what you said is taken out of the conversations. Nobody can bring it back."),
      h("div", { class: "actions" }, h("button", { type: "button", class: "danger", onclick: () => deletion(main) }, "Delete my account"))));
  return () => { left = true; };
}

/** Wait for an export; null where somebody went away first. */
async function made(main, job, left) {
  for (let looks = 0; looks < MOST_LOOKS && !left(); looks++) {
    if (job.status === "ready") return job;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    job = await main.client.rest("GET", `/users/me/export/${job.id}`);
  }
  return null;
}

async function download(main, job) {
  const sections = {};
  for (let number = 0; number < job.parts; number++) {
    const { section, rows } = await main.client.rest("GET", `/users/me/export/${job.id}/parts/${number}`);
    (sections[section] ??= []).push(...(Array.isArray(rows) ? rows : [rows]));
  }
  const url = URL.createObjectURL(new Blob([JSON.stringify(sections, null, 2)], { type: "application/json" }));
  h("a", { href: url, download: "chatd-my-data.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function deletion(main) {
  const problem = h("p", { class: "problem", role: "alert" });
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      await main.client.rest("DELETE", "/users/me", { password: form.elements.password.value || null });
      dialog.close();
      main.client.session.end();
      toast("Your account is deleted.");
    } catch (error) {
      if (!error.code) throw error;
      problem.textContent = ["unauthenticated", "forbidden"].includes(error.code) ? "This password is not right." : explain(error);
    }
  } }, h("p", {}, "This cannot be taken back. Type your password to go on."),
  h("label", { class: "field" }, h("span", {}, "Password"), h("input", { type: "password", name: "password", autocomplete: "current-password", autofocus: true })),
  problem, h("div", { class: "actions" }, h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Cancel"),
    h("button", { type: "submit", class: "danger" }, "Delete for good")));
  const dialog = showDialog("Delete your account?", form);
}
