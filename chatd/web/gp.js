/** GPs: small groups nearby that last a few hours. A list of them, making one, and the bar above one's chat. */

import { attempt, avatar, explain, h, icon, plural, toast } from "./dom.js";
import { confirm, showDialog } from "./menu.js";

const CATEGORIES = {
  "Vibe GP": ["Fun", "Chill", "Overthinker", "Chaos", "Calm", "Random Talk"],
  "Movie GP": ["Movie Name", "Genre"],
  "Anime GP": ["Anime Name", "Genre"],
  "Other GP": ["Standup", "Travel", "Trip", "Tech Talk", "Music", "Sports"],
};
const GENRES = {
  "Movie GP": ["Horror", "Action", "Sci-Fi", "Comedy", "Drama", "Romance", "Thriller", "Fantasy"],
  "Anime GP": ["Shounen", "Romance", "Isekai", "Slice of Life", "Action", "Comedy", "Drama", "Fantasy"],
};
const TOPICS = ["Life stuff", "Overthinking & mental vibe", "Random fun & nonsense", "Movie / Anime discussion", "Fan theories", "Day experiences",
  "Trip planning", "Roast sessions", "Meme talk", "Relationship stuff", "Career / ambitions"];
const MAX_TOPICS = 3;
const EVENTS = ["gp.nearby", "gp.member_joined", "gp.member_left", "gp.eligible", "gp.vote", "gp.expiring", "gp.expired"];

const nameOf = (gp) => gp.specificName ?? gp.genre ?? gp.subType;

function timeLeft(minutes) {
  if (minutes < 60) return `${minutes} min left`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} left`;
}

/** The browser's position, or null where it is not told; the server keeps a cell of some kilometres, not the point. */
function position() {
  return new Promise((resolve) => {
    if (!navigator.geolocation) return resolve(null);
    navigator.geolocation.getCurrentPosition(({ coords }) => resolve({ latitude: coords.latitude, longitude: coords.longitude }), () => resolve(null),
      { timeout: 8000, maximumAge: 300_000 });
  });
}

// ----------------------------------------------------------------------------------------- the list

/** The page of GPs nearby; `leave` ends it. */
export class Nearby {
  #offs = [];
  #timer = null;

  constructor(main) {
    this.main = main;
    this.here = null;
    this.list = h("div", { class: "gps", "aria-live": "polite", "aria-busy": "true" }, h("p", { class: "muted" }, "Looking around…"));
    this.element = h("section", { class: "page", "aria-label": "Nearby" },
      h("header", { class: "head" }, h("a", { class: "round back", href: "#/", "aria-label": "Back to the list" }, icon("back")), h("h2", { tabindex: "-1" }, "Nearby"),
        h("button", { type: "button", class: "primary", onclick: () => create(this) }, "New GP")),
      h("div", { class: "scroller" }, h("div", { class: "inner" },
        h("p", { class: "muted" }, "A GP is a room for at most five people near you. It lasts a few hours, unless you all want to keep it."), this.list)));
    for (const type of EVENTS) this.#offs.push(main.client.on(type, () => this.#soon()));
  }

  async start() {
    this.here = await position();
    await this.draw();
    if (this.here) this.main.client.command("gp.watch", this.here).catch((error) => console.warn(`not watching: ${error.code}`));
  }

  leave() {
    clearTimeout(this.#timer);
    for (const off of this.#offs) off();
    if (this.here) this.main.client.command("gp.unwatch").catch(() => {}); // a watch ends by itself, too
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.draw(), 400);
  }

  async draw() {
    const { client } = this.main;
    const at = this.here ? `?latitude=${this.here.latitude}&longitude=${this.here.longitude}` : "";
    try {
      const [mine, near] = await Promise.allSettled([client.rest("GET", "/gp/my-gps"), client.rest("GET", `/gp/list${at}`)]);
      if (mine.status === "rejected") throw mine.reason;
      const living = mine.value.gps.filter((gp) => gp.status === "active" || gp.status === "converted");
      const others = near.status === "fulfilled" ? near.value.gps.filter((gp) => !gp.isMember) : [];
      this.list.replaceChildren(
        living.length ? h("h3", {}, "Yours") : "", ...living.map((gp) => this.#card(gp)),
        h("h3", {}, near.status === "fulfilled" ? `Within ${near.value.radius} km` : "Around you"), ...others.map((gp) => this.#card(gp)),
        near.status === "rejected" ? h("p", { class: "muted" }, near.reason.code === "position_unknown" || !this.here
          ? "Allow this page to see where you are, then come back here." : explain(near.reason)) : "",
        near.status === "fulfilled" && !others.length ? h("div", { class: "nothing" }, icon("pin"), h("p", {}, "Nobody has opened one here yet. Be the first."),
          h("button", { type: "button", class: "primary", onclick: () => create(this) }, "Open a GP")) : "");
    } catch (error) {
      if (!error.code) throw error;
      this.list.replaceChildren(h("p", { class: "muted" }, explain(error)));
    }
    this.list.setAttribute("aria-busy", "false");
  }

  #card(gp) {
    const go = gp.isMember
      ? h("a", { class: "plain", href: `#/chat/${gp.chatId}` }, "Open")
      : h("button", { type: "button", class: "primary", onclick: () => this.#join(gp) }, "Join");
    return h("article", { class: "gp" },
      h("div", { class: "lines" }, h("h4", {}, nameOf(gp)),
        h("p", { class: "muted" }, [gp.category, gp.location.zone ?? gp.location.city, gp.distance !== null && `${gp.distance} km`].filter(Boolean).join(" · ")),
        gp.description && h("p", {}, gp.description),
        h("ul", { class: "tags" }, gp.talkTopics.map((topic) => h("li", {}, topic)))),
      h("div", { class: "foot" },
        h("span", { class: "faces" }, gp.members.map((member) => avatar(member._id, member.displayName, { url: member.avatarUrl }))),
        h("span", { class: "muted" }, `${gp.memberCount} of ${gp.maxMembers}`), gp.status === "active" && h("span", { class: "muted" }, timeLeft(gp.timeLeft)), go));
  }

  #join(gp) {
    return attempt(async () => {
      const { gp: joined } = await this.main.client.rest("POST", "/gp/join", { gpId: gp._id });
      this.main.go(`chat/${joined.chatId}`);
    });
  }
}

