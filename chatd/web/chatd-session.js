/**
 * Who is logged in: tokens that renew themselves, and REST calls that carry them.
 *
 * Part of the reference client (chatd.js imports it). No dependencies; browsers and Node >= 20.
 */

/** @typedef {{access_token: string, refresh_token: string, expires_at: number, user: {id: string, display_name: string}}} Tokens */

/**
 * What chatd answered instead of a result (protocol.md, "Codes"), or why there is no answer:
 * `code` is then "network" (nobody was reached), "timeout" or "closed" (the socket went first).
 */
export class ChatdError extends Error {
  constructor(code, message, { status = 0, retryAfterMs = null, errors = [] } = {}) {
    super(message || code);
    this.name = "ChatdError";
    this.code = code;
    this.status = status;
    /** When the same call may succeed, in ms; null where waiting does not help. */
    this.retryAfterMs = retryAfterMs;
    /** `[{path, message}]` of `validation_failed`. */
    this.errors = errors;
  }
}

/** A `Storage` that forgets: for Node, and for pages that may not use localStorage. */
export class MemoryStorage {
  #items = new Map();
  get length() { return this.#items.size; }
  key(index) { return [...this.#items.keys()][index] ?? null; }
  getItem(key) { return this.#items.get(key) ?? null; }
  setItem(key, value) { this.#items.set(key, String(value)); }
  removeItem(key) { this.#items.delete(key); }
}

/** localStorage where the page may use it, else memory. */
export function defaultStorage() {
  try {
    const storage = globalThis.localStorage;
    storage.setItem("chatd.probe", "1");
    storage.removeItem("chatd.probe");
    return storage;
  } catch {
    return new MemoryStorage(); // blocked by the user, full, or no browser
  }
}

/** Locks are an origin's, as localStorage is; another storage may be shared otherwise. */
function isLocal(storage) {
  try {
    return storage === globalThis.localStorage;
  } catch {
    return false; // the page may not even look at it
  }
}

const KEY = "chatd.session";
const CLAIM = "chatd.refreshing";
const CLAIM_MS = 20_000;
const CLAIM_LOOK_MS = 50;
const TIMEOUT_MS = 15_000;
/** Renew this long before the token runs out, give or take, so that many tabs do not do it at once. */
const EARLY_MS = 60_000;
/** But never more often than so many times in a token's life, however short that is. */
const MOST_RENEWALS = 2;

/**
 * A log-in that lasts. `onChange(tokens | null)` hears of new tokens and of the end of the session
 * (logged out here or in another tab, revoked, expired).
 */
export class Session {
  #timer = null;
  #refreshing = null;

  constructor({ url, storage = defaultStorage(), fetch = globalThis.fetch.bind(globalThis), onChange = () => {} }) {
    this.url = url.replace(/\/$/, "");
    this.storage = storage;
    this.fetch = fetch;
    this.onChange = onChange;
    /** @type {Tokens | null} */
    this.tokens = JSON.parse(storage.getItem(KEY) ?? "null");
    this.#schedule();
    // Another tab renewed the tokens, logged in or logged out: follow it. A refresh token is good once,
    // so a tab that went on with the old one would end the session of all.
    globalThis.addEventListener?.("storage", (event) => {
      if (event.key === KEY) this.#adopt(JSON.parse(event.newValue ?? "null"));
    });
  }

  get user() { return this.tokens?.user ?? null; }

  /** Create an account and log in. Raises ChatdError (`email_taken`, `validation_failed`, …). */
  async register(email, password, displayName) {
    await this.#call("POST", "/api/users", { email, password, display_name: displayName });
    return this.login(email, password);
  }

  /** Raises ChatdError (`unauthenticated`, `rate_limited`, `banned`). */
  async login(email, password, device = { name: deviceName(), platform: "web" }) {
    return this.#keep(await this.#call("POST", "/api/auth/login", { email, password, device }));
  }

  /** End the session here, and on the server; raises ChatdError where that could not be told. */
  async logout() {
    try {
      await this.rest("POST", "/auth/logout", undefined, { retries: 0 });
    } catch (error) {
      if (error.status !== 401) throw error; // it had ended there already
    } finally {
      this.end();
    }
  }

  /** Forget the tokens. */
  end() { this.#save(null); }

  /**
   * A REST call under /api with this session's token; the decoded answer. A token that has run out is
   * renewed and the call made again. A GET that comes too soon (429, 503) waits and tries again.
   */
  async rest(method, path, body, { retries = method === "GET" ? 2 : 0, signal } = {}) {
    for (let attempt = 0; ; attempt++) {
      const token = this.tokens?.access_token;
      try {
        return await this.#call(method, `/api${path}`, body, token, signal);
      } catch (error) {
        if (error.status === 401 && attempt === 0 && this.tokens) {
          if (this.tokens.access_token === token) await this.refresh();
          if (!this.tokens) throw error;
        } else if (error.retryAfterMs !== null && attempt < retries && error.retryAfterMs < 30_000) {
          await sleep(error.retryAfterMs * (1 + Math.random() / 5));
        } else {
          throw error;
        }
      }
    }
  }

  /**
   * New tokens for the old ones. The session ends where the server says no; where it does not answer,
   * the tokens stay and the ChatdError says `network` or `timeout`.
   */
  refresh() {
    this.#refreshing ??= this.#exclusively(() => this.#refresh()).finally(() => { this.#refreshing = null; });
    return this.#refreshing;
  }

  async #refresh() {
    const stored = JSON.parse(this.storage.getItem(KEY) ?? "null");
    if (stored && stored.refresh_token !== this.tokens?.refresh_token) return this.#adopt(stored); // a tab was first
    if (!this.tokens) return null;
    try {
      const fresh = await this.#call("POST", "/api/auth/refresh", { refresh_token: this.tokens.refresh_token });
      return this.#keep({ ...fresh, user: this.tokens.user });
    } catch (error) {
      if (error.status === 401 || error.status === 403) this.end();
      throw error;
    }
  }

  /** One tab at a time, where the browser has locks (it has them on https and localhost). */
  #exclusively(work) {
    if (this.storage instanceof MemoryStorage) return work();
    const locks = globalThis.navigator?.locks;
    return locks && isLocal(this.storage) ? locks.request("chatd.refresh", work) : this.#inTurn(work);
  }

  /** The same by a claim in the storage, where there are no locks: the last to write it has the turn. */
  async #inTurn(work) {
    const mine = crypto.getRandomValues(new Uint32Array(2)).join();
    const claim = () => JSON.parse(this.storage.getItem(CLAIM) ?? "null");
    for (let held = claim(); held && held.until > Date.now() && held.until < Date.now() + 2 * CLAIM_MS; held = claim()) await sleep(CLAIM_LOOK_MS);
    this.storage.setItem(CLAIM, JSON.stringify({ mine, until: Date.now() + CLAIM_MS }));
    await sleep(CLAIM_LOOK_MS); // whoever saw no claim either has written one by now
    if (claim()?.mine !== mine) return this.#inTurn(work);
    try {
      return await work();
    } finally {
      if (claim()?.mine === mine) this.storage.removeItem(CLAIM);
    }
  }

  #keep({ access_token, refresh_token, expires_in, user }) {
    return this.#save({ access_token, refresh_token, user, expires_at: Date.now() + expires_in * 1000, lifetime_ms: expires_in * 1000 });
  }

  #save(tokens) {
    if (tokens) this.storage.setItem(KEY, JSON.stringify(tokens));
    else this.storage.removeItem(KEY);
    return this.#adopt(tokens);
  }

  #adopt(tokens) {
    const changed = tokens?.access_token !== this.tokens?.access_token;
    this.tokens = tokens;
    this.#schedule();
    if (changed) this.onChange(tokens);
    return tokens;
  }

  #schedule(wait = null) {
    clearTimeout(this.#timer);
    if (!this.tokens) return;
    // Never longer than a token lives: this device's clock may have been set back since.
    const left = Math.min(this.tokens.expires_at - Date.now(), this.tokens.lifetime_ms ?? Infinity);
    const early = Math.min(EARLY_MS * (0.75 + Math.random() / 2), (this.tokens.lifetime_ms ?? Infinity) / MOST_RENEWALS);
    wait ??= Math.max(0, left - early);
    this.#timer = setTimeout(() => {
      this.refresh().catch((error) => {
        if (this.tokens) this.#schedule(error.retryAfterMs ?? 5_000 + Math.random() * 5_000);
      });
    }, Math.min(wait, 2 ** 31 - 1));
    this.#timer.unref?.(); // Node: do not stay alive for this
  }

  async #call(method, path, body, token = null, signal = undefined) {
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const bound = AbortSignal.timeout(TIMEOUT_MS);
    let response, text;
    try {
      response = await this.fetch(this.url + path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, bound]) : bound,
        cache: "no-store",
      });
      text = await response.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      if (error.name === "TimeoutError") throw new ChatdError("timeout", "The server did not answer in time");
      throw new ChatdError("network", "The server cannot be reached");
    }
    if (response.ok) return text ? JSON.parse(text) : null;
    throw problem(response, text);
  }
}

/** The ChatdError of an RFC 9457 answer, or of whatever a proxy in between said. */
function problem(response, text) {
  let body = {};
  try { body = JSON.parse(text) ?? {}; } catch { /* not ours: the status has to do */ }
  const after = Number(response.headers.get("Retry-After")) * 1000;
  return new ChatdError(body.code ?? `http_${response.status}`, body.detail ?? body.message ?? body.title ?? response.statusText, {
    status: response.status,
    retryAfterMs: body.retry_after_ms ?? (after || null),
    errors: body.errors ?? [],
  });
}

function deviceName() {
  const agent = globalThis.navigator?.userAgent ?? "";
  const browser = /Edg|Firefox|Chrom|Safari|Node/.exec(agent)?.[0] ?? "Browser";
  const system = /Android|iPhone|iPad|Windows|Mac OS|Linux/.exec(agent)?.[0];
  const name = { Edg: "Edge", Chrom: "Chrome" }[browser] ?? browser;
  return system ? `${name} on ${system}` : name;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
