// An Edda worker with two services:
//
//   users         ordered: login is forbidden until the email was allowed; what is
//                 allowed is state of the key, which Edda keeps with the reply
//   TEST_SERVICE  balanced: echo, req_count, bad; slow takes as long as it is told,
//                 flaky fails as often as it is told; anything else is not found
//
// Start a node (edda dev), then:
//
//   npm ci --prefix examples/nodejs && node examples/nodejs/main.js
import { setTimeout as sleep } from "node:timers/promises";
import { Worker, reply } from "./edda.js";

// parsed is the JSON of a body, undefined when it is none.
function parsed(req) {
  try {
    return req.json();
  } catch {
    return undefined;
  }
}

const users = {
  name: "users",
  kind: "ordered",
  handler: async (req) => {
    if (req.method !== "login" && req.method !== "allow") return reply(404, "not found");
    const email = parsed(req)?.email;
    if (typeof email !== "string" || email === "" || email.length > 254) return reply(400, 'the body must be {"email":"..."}');
    if (req.method === "allow") {
      req.set(`allowed/${email}`, "true"); // kept together with the reply
      return reply(200, "ok");
    }
    return req.get(`allowed/${email}`) ? reply(200, "ok") : reply(403, "forbidden");
  },
};

let count = 0;

const testService = {
  name: "TEST_SERVICE",
  kind: "balanced",
  retry: { max: 5, delay: 20 },
  handler: async (req) => {
    count++; // before answering
    switch (req.method) {
      case "echo":
        return reply(200, req.payload, req.contentType);
      case "req_count":
        return reply(200, count);
      case "bad": // a body that is one part short
        return req.payload.length > 0 && parsed(req) !== undefined ? reply(204) : reply(400, "worker exception");
      case "slow": {
        const { ms } = req.json();
        console.error(`slow: ${ms} ms, attempt ${req.attempt}`);
        await sleep(ms, undefined, { signal: req.signal }); // no longer than somebody wants it
        return reply(200, req.payload, req.contentType);
      }
      case "flaky": // an exception is a failed attempt, and is tried again
        if (req.attempt <= req.json().fail) throw new Error(`attempt ${req.attempt} fails`);
        return reply(200, { attempts: req.attempt });
      default:
        return reply(404, `/${req.method} not found`);
    }
  },
};

const worker = new Worker(process.env.EDDA_ADDR ?? "127.0.0.1:7400", [users, testService], {
  id: process.env.EDDA_WORKER_ID,
  token: process.env.EDDA_TOKEN,
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => worker.stop());
await worker.run();
