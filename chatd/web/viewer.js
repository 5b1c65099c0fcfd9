/** One picture, as big as there is room. */

import { button, h, icon } from "./dom.js";

export function showPicture(url, name) {
  const element = h("dialog", { class: "viewer", "aria-label": name, onclose: () => element.remove(), onclick: (event) => { if (event.target !== save) element.close(); } },
    h("img", { src: url, alt: name }));
  const save = h("a", { class: "round", href: url, target: "_blank", rel: "noopener", "aria-label": "Open the original", title: "Open the original" }, icon("download"));
  element.append(h("div", { class: "viewer-bar" }, save, button("close", "Close", () => element.close())));
  document.body.append(element);
  element.showModal();
  element.querySelector("button").focus();
}
