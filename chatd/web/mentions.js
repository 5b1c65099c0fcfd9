/** `@` and a name: offered while it is typed, and shown in what was said. */

import { avatar, h, linked } from "./dom.js";

const MOST = 6;
const BEGUN = /(?:^|\s)@([\p{L}\p{M}\p{N}'’_.-]*(?: [\p{L}\p{M}\p{N}'’_.-]*)?)$/u;
const EVERYBODY = { id: "all", display_name: "all" };

/** The names that are offered in a box. `element` belongs beside it. */
export class Mentioning {
  #options = [];
  #at = 0;
  /** What was begun after the `@`; null where nothing is offered. */
  #begun = null;

  constructor(view, input) {
    Object.assign(this, { view, input });
    this.picked = new Map();
    this.element = h("ul", { class: "offers", id: `offers-${view.chatId}`, role: "listbox", "aria-label": "People", hidden: true });
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-controls", this.element.id);
    input.addEventListener("blur", () => this.close());
  }

  /** Something was typed, or the caret moved. */
  typed() {
    const { chat } = this.view;
    const begun = chat.type === "direct" ? null : BEGUN.exec(this.input.value.slice(0, this.input.selectionStart));
    this.#begun = begun ? begun[1].toLocaleLowerCase() : null;
    this.#options = begun ? this.#people(this.#begun) : [];
    this.#at = 0;
    this.#draw();
  }

  /** Names or members have come: who is looked for may be among them. The one that was gone to stays it. */
  learnt() {
    if (this.#begun === null) return;
    const chosen = this.#options[this.#at]?.id;
    this.#options = this.#people(this.#begun);
    this.#at = Math.max(0, this.#at && this.#options.findIndex(({ id }) => id === chosen));
    this.#draw();
  }

  #people(begun) {
    const { chat, model } = this.view;
    const members = (chat.members ?? []).filter(({ user_id }) => user_id !== model.me.id).map(({ user_id }) => model.people.get(user_id)).filter(Boolean);
    if (chat.my_role !== "member") members.push(EVERYBODY);
    const fits = ({ display_name }) => [display_name, ...display_name.split(" ")].some((name) => name.toLocaleLowerCase().startsWith(begun));
    return members.filter(fits).slice(0, MOST);
  }

  /** True where the key was for the list. */
  key(event) {
    if (!this.#options.length || event.ctrlKey || event.metaKey || event.altKey) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.#at = (this.#at + step + this.#options.length) % this.#options.length;
    else if (event.key === "Enter" || event.key === "Tab") this.#pick(this.#options[this.#at]);
    else if (event.key === "Escape") this.close();
    else return false;
    event.preventDefault();
    this.#draw();
    return true;
  }

  close() {
    this.#begun = null;
    this.#options = [];
    this.#draw();
  }

  /** What of it belongs into the content of this text. */
  fields(text) {
    const ids = [...this.picked].filter(([, name]) => text.includes(`@${name}`)).map(([id]) => id);
    const people = ids.filter((id) => id !== EVERYBODY.id);
    return { ...(people.length && { mentions: people.slice(0, 50) }), ...(ids.length > people.length && { mentions_all: true }) };
  }

  #pick({ id, display_name }) {
    const caret = this.input.selectionStart;
    const start = this.input.value.lastIndexOf("@", caret - 1);
    this.input.setRangeText(`@${display_name} `, start, caret, "end");
    this.picked.set(id, display_name);
    this.#begun = null;
    this.#options = [];
    this.input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #draw() {
    this.element.hidden = this.#options.length === 0;
    this.element.replaceChildren(...this.#options.map((user, index) => h("li", {
      role: "option", id: `${this.element.id}-${index}`, "aria-selected": String(index === this.#at),
      onpointerdown: (event) => { event.preventDefault(); this.#pick(user); this.#draw(); },
    }, user === EVERYBODY ? h("span", { class: "avatar", "aria-hidden": "true" }, "@") : avatar(user.id, user.display_name, { url: user.avatar_url }),
    h("span", { class: "name" }, user.display_name), user === EVERYBODY && h("small", { class: "muted" }, "Everybody here"))));
    if (this.#options.length) this.input.setAttribute("aria-activedescendant", `${this.element.id}-${this.#at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }
}

export const mentionsMe = (model, { content, sender_id }) =>
  sender_id !== model.me.id && Boolean(content.mentions_all || content.mentions?.includes(model.me.id));

/** The words of a message with its links and the names that it mentions. */
export function worded(model, { text, mentions = [], mentions_all: all = false }) {
  const names = new Map(mentions.map((id) => [`@${model.people.name(id)}`, id]));
  if (all) names.set("@all", model.me.id);
  const parts = [];
  let rest = text;
  while (rest) {
    const found = [...names.keys()].map((name) => [rest.indexOf(name), name]).filter(([at]) => at >= 0).sort(([a, one], [b, two]) => a - b || two.length - one.length)[0];
    if (!found) break;
    const [at, name] = found;
    parts.push(...linked(rest.slice(0, at)), h("strong", { class: names.get(name) === model.me.id ? "mention me" : "mention" }, name));
    rest = rest.slice(at + name.length);
  }
  return [...parts, ...linked(rest)];
}
