/**
 * chatd.js: the reference client of chatd's socket. Four files (this, chatd-session.js,
 * chatd-outbox.js and chatd-marks.js), no dependencies, no build step; browsers and Node >= 20.
 *
 *   import { Chatd } from "https://your.host/chatd.js";
 *   const chat = new Chatd({ url: "https://your.host" });
 *   chat.on("message.new", ({ chat_id, message }) => show(chat_id, message));
 *   await chat.session.login("ann@example.com", "correct horse");
 *   chat.connect();
 *   await chat.send("cht_…", "Hello").acked;
 *
 * What it does for you:
 * - comes back by itself, with jittered exponential back-off, and resumes with `since`;
 * - shows each chat's durable events once, in `seq` order, without holes (asks with `sync` for what is missing);
 * - keeps messages until their ack, over reloads too, and sends them again under the same client_message_id;
 * - renews the token, on the socket too; notices connections that are dead but do not say so;
 * - tells the server what has been received, and repeats your watch list after a reconnect.
 *
 * Events for `on(type, handler)`: every frame of the protocol by its `type` (durable ones in order), and
 * - `state`   `{state, retryAt}`: idle · connecting · open · waiting (until `retryAt`, ms) · ended
 * - `resumed` all that was missed has been delivered
 * - `outbox`  `{entry, status, ack}`: queued · sending · failed · sent · discarded
 * - `session` `{tokens}`: new tokens, or null: log in again
 * - `stale`   `{chat_id}`: the chat's log could not be followed; load its history anew
 * - `*`       every one of these, as `{type, …}`
 */

import { ChatdError, Session, defaultStorage, sleep } from "./chatd-session.js";
import { Marks, Typing } from "./chatd-marks.js";
import { Outbox } from "./chatd-outbox.js";

export { ChatdError, MemoryStorage, Session } from "./chatd-session.js";

const DURABLE = new Set(["message.new", "message.update", "message.delete", "system.moderation"]);
const BACKOFF_MS = { first: 500, most: 30_000 };
/** A socket open for so long ends a run of failures. */
const STABLE_MS = 10_000;
const OPEN_TIMEOUT_MS = 15_000;
const PONG_TIMEOUT_MS = 10_000;
const COMMAND_TIMEOUT_MS = 15_000;
/** Chats named in `since`: as many as surely fit a frame. The others are asked for with `sync`. */
const MAX_SINCE = 250;

export class Chatd {
  #socket = null;
  #handlers = new Map();
  #calls = new Map();
  #number = 0;
  #failures = 0;
  #wanted = false;
  #timers = new Map();
  #heardAt = 0;
  #drainMs = null;
  #healing = new Map();
  #marks = new Marks((type, fields) => (this.state === "open" ? this.#call(type, fields) : null));
  #typing = new Typing((type, chatId) => this.#tell(type, { chat_id: chatId }));
  #watched = [];

