/**
 * One socket at a time: opened, kept alive, and opened again after whatever ended it. Part of chatd.js.
 *
 * What the end of a socket means is for its close code to say (protocol.md, "Codes"):
 *
 * | code | |
 * |---|---|
 * | 4401 | the token is no good: renewed once, and where the new one is refused too, the session ends; where it is
 *          taken and the socket ended with 4401 all the same, renewed again after a wait |
 * | 4403 | banned: no way back |
 * | 4429 | flooding: at least half a minute of silence |
 * | 4400, 4413 | what we sent was wrong: back, but slowly, since it may be wrong again |
 * | 4503 | draining: back after `reconnect_after_ms`, not before |
 * | 1001, 4408, 4508, any other | back, after an exponential wait with full jitter |
 */

const BACKOFF_MS = { first: 1_000, most: 30_000 };
/** A silence that comes before the wait of the back-off. */
const LEAST_MS = { 4400: 5_000, 4413: 5_000, 4429: 30_000 };
/** For a drain that did not say when to come back. */
const DRAIN_MS = 5_000;
const MOST_DRAIN_MS = 300_000;
/** A socket open for so long ends a run of failures. */
const STABLE_MS = 10_000;
const OPEN_TIMEOUT_MS = 15_000;
const PONG_TIMEOUT_MS = 10_000;

/** Full jitter: anywhere between now and an exponential bound, so that a crowd cut off together does not return together. */
export function backoff(failures, random = Math.random) {
  return random() * Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** Math.max(0, failures - 1));
}

/**
 * `events`: `hello()` is the first frame to send; `frame(frame)` takes what comes; `down(code)` hears of each end of a
 * socket; `changed(state, retryAt, code)`; `renew()` is a promise of a new token; `refused()` hears that a new token
 * was refused as well.
 */
export class Connection {
  #socket = null;
  #wanted = false;
  #failures = 0;
  /** How often it was 4401 since a socket last held. */
  #refusals = 0;
  #timers = new Map();
  #heardAt = 0;
  #openedAt = 0;
  #drainMs = null;
  #renewed = false;
  /** Not even when the network comes back do we return before this. */
  #notBefore = 0;

  constructor(url, WebSocket, events) {
    this.url = url.replace(/^http/, "ws") + "/ws";
    this.WebSocket = WebSocket;
    this.events = events;
    this.state = "idle";
    this.retryAt = null;
    /** The code that ended the last socket. */
    this.code = null;
    this.heartbeatMs = 25_000;
    globalThis.addEventListener?.("online", () => this.nudge());
    globalThis.addEventListener?.("pageshow", () => this.nudge());
    globalThis.addEventListener?.("offline", () => this.probe(3_000));
    globalThis.document?.addEventListener("visibilitychange", () => {
      if (globalThis.document.visibilityState === "visible") this.nudge();
    });
  }

  get wanted() { return this.#wanted; }

  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#failures = this.#refusals = 0;
    this.#renewed = false;
    this.#open();
  }

  /** Hang up and stay away, as `idle` or `ended`. */
  stop(state = "idle") {
    const socket = this.#socket;
    this.#socket = null;
    this.#wanted = false;
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
    this.events.down(null);
    this.#become(state);
    socket?.close(1000);
  }

