/** Names and pictures for ids: asked for together, once. */

const AT_ONCE = 100;
const AGAIN_MS = 5000;

export class People {
  #known = new Map();
  #wanted = new Set();
  #asked = new Set();
  #timer = null;

  constructor(client, changed) {
    this.client = client;
    this.changed = changed;
  }

  get(id) { return this.#known.get(id) ?? null; }

  name(id) { return this.#known.get(id)?.display_name ?? "…"; }

  avatarUrl(id) { return this.#known.get(id)?.avatar_url ?? null; }

  /** Everybody whose name is known, by name. */
  all() { return [...this.#known.values()].sort((a, b) => a.display_name.localeCompare(b.display_name)); }

  learn(users) {
    for (const user of users) this.#known.set(user.id, user);
    this.changed();
  }

  /** Find out about these, soon. */
  want(ids) {
    for (const id of ids) if (id && !this.#known.has(id) && !this.#asked.has(id)) this.#wanted.add(id);
    if (this.#wanted.size) this.#timer ??= setTimeout(() => this.#ask(), 30);
  }

  async #ask() {
    const ids = [...this.#wanted].slice(0, AT_ONCE);
    for (const id of ids) {
      this.#wanted.delete(id);
      this.#asked.add(id);
    }
    try {
      const { users } = await this.client.rest("GET", `/users?ids=${ids.join(",")}`);
      this.learn(users);
      this.#timer = null;
    } catch (error) {
      if (!error.code) throw error;
      for (const id of ids) {
        this.#asked.delete(id);
        this.#wanted.add(id);
      }
      this.#timer = setTimeout(() => this.#ask(), error.retryAfterMs ?? AGAIN_MS);
      return;
    }
    this.want([]);
  }
}
