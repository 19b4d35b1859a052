import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { EddaError, connect } from "./edda.js";

// Node is the fake of a node: a constructor of WebSockets that a test answers by hand.
class Node {
  sockets = [];
  constructor() {
    const node = this;
    this.WebSocket = class {
      sent = [];
      constructor(url, protocol) {
        Object.assign(this, { url, protocol });
        node.sockets.push(this);
      }
      send(text) {
        assert.equal(this.closed, undefined, "sent over a closed connection");
        this.sent.push(JSON.parse(text));
      }
      close(code) {
        this.closed = code;
      }
      open() {
        this.onopen?.({});
        return this;
      }
      says(frame) {
        this.onmessage?.({ data: JSON.stringify(frame) });
      }
      breaks(code = 1006, reason = "") {
        this.onclose?.({ code, reason });
      }
      // last returns the last frame of an op.
      last(op) {
        return this.sent.findLast((f) => f.op === op);
      }
    };
  }
  get socket() {
    return this.sockets.at(-1);
  }
}

const node = () => new Node();
const clients = [];

function client(n, options) {
  const c = connect({ url: "http://node:7400", WebSocket: n.WebSocket, ...options });
  c.errors = [];
  c.addEventListener("error", (e) => c.errors.push(e.detail));
  clients.push(c);
  return c;
}

// next makes the next connection, after a lost one.
function next(n) {
  const before = n.sockets.length;
  mock.timers.tick(10_000);
  assert.equal(n.sockets.length, before + 1, "connections");
  return n.socket.open();
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const reason = (want) => (err) => err instanceof EddaError && err.reason === want;

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] }));
afterEach(() => {
  for (const c of clients.splice(0)) c.close();
  mock.timers.reset();
});

test("where it connects to", () => {
  for (const [options, want] of [
    [{}, "ws://node:7400/v1/live"],
    [{ namespace: "a/b" }, "ws://node:7400/v1/ns/a%2Fb/live"],
    [{ url: "https://node/edda/" }, "wss://node/edda/v1/live"],
    [{ url: new URL("wss://node") }, "wss://node/v1/live"],
  ]) {
    const n = node();
    client(n, options);
    assert.equal(n.socket.url, want);
    assert.equal(n.socket.protocol, "edda.v1.json");
  }
  assert.throws(() => connect({ WebSocket: node().WebSocket }), /say where the node is/);
  for (const url of ["localhost:7400", "127.0.0.1:7400", "http://", "ftp://node"]) {
    assert.throws(() => connect({ url, WebSocket: node().WebSocket }), /the url is ".*", must be such as http:/, url);
  }
});

test("an error that nobody listens for is written to the console", (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const n = node();
  const c = connect({ url: "http://node:7400", WebSocket: n.WebSocket });
  clients.push(c);
  n.socket.breaks();
  assert.deepEqual(warn.mock.calls.map((w) => w.arguments), [["EddaError: UNREACHABLE: the connection was closed: 1006"]]);
  c.addEventListener("error", () => {});
  next(n).breaks();
  assert.equal(warn.mock.callCount(), 1);
});

test("an error before the connection opens is the end of it", () => {
  const n = node();
  const c = client(n);
  n.socket.onerror({ message: "refused" });
  assert.deepEqual(c.errors.map(String), ["EddaError: UNREACHABLE: refused"]);
  mock.timers.tick(100);
  assert.equal(n.sockets.length, 2);
  n.socket.onerror({}); // as browsers say it, which close the connection next
  n.socket.breaks();
  assert.deepEqual(c.errors.map((e) => e.detail), ["refused", "there is no connection"]);
  next(n);
  n.socket.onerror({});
  n.socket.breaks(1012, "the node stops");
  assert.equal(c.errors.at(-1).detail, "the connection was closed: 1012 the node stops");
});