// --------------------------------------------------------------------------------------- a new one

async function create(view) {
  const { main } = view;
  if (!view.here) view.here = await position();
  if (!view.here) return toast("A GP is at a place: allow this page to see where you are.", { bad: true });
  const select = (label, name, options) => h("label", { class: "field" }, h("span", {}, label), h("select", { name }, options.map((option) => h("option", {}, option))));
  const category = select("What kind", "category", Object.keys(CATEGORIES));
  const subType = select("Which", "subType", CATEGORIES["Vibe GP"]);
  const more = h("div", {});
  const topics = h("fieldset", { class: "topics" }, h("legend", {}, "What to talk about (1 to 3)"),
    TOPICS.map((topic) => h("label", {}, h("input", { type: "checkbox", name: "topic", value: topic }), h("span", {}, topic))));
  topics.addEventListener("change", () => {
    const full = topics.querySelectorAll(":checked").length >= MAX_TOPICS;
    for (const box of topics.querySelectorAll("input:not(:checked)")) box.disabled = full;
  });
  const form = h("form", { onsubmit: (event) => { event.preventDefault(); open(); } }, category, subType, more, topics,
    h("label", { class: "field" }, h("span", {}, "A word about it"), h("textarea", { name: "description", rows: "2", maxlength: "200" })),
    h("label", { class: "field" }, h("span", {}, "City or part of town"), h("input", { name: "city", maxlength: "100", autocomplete: "address-level2" })),
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Open it")));
  const field = (name) => form.elements[name];
  const detail = () => {
    const named = field("subType").value.endsWith("Name");
    more.replaceChildren(named ? h("label", { class: "field" }, h("span", {}, "Its name"), h("input", { name: "specificName", maxlength: "100", required: true }))
      : field("subType").value === "Genre" ? select("Genre", "genre", GENRES[field("category").value]) : "");
  };
  category.addEventListener("change", () => { subType.querySelector("select").replaceChildren(...CATEGORIES[field("category").value].map((name) => h("option", {}, name))); detail(); });
  subType.addEventListener("change", detail);
  const open = async () => {
    const talkTopics = [...topics.querySelectorAll(":checked")].map((box) => box.value);
    if (!talkTopics.length) return toast("Choose what to talk about.", { bad: true });
    const data = Object.fromEntries(new FormData(form));
    const done = await attempt(async () => {
      const { gp } = await main.client.rest("POST", "/gp/create", {
        category: data.category, subType: data.subType, talkTopics, location: { ...view.here, ...(data.city && { city: data.city }) },
        ...(data.specificName && { specificName: data.specificName }), ...(data.genre && { genre: data.genre }), ...(data.description && { description: data.description }),
      });
      main.go(`chat/${gp.chatId}`);
    });
    if (done) dialog.close();
  };
  const dialog = showDialog("New GP", form);
}

// --------------------------------------------------------------------------------- above its chat

/** What stands above the chat of a GP: time, places, the vote; gone once it is permanent. */
export class GpBar {
  #offs = [];
  #timer = null;

  constructor(view) {
    this.view = view;
    this.element = h("div", { class: "gp-bar", role: "group", "aria-label": "About this GP", hidden: true });
    const { client } = view.main;
    for (const type of EVENTS) this.#offs.push(client.on(type, (event) => { if (event.chat_id === view.chatId) this.draw(); }));
    this.#offs.push(view.model.on("state", () => { if (client.state === "open") this.draw(); }));
    this.#timer = setInterval(() => this.draw(), 60_000);
    this.draw();
  }

  leave() {
    clearInterval(this.#timer);
    for (const off of this.#offs) off();
  }

  get id() { return this.view.chat.context_id; }

  async draw() {
    try {
      const { gp } = await this.view.main.client.rest("GET", `/gp/${this.id}`);
      this.#show(gp);
    } catch (error) {
      if (!error.code) throw error;
      this.element.hidden = true; // gone, or not to be reached now: the chat goes on without it
    }
  }

  #show(gp) {
    const { status, permanentConversion: vote } = gp;
    const voting = vote.status === "voting";
    const ask = (body) => () => attempt(async () => {
      const answer = await this.view.main.client.rest("POST", "/gp/permanent-convert", { gpId: gp._id, ...body });
      toast(answer.message);
      this.#show(answer.gp);
    });
    this.element.hidden = false;
    this.element.replaceChildren(
      h("span", { class: "grow" }, status === "active" ? `${timeLeft(gp.timeLeft)} · ${gp.memberCount} of ${gp.maxMembers} are in`
        : status === "converted" ? `Kept for good · ${plural(gp.memberCount, "member")}` : "This GP is over."),
      ...(status !== "active" ? [] : voting ? [
        h("span", {}, `Keep it? ${vote.yes} of ${vote.needed} needed`),
        h("button", { type: "button", class: "plain", onclick: ask({ action: "vote", vote: "yes" }) }, "Yes"),
        h("button", { type: "button", class: "plain", onclick: ask({ action: "vote", vote: "no" }) }, "No"),
      ] : [h("button", { type: "button", class: "plain", onclick: ask({ action: "check" }) }, "Keep it?")]),
      status === "active" ? h("button", { type: "button", class: "text", onclick: () => this.#leaveGp(gp) }, "Leave") : "");
  }

  async #leaveGp(gp) {
    if (!(await confirm("Leave this GP?", "Your place may be taken by somebody else.", "Leave"))) return;
    await attempt(() => this.view.main.client.rest("POST", "/gp/leave", { gpId: gp._id }));
  }
}
