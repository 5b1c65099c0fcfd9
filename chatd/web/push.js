/** Web Push of this browser: asked for on a click, told to the server, taken back. */

import { ChatdError } from "./chatd.js";

const NAME_KEY = "chatd.push";

/** This browser's device where it is of who is logged in: the next person here takes nothing over unasked. */
function mine(main) {
  const [userId, deviceId] = localStorage.getItem(NAME_KEY)?.split(" ") ?? [];
  return deviceId && userId === main.client.user?.id ? deviceId : null;
}

/** Why there is none here, or null where there may be. */
export async function obstacle(main) {
  if (!(await key(main))) return "This server does not push to browsers.";
  if (!globalThis.isSecureContext) return "Browsers push on https only.";
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis)) return "This browser does not take pushes. On an iPhone, add this page to the home screen first.";
  if (Notification.permission === "denied") return "You have forbidden notifications of this page: allow them in the browser's settings of this site.";
  return null;
}

/** What a browser subscribes with; null where the server has none. */
async function key(main) {
  if (!(await main.features.has("GET", "/devices/web-push-key"))) return null;
  try {
    return (await main.client.rest("GET", "/devices/web-push-key")).public_key;
  } catch (error) {
    if (error.code === "conflict") return null; // Web Push is not set up
    throw error;
  }
}

/** Whether who is logged in is pushed to in this browser. */
export async function subscribed(main) {
  if (!mine(main)) return false;
  const registration = await navigator.serviceWorker?.getRegistration();
  return Boolean(await registration?.pushManager.getSubscription());
}

/** Ask the person, subscribe at the browser's push service, and tell the server. Raises ChatdError. */
export async function turnOn(main) {
  if (await Notification.requestPermission() !== "granted") throw new ChatdError("forbidden", "Without your permission nothing is pushed.");
  const applicationServerKey = bytes(await key(main));
  const registration = await navigator.serviceWorker.register(workerUrl());
  await navigator.serviceWorker.ready;
  let subscription;
  try {
    subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
  } catch (error) {
    throw new ChatdError("unavailable_here", `The browser's push service refused: ${error.message}`);
  }
  await tell(main, subscription);
}

/** Push services change their addresses: say at every start where this browser is. */
export async function renew(main) {
  if (!mine(main) || await obstacle(main)) return;
  const registration = await navigator.serviceWorker.getRegistration();
  const subscription = await registration?.pushManager.getSubscription();
  if (subscription) await tell(main, subscription);
}

export async function turnOff(main) {
  const id = mine(main);
  if (!id) return;
  const registration = await navigator.serviceWorker?.getRegistration();
  await (await registration?.pushManager.getSubscription())?.unsubscribe();
  localStorage.removeItem(NAME_KEY);
  await main.client.rest("DELETE", `/devices/${id}`);
}

async function tell(main, subscription) {
  const { endpoint, keys } = subscription.toJSON();
  const user = main.client.user;
  const { id } = await main.client.rest("POST", "/devices", { provider: "webpush", subscription: { endpoint, keys }, name: "This browser" });
  localStorage.setItem(NAME_KEY, `${user.id} ${id}`);
}

let script = null;

/** The one script that this page starts: its policy lets no other string become one. */
function workerUrl() {
  const url = new URL("sw.js", document.baseURI).href;
  script ??= globalThis.trustedTypes?.createPolicy("chatd-worker", { createScriptURL: () => url }).createScriptURL("") ?? url;
  return script;
}

function bytes(base64url) {
  return Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}