  /**
   * `url` of the server; `WebSocket` a class to use (Node < 22 has none: pass `ws`); `storage` a
   * localStorage-like place for session and outbox; `since` {chat_id: seq} of what you have already.
   */
  constructor({ url, storage = defaultStorage(), WebSocket = globalThis.WebSocket, fetch, client = "chatd.js", since = {}, receipts = true }) {
    this.url = url.replace(/\/$/, "");
    this.WebSocket = WebSocket;
    this.client = client;
    this.autoReceipts = receipts;
    this.state = "idle";
    this.retryAt = null;
    /** connection.ready of the present or last socket. */
    this.ready = null;
    /** Chat id to the seq of the last durable event that was shown: what to pass as `since` next time. */
    this.positions = new Map(Object.entries(since));
    this.session = new Session({ url, storage, ...(fetch && { fetch }), onChange: (tokens) => this.#newTokens(tokens) });
    this.outbox = new Outbox({
      storage,
      transmit: (entry) => this.#transmit(entry),
      stalled: () => this.#lose("no ack in time"),
      changed: (entry, status, ack) => this.#emit("outbox", { entry, status, ack }),
    });
    globalThis.addEventListener?.("online", () => this.#nudge());
    globalThis.addEventListener?.("offline", () => this.#probe(3000));
    globalThis.document?.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#nudge();
    });
  }

  get user() { return this.session.user; }

  // ------------------------------------------------------------------ for you

  /** Hear of events; the returned function ends it. */
  on(type, handler) {
    if (!this.#handlers.has(type)) this.#handlers.set(type, new Set());
    this.#handlers.get(type).add(handler);
    return () => this.#handlers.get(type).delete(handler);
  }

  /** Be connected from now on, until `close` or the end of the session. */
  connect() {
    if (!this.user) throw new ChatdError("unauthenticated", "log in first");
    if (this.#wanted) return;
    this.#wanted = true;
    this.outbox.load(this.user.id);
    this.#open();
  }

  /** Hang up and stay away. What is in the outbox stays there. */
  close() {
    this.#wanted = false;
    this.#end("idle");
  }

  /** Try now rather than when the back-off ends. */
  reconnect() { if (this.#wanted && !this.#socket) this.#open(); }

  /** REST, with this session: `rest("GET", "/chats?limit=50")`. */
  rest(...call) { return this.session.rest(...call); }

  /**
   * Send a message, now or when there is a connection. Returns `{entry, acked}` at once; `entry.key` is its
   * client_message_id. `content` is a string or the protocol's content object.
   */
  send(chatId, content, { replyTo = null, key = uuid() } = {}) {
    const body = typeof content === "string" ? { type: "text", text: content, attachments: [] } : content;
    this.stopTyping(chatId);
    return this.outbox.add({ key, user_id: this.user.id, chat_id: chatId, content: body, reply_to: replyTo });
  }

  /**
   * Any other command; its ack or answer. Not repeated: where the socket goes first the error is `closed`,
   * and whether it was done is not known. Waits for a connection as long as it waits for an answer.
   */
  async command(type, fields = {}, { timeoutMs = COMMAND_TIMEOUT_MS } = {}) {
    const deadline = Date.now() + timeoutMs;
    if (this.state !== "open") await this.opened(timeoutMs);
    return this.#call(type, fields, deadline - Date.now());
  }

  /** Wait for an open socket. Raises ChatdError `timeout`, `closed`. */
  opened(timeoutMs = COMMAND_TIMEOUT_MS) {
    if (this.state === "open") return Promise.resolve();
    if (!this.#wanted) return Promise.reject(new ChatdError("closed", "not connected"));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(new ChatdError("timeout", "no connection")), timeoutMs);
      const off = this.on("state", ({ state }) => {
        if (state === "open") finish();
        else if (state === "idle" || state === "ended") finish(new ChatdError("closed", "not connected"));
      });
      const finish = (error) => { clearTimeout(timer); off(); if (error) reject(error); else resolve(); };
    });
  }

  /** I have read everything up to this message. The newest call counts; it is made good after an outage. */
  read(chatId, message) { this.#marks.move("read", chatId, message); }

  /** Somebody types here: call it on every key. Throttled; stops by itself. */
  typing(chatId) { this.#typing.start(chatId); }

  stopTyping(chatId) { this.#typing.stop(chatId); }

  /** Whose presence to follow (at most 500); the whole list, each time. */
  watch(userIds) {
    this.#watched = [...userIds].slice(0, 500);
    this.#tell("presence.watch", { user_ids: this.#watched });
  }

  // ---------------------------------------------------------------- the socket

  #open() {
    this.#cancel("retry");
    this.#setState("connecting");
    const socket = new this.WebSocket(this.url.replace(/^http/, "ws") + "/ws", ["chatd.v1"]);
    this.#socket = socket;
    this.#drainMs = null;
    this.#after("open", OPEN_TIMEOUT_MS, () => this.#lose("not ready in time"));
    socket.onopen = () => {
      const newest = [...this.positions].slice(-MAX_SINCE);
      const init = { type: "connection.init", token: this.session.tokens?.access_token, client: this.client };
      socket.send(JSON.stringify(newest.length ? { ...init, since: Object.fromEntries(newest) } : init));
    };
    socket.onmessage = ({ data }) => { if (socket === this.#socket) this.#take(JSON.parse(data)); };
    socket.onerror = () => {}; // a close follows, with all there is to know
    socket.onclose = ({ code }) => { if (socket === this.#socket) this.#closed(code); };
  }

  /** Leave a socket that does not answer; browsers take minutes to give one up. */
  #lose(reason) {
    const socket = this.#socket;
    if (!socket) return;
    this.#closed(1006);
    socket.onmessage = socket.onclose = null;
    socket.close(4000, reason);
  }

  #closed(code) {
    const stable = this.state === "open" && Date.now() - this.openedAt > STABLE_MS;
    this.#socket = null;
    this.#interrupt();
    if (!this.#wanted) return;
    if (code === 4403) return this.#end("ended");
    this.#failures = stable ? 0 : this.#failures + 1;
    if (code === 4401) return this.#renewThenOpen();
    const least = { 4429: 30_000, 4400: 5_000, 4413: 5_000 }[code] ?? 0;
    this.#retryIn(this.#drainMs ?? Math.max(least, backoff(this.#failures)));
  }

  /** The token is no good: get another, and only where that is refused ends the session. */
  async #renewThenOpen() {
    this.#retryIn(backoff(this.#failures) + 60_000); // unless the answer comes first
    const before = this.session.tokens?.access_token;
    try {
      await this.session.refresh();
      if (this.#wanted && !this.#socket) this.#retryIn(this.#failures > 1 ? backoff(this.#failures) : 0);
    } catch (error) {
      if (this.session.tokens?.access_token === before && this.#wanted) this.#retryIn(error.retryAfterMs ?? backoff(this.#failures));
    }
  }

  #retryIn(ms) {
    this.#after("retry", ms, () => this.#open());
    this.#setState("waiting", Date.now() + ms);
  }

  #end(state) {
    const socket = this.#socket;
    this.#socket = null;
    this.#wanted = false;
    this.#interrupt();
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
    this.outbox.clear();
    this.#marks.clear();
    this.#setState(state);
    socket?.close(1000);
  }

  #interrupt() {
    for (const name of ["open", "pulse", "pong"]) this.#cancel(name);
    this.#healing.clear();
    this.#typing.clear();
    this.#marks.interrupted();
    for (const { reject } of this.#calls.values()) reject(new ChatdError("closed", "the connection was lost"));
    this.#calls.clear();
    this.outbox.interrupted();
  }

  #nudge() {
    if (this.#wanted && !this.#socket && this.#drainMs === null) this.#open();
    else this.#probe(5000);
  }

  /** Is there anybody? A phone that slept holds sockets that are long dead. */
  #probe(patienceMs = PONG_TIMEOUT_MS) {
    if (this.state !== "open") return;
    this.#tell("ping", {});
    this.#after("pong", patienceMs, () => this.#lose("no pong"));
  }

  #pulse() {
    this.#after("pulse", this.ready.heartbeat_ms, () => {
      if (Date.now() - this.#heardAt >= this.ready.heartbeat_ms * 0.9) this.#probe();
      this.#pulse();
    });
  }

  #newTokens(tokens) {
    this.#emit("session", { tokens });
    if (!tokens && this.#wanted) this.#end("ended");
    else if (tokens && this.state === "open") this.#tell("auth.refresh", { token: tokens.access_token });
  }

  // -------------------------------------------------------------------- frames

  #take(frame) {
    this.#heardAt = Date.now();
    this.#cancel("pong");
    if (frame.type === "ack" && frame.client_message_id) this.outbox.acked(frame);
    else if (frame.type === "error") this.#failed(frame);
    else if (frame.re !== undefined) this.#answer(frame.re, ({ resolve }) => resolve(frame));
    if (frame.type === "connection.ready") return this.#opened(frame);
    if (DURABLE.has(frame.type)) return this.#durable(frame);
    if (frame.type === "chat.reset") this.#moved(frame.chat_id, frame.head_seq);
    if (frame.type === "chat.joined") this.#moved(frame.chat.id, frame.chat.head_seq);
    if (frame.type === "chat.left") this.#forget(frame.chat_id);
    if (frame.type === "system.drain") this.#drainMs = frame.reconnect_after_ms;
    this.#emit(frame.type, frame);
    if (frame.type === "sync.complete" && frame.chat_id === undefined) this.#emit("resumed", {});
  }

  #opened(ready) {
    this.#cancel("open");
    this.ready = ready;
    this.openedAt = Date.now();
    const named = new Set([...this.positions.keys()].slice(-MAX_SINCE));
    const behind = [];
    const mine = new Set(ready.chats.map((chat) => chat.chat_id));
    for (const { chat_id, head_seq } of ready.chats) {
      const at = this.positions.get(chat_id);
      if (at === undefined) this.#moved(chat_id, head_seq);
      else if (!named.has(chat_id) && at !== head_seq) behind.push([chat_id, head_seq]);
    }
    this.#emit("connection.ready", ready);
    for (const chatId of [...this.positions.keys()]) {
      if (!mine.has(chatId)) {
        this.#forget(chatId);
        this.#emit("chat.left", { chat_id: chatId, reason: "left" }); // while we were away
      }
    }
    this.#setState("open");
    this.#pulse();
    if (this.#watched.length) this.watch(this.#watched);
    if (!named.size) this.#emit("resumed", {});
    for (const [chatId, head] of behind) this.#heal(chatId, head);
    this.outbox.flush();
    this.#marks.flush();
  }

  /** Show an event that comes next; ask for what is missing before one that does not. */
  #durable(frame) {
    const at = this.positions.get(frame.chat_id) ?? frame.seq - 1;
    if (frame.seq <= at) return; // shown already
    if (frame.seq > at + 1) return this.#heal(frame.chat_id, frame.seq);
    this.#moved(frame.chat_id, frame.seq);
    this.#emit(frame.type, frame);
    const { message } = frame;
    if (frame.type === "message.new" && this.autoReceipts && message.sender_id !== this.user?.id) {
      this.#marks.move("received", frame.chat_id, message);
    }
  }

  /** Ask for the log after our position until it reaches `target`. Live events on the way are in it too. */
  async #heal(chatId, target) {
    if (this.#healing.has(chatId)) return void this.#healing.set(chatId, Math.max(target, this.#healing.get(chatId)));
    this.#healing.set(chatId, target);
    const socket = this.#socket;
    while (socket === this.#socket && this.positions.has(chatId) && this.positions.get(chatId) < this.#healing.get(chatId)) {
      const before = this.positions.get(chatId);
      try {
        const { head_seq } = await this.#call("sync", { chat_id: chatId, after_seq: before });
        if (this.positions.get(chatId) !== before) continue;
        this.#moved(chatId, Math.max(head_seq, this.#healing.get(chatId))); // nothing came: history has to do
        this.#emit("stale", { chat_id: chatId });
      } catch (error) {
        if (error.code === "timeout") this.#lose("no answer to sync");
        if (error.retryAfterMs === null) break; // left the chat, or lost the socket: resume will see to it
        await sleep(error.retryAfterMs);
      }
    }
    if (socket === this.#socket) this.#healing.delete(chatId);
  }

  #moved(chatId, seq) {
    this.positions.delete(chatId); // so that the chats of latest activity come last
    this.positions.set(chatId, seq);
  }

  #forget(chatId) {
    this.positions.delete(chatId);
    this.#marks.forget(chatId);
  }

  #failed(frame) {
    const error = new ChatdError(frame.code, frame.message, { retryAfterMs: frame.retry_after_ms ?? null, errors: frame.errors });
    if (frame.client_message_id && this.outbox.refused(frame.client_message_id, error)) return;
    if (frame.re !== undefined) this.#answer(frame.re, ({ reject }) => reject(error));
  }

  // ------------------------------------------------------------------ commands

  #transmit({ key, chat_id, content, reply_to }) {
    return this.#tell("message.send", { id: key, chat_id, client_message_id: key, content, ...(reply_to && { reply_to }) });
  }

  /** A command whose answer does not matter; false where there is no open socket. */
  #tell(type, fields) {
    if (this.state !== "open" || this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify({ type, ...fields }));
    return true;
  }

