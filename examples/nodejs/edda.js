// A small worker library: it speaks edda.v1 (docs/protocol.md) with the .proto
// file itself, so nothing is generated. Copy it and make it yours.
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const proto = grpc.loadPackageDefinition(
  protoLoader.loadSync(fileURLToPath(new URL("../../rpc/edda/v1/edda.proto", import.meta.url)), {
    keepCase: false,
    longs: String, // ids of attempts have 64 bits
    enums: String,
    oneofs: true,
    arrays: true,
    defaults: true,
    bytes: Buffer,
  }),
).edda.v1;

const maxBackoff = 10_000; // ms
const options = {
  "grpc.max_receive_message_length": 16 << 20,
  // A connection that is lost without a word is noticed.
  "grpc.keepalive_time_ms": 15_000,
  "grpc.keepalive_timeout_ms": 5_000,
  // When to connect again is decided in run alone.
  "grpc.use_local_subchannel_pool": 1,
};
const state64KiB = "the key's state is larger than 64 KiB; ask for it with StateGet (docs/protocol.md)";

// Final is an error after which the request fails and is not tried again.
export class Final extends Error {}

// pending is what a step of a saga returns to be finished later, by whoever has
// req.json().completionKey. What it set, deleted and sent is kept.
export const pending = Symbol("pending");

// reply makes a reply; strings are text, buffers are bytes, anything else is JSON.
export function reply(status, body, contentType) {
  if (body === undefined) return { status, payload: Buffer.alloc(0) };
  if (Buffer.isBuffer(body)) return { status, contentType: contentType ?? "application/octet-stream", payload: body };
  if (typeof body === "string") return { status, contentType: contentType ?? "text/plain; charset=utf-8", payload: Buffer.from(body) };
  return { status, contentType: contentType ?? "application/json", payload: Buffer.from(JSON.stringify(body)) };
}

// Invocation is what a handler gets.
class Invocation {
  constructor(dispatch, signal, progress) {
    const m = dispatch.message;
    this.key = m.key;
    this.method = m.type;
    this.payload = m.payload;
    this.contentType = m.contentType;
    this.headers = Object.fromEntries(m.headers.map((h) => [h.name.toLowerCase(), h.value]));
    this.attempt = dispatch.attempt;
    this.fence = dispatch.fence;
    this.signal = signal; // aborted when the attempt was given up
    this.progress = progress; // call it now and then when you take long
    this.state = dispatch.state;
    this.changed = new Map();
    this.sends = [];
  }

  json() {
    return this.payload.length === 0 ? {} : JSON.parse(this.payload.toString("utf8"));
  }

  // get returns a value of the key's state as a buffer, undefined when there is none.
  get(name) {
    if (this.changed.has(name)) return this.changed.get(name) ?? undefined;
    const entry = this.state?.entries.find((e) => e.name === name);
    if (!entry && this.state?.partial) throw new Error(state64KiB);
    return entry?.value;
  }

  // set and delete are kept with the reply, or not at all.
  set(name, value) {
    this.changed.set(name, Buffer.from(value));
  }

  delete(name) {
    this.changed.set(name, null);
  }

  // send sends JSON to another service when this handler has replied.
  send(service, key, method, body, { delay = 0 } = {}) {
    const message = { service, key, type: method, contentType: "application/json", payload: Buffer.from(JSON.stringify(body)) };
    if (delay > 0) message.due = String(BigInt(Date.now() + delay) * 1_000_000n);
    this.sends.push(message);
  }

  outcome(result) {
    if (result !== undefined && result !== pending && !(Number.isInteger(result?.status) && Buffer.isBuffer(result.payload))) {
      throw new TypeError("a handler must return what reply() makes, pending, or nothing");
    }
    const set = [];
    const gone = [];
    for (const [name, value] of this.changed) value === null ? gone.push(name) : set.push({ name, value });
    const changes = { set, delete: gone, sends: this.sends };
    return result === pending ? { pending: true, ...changes } : { reply: result ?? reply(204), ...changes };
  }
}

// Worker connects to a node, registers its services, runs their handlers, and
// connects again when the connection is lost.
export class Worker {
  #running = new Map(); // attempt id → AbortController
  #stop = new AbortController();
  #drain = () => {}; // tells the node that nothing more is wanted
  #idle = () => {}; // ends the session, once nothing runs

  // services: [{name, kind: "ordered"|"balanced", concurrency, attemptTimeout, retry, handler: async (invocation) => reply}]
  // retry is {max, delay, maxDelay, backoff}; times are in ms. What is left out is the node's default.
  constructor(target, services, { id = "", version = "", token, credentials = grpc.credentials.createInsecure(), log = console.error } = {}) {
    this.target = target;
    this.services = new Map(services.map((s) => [s.name, s]));
    this.register = { workerId: id, version, sdk: "edda-nodejs-example", services: services.map(registration) };
    this.metadata = new grpc.Metadata();
    if (token) this.metadata.set("authorization", `Bearer ${token}`);
    this.credentials = credentials;
    this.log = log;
  }

