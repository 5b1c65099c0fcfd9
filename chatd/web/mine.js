/**
 * What is mine beside the conversations: drafts, what I am told of, what waits to be sent. The server's events
 * about them are hints, so all of it is asked for anew with each connection.
 */

const DRAFT_AFTER_MS = 800;

export class Mine {
  #offs = [];
  #timers = new Map();
  /** Chats whose draft here is newer than what the server has: until it has said that it has it. */
  #unsaid = new Set();

  constructor(client, model, features) {
    Object.assign(this, { client, model, features });
    /** Chat id to `{text, reply_to, at}`: what I have begun to write. */
    this.drafts = new Map();
    /** How many notifications I have not read. */
    this.unread = 0;
    /** Id to a message that waits for its time, or could not be sent then. */
    this.scheduled = new Map();
    this.#offs.push(
      client.on("connection.ready", () => this.load()),
      client.on("draft.updated", (event) => this.#drafted(event)),
      client.on("chat.settings", ({ chat_id, settings }) => this.#settle(chat_id, settings)),
      client.on("notification.new", () => this.count(this.unread + 1)),
      client.on("notification.read", ({ unread_count }) => this.count(unread_count)),
      client.on("scheduled.updated", ({ scheduled, cancelled }) => this.#scheduled(scheduled, cancelled)));
  }

  leave() {
    for (const off of this.#offs) off();
    for (const chatId of [...this.#timers.keys()]) this.#say(chatId);
  }

  /** Ask for all of it; what the server does not have stays empty. */
  async load() {
    await Promise.all([
      this.#ask("/drafts", ({ drafts }) => {
        const mine = [...this.#unsaid].map((chatId) => [chatId, this.drafts.get(chatId)]);
        this.drafts = new Map(drafts.map((draft) => [draft.chat_id, { ...draft, at: draft.updated_at }]));
        for (const [chatId, draft] of mine) {
          if (draft) this.drafts.set(chatId, draft);
          else this.drafts.delete(chatId);
          if (!this.#timers.has(chatId)) this.#say(chatId); // what could not be said while there was no connection
        }
        this.model.emit("drafts");
        this.model.emit("list");
      }),
      this.#ask("/notifications", ({ unread_count }) => this.count(unread_count), "?limit=1"),
      this.#ask("/scheduled", ({ items }) => {
        this.scheduled = new Map(items.map((item) => [item.id, item]));
        this.model.emit("scheduled");
      }, "?status=pending&limit=100"),
    ]);
  }

  async #ask(path, take, query = "") {
    if (!(await this.features.has("GET", path))) return;
    try {
      take(await this.client.rest("GET", path + query));
    } catch (error) {
      if (!error.code) throw error;
      console.warn(`${path} was not loaded: ${error.code}`); // the next connection asks again
    }
  }

  count(unread) {
    this.unread = unread;
    this.model.emit("notifications");
  }

  // ------------------------------------------------------------------------ drafts

  draft(chatId) { return this.drafts.get(chatId) ?? null; }

  /** Keep what is being written: here at once, on my other devices soon. */
  write(chatId, text, replyTo = null) {
    const known = this.drafts.get(chatId);
    if ((known?.text ?? "") === text && (known?.reply_to ?? null) === replyTo) return;
    if (text) this.drafts.set(chatId, { text, reply_to: replyTo, at: new Date().toISOString() });
    else this.drafts.delete(chatId);
    clearTimeout(this.#timers.get(chatId));
    this.#unsaid.add(chatId);
    this.#timers.set(chatId, setTimeout(() => this.#say(chatId), text ? DRAFT_AFTER_MS : 0));
    this.model.emit("list");
  }

  async #say(chatId) {
    clearTimeout(this.#timers.get(chatId));
    this.#timers.delete(chatId);
    const draft = this.drafts.get(chatId);
    const { text = "", reply_to = null } = draft ?? {};
    try {
      await this.client.command("draft.set", { chat_id: chatId, text, ...(reply_to && { reply_to }) });
      if (this.drafts.get(chatId) === draft) this.#unsaid.delete(chatId);
    } catch (error) {
      if (!error.code) throw error;
      console.warn(`a draft stays on this device: ${error.code}`); // the next connection says it again
    }
  }

  #drafted({ chat_id, draft, at }) {
    if (this.#unsaid.has(chat_id)) return; // what I write here is newer
    const known = this.drafts.get(chat_id);
    if (known && known.text === draft?.text) return;
    if (draft) this.drafts.set(chat_id, { ...draft, at });
    else this.drafts.delete(chat_id);
    this.model.emit("drafts", { chatId: chat_id });
    this.model.emit("list");
  }

  // ---------------------------------------------------------------- a chat's settings

  /** Change my own settings of a chat. Raises ChatdError. */
  async set(chatId, change) { this.#settle(chatId, await this.client.rest("PUT", `/chats/${chatId}/settings`, change)); }

  #settle(chatId, settings) {
    const chat = this.model.chats.get(chatId);
    if (chat) chat.settings = settings;
    this.model.emit("list");
    this.model.emit("chat", { chatId });
  }

  // --------------------------------------------------------------------- scheduled

  waiting(chatId) { return [...this.scheduled.values()].filter((item) => item.chat_id === chatId); }

  #scheduled(item, cancelled) {
    if (cancelled || item.status !== "pending") this.scheduled.delete(item.id);
    else this.scheduled.set(item.id, item);
    this.model.emit("scheduled", { item });
  }
}

/** Whether a chat makes no noise now. */
export function isMuted({ settings }) {
  return Boolean(settings?.muted) && !(settings.muted_until && new Date(settings.muted_until) < Date.now());
}