  #call(type, fields, timeoutMs = COMMAND_TIMEOUT_MS) {
    const id = `c${++this.#number}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#answer(id, () => reject(new ChatdError("timeout", `no answer to ${type}`))), timeoutMs);
      this.#calls.set(id, {
        resolve: (frame) => { clearTimeout(timer); resolve(frame); },
        reject: (error) => { clearTimeout(timer); reject(error); },
      });
      if (!this.#tell(type, { id, ...fields })) this.#answer(id, (call) => call.reject(new ChatdError("closed", "not connected")));
    });
  }

  #answer(id, settle) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (call) settle(call);
  }

  // --------------------------------------------------------------------- tools

  #emit(type, event) {
    for (const handler of [...(this.#handlers.get(type) ?? []), ...(this.#handlers.get("*") ?? [])]) {
      try {
        handler({ ...event, type });
      } catch (error) {
        // One listener's defect must not stop the log for the others; it is still an error, and said to be.
        if (globalThis.reportError) globalThis.reportError(error);
        else console.error(error);
      }
    }
  }

  #setState(state, retryAt = null) {
    this.state = state;
    this.retryAt = retryAt;
    this.#emit("state", { state, retryAt });
  }

  #after(name, ms, then) {
    this.#cancel(name);
    this.#timers.set(name, setTimeout(() => { this.#timers.delete(name); then(); }, ms));
  }

  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

/** Exponential, and anywhere in its upper half: a crowd that was cut off together must not come back together. */
function backoff(failures) {
  const most = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** Math.max(0, failures - 1));
  return most * (0.5 + Math.random() / 2);
}

/** crypto.randomUUID exists on https and localhost only. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