test("a call is acknowledged and answered", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const acks = [];
  const reply = c.call("users", "login", { email: "a@x" }, { key: "u1", headers: { "X-A": "1" }, onAck: (a) => acks.push(a) });
  const { ref, idempotencyKey, ...frame } = n.socket.last("call");
  assert.deepEqual(frame, { op: "call", service: "users", key: "u1", method: "login", headers: { "X-A": "1" }, data: { email: "a@x" } });
  assert.match(idempotencyKey, /^[0-9a-f]{32}$/);
  n.socket.says({ op: "ack", ref, id: "r1", position: "1-2" });
  n.socket.says({ op: "reply", ref, status: 403, headers: { "X-B": "2" }, contentType: "text/plain", data: "forbidden", attempts: 1 });
  assert.deepEqual(await reply, {
    id: "r1", status: 403, headers: { "X-B": "2" }, contentType: "text/plain", data: "forbidden", attempts: 1, replayed: false,
  });
  assert.deepEqual(acks, [{ id: "r1", position: "1-2" }]);
});

test("bytes go in base64 and come back", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const data = Uint8Array.from({ length: 100_000 }, (_, i) => i);
  const reply = c.call("echo", "it", data);
  const { ref, dataBase64, contentType } = n.socket.last("call");
  assert.equal(contentType, "application/octet-stream");
  n.socket.says({ op: "reply", ref, status: 200, contentType, dataBase64 });
  assert.deepEqual((await reply).data, data);
});

test("a refusal is an error with code, reason and detail", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const reply = c.call("nobody", "x");
  n.socket.says({ op: "error", ref: n.socket.last("call").ref, code: "unavailable", reason: "NO_SERVICE", detail: "nobody is not registered" });
  await assert.rejects(reply, { name: "EddaError", code: "unavailable", reason: "NO_SERVICE", detail: "nobody is not registered", message: "NO_SERVICE: nobody is not registered" });
});

test("what is said before there is a connection is sent with it, after the token", async () => {
  const n = node();
  const c = client(n, { token: async () => "t1" });
  c.call("a", "b").catch(() => {});
  await turn();
  n.socket.open();
  assert.deepEqual(n.socket.sent, [{ op: "auth", token: "t1" }]);
  n.socket.says({ op: "authenticated", principal: "ada" });
  assert.equal(n.socket.sent[1].op, "call");
  assert.equal(c.principal, "ada");
  assert.equal(c.state, "open");
});

test("a lost connection: what has a key is repeated as it was, the rest is unknown", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const acks = [];
  const first = c.call("a", "first", { n: 1 }, { onAck: (a) => acks.push(a.id) });
  const append = c.append("log", "line", "text");
  const bare = c.call("a", "bare", null, { idempotencyKey: null });
  const publish = c.publish("room", "said", {}, { id: null });
  const before = n.socket.sent.slice(0, 2);
  n.socket.says({ op: "ack", ref: before[0].ref, id: "r1", position: "1" });
  n.socket.breaks();
  await assert.rejects(bare, reason("OUTCOME_UNKNOWN"));
  await assert.rejects(publish, reason("OUTCOME_UNKNOWN"));
  const later = c.publish("room", "said", {}, { id: null });
  next(n);
  assert.deepEqual(n.socket.sent.slice(0, 2), before);
  assert.equal(n.socket.sent[2].op, "publish", "what was never sent is sent");
  assert.equal(n.socket.sent.length, 3);
  n.socket.says({ op: "ack", ref: before[0].ref, id: "r1", position: "1" });
  n.socket.says({ op: "reply", ref: before[0].ref, status: 200, data: 7 });
  n.socket.says({ op: "ack", ref: before[1].ref, id: before[1].id, shard: "default", offset: 4, position: "2" });
  n.socket.says({ op: "ack", ref: n.socket.sent[2].ref, id: "p", position: "3" });
  assert.equal((await first).data, 7);
  assert.deepEqual(await append, { id: before[1].id, shard: "default", offset: 4, position: "2" });
  assert.deepEqual(await later, { id: "p", position: "3" });
  assert.deepEqual(acks, ["r1"]);
});

