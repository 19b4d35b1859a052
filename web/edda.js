// The client of Edda for browsers and Node.js: calls, appends and subscriptions over
// one WebSocket, which comes back by itself. docs/javascript.md says how to use it.

const protocol = "edda.v1.json";
const stable = 10_000; // ms after which a connection counts as one that holds
const most = 200; // requests at a time that the node has not answered; it refuses above 256

const codes = {
  CANCELLED: "canceled",
  NO_CREDENTIALS: "unauthenticated",
  OUTCOME_UNKNOWN: "unavailable",
  TIMEOUT: "deadline_exceeded",
  TOO_LARGE: "resource_exhausted",
  UNREACHABLE: "unavailable",
};

// EddaError is every error of the client. Programs branch on code and reason; detail is
// for people.
export class EddaError extends Error {
  constructor(reason, detail = "", { code = codes[reason], id, cause } = {}) {
    super(detail ? `${reason}: ${detail}` : reason, { cause });
    this.name = "EddaError";
    this.code = code;
    this.reason = reason;
    this.detail = detail;
    this.id = id;
  }
}

// connect returns a client at once. It connects, and connects again, until it is closed.
export function connect(options = {}) {
  return new Client(options);
}

class Client extends EventTarget {
  state = "connecting";
  principal = undefined;

  #options;
  #url;
  #conn; // the connection that there is, or that is being made
  #open = false; // requests and subscriptions may be sent
  #failures = 0; // since a connection held
  #heard = false; // somebody listens for errors
  #retry; // the timer of the next connection
  #ref = 0;
  #requests = new Map(); // by ref, in the order in which they were made
  #waiting = new Set(); // those that are not sent, in the same order
  #subscriptions = new Map(); // by ref

