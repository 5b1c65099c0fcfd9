/** Menus and dialogs: what opens over the page, takes the keyboard, and gives the focus back. */

import { button, h, icon } from "./dom.js";

let open = null;

/**
 * A menu at `anchor`: items are `{icon, label, run, danger}`; `emoji` adds a row of them before, with
 * `pick(emoji)`, which is what `doing` says. Arrow keys move; Escape, a click elsewhere and another size of the
 * window, in which it would be in the wrong place, close.
 */
export function showMenu(anchor, items, { emoji = [], pick = () => {}, doing = "React with" } = {}) {
  closeMenu();
  const choose = (run) => () => { closeMenu(); run(); };
  const element = h("div", { class: "menu", role: "menu", onkeydown: (event) => walk(event, element) },
    emoji.length > 0 && h("div", { class: "emoji-row", role: "none" }, emoji.map((one) =>
      h("button", { type: "button", role: "menuitem", "aria-label": `${doing} ${one}`, onclick: choose(() => pick(one)) }, one))),
    items.filter(Boolean).map(({ icon: name, label, run, danger }) =>
      h("button", { type: "button", role: "menuitem", class: danger && "danger", onclick: choose(run) }, icon(name), label)));
  // A modal dialog makes everything outside it inert: a menu of its own belongs in it.
  (anchor.closest("dialog") ?? document.body).append(element);
  place(element, anchor.getBoundingClientRect());
  open = { element, back: document.activeElement, key: document.activeElement.closest("[data-key]")?.dataset.key };
  element.querySelector("button").focus();
  setTimeout(() => document.addEventListener("pointerdown", away), 0);
  addEventListener("resize", closeMenu);
}

export function closeMenu() {
  if (!open) return;
  document.removeEventListener("pointerdown", away);
  removeEventListener("resize", closeMenu);
  const { element, back, key } = open;
  element.remove();
  open = null;
  // What it was opened at may have been drawn anew meanwhile (dom.js, reconcile).
  const again = back?.isConnected || !key ? back : document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  again?.focus?.({ preventScroll: true });
}

function away(event) {
  if (!open?.element.contains(event.target)) closeMenu();
}

function place(element, near) {
  const { offsetWidth: width, offsetHeight: height } = element;
  const below = near.bottom + 4 + height < innerHeight;
  const top = below ? near.bottom + 4 : Math.max(8, near.top - 4 - height);
  element.style.top = `${Math.min(top, innerHeight - height - 8)}px`;
  element.style.left = `${Math.max(8, Math.min(near.right - width, innerWidth - width - 8))}px`;
}

function walk(event, element) {
  const buttons = [...element.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (step) buttons.at((at + step) % buttons.length).focus();
  else if (event.key === "Home") buttons[0].focus();
  else if (event.key === "End") buttons.at(-1).focus();
  else if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** A dialog with a title; the browser keeps the focus in it and gives it back. Returns the element. */
export function showDialog(title, ...content) {
  const heading = h("h2", { id: `title-${Math.random().toString(36).slice(2)}`, tabindex: "-1" }, title);
  const element = h("dialog", { "aria-labelledby": heading.id, onclose: () => element.remove() },
    h("header", {}, heading, button("close", "Close", () => element.close())),
    ...content);
  element.addEventListener("click", (event) => { if (event.target === element) element.close(); });
  document.body.append(element);
  element.showModal();
  (element.querySelector("[autofocus]") ?? heading).focus();
  return element;
}

/** Ask before something that cannot be taken back. */
export function confirm(title, text, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const done = (value) => () => { answer = value; element.close(); };
    const element = showDialog(title, h("p", {}, text),
      h("div", { class: "actions" },
        h("button", { type: "button", class: "plain", onclick: done(false) }, "Cancel"),
        h("button", { type: "button", class: "danger", autofocus: true, onclick: done(true) }, yes)));
    element.addEventListener("close", () => resolve(answer));
  });
}
