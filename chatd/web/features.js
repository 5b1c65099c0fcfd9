/** What this server can do beside the conversation itself: read from its own documents, once. */

export class Features {
  #paths = null;

  constructor(client) { this.client = client; }

  /** Whether the server answers `method` at `path` (as OpenAPI writes it). False where it cannot be found out. */
  async has(method, path) {
    this.#paths ??= this.#load();
    return Boolean((await this.#paths)[path]?.[method.toLowerCase()]);
  }

  async #load() {
    try {
      const response = await fetch(new URL("openapi.json", this.client.url + "/"), { signal: AbortSignal.timeout(10_000) });
      return (await response.json()).paths ?? {};
    } catch (error) {
      console.warn("the server's documents could not be read:", error.message);
      this.#paths = null; // asked again the next time
      return {};
    }
  }
}