// subscribed answers the last subscribe, and returns what sends messages with the numbers.
function subscribed(n, frame = {}) {
  const { ref, patterns, from } = n.socket.last("subscribe");
  n.socket.says({ op: "subscribed", ref, patterns, from: from ?? "p0", ...frame });
  return (...numbers) => {
    for (const i of numbers) n.socket.says({ op: "message", ref, shard: "default", offset: i, id: `m${i}`, type: "said", data: i, from: `p${i}` });
  };
}

test("a subscription goes on from its last message, without a gap or a repeat", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const got = [];
  const sub = c.subscribe({ channel: "room", patterns: ["said"] }, (m) => got.push(m.data));
  assert.deepEqual(n.socket.last("subscribe"), { op: "subscribe", channel: "room", patterns: ["said"], lifespan: "eternal", credit: 256, ref: 1 });
  subscribed(n)(1, 2);
  assert.equal(await sub.ready, sub);
  n.socket.breaks();
  assert.equal(c.state, "connecting");
  next(n);
  assert.equal(n.socket.last("subscribe").from, "p2");
  subscribed(n)(3);
  assert.deepEqual(got, [1, 2, 3]);
  assert.equal(sub.from, "p3");
});

test("a subscription without a message goes on from where it was accepted", () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  c.subscribe({ stream: "log" }, () => {});
  n.socket.breaks(); // before it was accepted: it begins at the end, then
  next(n);
  assert.equal(n.socket.last("subscribe").from, undefined);
  subscribed(n);
  n.socket.breaks();
  next(n);
  assert.equal(n.socket.last("subscribe").from, "p0");
});

test("messages wait for the handler's promise, and credit for them", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const got = [];
  let done;
  const sub = c.subscribe({ channel: "room", window: 4 }, (m) => {
    got.push(m.data);
    return new Promise((resolve) => (done = resolve));
  });
  const send = subscribed(n);
  assert.equal(n.socket.last("subscribe").credit, 4);
  send(1, 2, 3, 4);
  assert.deepEqual(got, [1]);
  assert.equal(sub.from, "p0");
  done();
  await turn();
  assert.deepEqual(got, [1, 2]);
  assert.equal(sub.from, "p1");
  assert.equal(n.socket.last("credit"), undefined);
  done();
  await turn();
  assert.deepEqual(n.socket.last("credit"), { op: "credit", n: 2, ref: 1 });
  // What has come is not asked for again, though it is not handled yet.
  n.socket.breaks();
  next(n);
  assert.equal(n.socket.last("subscribe").from, "p4");
  assert.equal(n.socket.last("subscribe").credit, 3);
  subscribed(n)(5);
  for (let i = 0; i < 3; i++) {
    done();
    await turn();
  }
  assert.deepEqual(got, [1, 2, 3, 4, 5]);
});

test("a handler that fails gets the next message all the same", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const thrown = [];
  mock.method(globalThis, "queueMicrotask", (f) => assert.throws(f, (err) => Boolean(thrown.push(err.message))));
  const got = [];
  c.subscribe({ channel: "room" }, (m) => {
    got.push(m.data);
    if (m.data === 1) throw new Error("at once");
    if (m.data === 2) return Promise.reject(new Error("later"));
  });
  subscribed(n)(1, 2, 3);
  await turn();
  mock.restoreAll();
  assert.deepEqual(got, [1, 2, 3]);
  assert.deepEqual(thrown, ["at once", "later"]);
});

test("a loop over the messages; who leaves it has unsubscribed", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const sub = c.subscribe({ stream: "log" });
  const got = [];
  const loop = (async () => {
    for await (const m of sub) {
      got.push(m.data);
      if (m.data === 3) break;
    }
  })();
  subscribed(n)(1, 2);
  await turn();
  subscribed(n)(3, 4);
  await loop;
  assert.deepEqual(got, [1, 2, 3]);
  assert.deepEqual(n.socket.sent.at(-1), { op: "unsubscribe", ref: 1 });
  assert.equal(sub.from, "p2", "the loop was left over the third");
  subscribed(n)(5); // still on its way
  n.socket.breaks();
  next(n);
  assert.deepEqual(n.socket.sent, [], "nothing is subscribed to any more");
  await assert.rejects(sub[Symbol.asyncIterator]().next(), TypeError);
});

