/** What chatd.js does when things go wrong, case by case: `node client_cases.mjs CHATD_JS NAME`. */

import { ChatdError, Server, Session, assert, chance, client, disk, message, open, page, pass, returns, setClock, settle, test, tests } from "./scripted.mjs";

// ------------------------------------------------------------------------------------------- close codes

for (const code of [1001, 1006, 4408]) {
  test(`${code}: comes back after a wait with full jitter`, async () => {
    for (const [luck, wait] of [[0.1, 100], [0.5, 500], [0.999, 1000]]) {
      chance(luck);
      const made = await open();
      await made.server.end(code);
      assert.equal(made.chat.state, "waiting");
      assert.equal(await returns(made, 2000), wait);
    }
  });
}

test("waits grow to half a minute and no further, and a socket that held begins anew", async () => {
  chance(0.999);
  const made = await open();
  const waits = [];
  for (let i = 0; i < 8; i++) {
    await made.server.end(1006);
    waits.push(await returns(made, 31_000));
  }
  assert.deepEqual(waits.map((ms) => Math.round(ms / 1000)), [1, 2, 4, 8, 16, 30, 30, 30]);
  await made.server.accept();
  await pass(11_000);
  await made.server.end(1006);
  assert.equal(await returns(made, 2000), 1000);
});

test("4400: comes back slowly, because what we said was wrong", async () => {
  chance(0);
  const made = await open();
  await made.server.end(4400);
  assert.equal(await returns(made, 6000), 5000);
});

test("4401: gets another token, once, and comes back with it", async () => {
  const made = await open();
  await made.server.end(4401);
  await returns(made, 1000);
  assert.equal((await made.server.accept()).token, "access 2");
  // Later it may be so again.
  await pass(11_000);
  await made.server.end(4401);
  await returns(made, 1000);
  assert.equal((await made.server.accept()).token, "access 3");
});

test("4401: a new token that is refused too signs out", async () => {
  const made = await open();
  await made.server.end(4401);
  await returns(made, 1000);
  made.server.socket.onopen();
  await made.server.end(4401);
  assert.equal(made.chat.state, "ended");
  assert.equal(made.chat.user, null);
  assert.deepEqual(made.heard.filter(({ type }) => type === "session").at(-1).tokens, null);
  assert.equal(made.server.calls.filter(([, path]) => path === "/api/auth/refresh").length, 1);
});

test("4401: where no token is given any more, signs out at once", async () => {
  const made = await open();
  made.server.answers.set("/api/auth/refresh", [401, { code: "unauthenticated" }]);
  await made.server.end(4401);
  await pass(500);
  assert.equal(made.chat.state, "ended");
  assert.equal(made.server.sockets.length, 1);
});

test("4401: where the server cannot be reached for a token, asks again and stays logged in", async () => {
  const made = await open();
  made.server.answers.set("/api/auth/refresh", new TypeError("fetch failed"));
  await made.server.end(4401);
  await pass(20_000);
  assert.equal(made.chat.state, "waiting");
  assert.equal(made.server.sockets.length, 1, "no socket with a token that is known to be bad");
  made.server.answers.clear();
  await returns(made, 31_000);
  await made.server.accept();
  assert.equal(made.chat.state, "open");
});

test("4401: again and again right after the welcome, comes back ever more slowly", async () => {
  chance(0.999);
  const made = await open();
  const waits = [];
  for (let i = 0; i < 8; i++) {
    await made.server.end(4401);
    waits.push(await returns(made, 31_000));
    await made.server.accept();
  }
  assert.deepEqual(waits.map((ms) => Math.round(ms / 1000)), [0, 2, 4, 8, 16, 30, 30, 30]);
  assert.equal(made.chat.state, "open", "the session goes on: each new token was taken");
  assert.equal(made.server.calls.filter(([, path]) => path === "/api/auth/refresh").length, 8);
  // A socket that holds ends the run.
  await pass(11_000);
  await made.server.end(4401);
  assert(await returns(made, 1000) <= 100);
});

test("4401: a token that ran out during an outage is renewed at once when the server is back", async () => {
  chance(0.999);
  const made = await open();
  for (let i = 0; i < 6; i++) {
    await made.server.end(1006);
    await returns(made, 31_000);
  }
  made.server.socket.onopen();
  await made.server.end(4401);
  assert(await returns(made, 1000) <= 100);
});

