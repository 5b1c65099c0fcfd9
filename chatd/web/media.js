/** Attachments: shown in messages, and sent with them where the server takes them. */

import { h } from "./dom.js";

/** An attachment of a message as an element. */
export function showAttachment(view, attachment) {
  return h("p", { class: "file" }, `Attachment ${attachment.media_id}`);
}

/** The files that are about to be sent. */
export class Attaching {
  ready = [];
  busy = false;

  constructor() {
    this.element = h("div", { class: "attaching", hidden: true });
    this.button = null;
  }

  pasted() {}

  clear() {}

  leave() {}
}
