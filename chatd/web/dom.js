/** Elements, icons, words and small manners of the page. No state of the conversation in here. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element: `h("button", {class: "quiet", onclick, "aria-label": "Back"}, icon("back"), "Text")`.
 * Text is always text: nothing here makes HTML of strings.
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  back: "M15 5l-7 7 7 7",
  plus: "M12 5v14M5 12h14",
  send: "M5 12l15-7-5 15-3-6zM12 14l8-9",
  reply: "M10 7l-5 5 5 5M5 12h9a5 5 0 0 1 5 5v1",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9 10h.01M15 10h.01M8.500 14.500a4.500 4.500 0 0 0 7 0",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 13l4 4L19 7",
  checks: "M2 13l4 4L15 7M11 16l1 1L22 7",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3 2",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  clip: "M20 11l-8.500 8.500a5 5 0 0 1-7-7L13 4a3.300 3.300 0 0 1 4.700 4.700L9.200 17.200a1.700 1.700 0 0 1-2.400-2.400L14.500 7",
  people: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20a6.500 6.500 0 0 1 13 0M16 4.500a3.500 3.500 0 0 1 0 6.500M18 14a6 6 0 0 1 3.500 6",
  pin: "M12 21s7-6.500 7-11.500a7 7 0 1 0-14 0C5 14.500 12 21 12 21zM12 12a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  out: "M14 4H6v16h8M10 12h11M18 8l4 4-4 4",
  down: "M12 5v14M6 13l6 6 6-6",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8h.01",
  eye: "M2 12s3.500-7 10-7 10 7 10 7-3.500 7-10 7-10-7-10-7zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  flag: "M5 21V4h12l-2 4 2 4H5",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  bell: "M6 17V11a6 6 0 1 1 12 0v6l2 2H4zM10 21h4",
  muted: "M6 17V11c0-1 .3-2 .7-2.800M9 5.500A6 6 0 0 1 18 11v4M4 19h13M10 21.500h4M3 3l18 18",
  archive: "M3 5h18v4H3zM5 9v11h14V9M10 13h4",
  pinned: "M9 4h6l-1 6 4 4H6l4-4zM12 14v7",
  forward: "M14 7l5 5-5 5M19 12h-9a5 5 0 0 0-5 5v1",
  thread: "M5 4h14v11H10l-5 4zM9 8h6M9 11h4",
  gear: "M12 15.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM12 2.500v3M12 18.500v3M2.500 12h3M18.500 12h3M5.300 5.300l2.100 2.100M16.600 16.600l2.100 2.100M5.300 18.700l2.100-2.100M16.600 7.400l2.100-2.100",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  block: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM5.700 5.700l12.600 12.600",
  device: "M3 5h18v11H3zM9 20h6M12 16v4",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  at: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM16 8v5.500a2.500 2.500 0 0 0 5 0V12a9 9 0 1 0-4 7.500",
  list: "M4 6h16M4 12h16M4 18h16",
  camera: "M4 8h4l1.500-3h5L16 8h4v11H4zM12 16.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7z",
};

export function icon(name, label = null) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon i-${name}`);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function button(iconName, label, onclick, attributes = {}) {
  return h("button", { type: "button", class: "round", "aria-label": label, title: label, onclick, ...attributes }, icon(iconName));
}

let linkTo = null;
const notForAll = new Set();

/** `find(mediaId)` is a promise of a link to a picture for who is logged in, or of null: not everybody's is for all. */
export function showPortraitsBy(find) {
  linkTo = find;
  notForAll.clear();
}

function portrait(url) {
  const image = h("img", { alt: "", loading: "lazy" });
  const mediaId = /^\/api\/media\/([^/?]+)$/.exec(url)?.[1];
  const sign = async () => {
    notForAll.add(mediaId);
    image.onerror = () => image.remove();
    const link = await linkTo(mediaId);
    if (link) image.src = link;
    else image.remove();
  };
  image.onerror = () => (mediaId && linkTo ? sign() : image.remove());
  // One that was uploaded here has a small size too; the page may live below another path than the server thinks.
  if (notForAll.has(mediaId)) sign();
  else image.src = mediaId ? `.${url}?variant=thumbnail` : url;
  return image;
}