test("4401: a server that gives no token, and says to ask again at once, is asked ever more slowly", async () => {
  chance(0.5);
  const made = await open();
  made.server.answers.set("/api/auth/refresh", [503, { code: "unavailable", retry_after_ms: 0 }]);
  await made.server.end(4401);
  await pass(60_000);
  const asked = made.server.calls.filter(([, path]) => path === "/api/auth/refresh").length;
  assert(asked > 2 && asked < 10, `${asked} times in a minute`);
});

test("a token that lives shorter than a minute is not renewed without a pause", async () => {
  chance(0.5);
  const server = new Server();
  server.lifetime = 20;
  const made = await open({ server });
  await pass(60_000);
  const renewed = made.server.calls.filter(([, path]) => path === "/api/auth/refresh").length;
  assert(renewed >= 3 && renewed <= 6, `${renewed} times in a minute`);
});

test("4403: stops, and says so", async () => {
  const made = await open();
  await made.server.end(4403);
  await pass(120_000);
  page.dispatchEvent(new Event("online"));
  await pass(1000);
  assert.equal(made.server.sockets.length, 1);
  const last = made.heard.filter(({ type }) => type === "state").at(-1);
  assert.deepEqual([last.state, last.code], ["ended", 4403]);
  assert.notEqual(made.chat.user, null);
});

test("4413: gives up the largest message in flight and goes on with the others", async () => {
  const made = await open({ chats: [{ chat_id: "cht_1", head_seq: 0 }, { chat_id: "cht_2", head_seq: 0 }] });
  const large = made.chat.send("cht_1", "x".repeat(3000));
  const small = made.chat.send("cht_2", "y");
  await made.server.end(4413);
  await assert.rejects(large.acked, { code: "too_large" });
  assert.equal(large.entry.status, "failed");
  await returns(made, 7000);
  await made.server.accept();
  assert.deepEqual(made.server.of("message.send").map(({ client_message_id: id }) => id), [small.entry.key]);
});

test("a message that cannot fit a frame is not sent, and does not stop the next", async () => {
  const made = await open();
  const large = made.chat.send("cht_1", "\u{1F600}".repeat(5000));
  const next = made.chat.send("cht_1", "y");
  await assert.rejects(large.acked, { code: "too_large" });
  assert.deepEqual(made.server.of("message.send").map(({ client_message_id: id }) => id), [next.entry.key]);
});

test("4429: is silent for half a minute, even where the network comes back", async () => {
  chance(0);
  const made = await open();
  await made.server.end(4429);
  await pass(10_000);
  page.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(made.server.sockets.length, 1);
  assert.equal(await returns(made, 31_000), 20_000);
});

test("4503: comes back when the drain said, not before", async () => {
  chance(0.5);
  const made = await open();
  await made.server.say({ type: "system.drain", reconnect_after_ms: 7300 });
  await made.server.end(4503);
  page.dispatchEvent(new Event("online"));
  assert.equal(await returns(made, 10_000), 7300);
});

test("4503: a server that drains each time and says to come back at once is asked ever more slowly", async () => {
  chance(0.999);
  const made = await open();
  const waits = [];
  for (let i = 0; i < 6; i++) {
    await made.server.say({ type: "system.drain", reconnect_after_ms: 0 });
    await made.server.end(4503);
    waits.push(await returns(made, 31_000));
    await made.server.accept();
  }
  assert.deepEqual(waits.map((ms) => Math.round(ms / 1000)), [0, 1, 2, 4, 8, 16]);
});

test("4503: where the drain said nothing, comes back within some seconds", async () => {
  chance(0.5);
  const made = await open();
  await made.server.end(4503);
  assert.equal(await returns(made, 6000), 2500);
});

test("4508: resumes with since from what was shown", async () => {
  const made = await open();
  await made.server.say(message(1), message(2));
  await made.server.end(4508);
  await returns(made, 2000);
  assert.deepEqual((await made.server.accept({ chats: [{ chat_id: "cht_1", head_seq: 5 }] })).since, { cht_1: 2 });
});

// ------------------------------------------------------------------------------------------------ the log

test("since names what every handler has seen, and nothing that a page died in the middle of", async () => {
  const made = await client({ since: { cht_1: 4 } });
  const during = [];
  made.chat.on("message.new", () => during.push(made.chat.positions.get("cht_1")));
  made.chat.connect();
  assert.deepEqual((await made.server.accept({ chats: [{ chat_id: "cht_1", head_seq: 6 }] })).since, { cht_1: 4 });
  await made.server.say(message(5), message(6), { type: "sync.complete" });
  assert.deepEqual(during, [4, 5]);
  assert.equal(made.chat.positions.get("cht_1"), 6);
  assert.equal(made.heard.filter(({ type }) => type === "resumed").length, 1);
});