test("an ephemeral message counts when its pattern is used up, and only then", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const got = [];
  let ended = 0;
  const sub = c.subscribe({ channel: "room", patterns: ["a", "b"], lifespan: "ephemeral", onEnd: () => ended++ }, (m) => got.push(m.data));
  subscribed(n)(1);
  assert.deepEqual(got, []);
  n.socket.breaks();
  next(n);
  assert.equal(n.socket.last("subscribe").from, "p0");
  assert.deepEqual(n.socket.last("subscribe").patterns, ["a", "b"]);
  subscribed(n)(1);
  n.socket.says({ op: "unsubscribed", ref: 1, patterns: ["b"] });
  assert.deepEqual(got, [1]);
  assert.deepEqual(sub.patterns, ["b"]);
  n.socket.breaks();
  next(n);
  assert.deepEqual(n.socket.last("subscribe").patterns, ["b"]);
  subscribed(n)(2);
  n.socket.says({ op: "unsubscribed", ref: 1, patterns: [] });
  assert.deepEqual(got, [1, 2]);
  assert.equal(ended, 1);
});

test("unsubscribe gives up patterns, and at last the subscription", () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const sub = c.subscribe({ channel: "room", patterns: ["a", "b"] }, () => {});
  subscribed(n);
  sub.unsubscribe("a");
  assert.deepEqual(n.socket.last("unsubscribe"), { op: "unsubscribe", patterns: ["a"], ref: 1 });
  n.socket.says({ op: "unsubscribed", ref: 1, patterns: ["b"] });
  sub.unsubscribe("b");
  assert.deepEqual(n.socket.last("unsubscribe"), { op: "unsubscribe", ref: 1 });
  sub.unsubscribe();
  assert.equal(n.socket.sent.filter((f) => f.op === "unsubscribe").length, 2);
});

test("who is there, also after a connection over which nobody could be told", () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const told = [];
  const sub = c.subscribe({ channel: "room", onPresence: (p, s) => told.push([p.principal, p.joined, s.present.length]) }, () => {});
  assert.deepEqual(n.socket.sent.map((f) => [f.op, f.ref, f.presence]), [["subscribe", 1, true], ["ping", 1, undefined]]);
  const says = (op, ...principals) => principals.forEach((principal) => n.socket.says({ op, ref: 1, principal, since: "2026-01-02T15:04:05Z" }));
  subscribed(n);
  says("join", "ada", "bob");
  n.socket.says({ op: "pong", ref: 1 });
  says("leave", "bob");
  says("join", "eve");
  assert.deepEqual(told.splice(0), [["ada", true, 1], ["bob", true, 2], ["bob", false, 1], ["eve", true, 2]]);
  n.socket.breaks();
  next(n);
  subscribed(n);
  says("join", "bob", "ada");
  assert.deepEqual(told.splice(0), [["bob", true, 3]]);
  n.socket.says({ op: "pong", ref: 1 });
  assert.deepEqual(told, [["eve", false, 2]]);
  assert.deepEqual(sub.present, [{ principal: "ada", since: "2026-01-02T15:04:05Z" }, { principal: "bob", since: "2026-01-02T15:04:05Z" }]);
});

test("a gap is told between the messages", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const got = [];
  c.subscribe({ channel: "room", from: "old", onGap: () => got.push("gap") }, async (m) => got.push(m.data));
  subscribed(n)(1);
  n.socket.breaks();
  next(n);
  const send = subscribed(n, { gap: true, from: "p7" });
  send(8);
  n.socket.says({ op: "gap", ref: 1 }); // of what waited for credit
  send(20);
  await turn();
  assert.deepEqual(got, [1, "gap", 8, "gap", 20]);
});

