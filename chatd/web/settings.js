/** One's own settings: a list of matters, and a page for each. What the server does not have is not offered. */

import { attempt, explain, h, icon } from "./dom.js";
import { logOut } from "./leaving.js";
import { drawData, drawPassword, drawSessions } from "./account.js";
import { Page } from "./page.js";
import { drawNotifications, drawPrivacy } from "./preferences.js";
import { drawProfile } from "./profile.js";
import { drawBlocked } from "./safety.js";
import { drawScheduled } from "./scheduled.js";

/** `draw(main, place)` fills a place and may return what ends it. */
const MATTERS = {
  profile: { title: "Profile", icon: "people", about: "Your name, picture and what others see", draw: drawProfile },
  notifications: { title: "Notifications", icon: "bell", about: "What you are told, how and when", has: ["GET", "/notifications/settings"], draw: drawNotifications },
  privacy: { title: "Privacy", icon: "eye", about: "Who sees and writes what", has: ["GET", "/privacy"], draw: drawPrivacy },
  blocked: { title: "Blocked people", icon: "block", about: "Whom you do not hear of", has: ["GET", "/blocks"], draw: drawBlocked },
  scheduled: { title: "Scheduled messages", icon: "clock", about: "What is sent later", has: ["GET", "/scheduled"], draw: drawScheduled },
  sessions: { title: "Devices", icon: "device", about: "Where you are logged in", has: ["GET", "/auth/sessions"], draw: drawSessions },
  password: { title: "Password", icon: "lock", about: "Change it", has: ["POST", "/auth/password"], draw: drawPassword },
  data: { title: "Your data", icon: "download", about: "A copy of it, or an end to it", has: ["POST", "/users/me/export"], draw: drawData },
};

export class Settings extends Page {
  #end = null;
  #left = false;

  constructor(main, matter = "") {
    const known = Object.hasOwn(MATTERS, matter) ? MATTERS[matter] : null;
    super(main, known?.title ?? "Settings", known ? { back: "#/settings", label: "Back to the settings" } : {});
    if (known) this.back.classList.add("always");
    this.matter = known;
  }

  async start() {
    if (!this.matter) return this.#list();
    const place = h("div", { class: "matter", "aria-busy": "true" }, h("p", { class: "muted", role: "status" }, "Loading…"));
    this.inner.append(place);
    try {
      this.#end = await this.matter.draw(this.main, place) ?? null;
      if (this.#left) this.#end?.();
    } catch (error) {
      if (!error.code) throw error;
      place.replaceChildren(h("p", { class: "muted", role: "status" }, explain(error)),
        h("button", { type: "button", class: "plain", onclick: () => { place.remove(); this.start(); } }, "Try again"));
    }
    place.removeAttribute("aria-busy");
  }

  leave() {
    this.#left = true;
    this.#end?.();
  }

  async #list() {
    const { features, client } = this.main;
    const there = await Promise.all(Object.values(MATTERS).map(({ has }) => !has || features.has(...has)));
    this.inner.append(
      h("nav", { "aria-label": "Settings" }, h("ul", { class: "cards" }, Object.entries(MATTERS).filter((_, index) => there[index]).map(([name, matter]) => h("li", {},
        h("a", { class: "card-row", href: `#/settings/${name}` }, icon(matter.icon), h("span", { class: "lines" }, h("strong", {}, matter.title), h("span", {}, matter.about))))))),
      h("div", { class: "actions" }, h("button", { type: "button", class: "danger quiet", onclick: () => attempt(() => logOut(client)) }, icon("out"), " Log out")));
  }
}