test("a jump of seq asks for what is missing and shows it in order, once", async () => {
  const made = await open();
  await made.server.say(message(1), message(4), message(5));
  const [ask, ...others] = made.server.of("sync");
  assert.deepEqual([ask.chat_id, ask.after_seq, others.length], ["cht_1", 1, 0]);
  await made.server.say(message(2), message(3), message(4), message(5), { type: "sync.complete", re: ask.id, chat_id: "cht_1", head_seq: 5 }, message(5), message(6));
  assert.deepEqual(made.heard.filter(({ type }) => type === "message.new").map(({ seq }) => seq), [1, 2, 3, 4, 5, 6]);
});

test("a log that cannot be followed is said to be stale, and goes on from its head", async () => {
  const made = await open();
  await made.server.say(message(1), message(9));
  const [ask] = made.server.of("sync");
  await made.server.say({ type: "sync.complete", re: ask.id, chat_id: "cht_1", head_seq: 9 });
  await made.server.say(message(10));
  assert.deepEqual(made.heard.filter(({ type }) => ["stale", "message.new"].includes(type)).map(({ type, seq }) => seq ?? type), [1, "stale", 10]);
});

test("chat.reset moves the position to its head", async () => {
  const made = await open({ since: { cht_1: 3 }, chats: [{ chat_id: "cht_1", head_seq: 9000 }] });
  await made.server.say({ type: "chat.reset", chat_id: "cht_1", head_seq: 9000, messages: [] }, { type: "sync.complete" }, message(9001));
  assert.equal(made.chat.positions.get("cht_1"), 9001);
  assert.equal(made.server.of("sync").length, 0);
});

test("a replay that ends before the head is asked for the rest", async () => {
  const made = await open({ since: { cht_1: 3 }, chats: [{ chat_id: "cht_1", head_seq: 6 }] });
  await made.server.say(message(4), { type: "sync.complete" });
  assert.deepEqual(made.server.of("sync").map(({ after_seq: after }) => after), [4]);
});

test("a server whose log is an older one is believed", async () => {
  const made = await open({ since: { cht_1: 50 }, chats: [{ chat_id: "cht_1", head_seq: 40 }] });
  assert.equal(made.heard.filter(({ type }) => type === "stale").length, 1);
  await made.server.say(message(41));
  assert.equal(made.chat.positions.get("cht_1"), 41);
});

test("a chat that was left meanwhile is told", async () => {
  const made = await open({ since: { cht_1: 3, cht_2: 9 }, chats: [{ chat_id: "cht_1", head_seq: 3 }] });
  assert.deepEqual(made.heard.filter(({ type }) => type === "chat.left").map(({ chat_id: id }) => id), ["cht_2"]);
  assert.deepEqual([...made.chat.positions.keys()], ["cht_1"]);
});

test("a handler that fails stops neither the log nor the others", async () => {
  const made = await open();
  const errors = [];
  globalThis.reportError = (error) => errors.push(error.message);
  made.chat.on("message.new", () => { throw new Error("a defect"); });
  await made.server.say(message(1), message(2));
  assert.deepEqual(errors, ["a defect", "a defect"]);
  assert.equal(made.heard.filter(({ type }) => type === "message.new").length, 2);
});

// --------------------------------------------------------------------------------------------- the outbox

test("a message goes again under the same id until its ack, over a reload too", async () => {
  const made = await open();
  const { entry } = made.chat.send("cht_1", "Hello");
  await made.server.end(1006);
  await returns(made, 2000);
  await made.server.accept();
  assert.equal(made.server.of("message.send")[0].client_message_id, entry.key);
  made.chat.close(); // the page goes
  const again = await open({ storage: made.storage });
  const [sent] = again.server.of("message.send");
  assert.deepEqual([sent.client_message_id, sent.content.text], [entry.key, "Hello"]);
  await again.server.ack(sent, { duplicate: true });
  assert.equal(again.heard.filter(({ type, status }) => type === "outbox" && status === "sent").length, 1);
  assert.equal([...Array(again.storage.length).keys()].filter((index) => again.storage.key(index).startsWith("chatd.outbox")).length, 0);
});