  /** Try now rather than when the wait ends. */
  reconnect() { if (this.#wanted && this.state === "waiting" && !this.renewing) this.#open(); }

  /** The network or the page came back: try now, or see whether the socket still lives. */
  nudge() {
    if (this.#wanted && !this.#socket && Date.now() >= this.#notBefore) this.reconnect();
    else this.probe(5_000);
  }

  /** True where the frame was given to a socket. */
  send(frame) {
    if (this.state !== "open" || this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Is there anybody? A phone that slept holds sockets that are long dead. */
  probe(patienceMs = PONG_TIMEOUT_MS) {
    if (!this.send({ type: "ping" }) || this.#timers.has("pong")) return;
    this.#after("pong", patienceMs, () => this.lose("no pong"));
  }

  /** Leave a socket that does not answer; browsers take minutes to give one up. */
  lose(reason) {
    const socket = this.#socket;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    this.#closed(1006);
    socket.close(4000, reason);
  }

  // ------------------------------------------------------------------------ inside

  #open() {
    this.#cancel("retry");
    this.#become("connecting");
    const socket = new this.WebSocket(this.url, ["chatd.v1"]);
    this.#socket = socket;
    this.#drainMs = null;
    this.#after("open", OPEN_TIMEOUT_MS, () => this.lose("not ready in time"));
    socket.onopen = () => socket.send(JSON.stringify(this.events.hello()));
    socket.onmessage = ({ data }) => { if (socket === this.#socket) this.#take(JSON.parse(data)); };
    socket.onerror = () => {}; // a close follows, with all there is to know
    socket.onclose = ({ code }) => { if (socket === this.#socket) this.#closed(code); };
  }

  #take(frame) {
    this.#heardAt = Date.now();
    this.#cancel("pong");
    if (frame.type === "connection.ready") this.#ready(frame);
    if (frame.type === "system.drain") this.#drainMs = Math.min(frame.reconnect_after_ms, MOST_DRAIN_MS);
    this.events.frame(frame);
  }

  #ready({ heartbeat_ms: heartbeatMs }) {
    this.#cancel("open");
    this.#openedAt = Date.now();
    this.#renewed = false;
    this.heartbeatMs = heartbeatMs;
    this.#pulse();
  }

  /** Everything that connection.ready says has been taken in: commands may go. */
  open() { this.#become("open"); }

  #closed(code) {
    const stable = this.state === "open" && Date.now() - this.#openedAt > STABLE_MS;
    this.#socket = null;
    this.code = code;
    for (const name of ["open", "pulse", "pong"]) this.#cancel(name);
    this.state = "connecting"; // no longer open for whoever is told next
    this.events.down(code);
    if (!this.#wanted) return;
    if (code === 4403) return this.stop("ended");
    this.#failures = stable ? 1 : this.#failures + 1;
    if (stable) this.#refusals = 0;
    if (code === 4401) return this.#refused();
    const least = this.#drainMs ?? LEAST_MS[code] ?? 0;
    // What drains again and again, and says each time to come back at once, is not to be taken at its word.
    const first = this.#failures === 1;
    const more = this.#drainMs !== null ? (first ? 0 : backoff(this.#failures - 1))
      : code === 4503 ? Math.random() * DRAIN_MS : backoff(this.#failures);
    this.#notBefore = Date.now() + least;
    this.#retryIn(least + more, () => this.#open());
  }

  /** The token is no good. One that is new and refused too ends the session. */
  #refused() {
    if (this.#renewed) return this.events.refused();
    this.#refusals++;
    // The first time it has run out. After that something is wrong that no new token mends.
    if (this.#refusals === 1) this.#renew();
    else this.#retryIn(backoff(this.#refusals), () => this.#renew());
  }

  /** Get another token, and come back with it. */
  async #renew() {
    this.renewing = true;
    this.#become("waiting", Date.now() + BACKOFF_MS.most);
    let wait = null;
    try {
      await this.events.renew();
      this.#renewed = true;
    } catch (error) {
      this.#failures++;
      wait = (error.retryAfterMs ?? 0) + backoff(this.#failures); // not refused (that ended the session) but not reached
    }
    this.renewing = false;
    if (!this.#wanted || this.#socket) return;
    if (wait === null) this.#open();
    else this.#retryIn(wait, () => this.#renew());
  }

  #retryIn(ms, then) {
    this.#after("retry", ms, then);
    this.#become("waiting", Date.now() + ms);
  }

  #pulse() {
    this.#after("pulse", this.heartbeatMs, () => {
      if (Date.now() - this.#heardAt >= this.heartbeatMs * 0.9) this.probe();
      this.#pulse();
    });
  }

  #become(state, retryAt = null) {
    this.state = state;
    this.retryAt = retryAt;
    this.events.changed(state, retryAt, this.code);
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
