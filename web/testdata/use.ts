// How the client is used in TypeScript; it is checked, and never run.
import { connect, EddaError, type Message, type Reply } from "../edda.js";

interface Said {
  text: string;
}

const client = connect({ url: new URL("https://edda.example.com"), token: async () => "token", namespace: "shop" });
client.addEventListener("close", ({ detail }) => console.log(detail.why, detail.again));
client.addEventListener("error", ({ detail }) => console.log(detail.reason));

const reply: Reply<{ value: number }> = await client.call("counter", "add", { n: 1 }, { key: "visits", onAck: ({ id }) => console.log(id) });
console.log(reply.data.value + reply.status);

const { offset } = await client.append("log", "line", new Uint8Array(3), { key: "k", id: "once" });
await client.publish("room", "said", { text: `at ${offset + 1}` }, { timeout: 1000, signal: AbortSignal.timeout(500) });

const sub = client.subscribe<Said>({ channel: "room", from: "start", onPresence: (p) => console.log(p.joined, p.since) }, async (m) => show(m));
await sub.ready;
sub.unsubscribe("said");

for await (const m of client.subscribe<Said>({ stream: "log", lifespan: "ephemeral", patterns: ["test.:crud"] })) show(m);

function show(m: Message<Said>): void {
  console.log(m.from, m.data.text);
}

try {
  client.close();
} catch (err) {
  if (err instanceof EddaError && err.reason === "TIMEOUT") console.log(err.id);
}

// @ts-expect-error either of the two
client.subscribe({ stream: "log", channel: "room" });
// @ts-expect-error a key is text
client.call("a", "b", {}, { key: 1 });