test("messages of a chat go one after the other, those of two chats beside each other", async () => {
  const made = await open();
  for (const [chat, text] of [["cht_1", "a"], ["cht_1", "b"], ["cht_2", "c"]]) made.chat.send(chat, text);
  const texts = () => made.server.of("message.send").map(({ content }) => content.text);
  assert.deepEqual(texts(), ["a", "c"]);
  await made.server.ack(made.server.of("message.send")[0]);
  assert.deepEqual(texts(), ["a", "c", "b"]);
});

for (const code of ["rate_limited", "unavailable"]) {
  test(`${code}: waits as long as it was told, then sends again`, async () => {
    chance(0);
    const made = await open();
    const { entry, acked } = made.chat.send("cht_1", "Hello");
    await made.server.say({ type: "error", re: entry.key, client_message_id: entry.key, code, message: "Not now", retry_after_ms: 1200 });
    await pass(1150);
    assert.equal(made.server.of("message.send").length, 1);
    await pass(100);
    assert.equal(made.server.of("message.send").length, 2);
    await made.server.ack(made.server.of("message.send")[1]);
    assert.equal((await acked).seq, 1);
  });
}

for (const code of ["conflict", "forbidden", "muted", "blocked", "validation_failed"]) {
  test(`${code}: ends the retries, visibly, and lets the next go`, async () => {
    const made = await open();
    const { entry, acked } = made.chat.send("cht_1", "Hello");
    made.chat.send("cht_1", "Next");
    await made.server.say({ type: "error", re: entry.key, client_message_id: entry.key, code, message: "No" });
    await assert.rejects(acked, { code });
    assert.equal(entry.status, "failed");
    assert.equal(made.server.of("message.send").at(-1).content.text, "Next");
    await made.server.end(1006);
    await returns(made, 2000);
    await made.server.accept();
    assert.deepEqual(made.server.of("message.send").map(({ content }) => content.text), ["Next"]);
    made.chat.outbox.retry(entry.key);
    await made.server.ack(made.server.of("message.send")[0]);
    assert.equal(made.server.of("message.send").at(-1).client_message_id, entry.key);
  });
}

test("a socket that gives no ack is left for another", async () => {
  const made = await open();
  const { entry } = made.chat.send("cht_1", "Hello");
  await pass(10_000);
  await made.server.say({ type: "pong", server_time: new Date().toISOString() });
  await pass(4_900);
  assert.equal(made.server.socket.closedWith, undefined);
  const [first] = made.server.sockets;
  await returns(made, 3000);
  assert.equal(first.closedWith, 4000);
  await made.server.accept();
  assert.equal(made.server.of("message.send")[0].client_message_id, entry.key);
});

test("what another tab has sent is not sent here", async () => {
  const made = await open();
  const first = made.chat.send("cht_1", "first");
  const { entry } = made.chat.send("cht_1", "second");
  const gone = Object.assign(new Event("storage"), { key: `chatd.outbox.${entry.key}`, newValue: null });
  page.dispatchEvent(gone);
  await made.server.ack(made.server.of("message.send")[0]);
  assert.deepEqual(made.server.of("message.send").map(({ client_message_id: id }) => id), [first.entry.key]);
  assert.equal(made.chat.outbox.list().length, 0);
});

test("a storage that is full costs the survival of a reload and nothing else", async () => {
  const full = disk();
  const made = await open({ storage: full });
  full.setItem = () => { throw new Error("QuotaExceededError"); };
  const { acked } = made.chat.send("cht_1", "Hello");
  await made.server.ack(made.server.of("message.send")[0]);
  assert.equal((await acked).seq, 1);
});

// ------------------------------------------------------------------------------------- tokens, tabs, clocks

test("two tabs renew a token once", async () => {
  const server = new Server();
  const storage = disk();
  const one = await client({ server, storage });
  const two = new Session({ url: "http://server.example", storage, fetch: server.fetch });
  const done = Promise.all([one.chat.session.refresh(), two.refresh()]);
  await pass(1000);
  const [first, second] = await done;
  assert.equal(server.calls.filter(([, path]) => path === "/api/auth/refresh").length, 1);
  assert.deepEqual([first.access_token, second.access_token], ["access 2", "access 2"]);
});

