/** Web Push of this browser: asked for on a click, told to the server, taken back. */

import { ChatdError } from "./chatd.js";

const NAME_KEY = "chatd.push";

let last = Promise.resolve();

/** One change at a time: who logs out while it is being turned on must end what is only just beginning. */
function inTurn(work) {
  const done = last.then(work);
  last = done.catch(() => {});
  return done;
}

/** This browser's device where it is of who is logged in: the next person here takes nothing over unasked. */
export function deviceOf(client) {
  const [userId, deviceId] = localStorage.getItem(NAME_KEY)?.split(" ") ?? [];
  return deviceId && userId === client.user?.id ? deviceId : null;
}

async function present() {
  try {
    const registration = await navigator.serviceWorker?.getRegistration();
    return { registration, subscription: await registration?.pushManager?.getSubscription() };
  } catch (error) {
    console.warn(`no workers here: ${error.message}`); // where cookies are forbidden, so are they, and pushes with them
    return {};
  }
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
  return Boolean(deviceOf(main.client) && (await present()).subscription);
}

/** Ask the person, subscribe at the browser's push service, and tell the server. Raises ChatdError. */
export async function turnOn(main) {
  if (await Notification.requestPermission() !== "granted") throw new ChatdError("forbidden", "Without your permission nothing is pushed.");
  const applicationServerKey = bytes(await key(main));
  await inTurn(async () => {
    const registration = await navigator.serviceWorker.register(workerUrl());
    await navigator.serviceWorker.ready;
    let subscription;
    try {
      subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
    } catch (error) {
      throw new ChatdError("unavailable_here", `The browser's push service refused: ${error.message}`);
    }
    await tell(main, subscription);
  });
}

/** Push services change their addresses: say at every start where this browser is. What is somebody else's ends. */
export function renew(main) {
  return inTurn(async () => {
    const { subscription } = await present();
    if (!subscription) return;
    if (!deviceOf(main.client)) await end();
    else if (!(await obstacle(main))) await tell(main, subscription);
  });
}

export async function turnOff(main) {
  const id = deviceOf(main.client);
  if (!id) return;
  await inTurn(async () => {
    await (await present()).subscription?.unsubscribe();
    localStorage.removeItem(NAME_KEY);
  });
  await main.client.rest("DELETE", `/devices/${id}`);
}

/** Whoever was here has gone: no push comes to this browser any more, and what was shown of them goes. Asks no server, and never fails. */
export function forget() { return inTurn(end).catch(powerless); }

/** The same where nobody is logged in by then: in another tab somebody may be again. */
export function forgetGone(client) { return inTurn(() => (client.user ? null : end())).catch(powerless); }

function powerless(error) { console.warn(`pushes cannot be ended here: ${error.message}`); }

async function end() {
  const { registration, subscription } = await present();
  await subscription?.unsubscribe().catch((error) => console.warn(`the push service was not told: ${error.message}`));
  for (const shown of await registration?.getNotifications() ?? []) shown.close();
  await navigator.clearAppBadge?.().catch(() => {}); // where there is no badge there is nothing to clear
  await registration?.unregister(); // with it goes a subscription that could not be ended
  localStorage.removeItem(NAME_KEY);
}

async function tell(main, subscription) {
  const { endpoint, keys } = subscription.toJSON();
  const { user } = main.client;
  if (!user) return; // logged out meanwhile: the subscription is ended next
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