  constructor({ url, namespace, ...options }) {
    super();
    this.#options = { WebSocket: globalThis.WebSocket, minDelay: 100, maxDelay: 10_000, connectTimeout: 10_000, pingInterval: 15_000, ...options };
    if (!this.#options.WebSocket) throw new TypeError("there is no WebSocket here: give one with the option WebSocket, or run Node.js before 22 with --experimental-websocket");
    this.#url = liveURL(url, namespace);
    globalThis.addEventListener?.("online", this.#online);
    this.#connect();
  }

  // call sends a request to a service; its reply is the promise's value, whatever its status.
  call(service, method, data, { key, headers, contentType, idempotencyKey = randomId(), ...how } = {}) {
    const repeatable = idempotencyKey !== null;
    const frame = { op: "call", service, key, method, headers, ...body(data, contentType), ...(repeatable && { idempotencyKey }) };
    return this.#request(frame, { ...how, repeatable });
  }

  // append appends a message to a stream.
  append(stream, type, data, { shard, key, headers, contentType, source, replyTo, id = randomId(), ...how } = {}) {
    const repeatable = id !== null;
    const frame = { op: "append", stream, shard, type, key, source, replyTo, headers, ...body(data, contentType), ...(repeatable && { id }) };
    return this.#request(frame, { ...how, repeatable });
  }

  // publish publishes a message to a channel.
  publish(channel, type, data, { key, headers, contentType, source, replyTo, id = randomId(), ...how } = {}) {
    const repeatable = id !== null;
    const frame = { op: "publish", channel, type, key, source, replyTo, headers, ...body(data, contentType), ...(repeatable && { id }) };
    return this.#request(frame, { ...how, repeatable });
  }

  // subscribe listens to a channel or a stream.
  subscribe(what, handler) {
    const ref = ++this.#ref;
    const sub = new Subscription(what, handler, {
      send: (frame) => this.#open && this.#send({ ...frame, ref }),
      over: (error) => {
        this.#subscriptions.delete(ref);
        if (error && this.state !== "closed") this.#emit("error", error);
      },
    });
    if (this.state === "closed") {
      sub.end(closed());
      return sub;
    }
    this.#subscriptions.set(ref, sub);
    sub.begin();
    return sub;
  }

  // close ends the client, and everything that goes on.
  close() {
    this.#end("the client was closed");
  }

  #end(why, error) {
    if (this.state === "closed") return;
    this.state = "closed";
    clearTimeout(this.#retry);
    globalThis.removeEventListener?.("online", this.#online);
    this.#leave(why);
    for (const sub of [...this.#subscriptions.values()]) sub.end(error);
    for (const request of [...this.#requests.values()]) request.fail(request.tried ? new EddaError("OUTCOME_UNKNOWN", why, { cause: error }) : (error ?? closed()));
    this.#emit("close", { why, again: false });
  }

  // ---- requests

  #request(frame, { repeatable = false, onAck, timeout = 30_000, signal }) {
    if (this.state === "closed") return Promise.reject(closed());
    if (signal?.aborted) return Promise.reject(cancelled(signal));
    const ref = ++this.#ref;
    return new Promise((resolve, reject) => {
      const request = new Request(JSON.stringify({ ...frame, ref }), { call: frame.op === "call", repeatable, onAck });
      const settle = (how, value) => {
        if (!this.#requests.delete(ref)) return;
        this.#waiting.delete(request);
        clearTimeout(timer);
        clearTimeout(request.later);
        signal?.removeEventListener("abort", abort);
        how(value);
        this.#transmit();
      };
      const abort = () => {
        if (request.sent && request.call) this.#send({ op: "cancel", ref });
        const unknown = request.tried && !request.call;
        request.fail(unknown ? new EddaError("OUTCOME_UNKNOWN", "the signal was aborted", { cause: signal.reason }) : cancelled(signal));
      };
      const timer = timeout && setTimeout(() => request.fail(request.late(timeout)), Math.min(timeout, 2 ** 31 - 1));
      request.succeed = (value) => settle(resolve, value);
      request.fail = (error) => settle(reject, error);
      signal?.addEventListener("abort", abort);
      this.#requests.set(ref, request);
      this.#waiting.add(request);
      this.#transmit();
    });
  }

  // transmit sends what waits, as much as may go.
  #transmit() {
    for (const request of this.#waiting) {
      if (!this.#open || this.#requests.size - this.#waiting.size >= most) return;
      this.#waiting.delete(request);
      request.sent = request.tried = true;
      this.#conn.ws.send(request.text);
    }
  }

  // ---- the connection

  async #connect() {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const conn = (this.#conn = { since: 0, unanswered: false });
    let { token } = this.#options;
    if (typeof token === "function") {
      try {
        token = await token();
      } catch (cause) {
        this.#lost(conn, "the token function has failed", new EddaError("NO_CREDENTIALS", "the token function has failed", { cause }));
        return;
      }
      if (conn !== this.#conn) return; // the client was closed meanwhile
    }
    try {
      conn.ws = new this.#options.WebSocket(this.#url, protocol);
    } catch (cause) { // the page may not
      await undefined; // who has called connect listens then
      this.#lost(conn, cause.message, new EddaError("UNREACHABLE", cause.message, { cause }));
      return;
    }
    const { ws } = conn;
    const { connectTimeout } = this.#options;
    conn.deadline = setTimeout(() => this.#lost(conn, `there was no connection within ${connectTimeout} ms`), connectTimeout);
    ws.onopen = () => {
      conn.opened = true;
      if (token) ws.send(JSON.stringify({ op: "auth", token }));
      else this.#begin(conn);
    };
    ws.onmessage = (event) => this.#frame(conn, JSON.parse(event.data));
    ws.onclose = (event) => this.#closed(conn, event);
    // One that has opened is closed next, which says more. One that has not may not be:
    // Node.js 20 says no more of a node that is not there.
    ws.onerror = ({ message }) => conn.opened || this.#lost(conn, message || "there is no connection");
  }

  #begin(conn) {
    clearTimeout(conn.deadline);
    conn.since = Date.now();
    conn.beat = setInterval(() => this.#ping(conn), this.#options.pingInterval);
    this.#open = true;
    this.state = "open";
    for (const sub of this.#subscriptions.values()) sub.begin();
    this.#transmit();
    this.#emit("open", { principal: this.principal });
  }

  // A connection that is gone without a word is noticed by what does not come.
  #ping(conn) {
    if (conn.unanswered) {
      this.#lost(conn, "the node has not answered a ping");
      return;
    }
    conn.unanswered = true;
    this.#send({ op: "ping" });
  }

  #closed(conn, { code, reason }) {
    const why = `the connection was closed: ${code}${reason && ` ${reason}`}`;
    if (code === 1009) this.#refuseLargest(why);
    this.#lost(conn, why, conn.refused);
  }

  // What was too large would be too large again: of the requests that it may have been,
  // it was the largest.
  #refuseLargest(why) {
    const may = [...this.#requests.values()].filter((r) => r.sent && !r.acked);
    const size = Math.max(...may.map((r) => r.text.length));
    may.find((r) => r.text.length === size)?.fail(new EddaError("TOO_LARGE", why));
  }

  // lost goes from a connection to the next one.
  #lost(conn, why, error = new EddaError("UNREACHABLE", why)) {
    if (conn !== this.#conn) return;
    this.#leave(why);
    if (error === conn.refused && typeof this.#options.token !== "function") {
      this.#emit("error", error);
      this.#end(why, error); // the same token would be refused again
      return;
    }
    if (conn.since && Date.now() - conn.since >= stable) this.#failures = 0;
    const { minDelay, maxDelay } = this.#options;
    const delay = Math.min(minDelay * 2 ** this.#failures++, maxDelay) * (0.5 + Math.random() / 2);
    this.state = "connecting";
    this.#retry = setTimeout(() => this.#connect(), delay);
    if (conn.since) this.#emit("close", { why, again: true });
    this.#emit("error", error);
  }

  // leave forgets the connection, and says so to what was going on.
  #leave(why) {
    const conn = this.#conn;
    this.#conn = undefined;
    this.#open = false;
    clearTimeout(conn?.deadline);
    clearInterval(conn?.beat);
    if (conn?.ws) {
      conn.ws.onopen = conn.ws.onmessage = conn.ws.onclose = null;
      conn.ws.close(1000);
    }
    for (const sub of this.#subscriptions.values()) sub.interrupt();
    for (const request of [...this.#requests.values()]) request.interrupt(why);
    this.#waiting = new Set(this.#requests.values());
  }

  #online = () => {
    if (this.#retry) this.#connect();
  };

  #send(frame) {
    this.#conn.ws.send(JSON.stringify(frame));
    return true;
  }

  addEventListener(type, ...listener) {
    if (type === "error") this.#heard = true;
    super.addEventListener(type, ...listener);
  }

  #emit(type, detail) {
    if (type === "error" && !this.#heard) console.warn(String(detail)); // not to fail without a word
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // ---- frames

  #frame(conn, f) {
    conn.unanswered = false;
    switch (f.op) {
      case "authenticated":
        this.principal = f.principal;
        if (!conn.since) this.#begin(conn);
        return;
      case "drain": // what goes on is answered yet; what is new waits for the next connection
        this.#open = false;
        return;
      case "ack":
        this.#requests.get(f.ref)?.ack(f);
        return;
      case "reply":
        this.#requests.get(f.ref)?.reply(f);
        return;
      case "error":
        this.#error(conn, f);
        return;
      default: // pong, and what later releases say, has no subscription
        this.#subscriptions.get(f.ref)?.frame(f);
    }
  }

  #error(conn, f) {
    const error = new EddaError(f.reason, f.detail, f);
    const request = this.#requests.get(f.ref);
    const sub = this.#subscriptions.get(f.ref);
    if (f.reason === "NO_CREDENTIALS" || (f.code === "permission_denied" && f.ref === undefined)) {
      conn.refused = error; // the connection ends; what was asked for waits for the next token
      if (request) request.sent = false;
    } else if (request?.mayRepeat(f.reason)) {
      request.sent = false;
      request.later = this.#later(() => request.sent || this.#transmit(this.#waiting.add(request)));
    } else if (request) request.fail(error);
    else if (sub) sub.refuse(error, this.#later);
    else if (f.ref === undefined) this.#emit("error", error);
  }

  #later = (again) => setTimeout(again, this.#options.minDelay * (5 + 5 * Math.random()));
}

// A Request is a call, an append or something to publish, until it is answered.
class Request {
  sent = false; // over the connection that there is
  tried = false; // sent over some connection
  acked = undefined; // what the node said when it was stored
  later = undefined; // the timer until it is sent again

  constructor(text, { call, repeatable, onAck }) {
    this.text = text;
    this.call = call;
    this.repeatable = repeatable;
    this.onAck = onAck;
  }

  ack({ op, ref, ...ack }) {
    if (!this.call) this.succeed(ack);
    else if (!this.acked) {
      this.acked = ack;
      this.onAck?.(ack);
    }
  }

  reply({ op, ref, ...reply }) {
    const { status, headers = {}, contentType, attempts, replayed = false } = reply;
    this.succeed({ id: this.acked?.id, status, headers, contentType, data: dataOf(reply), attempts, replayed });
  }

  // mayRepeat reports whether it can be sent again after an error.
  mayRepeat(reason) {
    return reason === "DRAINING" || (reason === "OUTCOME_UNKNOWN" && this.repeatable);
  }

  // interrupt says that the connection is lost.
  interrupt(why) {
    if (!this.sent) return;
    this.sent = false;
    if (!this.repeatable) this.fail(new EddaError("OUTCOME_UNKNOWN", why));
  }

  late(timeout) {
    if (!this.tried) return new EddaError("TIMEOUT", `it could not be sent within ${timeout} ms`);
    const detail = `there was no answer within ${timeout} ms`;
    return this.call ? new EddaError("TIMEOUT", `${detail}; the request goes on`) : new EddaError("OUTCOME_UNKNOWN", detail);
  }
}

class Subscription {
  from; // where to go on after what was handled

  #what;
  #handler;
  #client;
  #point; // after the last message that has come
  #patterns;
  #window;
  #credit = 0; // what the node may still send
  #queue = []; // messages to handle, and functions to call between them
  #held = []; // ephemeral messages, until the node says that their patterns are used up
  #present = new Map(); // by principal: who is there
  #stale = new Set(); // principals who were there over the last connection
  #sent = false; // the connection that there is knows of it
  #begun = false; // the node has accepted it once
  #over = false; // nothing comes any more
  #error;
  #busy = false; // the handler is at work
  #wake = () => {}; // for the iterator
  #accept;
  #reject;

  constructor({ channel, stream, patterns = [], from, lifespan = "eternal", window = 256, onPresence, onGap, onEnd }, handler, client) {
    if ((channel === undefined) === (stream === undefined)) throw new TypeError("subscribe to either a channel or a stream");
    this.#what = { channel, stream, lifespan, onPresence, onGap, onEnd };
    this.#patterns = [...patterns];
    this.#point = this.from = from;
    this.#window = window;
    this.#handler = handler;
    this.#client = client;
    this.ready = new Promise((resolve, reject) => ([this.#accept, this.#reject] = [resolve, reject]));
    this.ready.catch(() => {}); // onEnd says it too
  }

  // patterns are those held; none means all.
  get patterns() {
    return [...this.#patterns];
  }

  // present are those who have subscribed to the channel, where onPresence is given.
  get present() {
    return [...this.#present.values()];
  }

  // unsubscribe gives up some patterns, or all without any.
  unsubscribe(...patterns) {
    if (this.#over) return;
    const left = patterns.length > 0 ? this.#patterns.filter((p) => !patterns.includes(p)) : [];
    if (this.#sent) this.#client.send({ op: "unsubscribe", ...(left.length > 0 && { patterns }) });
    this.#patterns = left;
    if (left.length > 0) return;
    this.#queue = [];
    this.end();
  }

  // An iterator of the messages. Who leaves the loop has unsubscribed.
  async *[Symbol.asyncIterator]() {
    if (this.#handler) throw new TypeError("the messages go elsewhere: to a handler, or another loop");
    this.#handler = () => {};
    this.#busy = true;
    try {
      for (;;) {
        while (this.#queue.length > 0) {
          const next = this.#queue.shift();
          if (typeof next === "function") next();
          else {
            yield next;
            this.#handled(next);
          }
        }
        if (this.#error) throw this.#error;
        if (this.#over) return;
        await new Promise((wake) => (this.#wake = wake));
      }
    } finally {
      this.unsubscribe();
    }
  }

  // ---- for the client

  // begin subscribes over a connection, from where the last one has ended.
  begin() {
    const { channel, stream, lifespan, onPresence } = this.#what;
    const credit = Math.max(this.#window - this.#queue.length, 1);
    const presence = onPresence && true;
    this.#sent = this.#client.send({ op: "subscribe", channel, stream, patterns: this.#patterns, from: this.#point, lifespan, credit, presence });
    this.#credit = credit;
    if (this.#sent && presence) this.#client.send({ op: "ping" }); // its pong comes after those who are there
  }

  // interrupt says that the connection is lost.
  interrupt() {
    this.#sent = false;
    this.#held = []; // they come again, for their patterns may be used up or not
  }

  // refuse says what the node has against it.
  refuse(error, later) {
    this.#sent = false;
    if (error.reason === "SLOW") return; // the connection ends, and the next one goes on
    const passes = error.code === "unavailable" || (this.#begun && error.code === "resource_exhausted");
    if (!passes) this.end(error);
    else later(() => this.#over || this.#sent || this.begin());
  }

  frame(f) {
    switch (f.op) {
      case "subscribed":
        this.#point = f.from;
        if (!this.#begun) this.from = f.from;
        this.#begun = true;
        this.#stale = new Set(this.#present.keys());
        if (f.gap) this.#gap();
        this.#accept(this);
        return;
      case "message":
        this.#message(f);
        return;
      case "gap":
        this.#gap();
        return;
      case "unsubscribed":
        this.#spent(f.patterns ?? []);
        return;
      case "join":
      case "leave":
        this.#presence({ principal: f.principal, since: f.since }, f.op === "join");
        return;
      case "pong":
        for (const principal of this.#stale) this.#presence(this.#present.get(principal), false);
    }
  }

  // end says that nothing comes any more. What has come is handled yet.
  end(error) {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#client.over(error);
    this.#reject(error ?? new EddaError("CANCELLED", "it was unsubscribed"));
    this.#push(() => this.#what.onEnd?.(error));
  }

  #gap() {
    if (this.#what.onGap) this.#push(() => this.#what.onGap(this));
  }

  #presence(who, joined) {
    const was = this.#present.has(who.principal);
    this.#stale.delete(who.principal);
    if (joined) this.#present.set(who.principal, who);
    else this.#present.delete(who.principal);
    if (joined !== was) this.#push(() => this.#what.onPresence({ ...who, joined }, this));
  }

  #message({ op, ref, dataBase64, ...message }) {
    this.#credit--;
    message.data = dataOf({ data: message.data, dataBase64 });
    if (this.#what.lifespan === "ephemeral") this.#held.push(message);
    else this.#take(message);
  }

  #take(message) {
    this.#point = message.from;
    this.#push(message);
  }

  // spent says which patterns are left after an ephemeral message, or after unsubscribe.
  #spent(left) {
    for (const message of this.#held.splice(0)) this.#take(message);
    this.#patterns = left;
    if (left.length === 0) this.end();
  }

  #push(next) {
    this.#queue.push(next);
    this.#wake();
    if (this.#handler && !this.#busy) this.#work();
  }

  // work hands the messages to the handler, one after the other.
  async #work() {
    this.#busy = true;
    while (this.#queue.length > 0) {
      const next = this.#queue.shift();
      try {
        const result = typeof next === "function" ? next() : this.#handler(next);
        if (result?.then) await result;
      } catch (err) {
        queueMicrotask(() => { throw err; }); // as with any other listener; the next message comes
      }
      if (typeof next !== "function") this.#handled(next);
    }
    this.#busy = false;
  }

  // handled lets the node send more, in portions.
  #handled(message) {
    this.from = message.from;
    const n = this.#window - this.#credit - this.#queue.length;
    if (!this.#sent || n < this.#window / 2) return;
    this.#credit += n;
    this.#client.send({ op: "credit", n });
  }
}

function liveURL(url = globalThis.location?.origin, namespace) {
  if (!url) throw new TypeError("say where the node is: connect({url: 'http://127.0.0.1:7400'})");
  const base = String(url).replace(/\/*$/, "/");
  if (!/^(http|ws)s?:\/\/./.test(base) || !URL.canParse(base)) throw new TypeError(`the url is ${JSON.stringify(url)}, must be such as http://127.0.0.1:7400`);
  const live = new URL(namespace ? `v1/ns/${encodeURIComponent(namespace)}/live` : "v1/live", base);
  live.protocol = live.protocol.replace(/^http/, "ws");
  return live.href;
}

function closed() {
  return new EddaError("CANCELLED", "the client is closed");
}

function cancelled(signal) {
  return new EddaError("CANCELLED", "the signal was aborted", { cause: signal.reason });
}

// body returns the members of a frame that carry data: what JSON can say as it is, bytes
// in base64. A string is text where contentType does not say otherwise.
function body(data, contentType) {
  const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : ArrayBuffer.isView(data) && new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (!bytes) return { contentType, data };
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return { contentType: contentType ?? "application/octet-stream", dataBase64: btoa(text) };
}

// dataOf returns what body has made members of.
function dataOf({ data, dataBase64 }) {
  return dataBase64 === undefined ? data : Uint8Array.from(atob(dataBase64), (c) => c.charCodeAt(0));
}

// randomId is random enough to be nobody else's. crypto.randomUUID is for secure pages only.
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
