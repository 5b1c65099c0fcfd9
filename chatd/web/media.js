/** Attachments: shown in messages, and sent with them where the server takes them. */

import { button, explain, h, icon, toast } from "./dom.js";
import { Upload, reachable } from "./upload.js";
import { showPicture } from "./viewer.js";

const TYPES = ["image/jpeg", "image/png", "image/gif", "image/webp", "video/mp4", "video/webm"];
const MOST = 10;
const BOX = { width: 320, height: 320 };
/** Links last some minutes: what is known of a medium is asked for again a little before they end. */
const EARLY_MS = 30_000;
const known = new Map();

async function detailsOf(main, mediaId) {
  const found = known.get(mediaId);
  if (found && found.until > Date.now()) return found.details;
  const details = main.client.rest("GET", `/media/${mediaId}/details`);
  known.set(mediaId, { details, until: Date.now() + EARLY_MS });
  details.then(({ expires_at }) => {
    if (expires_at) known.set(mediaId, { details, until: new Date(expires_at) - EARLY_MS });
  }, () => known.delete(mediaId));
  return details;
}

/** For `showPortraitsBy`: links for who is logged in now; what is not for them is asked for once. */
export function portraitsFor(main) {
  known.clear(); // links are one person's: somebody else may have been here before
  const missing = new Set();
  return async (mediaId) => {
    if (missing.has(mediaId)) return null;
    try {
      const { url, thumbnail_url: small } = await detailsOf(main, mediaId);
      return url ? reachable(main, small ?? url) : null;
    } catch (error) {
      if (!error.code) throw error;
      if (error.status === 404) missing.add(mediaId);
      return null;
    }
  };
}

/** An attachment of a message as an element: a picture or a video that keeps its place while it loads. */
export function showAttachment(view, { media_id, width, height }) {
  const place = h("div", { class: "attachment", role: "group", "aria-label": "Attachment" }, icon("file"));
  keep(place, width, height);
  detailsOf(view.main, media_id).then((medium) => fill(view, place, medium), (error) => {
    if (!error.code) throw error;
    place.replaceChildren(icon("file"), h("span", { class: "muted" }, error.status === 404 ? "This attachment is gone" : explain(error)));
  });
  return place;
}

/** Hold the place that a picture will take, so that nothing jumps when it comes. */
function keep(place, width, height) {
  if (!width || !height) return;
  const scale = Math.min(1, BOX.width / width, BOX.height / height);
  place.style.width = `${Math.max(96, Math.round(width * scale))}px`;
  place.style.aspectRatio = `${width} / ${height}`;
}

function fill(view, place, medium) {
  keep(place, medium.width, medium.height);
  if (medium.status !== "ready") {
    place.replaceChildren(icon("file"), h("span", { class: "muted" }, medium.status === "pending" ? "Being looked at…" : "Not accepted"));
    return;
  }
  const url = reachable(view.main, medium.url);
  const failed = () => { known.delete(medium.media_id); place.replaceChildren(icon("file"), h("span", { class: "muted" }, medium.file_name)); };
  if (medium.type === "video") {
    place.replaceChildren(h("video", { src: url, controls: true, preload: "metadata", "aria-label": medium.file_name, onerror: failed }));
  } else {
    const small = medium.thumbnail ? reachable(view.main, medium.thumbnail_url) : url;
    place.replaceChildren(h("button", { type: "button", class: "picture", "aria-label": `Show ${medium.file_name}`,
      onclick: async () => showPicture(reachable(view.main, (await detailsOf(view.main, medium.media_id)).url), medium.file_name) },
    h("img", { src: small, alt: medium.file_name, onerror: failed })));
  }
  view.settle();
}

/** The files that are about to be sent: chosen or pasted, uploaded at once, and sent with the next message. */
export class Attaching {
  #files = new Map();
  #number = 0;

  constructor(main, changed) {
    this.main = main;
    this.changed = changed;
    this.chooser = h("input", { type: "file", accept: TYPES.join(","), multiple: true, hidden: true, onchange: () => { this.#take([...this.chooser.files]); this.chooser.value = ""; } });
    this.button = button("clip", "Attach a picture or video", () => this.chooser.click(), { hidden: true });
    this.element = h("ul", { class: "attaching", "aria-label": "To be sent with the message", hidden: true });
    main.features.has("POST", "/media").then((has) => { this.button.hidden = !has; });
  }

  /** What is uploaded and can be sent: `[{media_id}]`. */
  get ready() { return [...this.#files.values()].filter((file) => file.mediaId).map((file) => ({ media_id: file.mediaId })); }

  get busy() { return [...this.#files.values()].some((file) => !file.mediaId); }

  pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length && !this.button.hidden) {
      event.preventDefault();
      this.#take(files);
    }
  }

  dropped(event) {
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.length || this.button.hidden) return;
    event.preventDefault();
    this.#take(files);
  }

  /** They have been sent. */
  clear() {
    for (const file of this.#files.values()) URL.revokeObjectURL(file.picture);
    this.#files.clear();
    this.#draw();
  }

  leave() { for (const key of [...this.#files.keys()]) this.#drop(key); }

  #take(files) {
    for (const file of files) {
      if (!TYPES.includes(file.type)) toast(`${file.name}: pictures (JPEG, PNG, GIF, WebP) and videos (MP4, WebM) can be sent.`, { bad: true });
      else if (this.#files.size >= MOST) toast(`At most ${MOST} files go with one message.`, { bad: true });
      else this.#upload(file);
    }
  }

  async #upload(file) {
    const key = ++this.#number;
    const mine = { name: file.name, picture: file.type.startsWith("image/") ? URL.createObjectURL(file) : null, mediaId: null, share: 0, waits: false };
    const progress = (share) => {
      mine.share = share;
      mine.bar?.style.setProperty("width", `${100 * share}%`);
      mine.track?.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    };
    const waiting = (waits) => {
      mine.waits = waits;
      if (this.#files.has(key)) this.#draw();
    };
    mine.upload = new Upload(this.main, file, { progress, waiting });
    this.#files.set(key, mine);
    this.#draw();
    try {
      mine.mediaId = await mine.upload.done;
    } catch (error) {
      if (!error.code) throw error;
      if (this.#files.has(key)) toast(`${file.name}: ${explain(error)}`, { bad: true });
      this.#drop(key);
    }
    this.#draw();
  }

  #drop(key) {
    const file = this.#files.get(key);
    if (!file) return;
    this.#files.delete(key);
    file.upload.abort();
    URL.revokeObjectURL(file.picture);
    this.#draw();
  }

  #draw() {
    this.element.hidden = this.#files.size === 0;
    this.element.replaceChildren(...[...this.#files].map(([key, file]) => {
      file.bar = h("span", { class: "bar" });
      file.bar.style.width = `${100 * file.share}%`;
      const track = h("span", { class: "track", role: "progressbar", "aria-label": `Uploading ${file.name}`, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.round(100 * file.share)) }, file.bar);
      file.track = track;
      return h("li", { class: file.mediaId ? "done" : null, title: file.name }, file.picture ? h("img", { src: file.picture, alt: "" }) : h("span", { class: "lines" }, icon("file"), h("small", {}, file.name)),
        h("span", { class: "unseen" }, `${file.name}${file.mediaId ? ", ready" : file.waits ? ", waiting for its turn" : ", being uploaded"}`), !file.mediaId && track,
        !file.mediaId && file.waits && h("span", { class: "turn", "aria-hidden": "true", title: "Waiting for its turn" }, icon("clock"), "Waiting"),
        button("close", `Leave out ${file.name}`, () => this.#drop(key)));
    }));
    this.changed();
  }
}
