/** A file on its way to the server: announced, sent, looked into. */

import { ChatdError } from "./chatd.js";

const REASONS = {
  type_mismatch: "This is no file of the type that its name says", truncated: "The file is not whole", malformed: "The file is damaged",
  too_many_pixels: "The picture has too many pixels", infected: "A virus was found in it", unscannable: "It cannot be checked for viruses right now",
};

/** A link of the server's as this page reaches it: a proxy may give the server another name than it knows. */
export function reachable(main, link) {
  const url = new URL(link, main.client.url);
  return url.pathname.startsWith("/api/media/") ? main.client.url + url.pathname + url.search : link;
}

/** The server takes four at once from one person; one is left for another tab. The rest wait for their turn. */
const AT_ONCE = 3;
const turns = { running: 0, waiting: new Set() };

/** Wait for a turn. Raises ChatdError `aborted` where `signal` ends the waiting first. */
function turn(signal) {
  return new Promise((resolve, reject) => {
    const stopped = () => { turns.waiting.delete(go); reject(new ChatdError("aborted", "The upload was stopped")); };
    const go = () => { turns.waiting.delete(go); turns.running++; signal.removeEventListener("abort", stopped); resolve(); };
    if (signal.aborted) return stopped();
    if (turns.running < AT_ONCE) return go();
    turns.waiting.add(go);
    signal.addEventListener("abort", stopped, { once: true });
  });
}

function over() {
  turns.running--;
  const [next] = turns.waiting;
  next?.();
}

/** The server may be busy with this person's uploads of another tab, or device: it says when to come again. */
const BUSY = [429, 503];
const LONGEST_WAIT_MS = 60_000;
const PATIENCE_MS = 10 * 60_000;

/**
 * One upload: `done` is a promise of its media_id, `abort()` stops it, `progress(share)` hears how far it is,
 * `waiting(boolean)` whether it waits for its turn.
 */
export class Upload {
  #request = new XMLHttpRequest();
  #main;
  #stop = new AbortController();
  #id = null;
  #waiting;

  constructor(main, file, { type = file.type.split("/")[0], progress = () => {}, waiting = () => {} } = {}) {
    this.#main = main;
    this.#waiting = waiting;
    this.done = this.#run(file, type, progress);
  }

  /** Stop it, and take back what is there. What is not taken back is collected by the server in a day. */
  abort() {
    this.#stop.abort();
    this.#request.abort();
    if (this.#id) this.#main.client.rest("DELETE", `/media/${this.#id}`).catch((error) => console.warn(`not taken back: ${error.code}`));
  }

  async #run(file, type, progress) {
    this.#waiting(true);
    await turn(this.#stop.signal);
    this.#waiting(false);
    try {
      return await this.#transfer(file, type, progress);
    } finally {
      over();
    }
  }

  async #transfer(file, type, progress) {
    const { client } = this.#main;
    const about = { type, content_type: file.type, file_name: file.name?.slice(0, 255) || "file", size: file.size };
    const upload = await this.#patiently(() => client.rest("POST", "/media", about));
    this.#id = upload.media_id;
    if (this.#stop.signal.aborted) this.abort(); // it was stopped before there was anything to take back
    await this.#patiently(() => this.#send(upload, file, progress));
    const medium = await this.#patiently(() => client.rest("POST", `/media/${upload.media_id}/complete`));
    if (medium.status === "rejected") throw new ChatdError("media_rejected", refusal(medium));
    return upload.media_id;
  }

  /** Do it, and where the server says when to come again, do it then. */
  async #patiently(work) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const wait = BUSY.includes(error.status) ? (error.retryAfterMs ?? LONGEST_WAIT_MS + 1) * (1 + Math.random() / 5) : Infinity;
        if (wait > LONGEST_WAIT_MS || Date.now() + wait > end) throw error;
        this.#waiting(true);
        await this.#pause(wait);
        this.#waiting(false);
      }
    }
  }

  #pause(ms) {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      const stopped = () => { clearTimeout(timer); reject(new ChatdError("aborted", "The upload was stopped")); };
      const timer = setTimeout(() => { signal.removeEventListener("abort", stopped); resolve(); }, ms);
      if (signal.aborted) stopped();
      else signal.addEventListener("abort", stopped, { once: true });
    });
  }

  /** Put the bytes; XMLHttpRequest, because fetch does not tell how far it is. */
  #send({ upload_url: link, method, headers }, file, progress) {
    return new Promise((resolve, reject) => {
      const request = this.#request;
      if (this.#stop.signal.aborted) return reject(new ChatdError("aborted", "The upload was stopped"));
      request.open(method, reachable(this.#main, link));
      for (const [name, value] of Object.entries(headers)) {
        if (!/^(host|content-length)$/i.test(name)) request.setRequestHeader(name, value);
      }
      request.upload.onprogress = ({ loaded, total }) => progress(loaded / total);
      request.onload = () => {
        if (request.status < 300) return resolve();
        let said = {};
        try { said = JSON.parse(request.responseText); } catch { /* an object store answers in XML */ }
        const after = Number(request.getResponseHeader("Retry-After")) * 1000;
        reject(new ChatdError(said.code ?? "upload_failed", refusal(said), { status: request.status, retryAfterMs: said.retry_after_ms ?? (after || null) }));
      };
      request.onerror = () => reject(new ChatdError("network", "The upload was cut off"));
      request.onabort = () => reject(new ChatdError("aborted", "The upload was stopped"));
      request.send(file);
    });
  }
}

/** Why a file was not taken, for people. */
function refusal({ code, reason, detail, message, errors }) {
  return REASONS[reason] ?? (code === "too_large" ? "It is too big: pictures may have 5 MB, videos 500 MB" : errors?.[0]?.message ?? detail ?? message ?? "The file was not taken");
}
