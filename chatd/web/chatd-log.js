/**
 * Each chat's durable events, once, in order, without holes. Part of chatd.js.
 *
 * A chat's events are numbered 1, 2, 3 … (protocol.md, 4.3). A position is the number of the last event that every
 * handler has seen, so `since` never names one that was not applied.
 */

import { sleep } from "./chatd-session.js";

const DURABLE = new Set(["message.new", "message.update", "message.delete", "system.moderation"]);
/** Chats named in `since`: as many as surely fit a frame. The others are asked for with `sync`. */
const MAX_SINCE = 250;
/** Further behind than this, history is cheaper than the log. */
const MAX_HEAL = 2_000;

export const isDurable = (frame) => DURABLE.has(frame.type);

/**
 * `events`: `sync(chatId, after)` is a promise of the log after that point, ending with `head_seq`; `show(frame)` gives
 * an event to the handlers; `stale(chatId)` says that history has to be loaded anew; `lost(reason)` gives the socket up.
 */
export class Log {
  #healing = new Map();
  #heads = new Map();
  /** Of the present socket; another number is another socket. */
  #era = 0;

  constructor(since, events) {
    /** Chat id to the seq of the last event that was shown; the chats of latest activity come last. */
    this.positions = new Map(Object.entries(since));
    this.events = events;
  }

  /** What to give as `since`; null where nothing is known. */
  get since() {
    const newest = [...this.positions].slice(-MAX_SINCE);
    return newest.length ? Object.fromEntries(newest) : null;
  }

  /** connection.ready: where the chats stand. Returns the ids of those that were left while we were away. */
  begin(chats) {
    this.#heads = new Map(chats.map(({ chat_id, head_seq }) => [chat_id, head_seq]));
    const named = new Set([...this.positions.keys()].slice(-MAX_SINCE));
    this.unnamed = [];
    for (const [chatId, head] of this.#heads) {
      const at = this.positions.get(chatId);
      if (at === undefined) this.moved(chatId, head);
      else if (at > head) this.#renounce(chatId, head); // the server's log is an older one, from a backup
      else if (!named.has(chatId) && at < head) this.unnamed.push(chatId);
    }
    return [...this.positions.keys()].filter((chatId) => !this.#heads.has(chatId));
  }

  /** The socket is open: ask for what `since` had no room for. True where nothing is replayed. */
  opened() {
    for (const chatId of this.unnamed) this.#heal(chatId, this.#heads.get(chatId));
    return this.positions.size === 0;
  }

  /** The replay is over: whatever it owes us still is asked for. */
  replayed() {
    for (const [chatId, head] of this.#heads) if (this.positions.get(chatId) < head) this.#heal(chatId, head);
  }

  /** Show an event that comes next; ask for what is missing before one that does not. */
  take(frame) {
    const at = this.positions.get(frame.chat_id) ?? frame.seq - 1;
    if (frame.seq <= at) return; // shown already
    if (frame.seq > at + 1) return void this.#heal(frame.chat_id, frame.seq);
    this.events.show(frame);
    this.moved(frame.chat_id, frame.seq);
  }

  moved(chatId, seq) {
    this.positions.delete(chatId); // so that the chats of latest activity come last
    this.positions.set(chatId, seq);
  }

  forget(chatId) {
    this.positions.delete(chatId);
    this.#heads.delete(chatId);
  }

  /** The socket is gone. */
  interrupted() {
    this.#era++;
    this.#healing.clear();
    this.#heads.clear();
  }

  #renounce(chatId, seq) {
    this.moved(chatId, seq);
    this.events.stale(chatId);
  }

  /** Ask for the log after our position until it reaches `target`. Live events on the way are in it too. */
  async #heal(chatId, target) {
    if (this.#healing.has(chatId)) return void this.#healing.set(chatId, Math.max(target, this.#healing.get(chatId)));
    this.#healing.set(chatId, target);
    const era = this.#era;
    const behind = () => era === this.#era && this.positions.has(chatId) && this.positions.get(chatId) < this.#healing.get(chatId);
    while (behind()) {
      const before = this.positions.get(chatId);
      if (this.#healing.get(chatId) - before > MAX_HEAL) this.#renounce(chatId, this.#healing.get(chatId));
      else if (!(await this.#ask(chatId, before, era))) break;
    }
    if (era === this.#era) this.#healing.delete(chatId);
  }

  /** False where there is no sense in asking again. */
  async #ask(chatId, before, era) {
    try {
      const { head_seq: head } = await this.events.sync(chatId, before);
      // Nothing came of it: history has to do, as far as the log went then.
      if (era === this.#era && this.positions.get(chatId) === before) this.#renounce(chatId, head > before ? head : this.#healing.get(chatId));
      return true;
    } catch (error) {
      if (error.code === "timeout") this.events.lost("no answer to sync");
      if (error.retryAfterMs === null) return false; // left the chat, or lost the socket: resume will see to it
      await sleep(error.retryAfterMs);
      return true;
    }
  }
}
