/**
 * Messages on their way: kept until their ack, sent again under the same `client_message_id`.
 *
 * The server promises that a repeat is answered with the first ack and shown to nobody twice
 * (protocol.md, 4.2), so the rule here is simple: whatever was not acked goes again. Part of chatd.js.
 */

import { ChatdError } from "./chatd-session.js";

const PREFIX = "chatd.outbox.";
/** Errors after which the same message may pass; any other is the sender's to decide about. */
const RETRYABLE = new Set(["rate_limited", "unavailable"]);
const ACK_TIMEOUT_MS = 15_000;

/**
 * @typedef {{key: string, user_id: string, chat_id: string, content: object, reply_to: string | null,
 *   created_at: string, order: number, status: "queued" | "sending" | "failed", error: ChatdError | null}} Entry
 */

/**
 * In order within a chat, one in flight in each; chats do not wait for each other. Entries outlive the
 * page in `storage`, one key each, so that two tabs do not write over one another: both may then send a
 * message, and the server takes it once.
 */
export class Outbox {
  #entries = new Map();
  #waiters = new Map();
  #timers = new Map();
  #holds = new Map();
  #order = 0;

  /** `transmit(entry)` writes to the socket, is false where there is none, and throws what can never be sent; `stalled()` hears of a missing ack. */
  constructor({ storage, transmit, stalled, changed }) {
    this.storage = storage;
    // Another tab has sent, or given up, what this one took up too.
    globalThis.addEventListener?.("storage", ({ key, newValue }) => { if (key?.startsWith(PREFIX) && newValue === null) this.#elsewhere(key.slice(PREFIX.length)); });
    this.transmit = transmit;
    this.stalled = stalled;
    this.changed = changed;
  }

  /** Take up what this user left behind, in its order. */
  load(userId) {
    this.clear();
    const found = [];
    for (let i = 0; i < this.storage.length; i++) {
      const key = this.storage.key(i);
      if (key?.startsWith(PREFIX)) found.push(JSON.parse(this.storage.getItem(key)));
    }
    found.filter((entry) => entry.user_id === userId).sort((a, b) => a.created_at.localeCompare(b.created_at) || a.order - b.order)
      .forEach((entry) => this.#put({ ...entry, order: this.#order++, status: "queued", error: null }));
  }

  /** Forget everything here; what is stored stays stored. */
  clear() {
    for (const timer of [...this.#timers.values(), ...this.#holds.values()]) clearTimeout(timer);
    this.#timers.clear();
    this.#holds.clear();
    this.#entries.clear();
  }

  /** @returns {Entry[]} oldest first */
  list(chatId = null) {
    return [...this.#entries.values()].filter((entry) => chatId === null || entry.chat_id === chatId)
      .sort((a, b) => a.order - b.order);
  }

  /** Queue a message; the promise ends with its ack, or with the error that only the sender can resolve. */
  add(entry) {
    const full = { ...entry, created_at: new Date().toISOString(), order: this.#order++, status: "queued", error: null };
    const acked = new Promise((resolve, reject) => this.#waiters.set(full.key, { resolve, reject }));
    acked.catch(() => {}); // who does not look at the promise sees the entry's status
    try {
      this.storage.setItem(PREFIX + full.key, JSON.stringify(full));
    } catch (error) {
      console.warn(`this message would not outlive the page: ${error.message}`); // the storage is full or forbidden
    }
    this.#put(full);
    this.flush();
    return { entry: full, acked };
  }

  /** Send a failed one again. */
  retry(key) {
    const entry = this.#entries.get(key);
    if (entry?.status === "failed") {
      this.#set(entry, "queued", null);
      this.flush();
    }
  }

  /** Give one up. One in flight may have arrived all the same. */
  discard(key) {
    const entry = this.#drop(key);
    if (entry) this.changed(entry, "discarded");
    this.flush();
  }

  /** Send what may go now. */
  flush() {
    const busy = new Set(this.#holds.keys());
    for (const entry of this.list()) {
      if (entry.status === "failed" || busy.has(entry.chat_id)) continue;
      if (entry.status === "queued" && !this.#send(entry)) continue;
      busy.add(entry.chat_id);
    }
  }

  /** False where it can never be sent, so that the next of its chat may go. */
  #send(entry) {
    try {
      if (this.transmit(entry)) {
        this.#set(entry, "sending", null);
        this.#timers.set(entry.key, setTimeout(() => this.stalled(), ACK_TIMEOUT_MS));
      }
      return true;
    } catch (error) {
      if (!(error instanceof ChatdError)) throw error;
      this.#fail(entry, error);
      return false;
    }
  }

  /** The socket was closed for a frame that was too large: the largest in flight must have been it. */
  tooLarge() {
    const size = (entry) => JSON.stringify(entry.content).length;
    const flying = this.list().filter((entry) => entry.status === "sending").sort((a, b) => size(b) - size(a));
    if (flying.length) this.#fail(flying[0], new ChatdError("too_large", "This message is too long"));
  }

  /** The socket is gone: what was in flight is in doubt, so it goes again. */
  interrupted() {
    for (const entry of this.#entries.values()) {
      if (entry.status === "sending") this.#set(entry, "queued", null);
      this.#stop(entry.key);
    }
  }

  acked(frame) {
    const entry = this.#drop(frame.client_message_id);
    if (!entry) return;
    this.changed(entry, "sent", frame);
    this.#waiters.get(entry.key)?.resolve(frame);
    this.#waiters.delete(entry.key);
    this.flush();
  }

  /** True where the error was about one of ours. */
  refused(key, error) {
    const entry = this.#entries.get(key);
    if (!entry) return false;
    this.#stop(key);
    if (RETRYABLE.has(error.code)) {
      this.#set(entry, "queued", null);
      this.#hold(entry.chat_id, error.retryAfterMs ?? 1000);
    } else {
      this.#fail(entry, error);
      this.flush();
    }
    return true;
  }

  /** Only the sender can resolve this. */
  #fail(entry, error) {
    this.#stop(entry.key);
    this.#set(entry, "failed", error);
    this.#waiters.get(entry.key)?.reject(error);
    this.#waiters.delete(entry.key);
  }

  #elsewhere(key) {
    const entry = this.#entries.get(key);
    if (!entry || entry.status === "sending") return; // our own ack is on its way
    this.#drop(key);
    this.changed(entry, "discarded");
    this.flush();
  }

  /** The chat's other messages wait too: they would be refused as well, or overtake this one. */
  #hold(chatId, ms) {
    clearTimeout(this.#holds.get(chatId));
    const wait = ms * (1 + Math.random() / 5); // those refused together shall not come back together
    this.#holds.set(chatId, setTimeout(() => { this.#holds.delete(chatId); this.flush(); }, wait));
  }

  #put(entry) {
    this.#entries.set(entry.key, entry);
    this.changed(entry, entry.status);
  }

  #set(entry, status, error) {
    entry.status = status;
    entry.error = error;
    this.changed(entry, status);
  }

  #drop(key) {
    const entry = this.#entries.get(key);
    this.#stop(key);
    this.#entries.delete(key);
    this.storage.removeItem(PREFIX + key);
    return entry;
  }

  #stop(key) {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
  }
}
