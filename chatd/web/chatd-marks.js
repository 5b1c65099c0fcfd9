/** What is worth only its newest value: watermarks of what was read and received, and typing. Part of chatd.js. */

const EVERY_MS = { read: 100, received: 1000 };
const AGAIN_MS = 1000;
const TYPING_EVERY_MS = 3000;
const TYPING_STOP_MS = 4000;
const TYPING_LEAST_MS = 400;

/** Watermarks: at most one command a second and chat, the newest, and again after an outage. */
export class Marks {
  #marks = new Map();
  #timers = new Map();

  /** `call(type, fields)` is the promise of an answer, or null where there is no open socket. */
  constructor(call) { this.call = call; }

  /** `kind` "read" or "received", up to this message; never back. */
  move(kind, chatId, { id, seq }) {
    const name = `${kind} ${chatId}`;
    const known = this.#marks.get(name);
    if (known && known.seq >= seq) return;
    this.#marks.set(name, { kind, chatId, id, seq, sent: known?.sent ?? 0, flying: known?.flying ?? false });
    if (!this.#timers.has(name)) this.#sendIn(name, EVERY_MS[kind]);
  }

  /** There is an open socket: send what it has not heard. */
  flush() { for (const name of this.#marks.keys()) this.#send(name); }

  /** The socket is gone. */
  interrupted() { for (const mark of this.#marks.values()) mark.flying = false; }

  forget(chatId) {
    for (const kind of Object.keys(EVERY_MS)) this.#marks.delete(`${kind} ${chatId}`);
  }

  clear() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#marks.clear();
  }

  async #send(name) {
    const mark = this.#marks.get(name);
    if (!mark || mark.flying || mark.sent >= mark.seq) return;
    const { kind, chatId, id, seq } = mark;
    const answer = this.call(`delivery.${kind}`, { chat_id: chatId, [kind === "read" ? "last_read_message_id" : "message_id"]: id });
    if (!answer) return; // flush comes with the next socket
    mark.flying = true;
    let again = AGAIN_MS;
    try {
      await answer;
      this.#settle(name, seq);
    } catch (error) {
      if (error.code === "closed") return; // it goes again with the next socket
      const later = error.retryAfterMs !== null || error.code === "timeout";
      this.#settle(name, later ? 0 : seq); // what is refused for good is not repeated
      again = error.retryAfterMs ?? AGAIN_MS;
    }
    this.#sendIn(name, again);
  }

  #settle(name, seq) {
    const now = this.#marks.get(name);
    if (now) Object.assign(now, { flying: false, sent: Math.max(now.sent, seq) });
  }

  #sendIn(name, ms) {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(() => { this.#timers.delete(name); this.#send(name); }, ms));
  }
}

/** Typing: said at most every 3 s while it lasts, and taken back 4 s after the last key. */
export class Typing {
  #chats = new Map();

  /** `tell(type, chatId)` is false where there is no open socket. */
  constructor(tell) { this.tell = tell; }

  start(chatId) {
    const known = this.#chats.get(chatId);
    let startedAt = known?.startedAt ?? 0;
    let on = known?.on ?? false;
    if (Date.now() - startedAt >= TYPING_EVERY_MS && this.tell("typing.start", chatId)) {
      startedAt = Date.now();
      on = true;
    }
    this.#set(chatId, startedAt, on, TYPING_STOP_MS);
  }

  stop(chatId) {
    const { startedAt, on } = this.#chats.get(chatId) ?? {};
    if (!on) return;
    // The server works on commands side by side: a stop on the heels of its start could overtake it.
    const wait = startedAt + TYPING_LEAST_MS - Date.now();
    if (wait > 0) return this.#set(chatId, startedAt, true, wait);
    this.#set(chatId, startedAt, false, null);
    this.tell("typing.stop", chatId);
  }

  clear() {
    for (const { timer } of this.#chats.values()) clearTimeout(timer);
    this.#chats.clear();
  }

  #set(chatId, startedAt, on, stopInMs) {
    clearTimeout(this.#chats.get(chatId)?.timer);
    const timer = stopInMs === null ? null : setTimeout(() => this.stop(chatId), stopInMs);
    this.#chats.set(chatId, { startedAt, on, timer });
  }
}
