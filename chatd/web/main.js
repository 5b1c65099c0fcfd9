/** The page of somebody who is logged in: list, conversation, banner; and where # leads. */

import { sleep } from "./chatd-session.js";
import { Conversation } from "./conversation.js";
import { attempt, batched, h, toast, explain, showPortraitsBy } from "./dom.js";
import { Nearby } from "./gp.js";
import { portraitsFor } from "./media.js";
import { Mine } from "./mine.js";
import { Notices } from "./notices.js";
import { renew } from "./push.js";
import { Settings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { startDirect } from "./dialogs.js";

const AGAIN_MS = 3000;

export class Main {
  #offs = [];
  #timer = null;
  #conversation = null;
  #opening = null;

  constructor(root, client, model, features) {
    Object.assign(this, { client, model, features });
    showPortraitsBy(portraitsFor(this));
    this.mine = new Mine(client, model, features);
    this.sidebar = new Sidebar(this);
    this.banner = h("div", { class: "banner", role: "status", hidden: true });
    this.stage = h("main", { class: "stage", id: "stage" });
    this.frame = h("div", { class: "frame" }, this.sidebar.element, this.stage);
    root.replaceChildren(this.banner, this.frame);
    const title = batched(() => this.#title());
    this.#offs.push(model.on("state", () => this.#state()), model.on("list", title), model.on("people", title),
      model.on("chat", ({ chatId, left }) => { if (left && chatId === model.openId) this.#gone(); }));
    this.route = () => this.#route();
    addEventListener("hashchange", this.route);
    this.network = () => this.#state(); // the banner says which of the two it is
    for (const event of ["online", "offline"]) addEventListener(event, this.network);
  }

  async start() {
    this.#state();
    const loading = attempt(() => this.model.load());
    this.#route();
    attempt(() => renew(this));
    // What could not be loaded now is loaded when there is a connection.
    if (!(await loading)) this.client.opened(3_600_000).then(() => attempt(() => this.model.load()), () => {});
  }

  leave() {
    clearTimeout(this.#timer);
    removeEventListener("hashchange", this.route);
    for (const event of ["online", "offline"]) removeEventListener(event, this.network);
    for (const off of this.#offs) off();
    this.#close();
    this.sidebar.leave();
    this.mine.leave();
  }

  // ------------------------------------------------------------------------ places

  #route() {
    const [, place, id, message] = /^#\/(\w+)\/?([^/]*)\/?(.*)$/.exec(location.hash) ?? [];
    if (place === "chat" && id) this.#open(id, message);
    else if (place === "gp") this.#page(new Nearby(this));
    else if (place === "notifications") this.#page(new Notices(this));
    else if (place === "settings") this.#page(new Settings(this, id));
    else if (place === "with" && id) this.#meet(id);
    else this.#rest();
  }

  async #open(chatId, messageId = "") {
    await this.#chat(chatId);
    if (messageId && this.#conversation?.chatId === chatId) this.#conversation.goTo(messageId);
  }

  async #chat(chatId) {
    if (this.#conversation?.chatId === chatId) return;
    this.#close();
    const opening = this.#opening = {};
    this.model.openId = chatId;
    this.frame.dataset.pane = "chat";
    const known = this.model.chats.get(chatId);
    if (known) this.#show(known);
    else this.stage.replaceChildren(h("p", { class: "alone muted", role: "status" }, "Loading…"));
    try {
      const chat = await this.model.open(chatId);
      if (opening === this.#opening && !this.#conversation) this.#show(chat);
    } catch (error) {
      if (!error.code) throw error;
      if (opening !== this.#opening) return; // somewhere else by now
      if (error.code === "chat_not_found" || error.status === 422) {
        toast(explain({ code: "chat_not_found" }), { bad: true });
        this.go("");
      } else if (!known && await this.#later(error) && opening === this.#opening) {
        await this.#chat(chatId);
      }
    }
  }

  /** Wait until what failed may be tried again; false where it may not be, since nobody is connected any more. */
  async #later(error) {
    const wait = error.retryAfterMs ?? (this.client.state === "open" ? AGAIN_MS : 0);
    await this.client.opened(3_600_000).catch(() => {});
    if (this.client.state !== "open") return false;
    await sleep(wait);
    return true;
  }

  #show(chat) {
    this.#conversation = new Conversation(this, chat);
    this.stage.replaceChildren(this.#conversation.element);
    this.#conversation.start();
    this.sidebar.draw();
    this.#title();
  }

  #close() {
    this.#conversation?.leave();
    this.#conversation = this.#opening = null;
    this.model.openId = null;
  }

  #page(page) {
    this.#close();
    this.frame.dataset.pane = "chat";
    this.#conversation = page;
    this.stage.replaceChildren(page.element);
    page.element.querySelector("h2").focus();
    page.start();
    this.sidebar.draw();
    this.#title();
  }

  /** Nothing open: the list alone on a phone, a word beside it on a desktop. */
  #rest() {
    const from = this.model.openId;
    this.#close();
    this.frame.dataset.pane = "list";
    this.stage.replaceChildren(h("div", { class: "alone" },
      h("img", { src: "icon.svg", alt: "", width: "56", height: "56" }),
      h("p", {}, "Choose a conversation, or start one."),
      h("p", { class: "muted" }, "Your messages are kept here and sent as soon as there is a connection.")));
    this.sidebar.draw();
    if (from) this.sidebar.focus(from);
    this.#title();
  }

  #gone() {
    toast("You are no longer in this conversation.");
    this.go("");
  }

  /** Somebody's link was followed. */
  async #meet(userId) {
    this.#rest();
    if (!(await attempt(() => startDirect(this, userId)))) this.go("");
  }

  /** Go to a place: "" or "chat/cht_…". */
  go(place) {
    const target = `#/${place}`;
    if (location.hash === target) this.#route();
    else location.hash = target;
  }

  // --------------------------------------------------------------------- connection

  #state() {
    const { state, retryAt } = this.client;
    clearTimeout(this.#timer);
    const bad = state === "waiting" || (state === "connecting" && this.wasOpen);
    if (state === "open") {
      if (!this.banner.hidden && this.wasOpen) toast("Connected again.");
      this.wasOpen = true;
      this.banner.hidden = true;
      return;
    }
    if (!bad) return;
    const tell = () => {
      const left = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
      const now = h("button", { type: "button", class: "text", onclick: () => this.client.reconnect() }, "Try now");
      const text = navigator.onLine === false ? "You are offline. Messages are sent when you are back." : "No connection. Messages are sent when it is back.";
      this.banner.replaceChildren(h("span", {}, text), state === "waiting" && left > 1 ? now : "");
    };
    // A hiccup that is over within a second is nobody's business.
    this.#timer = setTimeout(() => { this.banner.hidden = false; tell(); }, this.banner.hidden ? 1000 : 0);
    if (!this.banner.hidden) tell();
  }

  #title() {
    const unread = this.model.unread;
    const chat = this.model.chats.get(this.model.openId);
    document.title = (unread ? `(${unread}) ` : "") + (chat ? `${this.model.titleOf(chat)} · chatd` : this.#conversation?.title ? `${this.#conversation.title} · chatd` : "chatd");
  }
}