/** A picture of somebody: theirs where it is on this server, else their initials on their own colour. */
export function avatar(id, name, { url = null, status = null, big = false } = {}) {
  const words = (name || "?").match(/[\p{L}\p{N}][\p{L}\p{M}\p{N}]*/gu) ?? [...(name || "?")].slice(0, 1);
  const initials = words.length > 1 ? [...words[0]][0] + [...words.at(-1)][0] : [...words[0]].slice(0, 2).join("");
  const element = h("span", { class: big ? "avatar big" : "avatar", "aria-hidden": "true", dataset: { initials: initials.toUpperCase() } });
  element.style.setProperty("--hue", String([...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7)));
  // Pictures elsewhere would tell strangers' servers who looks at whom, and the page's policy forbids them.
  if (url && new URL(url, location.href).origin === location.origin) {
    element.append(portrait(url));
  }
  if (status && status !== "offline") element.append(h("span", { class: `dot ${status}` }));
  return element;
}

/** Text with its links made links (http and https alone) and its line breaks kept by CSS. */
export function linked(text) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]}]/g)) {
    if (!URL.canParse(match[0])) continue;
    parts.push(text.slice(at, match.index), h("a", { href: match[0], target: "_blank", rel: "noopener noreferrer nofollow" }, match[0]));
    at = match.index + match[0].length;
  }
  return [...parts, text.slice(at)];
}

// ---------------------------------------------------------------------------------------------- time

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const dayMonth = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const fullDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

const dayOf = (date) => Math.floor((date.getTime() - date.getTimezoneOffset() * 60_000) / 86_400_000);

export const timeOf = (iso) => clock.format(new Date(iso));

/** Today, Yesterday, Monday, 3 May 2026. */
export function dayName(iso) {
  const date = new Date(iso);
  const ago = dayOf(new Date()) - dayOf(date);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  return ago < 7 && ago > 0 ? weekday.format(date) : fullDay.format(date);
}

/** As short as a list can show it. */
export function shortTime(iso) {
  const date = new Date(iso);
  const ago = dayOf(new Date()) - dayOf(date);
  if (ago <= 0) return clock.format(date);
  if (ago === 1) return "Yesterday";
  return ago < 7 ? weekday.format(date).slice(0, 3) : dayMonth.format(date);
}

export function lastSeen(iso, now = Date.now()) {
  if (!iso) return "Offline";
  const minutes = Math.round((now - new Date(iso)) / 60_000);
  if (minutes < 1) return "Last seen just now";
  if (minutes < 60) return `Last seen ${minutes} min ago`;
  return `Last seen ${dayName(iso).replace("Today", "today").replace("Yesterday", "yesterday")} at ${timeOf(iso)}`;
}

export const sameDay = (a, b) => dayOf(new Date(a)) === dayOf(new Date(b));
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

// ------------------------------------------------------------------------------------------- manners

/** `draw` at most once a frame, however often it is called; also where the page is hidden. */
export function batched(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    const go = () => { waiting = false; draw(); };
    if (document.hidden) setTimeout(go, 0);
    else requestAnimationFrame(go);
  };
}

/** Make `parent`'s children the elements of `items` (`[key, signature, make]`), remaking only what changed. */
export function reconcile(parent, items) {
  for (const child of [...parent.children]) if (child.dataset.key === undefined) child.remove(); // what held the place
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const [key, signature, make] of items) {
    let element = old.get(key);
    old.delete(key);
    if (!element || element.dataset.signature !== signature) {
      const fresh = make();
      Object.assign(fresh.dataset, { key, signature });
      if (element) {
        const focused = element.contains(document.activeElement);
        if (place === element) place = fresh;
        if (element.tabIndex === 0 && fresh.hasAttribute("tabindex")) fresh.tabIndex = 0;
        element.replaceWith(fresh);
        if (focused) fresh.focus({ preventScroll: true });
      }
      element = fresh;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const element of old.values()) element.remove();
}

/** Say something to those who do not see it. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** Say something at the lower edge for a while. */
export function toast(text, { bad = false } = {}) {
  const element = h("p", { class: bad ? "toast bad" : "toast" }, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), 6000);
}

const WORDS = {
  network: "The server cannot be reached. Check your connection.",
  timeout: "The server did not answer in time.",
  closed: "You are offline. Try again in a moment.",
  rate_limited: "That was a lot at once. Wait a moment, then try again.",
  unavailable: "This does not work right now. Try again in a moment.",
  chat_not_found: "This conversation is not there, or you are not in it.",
  user_not_found: "There is nobody with this id.",
};

/** What went wrong, for people. */
export function explain(error) {
  const text = WORDS[error.code] ?? (error.errors?.[0]?.message || error.message || "Something went wrong");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Run what a click started; what goes wrong is said. False where it did. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (!error.code) throw error; // a defect of this page: to the console with it
    toast(explain(error), { bad: true });
    return false;
  }
}
