/** A page beside the list that is no conversation: a head, and what stands below it. */

import { h, icon } from "./dom.js";

export class Page {
  constructor(main, title, { back = "#/", label = "Back to the list", actions = [] } = {}) {
    this.main = main;
    this.title = title;
    this.heading = h("h2", { tabindex: "-1" }, title);
    this.back = h("a", { class: "round back", href: back, "aria-label": label }, icon("back"));
    this.inner = h("div", { class: "inner" });
    this.element = h("section", { class: "page", "aria-label": title },
      h("header", { class: "head" }, this.back, this.heading, ...actions), h("div", { class: "scroller" }, this.inner));
  }

  start() {}

  leave() {}
}
