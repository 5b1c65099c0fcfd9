/**
 * Two reference clients of one chat, under Node, over a wire that is pulled again and again:
 * `node talk.mjs CHATD_JS URL COUNT`. Ends with 0 where each saw the whole log once, in order, and every
 * message was acked; says on stdout when it is connected, sent and done.
 */

import assert from "node:assert/strict";

const [, , path, url, count] = process.argv;
const { Chatd, MemoryStorage } = await import(path);
const WAIT_MS = 100_000;

async function client(name) {
  const made = new Chatd({ url, storage: new MemoryStorage(), client: "test" });
  await made.session.register(`${name}-${process.pid}@example.com`, "correct horse", name);
  return made;
}

/** Until `fits()` is true, looked at with every event. */
function until(who, fits, what) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} never came true`)), WAIT_MS);
    const look = () => { if (fits()) { clearTimeout(timer); off(); resolve(); } };
    const off = who.on("*", look);
    look();
  });
}

const [ann, bob] = [await client("ann"), await client("bob")];
const chat = await ann.rest("POST", "/chats", { type: "group", member_ids: [bob.user.id] });
const logs = new Map([ann, bob].map((who) => [who, []]));
for (const who of [ann, bob]) {
  for (const type of ["message.new", "message.update", "message.delete"]) {
    who.on(type, (event) => logs.get(who).push(event));
  }
  who.on("stale", () => assert.fail("a log could not be followed"));
  who.connect();
  await who.opened();
}
assert.deepEqual([...ann.positions], [[chat.id, 0]]);
console.log("connected");

const acks = [];
for (let i = 0; i < Number(count); i++) {
  for (const who of [ann, bob]) acks.push(who.send(chat.id, `${who.user.display_name} ${i}`).acked);
  await new Promise((resolve) => setTimeout(resolve, 20));
}
const seqs = (await Promise.all(acks)).map((ack) => ack.seq);
console.log("sent");

const total = 2 * Number(count);
assert.deepEqual([...seqs].sort((a, b) => a - b), Array.from({ length: total }, (_, i) => i + 1));
for (const who of [ann, bob]) {
  await until(who, () => logs.get(who).length >= total, "the whole log");
  assert.deepEqual(logs.get(who).map((event) => event.seq), Array.from({ length: total }, (_, i) => i + 1));
  // Each one's own words stand in the order in which they were said.
  const own = logs.get(who).filter(({ message }) => message.sender_id === who.user.id).map(({ message }) => message.content.text);
  assert.deepEqual(own, Array.from({ length: Number(count) }, (_, i) => `${who.user.display_name} ${i}`));
  assert.equal(who.outbox.list().length, 0);
}

const last = logs.get(bob).at(-1).message;
const seen = new Promise((resolve) => ann.on("delivery.read", (event) => { if (event.user_id === bob.user.id) resolve(event); }));
bob.read(chat.id, last);
assert.equal((await seen).last_read_seq, total);

await assert.rejects(ann.send(chat.id, "").acked, { code: "validation_failed" });
await assert.rejects(ann.command("message.delete", { chat_id: chat.id, message_id: chat.id }), { code: "validation_failed" });
ann.close();
await assert.rejects(ann.command("ping"), { code: "closed" });

const ended = new Promise((resolve) => bob.on("state", ({ state }) => { if (state === "ended") resolve(); }));
await bob.session.logout();
await ended;
assert.equal(bob.user, null);
console.log("done");
process.exit(0);
