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
  n.socket.says({ op: "reply", ref, status: 403, headers: { "X-B": "2" }, contentType: "text/plain", data: "forbidden" });
  assert.deepEqual(await reply, { id: "r1", status: 403, headers: { "X-B": "2" }, contentType: "text/plain", data: "forbidden" });
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
  const publish = c.publish("room", "said", {});
  const before = n.socket.sent.slice(0, 2);
  n.socket.says({ op: "ack", ref: before[0].ref, id: "r1", position: "1" });
  n.socket.breaks();
  await assert.rejects(bare, reason("OUTCOME_UNKNOWN"));
  await assert.rejects(publish, reason("OUTCOME_UNKNOWN"));
  const later = c.publish("room", "said", {});
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