test("two tabs that both saw nobody renew a token once", async () => {
  const server = new Server();
  const storage = disk();
  const one = await client({ server, storage });
  const two = new Session({ url: "http://server.example", storage, fetch: server.fetch });
  let blind = 2; // what one process writes, another sees a little later
  const { getItem } = storage;
  storage.getItem = (key) => (key === "chatd.refreshing" && blind-- > 0 ? null : getItem(key));
  const done = Promise.all([one.chat.session.refresh(), two.refresh()]);
  await pass(1000);
  await done;
  assert.equal(server.calls.filter(([, path]) => path === "/api/auth/refresh").length, 1);
});

test("a claim of a tab that died is taken over", async () => {
  const made = await client();
  made.storage.setItem("chatd.refreshing", JSON.stringify({ mine: "gone", until: Date.now() + 20_000 }));
  const fresh = made.chat.session.refresh();
  await pass(25_000);
  assert.equal((await fresh).access_token, "access 2");
});

test("a token is renewed a minute early, on the socket too", async () => {
  const made = await open();
  for (let time = 0; time < 14.5 * 60_000; time += 20_000) {
    await pass(20_000);
    await made.server.say({ type: "pong", server_time: new Date().toISOString() });
  }
  assert.deepEqual(made.server.of("auth.refresh").map(({ token }) => token), ["access 2"]);
  assert.equal(made.server.sockets.length, 1);
});

test("another tab's log-out ends this one", async () => {
  const made = await open();
  page.dispatchEvent(Object.assign(new Event("storage"), { key: "chatd.session", newValue: null }));
  await settle();
  assert.equal(made.chat.state, "ended");
});

test("a clock that was set back by hours does not keep a dead token", async () => {
  const made = await client();
  setClock(Date.now() - 6 * 3_600_000);
  const later = new Session({ url: "http://server.example", storage: made.storage, fetch: made.server.fetch });
  for (let minute = 0; minute < 15; minute++) await pass(60_000);
  assert.equal(later.tokens.access_token, "access 2");
});

test("now() is the server's clock, whatever this device's says", async () => {
  const made = await open({ server_time: new Date(Date.now() + 3 * 3_600_000).toISOString() });
  assert.equal(made.chat.now() - Date.now(), 3 * 3_600_000);
});

// -------------------------------------------------------------------------- what a browser tells of itself

test("online: comes back at once", async () => {
  chance(0.999);
  const made = await open();
  for (let i = 0; i < 5; i++) {
    await made.server.end(1006);
    if (i < 4) await returns(made, 20_000);
  }
  page.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(made.server.sockets.length, 6);
});

test("offline: asks whether the socket lives, and leaves it where nobody answers", async () => {
  const made = await open();
  page.dispatchEvent(new Event("offline"));
  assert.equal(made.server.of("ping").length, 1);
  await made.server.say({ type: "pong", server_time: new Date().toISOString() });
  await pass(4000);
  assert.equal(made.chat.state, "open");
  page.dispatchEvent(new Event("offline"));
  await pass(3050);
  assert.equal(made.server.sockets[0].closedWith, 4000);
});

test("a page that is looked at again asks whether its socket lives, or gets one", async () => {
  const made = await open();
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(made.server.of("ping").length, 1);
  await pass(5050);
  assert.equal(made.server.sockets[0].closedWith, 4000);
  document.dispatchEvent(new Event("visibilitychange"));
  await settle();
  assert.equal(made.server.sockets.length, 2);
});

test("a silence longer than the heartbeat is asked about", async () => {
  const made = await open();
  await pass(25_000);
  assert.equal(made.server.of("ping").length, 1);
  await returns(made, 12_000);
  assert.equal(made.server.sockets[0].closedWith, 4000);
});

test("a server that does not get ready is left", async () => {
  const made = await client();
  made.chat.connect();
  await returns(made, 17_000);
  assert.equal(made.server.sockets[0].closedWith, 4000);
});

test("commands in flight end with the socket, and are not repeated", async () => {
  const made = await open();
  const command = made.chat.command("reaction.add", { chat_id: "cht_1", message_id: "msg_1", emoji: "x" });
  const ended = assert.rejects(command, (error) => error instanceof ChatdError && error.code === "closed");
  await settle();
  await made.server.end(1006);
  await ended;
  await returns(made, 2000);
  await made.server.accept();
  assert.equal(made.server.of("reaction.add").length, 0);
});

const run = tests.get(process.argv[3]);
if (!run) throw new Error(`no such case: ${process.argv[3]}`);
await run();
process.exit(0);
