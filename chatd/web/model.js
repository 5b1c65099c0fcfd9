/**
 * What the page knows: chats, their messages, people, who is there and who types. Fed by REST and by the
 * client's events; views subscribe with `on` and draw. No elements in here.
 */

import { isMuted } from "./mine.js";
import { People } from "./people.js";
import { mark, reachedBy } from "./receipts.js";

const PAGE = 50;
const MAX_LIST_PAGES = 3;
/** So many new chats are asked for one by one; more come by the list. */
const FEW = 10;

export class Model {
  #handlers = new Map();

  /** @param {import("./chatd.js").Chatd} client */
  constructor(client) {
    this.client = client;
    this.me = client.user;
    this.chats = new Map();
    this.presence = new Map();
    this.people = new People(client, () => this.emit("people"));
    this.people.learn([this.me]);
    this.openId = null;
    this.nextCursor = null;
    this.listed = false;
    for (const [type, method] of Object.entries(EVENTS)) client.on(type, (event) => this[method](event));
  }

  /** Topics: list, chat, messages, loaded, typing, presence, people, state; details carry `chatId` where it is of one. */
  on(topic, handler) {
    if (!this.#handlers.has(topic)) this.#handlers.set(topic, new Set());
    this.#handlers.get(topic).add(handler);
    return () => this.#handlers.get(topic).delete(handler);
  }

  emit(topic, detail = {}) {
    for (const handler of this.#handlers.get(topic) ?? []) handler(detail);
  }

  // ---------------------------------------------------------------------- reading

  /** My chats, pinned ones first, then by newest activity; those in the archive, or the others. */
  sorted({ archived = false } = {}) {
    const at = (chat) => chat.last_message?.sent_at ?? chat.created_at ?? "";
    const pinned = (chat) => (chat.settings?.pinned ? 1 : 0);
    return [...this.chats.values()].filter((chat) => Boolean(chat.settings?.archived) === archived)
      .sort((a, b) => pinned(b) - pinned(a) || (at(b) < at(a) ? -1 : at(b) > at(a) ? 1 : 0));
  }

  titleOf(chat) {
    if (chat.type === "direct") return this.people.name(chat.peer_id);
    if (chat.title) return chat.title;
    const others = (chat.members ?? []).filter((member) => member.user_id !== this.me.id).slice(0, 3);
    return others.length ? others.map((member) => this.people.name(member.user_id).split(" ")[0]).join(", ") : "Group";
  }

  statusOf(userId) { return this.presence.get(userId)?.status ?? "offline"; }

  typists(chat) { return [...chat.typing.keys()].filter((id) => id !== this.me.id); }

  /** How far others are with one of my messages: sending · sent · delivered · read, and how many have read it. */
  delivery(chat, message) {
    const reached = (marks) => reachedBy(marks, message.seq, this.me.id);
    const read = reached(chat.reads);
    if (read) return { status: "read", readers: read };
    const known = message.delivery?.status;
    return { status: known === "read" || known === "delivered" || reached(chat.received) ? "delivered" : "sent", readers: 0 };
  }

  get unread() { return [...this.chats.values()].reduce((sum, chat) => sum + (chat.unread_count > 0 && !isMuted(chat) ? 1 : 0), 0); }

  // ---------------------------------------------------------------------- loading

  /** The list of chats, a few pages of it; `more` goes on. */
  async load() {
    for (let page = 0; page < MAX_LIST_PAGES; page++) {
      await this.more();
      if (!this.nextCursor) break;
    }
    const away = await this.client.rest("GET", "/chats?archived=true&limit=100");
    for (const chat of away.items) this.put(chat);
    if (away.items.length) this.emit("list");
  }

  /** The newest chats once more: what came while nobody listened is among them. */
  async #again() {
    const page = await this.client.rest("GET", "/chats?limit=100");
    for (const chat of page.items) this.put(chat);
    this.emit("list");
  }

  async more() {
    const cursor = this.nextCursor ? `&cursor=${encodeURIComponent(this.nextCursor)}` : "";
    const page = await this.client.rest("GET", `/chats?limit=100${cursor}`);
    for (const chat of page.items) this.put(chat);
    this.nextCursor = page.next_cursor;
    this.listed = true;
    this.emit("list");
    this.#watch();
  }

  /** The chat with its members, loaded where it is not known. Raises ChatdError. */
  async open(chatId) {
    const detail = await this.client.rest("GET", `/chats/${chatId}`);
    const chat = this.put(detail);
    for (const { user_id, last_read_seq } of detail.members) mark(chat.reads, user_id, last_read_seq);
    this.people.want(detail.members.slice(0, 100).map((member) => member.user_id));
    this.emit("chat", { chatId });
    this.#watch();
    return chat;
  }

  /** Older messages, or the newest where there are none yet. */
  async loadOlder(chat) {
    if (chat.loading || (chat.loaded && !chat.hasOlder)) return;
    chat.loading = true; // from here on live events are kept, so that nothing falls between
    this.emit("messages", { chatId: chat.id });
    try {
      const oldest = chat.loaded ? chat.order[0]?.seq : null;
      const page = await this.client.rest("GET", `/chats/${chat.id}/messages?limit=${PAGE}${oldest ? `&before_seq=${oldest}` : ""}`);
      for (const message of page.messages) this.#store(chat, message);
      chat.hasOlder = page.paging.next_before_seq !== null;
      chat.loaded = true;
    } finally {
      chat.loading = false;
      this.emit("messages", { chatId: chat.id });
    }
    this.emit("loaded", { chatId: chat.id });
  }

  /** Read up to the newest message. */
  markRead(chat) {
    const newest = chat.order.at(-1);
    if (!newest || newest.seq <= chat.last_read_seq) return;
    chat.last_read_seq = newest.seq;
    chat.unread_count = 0;
    this.client.read(chat.id, newest);
    this.emit("list");
  }

  /** Take in a chat as REST or an event tells it. */
  put(chat) {
    const known = this.chats.get(chat.id);
    const merged = known ?? {
      messages: new Map(), order: [], loaded: false, loading: false, hasOlder: true,
      reads: new Map(), received: new Map(), typing: new Map(), spoke: new Map(), members: null,
    };
    Object.assign(merged, chat);
    this.chats.set(chat.id, merged);
    this.people.want([chat.peer_id, chat.last_message?.sender_id].filter(Boolean));
    return merged;
  }

  // ----------------------------------------------------------------------- events

  onReady({ chats }) {
    const unknown = [];
    for (const { chat_id, ...state } of chats) {
      const chat = this.chats.get(chat_id);
      if (chat) Object.assign(chat, state);
      else if (this.listed) unknown.push(chat_id);
    }
    if (unknown.length > FEW) this.#quietly(this.#again());
    else for (const chatId of unknown) this.#refetch(chatId);
    this.emit("list");
  }

  onNew({ chat_id, message }) {
    const chat = this.chats.get(chat_id);
    if (!chat) return this.#refetch(chat_id);
    chat.head_seq = Math.max(chat.head_seq, message.seq);
    chat.last_message = message;
    this.#stopTyping(chat, message.sender_id);
    chat.spoke.set(message.sender_id, Date.now());
    if (message.sender_id !== this.me.id && message.seq > chat.last_read_seq) chat.unread_count++;
    if (message.content.type === "system" && chat.members) this.#refetch(chat_id);
    if (chat.loaded || chat.loading) this.#store(chat, message);
    if (message.thread_id) this.#threaded(chat, message.thread_id, message, 1);
    this.people.want([message.sender_id]);
    this.emit("messages", { chatId: chat_id, message });
    this.emit("list");
  }

  onUpdate({ chat_id, message }) {
    this.#change(chat_id, message.id, () => message);
    this.#quoted(chat_id, message.id, message.content.text?.slice(0, 140) ?? null);
  }

  onDelete({ chat_id, seq, message_id }) {
    const chat = this.chats.get(chat_id);
    const old = chat?.messages.get(message_id);
    if (old?.thread_id && old.content.type !== "tombstone") this.#threaded(chat, old.thread_id, old, -1);
    this.#quoted(chat_id, message_id, null);
    this.#change(chat_id, message_id, (old) => ({
      ...old, updated_seq: seq, content: { type: "tombstone" }, reactions: [], reply_preview: null, deleted_at: new Date().toISOString(),
    }));
  }

  onModeration({ chat_id, seq, message_id, action }) {
    const chat = this.chats.get(chat_id);
    const known = chat?.messages.get(message_id) ?? (chat?.last_message?.id === message_id ? chat.last_message : null);
    this.#change(chat_id, message_id, (old) => ({ ...old, updated_seq: seq, moderation_status: action }));
    // What of it may be seen now is for the server to say.
    if (known) this.#reload(chat, known.seq);
  }

  onReset({ chat_id, messages }) {
    const chat = this.chats.get(chat_id);
    if (!chat) return this.#refetch(chat_id);
    Object.assign(chat, { messages: new Map(), order: [], loaded: true, hasOlder: true, last_message: messages[0] ?? null });
    for (const message of messages) this.#store(chat, message);
    this.#refetch(chat_id);
    this.emit("messages", { chatId: chat_id });
  }

  onStale({ chat_id }) {
    const chat = this.chats.get(chat_id);
    if (!chat?.loaded) return;
    Object.assign(chat, { messages: new Map(), order: [], loaded: false, hasOlder: true });
    this.#quietly(this.loadOlder(chat));
  }

  onRead({ chat_id, user_id, last_read_seq }) {
    const chat = this.chats.get(chat_id);
    if (!chat) return;
    mark(chat.reads, user_id, last_read_seq);
    if (user_id === this.me.id && last_read_seq > chat.last_read_seq) {
      chat.last_read_seq = last_read_seq;
      if (last_read_seq >= chat.head_seq) chat.unread_count = 0;
      else this.#refetch(chat_id);
      this.emit("list");
    }
    this.emit("messages", { chatId: chat_id });
  }

  onReceived({ chat_id, user_id, seq }) {
    const chat = this.chats.get(chat_id);
    if (chat) mark(chat.received, user_id, seq);
    this.emit("messages", { chatId: chat_id });
  }

  onTyping({ chat_id, user_id, expires_in_ms }) {
    const chat = this.chats.get(chat_id);
    // Typing travels beside the log: what was typed may come before the word that it was being typed.
    if (!chat || Date.now() - (chat.spoke.get(user_id) ?? 0) < 1000) return;
    clearTimeout(chat.typing.get(user_id));
    chat.typing.set(user_id, setTimeout(() => this.onTypingStop({ chat_id, user_id }), expires_in_ms + 500));
    this.people.want([user_id]);
    this.emit("typing", { chatId: chat_id });
  }

  onTypingStop({ chat_id, user_id }) {
    const chat = this.chats.get(chat_id);
    if (chat) this.#stopTyping(chat, user_id);
  }

  onPresence({ users, user_id, status, last_active_at }) {
    for (const user of users ?? [{ user_id, status, last_active_at }]) this.presence.set(user.user_id, user);
    this.emit("presence");
  }

  onJoined({ chat }) {
    this.put(chat);
    this.emit("list");
    this.emit("chat", { chatId: chat.id });
    this.#watch();
  }

  onLeft({ chat_id }) {
    if (!this.chats.delete(chat_id)) return;
    this.emit("list");
    this.emit("chat", { chatId: chat_id, left: true });
  }

  onUpdated({ chat }) {
    this.put(chat);
    if (this.openId === chat.id) this.#refetch(chat.id);
    this.emit("list");
    this.emit("chat", { chatId: chat.id });
  }

  onState() {
    if (this.client.state === "open") return this.emit("state");
    for (const chat of this.chats.values()) for (const id of [...chat.typing.keys()]) this.#stopTyping(chat, id);
    this.emit("state");
  }

  /** An acked message is shown as sent from the ack on; its `message.new` is on the way. */
  onOutbox({ entry, status, ack }) {
    const chat = this.chats.get(entry.chat_id);
    if (chat && status === "sent" && chat.loaded && !chat.messages.has(ack.message_id)) {
      this.#store(chat, {
        id: ack.message_id, chat_id: chat.id, seq: ack.seq, updated_seq: ack.seq, sender_id: this.me.id, client_message_id: entry.key,
        content: entry.content, reply_to: entry.reply_to, reactions: [], sent_at: ack.sent_at, edited_at: null, deleted_at: null, moderation_status: "visible",
      });
    }
    this.emit("messages", { chatId: entry.chat_id });
  }

  // ------------------------------------------------------------------------ inside

  #change(chatId, messageId, change) {
    const chat = this.chats.get(chatId);
    if (!chat) return;
    const known = chat.messages.get(messageId);
    if (known) this.#store(chat, change(known));
    if (chat.last_message?.id === messageId) chat.last_message = change(chat.last_message);
    this.emit("messages", { chatId });
    this.emit("list");
  }

  /** A reply more, or less, in the thread of a message that is here (docs/conversations.md). */
  #threaded(chat, rootId, { seq, sent_at: at }, step) {
    const root = chat.messages.get(rootId);
    const known = root?.thread ?? { reply_count: 0, last_reply_seq: 0, last_reply_at: at };
    if (!root || (step > 0 && known.last_reply_seq >= seq)) return; // counted in what history said
    const count = known.reply_count + step;
    root.thread = count > 0 ? { ...known, reply_count: count, ...(step > 0 && { last_reply_seq: seq, last_reply_at: at }) } : undefined;
  }

  /** What quotes of a message say now. */
  #quoted(chatId, messageId, text) {
    for (const message of this.chats.get(chatId)?.order ?? []) {
      if (message.reply_to === messageId && message.reply_preview) message.reply_preview = { ...message.reply_preview, text };
    }
  }

  /** The newest state of a message wins, whatever came first. */
  #store(chat, message) {
    const known = chat.messages.get(message.id);
    if (known && known.updated_seq > message.updated_seq) return;
    const kept = { ...message, delivery: message.delivery ?? known?.delivery };
    chat.messages.set(message.id, kept);
    if (known) chat.order[chat.order.indexOf(known)] = kept;
    else {
      let at = chat.order.length;
      while (at > 0 && chat.order[at - 1].seq > message.seq) at--;
      chat.order.splice(at, 0, kept);
    }
  }

  #stopTyping(chat, userId) {
    clearTimeout(chat.typing.get(userId));
    if (chat.typing.delete(userId)) this.emit("typing", { chatId: chat.id });
  }

  async #reload(chat, seq) {
    await this.#quietly(this.client.rest("GET", `/chats/${chat.id}/messages?limit=1&before_seq=${seq + 1}`).then(({ messages }) => {
      for (const message of messages) this.#change(chat.id, message.id, () => message);
    }));
  }

  #refetch(chatId) {
    this.#quietly(this.open(chatId).then(() => this.emit("list")));
  }

  /** Work that nobody waits for: what fails for want of a connection is made good by the next resume. */
  async #quietly(work) {
    try {
      await work;
    } catch (error) {
      if (!error.code) throw error;
      console.warn(`not loaded: ${error.code}`);
    }
  }

  /** The people of my newest direct chats, and of the open chat. */
  #watch() {
    const peers = this.sorted().map((chat) => chat.peer_id).filter(Boolean).slice(0, 250);
    const members = (this.chats.get(this.openId)?.members ?? []).slice(0, 250).map((member) => member.user_id);
    const wanted = [...new Set([...peers, ...members])].filter((id) => id !== this.me.id).sort();
    if (wanted.join() === this.watched) return;
    this.watched = wanted.join();
    this.client.watch(wanted);
  }
}

const EVENTS = {
  "connection.ready": "onReady",
  "message.new": "onNew",
  "message.update": "onUpdate",
  "message.delete": "onDelete",
  "system.moderation": "onModeration",
  "chat.reset": "onReset",
  "delivery.read": "onRead",
  "delivery.received": "onReceived",
  "typing.start": "onTyping",
  "typing.stop": "onTypingStop",
  "presence.state": "onPresence",
  "presence.update": "onPresence",
  "chat.joined": "onJoined",
  "chat.left": "onLeft",
  "chat.updated": "onUpdated",
  state: "onState",
  outbox: "onOutbox",
  stale: "onStale",
};