  // run returns after stop, once what was running has ended.
  async run() {
    const { signal } = this.#stop;
    let said = false; // that no node answers
    for (let failures = 0; !signal.aborted; failures++) {
      const began = Date.now();
      const why = await this.#session();
      if (signal.aborted) break;
      if (Date.now() - began > maxBackoff) failures = 0;
      const wait = Math.min(100 * 2 ** failures, maxBackoff) * (0.5 + Math.random() / 2);
      const [, unconnected] = /^No connection established\. Last error: (?:Error: )?(.*?)\.? *(?:Resolution note:.*)?$/.exec(why) ?? [];
      if (!unconnected) this.log(`edda: connection lost (${why}); again in ${Math.round(wait)} ms`);
      else if (!said) this.log(`edda: no node answers at ${this.target} (${unconnected}); trying until one does`);
      said = Boolean(unconnected);
      await sleep(wait, undefined, { signal }).catch(() => {}); // stop ends it
    }
  }

  // stop finishes what runs and takes nothing more.
  stop() {
    this.#stop.abort();
    this.log(`edda: stopping, ${this.#running.size} running`);
    this.#drain();
    if (this.#running.size === 0) this.#idle();
  }

  // session is one connection, from register to its end.
  #session() {
    return new Promise((ended) => {
      const client = new proto.WorkerService(this.target, this.credentials, options);
      const stream = client.work(this.metadata);
      let open = true; // for writing
      let beat;
      const write = (...frames) => open && stream.write({ frames });
      const over = (why) => {
        open = false;
        clearInterval(beat);
        for (const attempt of this.#running.values()) attempt.abort();
        this.#running.clear();
        client.close();
        ended(why); // the first call says why
      };
      stream.on("data", ({ frames }) => {
        for (const f of frames) {
          if (f.registered) {
            this.log(`edda: worker ${f.registered.workerId} is registered`);
            beat = setInterval(() => write({ heartbeat: {} }), Number(f.registered.heartbeat) / 1e6);
          } else if (f.dispatch) this.#attempt(f.dispatch, write);
          else if (f.fenced) this.#running.get(f.fenced.attemptId)?.abort();
          else if (f.drain) this.log(`edda: the node gives nothing more: ${f.drain.reason}`);
          else if (f.error) this.log(`edda: the node says ${f.error.reason}: ${f.error.message}`);
        }
      });
      stream.on("error", (err) => over(err.details || err.message));
      stream.on("end", () => over("the node has closed it"));
      this.#drain = () => write({ drain: { reason: "the worker stops" } });
      this.#idle = () => {
        if (!open) return;
        open = false;
        // Before it is registered the node may not even be there.
        beat ? stream.end() : stream.cancel();
      };
      write({ register: this.register });
    });
  }

  async #attempt(dispatch, write) {
    const attemptId = dispatch.attemptId;
    if (this.#stop.signal.aborted) {
      write({ outcome: { attemptId, handedBack: true } }); // it costs the request nothing
      return;
    }
    const abort = new AbortController();
    this.#running.set(attemptId, abort);
    write({ taken: { attemptIds: [attemptId] } });
    const progress = () => write({ heartbeat: { progress: [attemptId] } });
    let outcome;
    try {
      const invocation = new Invocation(dispatch, abort.signal, progress);
      outcome = invocation.outcome(await this.services.get(dispatch.message.service).handler(invocation));
    } catch (err) {
      outcome = { failure: { message: String(err?.message ?? err), final: err instanceof Final } };
    }
    if (this.#running.get(attemptId) !== abort) return; // the connection was lost meanwhile
    this.#running.delete(attemptId);
    write({ outcome: { attemptId, ...outcome } });
    if (this.#stop.signal.aborted && this.#running.size === 0) this.#idle();
  }
}

// registration is what the node is told of a service.
function registration({ name, kind, concurrency = 0, attemptTimeout = 0, retry }) {
  return {
    name,
    kind: kind === "ordered" ? "KIND_ORDERED" : "KIND_BALANCED",
    concurrency,
    attemptTimeout: nanoseconds(attemptTimeout),
    retry: retry && { ...retry, delay: nanoseconds(retry.delay), maxDelay: nanoseconds(retry.maxDelay) },
  };
}

function nanoseconds(ms = 0) {
  return String(BigInt(Math.round(ms * 1e6)));
}
