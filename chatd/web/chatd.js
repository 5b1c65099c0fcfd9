/**
 * chatd.js: the reference client of chatd's socket. No dependencies, no build step; browsers and Node >= 20. It is
 * this file and those named chatd-*.js beside it, which it imports.
 *
 *   import { Chatd } from "https://your.host/chatd.js";
 *   const chat = new Chatd({ url: "https://your.host" });
 *   chat.on("message.new", ({ chat_id, message }) => show(chat_id, message));
 *   await chat.session.login("ann@example.com", "correct horse");
 *   chat.connect();
 *   await chat.send("cht_…", "Hello").acked;
 *
 * What it does for you:
 * - comes back by itself, by what each close code asks for, and resumes with `since` (chatd-connection.js);
 * - shows each chat's durable events once, in `seq` order, without holes (chatd-log.js);
 * - keeps messages until their ack, over reloads too, and sends them again under the same client_message_id
 *   (chatd-outbox.js);
 * - renews the token, one tab at a time, on the socket too (chatd-session.js);
 * - tells the server what has been received and read (chatd-marks.js), and repeats your watch list after a reconnect.
 *
 * Events for `on(type, handler)`: every frame of the protocol by its `type` (durable ones in order), and
 * - `state`   `{state, retryAt, code}`: idle · connecting · open · waiting (until `retryAt`, ms) · ended; `code` is what
 *             closed the last socket (4403: banned)
 * - `resumed` all that was missed has been delivered
 * - `outbox`  `{entry, status, ack}`: queued · sending · failed · sent · discarded
 * - `session` `{tokens}`: new tokens, or null: log in again
 * - `stale`   `{chat_id}`: the chat's log could not be followed; load its history anew
 * - `*`       every one of these, as `{type, …}`
 */

import { Connection } from "./chatd-connection.js";
import { Log, isDurable } from "./chatd-log.js";
import { Marks, Typing } from "./chatd-marks.js";
import { Outbox } from "./chatd-outbox.js";
import { ChatdError, Session, defaultStorage } from "./chatd-session.js";

export { ChatdError, MemoryStorage, Session } from "./chatd-session.js";

const COMMAND_TIMEOUT_MS = 15_000;
const MAX_WATCHED = 500;

export class Chatd {
  #handlers = new Map();
  #calls = new Map();
  #number = 0;
  #offsetMs = 0;
  #watched = [];
  #connection;
  #log;
  #marks = new Marks((type, fields) => (this.state === "open" ? this.#call(type, fields) : null));
  #typing = new Typing((type, chatId) => this.#tell(type, { chat_id: chatId }));