test("a subscription that is refused ends; one that is in trouble goes on", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const ends = [];
  const sub = c.subscribe({ channel: "none", onEnd: (err) => ends.push(err?.reason) }, () => {});
  const no = { op: "error", ref: 1, code: "not_found", reason: "NO_CHANNEL", detail: "none" };
  n.socket.says(no);
  await assert.rejects(sub.ready, reason("NO_CHANNEL"));
  assert.deepEqual(ends, ["NO_CHANNEL"]);
  assert.deepEqual(c.errors.map((e) => e.reason), ["NO_CHANNEL"]);

  const loop = c.subscribe({ channel: "room" });
  subscribed(n)(1);
  const { ref } = n.socket.last("subscribe");
  n.socket.says({ op: "error", ref, code: "unavailable", reason: "DRAINING" });
  mock.timers.tick(1_000);
  assert.equal(n.socket.sent.filter((f) => f.op === "subscribe").length, 3);
  assert.equal(n.socket.last("subscribe").from, "p1");
  n.socket.says({ op: "error", ref, code: "resource_exhausted", reason: "SLOW" });
  n.socket.breaks(1013);
  next(n);
  assert.equal(n.socket.last("subscribe").from, "p1");
  n.socket.says({ ...no, ref });
  const got = [];
  await assert.rejects(async () => {
    for await (const m of loop) got.push(m.data);
  }, reason("NO_CHANNEL"));
  assert.deepEqual(got, [1], "what has come is handled before");
});

test("a drain: what goes on is answered, what is new waits for the next connection", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const old = c.call("a", "old");
  n.socket.says({ op: "drain" });
  const late = c.call("a", "late");
  assert.equal(n.socket.sent.length, 1);
  n.socket.says({ op: "reply", ref: n.socket.sent[0].ref, status: 200 });
  assert.equal((await old).status, 200);
  n.socket.breaks(1012);
  next(n);
  assert.equal(n.socket.sent.length, 1);
  n.socket.says({ op: "reply", ref: n.socket.sent[0].ref, status: 201 });
  assert.equal((await late).status, 201);
});

test("an unknown outcome is asked for again, with the same key", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const kept = c.call("a", "kept");
  const bare = c.call("a", "bare", 0, { idempotencyKey: null });
  const [first, second] = n.socket.sent;
  for (const { ref } of [first, second]) n.socket.says({ op: "error", ref, code: "unavailable", reason: "OUTCOME_UNKNOWN" });
  await assert.rejects(bare, reason("OUTCOME_UNKNOWN"));
  mock.timers.tick(1_000);
  assert.deepEqual(n.socket.sent.slice(2), [first]);
  n.socket.says({ op: "error", ref: first.ref, code: "unavailable", reason: "DRAINING" });
  n.socket.breaks();
  next(n);
  mock.timers.tick(1_000);
  assert.deepEqual(n.socket.sent, [first], "once over each connection");
  n.socket.says({ op: "reply", ref: first.ref, status: 200 });
  assert.equal((await kept).status, 200);
});

test("no more requests at a time than a node takes, and in order", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const all = Array.from({ length: 450 }, (_, i) => c.append("log", "line", i));
  assert.equal(n.socket.sent.length, 200);
  const answer = ({ ref, data }) => n.socket.says({ op: "ack", ref, offset: data });
  n.socket.sent.slice(0, 100).forEach(answer);
  assert.equal(n.socket.sent.length, 300);
  n.socket.breaks();
  next(n);
  for (let i = 0; i < n.socket.sent.length; i++) answer(n.socket.sent[i]);
  assert.deepEqual(n.socket.sent.map((f) => f.data), Array.from({ length: 350 }, (_, i) => 100 + i));
  assert.deepEqual((await Promise.all(all)).map((a) => a.offset), Array.from({ length: 450 }, (_, i) => i));
});

