/** Logging out: nobody is pushed to in this browser afterwards, whatever the server says to it. */

import { ChatdError } from "./chatd.js";
import { deviceOf, forget } from "./push.js";

const MOST_MS = 4000;

/** End the session, and the pushes of this browser, here and at the server. Raises ChatdError where the server was not told. */
export async function logOut(client) {
  const device = deviceOf(client);
  // The browser's own subscription first: that needs no server. Its push service may be slow, and is not waited for long.
  await atMost(forget());
  if (device) {
    const told = client.rest("DELETE", `/devices/${device}`, undefined, { signal: AbortSignal.timeout(MOST_MS) });
    // Where it stays, it is taken away with the session, or when the push service says that nobody is there.
    await told.catch((error) => console.warn(`not taken away: ${error.code ?? error.name}`));
  }
  try {
    await client.session.logout();
  } catch (error) {
    if (!error.code) throw error;
    throw new ChatdError("not_told", "You are logged out here, but the server could not be told. End the session under Devices when you are back.");
  }
}

function atMost(work) { return Promise.race([work, new Promise((resolve) => setTimeout(resolve, MOST_MS))]); }
