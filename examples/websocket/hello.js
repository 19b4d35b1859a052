// A hello over a WebSocket: it is appended to a stream, and the answer, which has its id,
// is waited for on another. Start a node (go run ./examples/web), then, with Node.js:
//
//   node examples/websocket/hello.js '{"a":1}'          (before 22: node --experimental-websocket)
import { connect } from "../../web/edda.js";

const url = process.env.EDDA_URL ?? "http://127.0.0.1:7400";
const client = connect({ url, token: process.env.EDDA_TOKEN });
let opened = false;
client.addEventListener("open", () => (opened = true));
client.addEventListener("error", ({ detail }) => {
  console.error(`${url}: ${detail.message}`);
  if (!opened) process.exit(1); // a node that was there comes back
});

const payload = JSON.parse(process.argv[2] ?? "{}");
const replies = client.subscribe({ stream: "hello.replies", patterns: ["reply"] });
await replies.ready;
const { id } = await client.append("hello", "hello", payload, { replyTo: "hello.replies" });
for await (const reply of replies) {
  if (reply.id !== id) continue; // somebody else's
  console.log(JSON.stringify({ ...reply.data, messageId: reply.id }));
  break;
}
client.close();