  /**
   * `url` of the server; `WebSocket` a class to use (Node < 22 has none: pass `ws`); `storage` a
   * localStorage-like place for session and outbox; `since` {chat_id: seq} of what you have already.
   */
  constructor({ url, storage = defaultStorage(), WebSocket = globalThis.WebSocket, fetch, client = "chatd.js", since = {}, receipts = true }) {
    this.url = url.replace(/\/$/, "");
    this.client = client;
    this.autoReceipts = receipts;
    /** connection.ready of the present or last socket. */
    this.ready = null;
    this.session = new Session({ url, storage, ...(fetch && { fetch }), onChange: (tokens) => this.#newTokens(tokens) });
    this.#log = new Log(since, {
      sync: (chatId, after) => this.#call("sync", { chat_id: chatId, after_seq: after }),
      show: (frame) => this.#show(frame),
      stale: (chatId) => this.#emit("stale", { chat_id: chatId }),
      lost: (reason) => this.#connection.lose(reason),
    });
    this.outbox = new Outbox({
      storage,
      transmit: (entry) => this.#transmit(entry),
      stalled: () => this.#connection.lose("no ack in time"),
      changed: (entry, status, ack) => this.#emit("outbox", { entry, status, ack }),
    });
    this.#connection = new Connection(this.url, WebSocket, {
      hello: () => this.#hello(),
      frame: (frame) => this.#take(frame),
      down: (code) => this.#interrupt(code),
      changed: (state, retryAt, code) => this.#emit("state", { state, retryAt, code }),
      renew: () => this.session.refresh(),
      refused: () => this.session.end(),
    });
  }

  get user() { return this.session.user; }

  get state() { return this.#connection.state; }

  get retryAt() { return this.#connection.retryAt; }

  /** Chat id to the seq of the last durable event that your handlers have seen: what to pass as `since` next time. */
  get positions() { return this.#log.positions; }

  /** The server's clock, as well as it is known; a device's own may be wrong by hours. */
  now() { return Date.now() + this.#offsetMs; }

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
    if (this.#connection.wanted) return;
    this.outbox.load(this.user.id);
    this.#connection.start();
  }

  /** Hang up and stay away. What is in the outbox stays there. */
  close() { this.#end("idle"); }

  /** Try now rather than when the back-off ends. */
  reconnect() { this.#connection.reconnect(); }

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
    if (!this.#connection.wanted) return Promise.reject(new ChatdError("closed", "not connected"));
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
    this.#watched = [...userIds].slice(0, MAX_WATCHED);
    this.#tell("presence.watch", { user_ids: this.#watched });
  }

  // -------------------------------------------------------------------- frames

  #hello() {
    const { since } = this.#log;
    return { type: "connection.init", token: this.session.tokens?.access_token, client: this.client, ...(since && { since }) };
  }

  #take(frame) {
    if (frame.server_time) this.#offsetMs = Date.parse(frame.server_time) - Date.now();
    if (frame.type === "connection.ready") return this.#ready(frame);
    if (isDurable(frame)) return this.#log.take(frame);
    if (frame.type === "ack" && frame.client_message_id) this.outbox.acked(frame);
    else if (frame.type === "error") this.#failed(frame);
    this.#emit(frame.type, frame);
    if (frame.type === "chat.reset") this.#log.moved(frame.chat_id, frame.head_seq);
    else if (frame.type === "chat.joined") this.#log.moved(frame.chat.id, frame.chat.head_seq);
    else if (frame.type === "chat.left") this.#forget(frame.chat_id);
    else if (frame.type === "sync.complete" && frame.chat_id === undefined) this.#replayed();
    // Last, so that who waits for an answer finds what came with it.
    if (frame.type !== "error" && frame.re !== undefined) this.#answer(frame.re, ({ resolve }) => resolve(frame));
  }

  #ready(ready) {
    this.ready = ready;
    const resuming = this.#log.since !== null;
    const left = this.#log.begin(ready.chats);
    this.#emit("connection.ready", ready);
    for (const chatId of left) {
      this.#forget(chatId);
      this.#emit("chat.left", { chat_id: chatId, reason: "left" }); // while we were away
    }
    this.#connection.open();
    if (this.#watched.length) this.watch(this.#watched);
    this.#log.opened();
    if (!resuming) this.#emit("resumed", {});
    this.outbox.flush();
    this.#marks.flush();
  }

  #replayed() {
    this.#log.replayed();
    this.#emit("resumed", {});
  }

  #show(frame) {
    this.#emit(frame.type, frame);
    const { message } = frame;
    if (frame.type === "message.new" && this.autoReceipts && message.sender_id !== this.user?.id) {
      this.#marks.move("received", frame.chat_id, message);
    }
  }

  #forget(chatId) {
    this.#log.forget(chatId);
    this.#marks.forget(chatId);
  }

  #failed(frame) {
    const error = new ChatdError(frame.code, frame.message, { retryAfterMs: frame.retry_after_ms ?? null, errors: frame.errors });
    if (frame.client_message_id && this.outbox.refused(frame.client_message_id, error)) return;
    if (frame.re !== undefined) this.#answer(frame.re, ({ reject }) => reject(error));
  }

  // ---------------------------------------------------------------- the connection

  #newTokens(tokens) {
    this.#emit("session", { tokens });
    if (!tokens && this.#connection.wanted) this.#end("ended");
    else if (tokens) this.#tell("auth.refresh", { token: tokens.access_token });
  }

  #end(state) {
    this.#connection.stop(state);
    this.outbox.clear();
    this.#marks.clear();
  }

  #interrupt(code) {
    this.#log.interrupted();
    this.#typing.clear();
    this.#marks.interrupted();
    for (const { reject } of [...this.#calls.values()]) reject(new ChatdError("closed", "the connection was lost"));
    this.#calls.clear();
    if (code === 4413) this.outbox.tooLarge();
    this.outbox.interrupted();
  }

  // ------------------------------------------------------------------ commands

  #transmit({ key, chat_id, content, reply_to }) {
    const frame = { type: "message.send", id: key, chat_id, client_message_id: key, content, ...(reply_to && { reply_to }) };
    if (this.state === "open" && this.#tooLarge(frame)) throw new ChatdError("too_large", "This message is too long");
    return this.#connection.send(frame);
  }

  /** Sent all the same, such a frame would end the socket with 4413. */
  #tooLarge(frame) { return new TextEncoder().encode(JSON.stringify(frame)).length > this.ready.max_frame_bytes; }

  /** A command whose answer does not matter; false where there is no open socket. */
  #tell(type, fields) { return this.#connection.send({ type, ...fields }); }

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
}

/** crypto.randomUUID exists on https and localhost only. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
