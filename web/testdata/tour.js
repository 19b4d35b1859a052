// What tour_test.go has the client do with a node: once everything that the other tests
// know from a fake only. It fails by itself.
import assert from "node:assert/strict";
import { connect, EddaError } from "../edda.js";

const url = process.argv[2];
const event = (target, type) => new Promise((resolve) => target.addEventListener(type, (e) => resolve(e.detail), { once: true }));
const failed = (reason) => (err) => err instanceof EddaError && err.reason === reason;
const said = (m) => [m.principal, m.type, m.data];

const until = async (holds) => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
};

const ada = connect({ url, token: "ada" });
assert.deepEqual(await event(ada, "open"), { principal: "ada" });

// Calls: JSON, bytes, an acknowledgement, a refusal, cancellation.
let acked;
const reply = await ada.call("echo", "it", { a: [1, null, "ö"] }, { onAck: (a) => (acked = a) });
assert.deepEqual([reply.status, reply.data, reply.id, reply.replayed], [200, { a: [1, null, "ö"] }, acked.id, false]);
assert.deepEqual((await ada.call("echo", "it", Uint8Array.of(0, 255))).data, Uint8Array.of(0, 255));
assert.equal((await ada.call("echo", "it", "text")).data, "text");
assert.equal((await ada.call("users", "login", { email: "a@x" }, { key: "u1" })).status, 403);
await assert.rejects(ada.call("nobody", "x"), failed("NO_SERVICE"));
await assert.rejects(ada.call("slow", "it", { ms: 60_000 }, { signal: AbortSignal.timeout(100) }), failed("CANCELLED"));
await assert.rejects(ada.call("slow", "it", { ms: 500 }, { timeout: 100 }), failed("TIMEOUT"));

// The same id, and the same key, count once.
const first = await ada.append("log", "line", 1, { id: "once" });
assert.deepEqual(await ada.append("log", "line", 1, { id: "once" }).then(({ offset, replayed }) => [offset, replayed]), [first.offset, true]);
for (const want of [1, 1]) assert.equal((await ada.call("counter", "add", { n: 1 }, { key: "k", idempotencyKey: "same" })).data.value, want);

// A channel, and who is there.
const presence = [];
const heard = [];
const room = ada.subscribe({ channel: "room", onPresence: (p) => presence.push([p.principal, p.joined]) }, (m) => heard.push(said(m)));
await room.ready;
let asked = 0;
const bob = connect({ url, token: () => `bob ${++asked}`, minDelay: 10 });
const none = bob.subscribe({ channel: "none" });
await assert.rejects(none.ready, failed("NO_CHANNEL"));
const bobs = [];
let wake = () => {};
const twice = bob.subscribe({ channel: "room", patterns: ["greeting.:how", "bye"], lifespan: "ephemeral", onEnd: () => wake() }, (m) => bobs.push(said(m)));
await twice.ready;
await ada.publish("room", "greeting.loud", "HELLO");
await ada.publish("room", "greeting.soft", "hello"); // its pattern is used up
await ada.publish("room", "bye", new Date(0));
if (twice.patterns.length > 0) await new Promise((resolve) => (wake = resolve));
assert.deepEqual(bobs, [["ada", "greeting.loud", "HELLO"], ["ada", "bye", "1970-01-01T00:00:00.000Z"]]);
await until(() => heard.length === 3);
assert.deepEqual(heard.map((m) => m[2]), ["HELLO", "hello", "1970-01-01T00:00:00.000Z"]);

// Bob's credentials end now and then. Nothing of what he does is lost.
for (let i = 0; asked < 4; i++) assert.equal((await bob.call("counter", "add", { n: 1 }, { key: "bob" })).data.value, i + 1);
bob.close();
await until(() => presence.some(([who, joined]) => who === "bob" && !joined));
assert.deepEqual(presence.slice(0, 3), [["ada", true], ["bob", true], ["bob", false]]);
assert.deepEqual(room.present.map((p) => p.principal), ["ada"]);

// To go on from a point, later and elsewhere; and from one whose messages are gone.
const point = room.from;
await ada.publish("room", "more", 4);
const again = ada.subscribe({ channel: "room", from: point });
for await (const m of again) {
  assert.equal(m.data, 4);
  break;
}
await Promise.all(Array.from({ length: 1100 }, (_, i) => ada.publish("room", "many", i))); // more than a node has at hand
const gap = await new Promise((resolve) => ada.subscribe({ channel: "room", from: point, onGap: () => resolve(true) }, (m) => resolve(m.data)));
assert.equal(gap, true);

// Who may not is told so, and the rest goes on.
const events = [];
ada.addEventListener("close", (e) => events.push(e.detail.again));
await assert.rejects(ada.call("flaky", "x", {}, { key: "k" }), failed("NOT_ALLOWED"));
assert.equal((await ada.call("echo", "it", 1)).data, 1);
ada.close();
const eve = connect({ url, token: "?" });
await assert.rejects(eve.call("echo", "it"), failed("NO_CREDENTIALS"));
assert.equal(eve.state, "closed");
process.stdout.write("ok", () => process.exit());