test("timeouts", async () => {
  const n = node();
  const c = client(n);
  const unsent = c.call("a", "b", 0, { timeout: 500 });
  mock.timers.tick(500);
  await assert.rejects(unsent, { code: "deadline_exceeded", reason: "TIMEOUT", detail: "it could not be sent within 500 ms" });
  n.socket.open();
  const call = c.call("a", "b");
  const append = c.append("log", "x");
  const patient = c.call("a", "b", 0, { timeout: 0 });
  const { ref } = n.socket.last("call");
  for (let i = 0; i < 3; i++) {
    mock.timers.tick(10_000);
    n.socket.says({ op: "pong" });
  }
  await assert.rejects(call, { reason: "TIMEOUT", detail: "there was no answer within 30000 ms; the request goes on" });
  await assert.rejects(append, reason("OUTCOME_UNKNOWN"));
  n.socket.says({ op: "reply", ref, status: 200 });
  assert.equal((await patient).status, 200);
  const away = c.call("a", "b");
  n.socket.breaks();
  mock.timers.tick(30_000);
  await assert.rejects(away, { reason: "TIMEOUT", detail: "there was no answer within 30000 ms; the request goes on" });
});

test("a signal ends the wait, and cancels the call", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const abort = new AbortController();
  const call = c.call("a", "b", 0, { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(call, (err) => err.reason === "CANCELLED" && err.cause.message === "enough");
  const { ref } = n.socket.sent[0];
  assert.deepEqual(n.socket.sent[1], { op: "cancel", ref });
  n.socket.says({ op: "error", ref, code: "canceled", reason: "CANCELLED" }); // nobody waits for it
  await assert.rejects(c.call("a", "b", 0, { signal: abort.signal }), reason("CANCELLED"));
  assert.equal(n.socket.sent.length, 2);
  assert.deepEqual(c.errors, []);
});

test("it waits longer each time, at most maxDelay, and by chance", () => {
  const n = node();
  client(n, { minDelay: 100, maxDelay: 1_000 });
  mock.method(Math, "random", () => 1);
  for (const wait of [100, 200, 400, 800, 1_000, 1_000]) {
    const before = n.sockets.length;
    n.socket.breaks();
    mock.timers.tick(wait - 1);
    assert.equal(n.sockets.length, before, `before ${wait} ms`);
    mock.timers.tick(1);
    assert.equal(n.sockets.length, before + 1, `after ${wait} ms`);
  }
  mock.method(Math, "random", () => 0);
  n.socket.open();
  mock.timers.tick(10_000); // it holds
  const before = n.sockets.length;
  n.socket.breaks();
  mock.timers.tick(50);
  assert.equal(n.sockets.length, before + 1, "after 50 ms");
  mock.restoreAll();
});

test("a page that may not connect goes on trying", async () => {
  const n = node();
  let may = false;
  const c = client(n, {
    WebSocket: class extends n.WebSocket {
      constructor(...args) {
        if (!may) throw new Error("an insecure connection may not be made from a secure page");
        super(...args);
      }
    },
  });
  for (let i = 0; i < 3; i++) {
    await turn();
    mock.timers.tick(10_000);
  }
  assert.deepEqual(c.errors.map((e) => e.reason), ["UNREACHABLE", "UNREACHABLE", "UNREACHABLE"]);
  may = true;
  await turn();
  next(n);
  assert.equal(c.state, "open");
});

test("each connection has a token of its own", async () => {
  const n = node();
  let count = 0;
  const c = client(n, {
    token: () => {
      if (++count === 2) throw new Error("no");
      return `t${count}`;
    },
  });
  await turn();
  n.socket.open();
  assert.deepEqual(n.socket.sent, [{ op: "auth", token: "t1" }]);
  n.socket.says({ op: "error", code: "unauthenticated", reason: "NO_CREDENTIALS", detail: "the credentials have expired" });
  n.socket.breaks(1008);
  mock.timers.tick(10_000);
  await turn(); // the function fails
  mock.timers.tick(10_000);
  await turn();
  n.socket.open();
  assert.deepEqual(n.socket.sent, [{ op: "auth", token: "t3" }]);
  assert.deepEqual(c.errors.map((e) => e.detail), ["the credentials have expired", "the token function has failed"]);
});

test("what was refused with an old token is asked for with the next", async () => {
  const n = node();
  let count = 0;
  const c = client(n, { token: () => `t${++count}` });
  await turn();
  n.socket.open();
  n.socket.says({ op: "authenticated", principal: "ada" });
  const publish = c.publish("room", "said", {});
  const sub = c.subscribe({ channel: "room" });
  for (const { ref } of n.socket.sent.slice(1)) n.socket.says({ op: "error", ref, code: "unauthenticated", reason: "NO_CREDENTIALS", detail: "the credentials have expired" });
  n.socket.breaks(1008);
  mock.timers.tick(10_000);
  await turn();
  n.socket.open();
  n.socket.says({ op: "authenticated", principal: "ada" });
  assert.deepEqual(n.socket.sent.map((f) => f.op), ["auth", "subscribe", "publish"]);
  n.socket.says({ op: "ack", ref: n.socket.last("publish").ref, id: "p", position: "3" });
  subscribed(n);
  await Promise.all([publish, sub.ready]);
  assert.deepEqual(c.errors.map((e) => e.reason), ["NO_CREDENTIALS"]);
});

test("a token that is refused is not shown again", async () => {
  const n = node();
  const c = client(n, { token: "wrong" });
  const call = c.call("a", "b");
  const sub = c.subscribe({ channel: "room" });
  await turn();
  n.socket.open();
  n.socket.says({ op: "error", code: "unauthenticated", reason: "NO_CREDENTIALS", detail: "the credentials are not valid" });
  n.socket.breaks(1008);
  await assert.rejects(call, reason("NO_CREDENTIALS"));
  await assert.rejects(sub.ready, reason("NO_CREDENTIALS"));
  assert.equal(c.state, "closed");
  mock.timers.tick(60_000);
  assert.equal(n.sockets.length, 1);
});

test("a connection without a word is left", () => {
  const n = node();
  const c = client(n);
  mock.timers.tick(10_000); // it never opens
  assert.equal(n.socket.closed, 1000);
  const reasons = [];
  c.addEventListener("close", (e) => reasons.push(e.detail));
  next(n);
  mock.timers.tick(15_000);
  assert.deepEqual(n.socket.sent, [{ op: "ping" }]);
  n.socket.says({ op: "pong" });
  mock.timers.tick(15_000);
  mock.timers.tick(15_000);
  assert.deepEqual(n.socket.sent, [{ op: "ping" }, { op: "ping" }]);
  assert.equal(n.socket.closed, 1000);
  assert.deepEqual(reasons, [{ why: "the node has not answered a ping", again: true }]);
});

test("a request that is too large for a frame is not sent again", async () => {
  const n = node();
  const c = client(n);
  n.socket.open();
  const small = c.call("a", "small");
  const large = c.call("a", "large", "x".repeat(1000));
  n.socket.breaks(1009, "message too big");
  await assert.rejects(large, reason("TOO_LARGE"));
  next(n);
  assert.deepEqual(n.socket.sent.map((f) => f.method), ["small"]);
  n.socket.says({ op: "reply", ref: n.socket.sent[0].ref, status: 200 });
  assert.equal((await small).status, 200);
});

test("close ends everything, once", async () => {
  const n = node();
  const c = client(n);
  const events = [];
  for (const type of ["open", "close", "error"]) c.addEventListener(type, (e) => events.push(type, e.detail.why));
  n.socket.open();
  const sent = c.call("a", "b");
  const loop = c.subscribe({ channel: "room" });
  subscribed(n);
  n.socket.says({ op: "drain" });
  const unsent = c.append("log", "x");
  c.close();
  c.close();
  await assert.rejects(sent, reason("OUTCOME_UNKNOWN"));
  await assert.rejects(unsent, reason("CANCELLED"));
  for await (const m of loop) assert.fail(m);
  await assert.rejects(c.call("a", "b"), reason("CANCELLED"));
  await assert.rejects(c.subscribe({ channel: "room" }).ready, reason("CANCELLED"));
  assert.equal(n.socket.closed, 1000);
  assert.deepEqual(events, ["open", undefined, "close", "the client was closed"]);
  mock.timers.tick(60_000);
  assert.equal(n.sockets.length, 1);
});
