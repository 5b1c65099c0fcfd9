/**
 * A server that says what a test tells it to, and a clock that moves when it is told to: the other end of chatd.js's
 * WebSocket and fetch. `client()` makes a Chatd that is logged in; `tests` is filled by `test(name, run)`.
 */

import assert from "node:assert/strict";
import { mock } from "node:test";

mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.parse("2026-05-04T10:00:00Z") });

/** What a browser's window and document tell: online, offline, storage, visibilitychange. */
export const page = new EventTarget();
globalThis.addEventListener = page.addEventListener.bind(page);
globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible" });

const { Chatd, ChatdError, MemoryStorage, Session } = await import(process.argv[2]);
export { ChatdError, MemoryStorage, Session, assert };

export const tests = new Map();
export const test = (name, run) => tests.set(name, run);

/** Let everything that is ready happen. */
export async function settle() { for (let i = 0; i < 5; i++) await new Promise(setImmediate); }

/** Time passes, in steps small enough that what is started on the way is in time too. */
export async function pass(ms, step = ms > 10_000 ? 500 : 50) {
  for (let left = ms; left > 0; left -= step) {
    mock.timers.tick(Math.min(step, left));
    await settle();
  }
}

export const setClock = (time) => mock.timers.setTime(time);

/** Chance, as the test wants it. */
export const chance = (value) => { Math.random = () => value; };
chance(0.5);

/** A storage that several clients can share, as tabs do: no MemoryStorage, so that they take turns. */
export function disk() {
  const memory = new MemoryStorage();
  return {
    get length() { return memory.length; },
    key: (index) => memory.key(index),
    getItem: (key) => memory.getItem(key),
    setItem: (key, value) => memory.setItem(key, value),
    removeItem: (key) => memory.removeItem(key),
  };
}

/** One end of a socket. */
class Socket {
  readyState = 0;
  sent = [];

  constructor(url, protocols) { Object.assign(this, { url, protocols }); }

  send(text) { this.sent.push(JSON.parse(text)); }

  close(code) {
    this.readyState = 3;
    this.closedWith = code;
  }
}

/** The server: its sockets in the order in which they came, and what REST calls were made. */
export class Server {
  sockets = [];
  calls = [];
  tokens = 0;
  /** How long they live, in seconds. */
  lifetime = 900;
  /** What a path answers instead of the usual: `[status, body]`, or an Error. */
  answers = new Map();

  constructor() {
    const { sockets } = this;
    this.WebSocket = class extends Socket {
      constructor(...given) { super(...given); sockets.push(this); }
    };
    this.fetch = async (url, { method, body }) => {
      const path = new URL(url).pathname;
      this.calls.push([method, path, body && JSON.parse(body)]);
      const answer = this.answers.get(path) ?? this.#usual(path);
      if (answer instanceof Error) throw answer;
      const [status, said] = answer;
      return new Response(status === 204 ? null : JSON.stringify(said), { status });
    };
  }

  #usual(path) {
    const user = { id: "usr_me", display_name: "Me" };
    if (path === "/api/auth/login" || path === "/api/auth/refresh") {
      const number = ++this.tokens;
      return [200, { access_token: `access ${number}`, refresh_token: `refresh ${number}`, expires_in: this.lifetime, user }];
    }
    return [204, null];
  }

  get socket() { return this.sockets.at(-1); }

  get frames() { return this.socket.sent; }

  /** Frames of a type that the newest socket was sent. */
  of(type) { return this.frames.filter((frame) => frame.type === type); }

  async say(...frames) {
    for (const frame of frames) this.socket.onmessage({ data: JSON.stringify(frame) });
    await settle();
  }

  /** Take the newest socket: it opens, says connection.init and hears connection.ready. */
  async accept({ chats = [{ chat_id: "cht_1", head_seq: 0 }], ...more } = {}) {
    const { socket } = this;
    socket.readyState = 1;
    socket.onopen();
    await this.say({ type: "connection.ready", connection_id: "con_1", user_id: "usr_me", server_time: new Date().toISOString(), heartbeat_ms: 25_000, max_frame_bytes: 16_384, chats, ...more });
    return socket.sent[0];
  }

  /** The newest socket ends with this code. */
  async end(code) {
    const { socket } = this;
    socket.readyState = 3;
    socket.onclose({ code });
    await settle();
  }

  async ack(frame, fields = {}) {
    await this.say({ type: "ack", re: frame.id, client_message_id: frame.client_message_id, ack_token: "a", message_id: "msg_1", chat_id: frame.chat_id, seq: 1, sent_at: new Date().toISOString(), duplicate: false, ...fields });
  }
}

/** A client that is logged in, and its server. */
export async function client({ server = new Server(), storage = disk(), ...options } = {}) {
  const chat = new Chatd({ url: "http://server.example", storage, WebSocket: server.WebSocket, fetch: server.fetch, ...options });
  if (!chat.user) await chat.session.login("me@example.com", "correct horse");
  const heard = [];
  chat.on("*", (event) => heard.push(event));
  return { chat, server, storage, heard };
}

/** The same, connected. */
export async function open(options = {}) {
  const made = await client(options);
  made.chat.connect();
  made.init = await made.server.accept(options);
  assert.equal(made.chat.state, "open");
  return made;
}

export const message = (seq, text = `m${seq}`, chatId = "cht_1") => ({
  type: "message.new", chat_id: chatId, seq,
  message: { id: `msg_${seq}`, chat_id: chatId, seq, updated_seq: seq, sender_id: "usr_other", content: { type: "text", text, attachments: [] } },
});

/** Wait until the client opens another socket; how long it took, in ms. */
export async function returns({ server }, mostMs) {
  const before = server.sockets.length;
  for (let waited = 0; waited <= mostMs; waited += 50) {
    if (server.sockets.length > before) return waited;
    await pass(50);
  }
  return assert.fail(`no socket within ${mostMs} ms`);
}
