// An Edda worker with two services:
//
//   users          ordered: login is forbidden until the email was allowed
//   test_service   balanced: echo, req_count, anything else is an error
//
// Start a node (go run ./cmd/edda dev), then: npm install && node main.js
import { Worker, reply } from "./edda.js";

const users = {
  name: "users",
  kind: "ordered",
  handler: async (req) => {
    if (req.method !== "login" && req.method !== "allow") return reply(404, "not found");
    const { email } = req.json();
    if (typeof email !== "string" || email === "") return reply(400, "email is missing");
    if (req.method === "allow") {
      req.set(`allowed/${email}`, email); // kept together with the reply
      return reply(200, "ok");
    }
    return req.get(`allowed/${email}`) ? reply(200, "ok") : reply(403, "forbidden");
  },
};

let count = 0;

const testService = {
  name: "test_service",
  kind: "balanced",
  handler: async (req) => {
    switch (req.method) {
      case "echo":
        return reply(200, req.payload, req.contentType);
      case "req_count":
        return reply(200, { count: ++count });
      default:
        return reply(404, `${req.method} not found`);
    }
  },
};

const worker = new Worker(process.env.EDDA_ADDR ?? "127.0.0.1:7400", [users, testService], {
  id: process.env.EDDA_WORKER_ID,
  token: process.env.EDDA_TOKEN,
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => worker.stop());
await worker.run();
