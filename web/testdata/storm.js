// What storm_test.go has the client do while its connections are cut and fall silent. It
// prints what came of it.
import { connect } from "../edda.js";

const [url, n] = [process.argv[2], Number(process.argv[3])];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const edda = connect({ url, minDelay: 10, maxDelay: 100, connectTimeout: 3000, pingInterval: 1000 });
let connections = 0;
edda.addEventListener("open", () => {
  if (++connections === 5) process.stdout.write("a storm\n"); // which may end now
});

const heard = [];
const room = edda.subscribe({ channel: "storm", window: 16 }, (m) => {
  heard.push(m.data);
  return m.data % 5 === 0 ? sleep(1) : undefined;
});
await room.ready;

const looped = [];
const loop = (async () => {
  for await (const m of edda.subscribe({ stream: "log", from: "start", window: 16 })) {
    looped.push(m.data);
    if (looped.length === n) break;
  }
})();

const [calls, appends, published] = [[], [], []];
for (let i = 0; i < n; i++) {
  calls.push(edda.call("counter", "add", { n: 1 }, { key: "storm", timeout: 0 }));
  appends.push(edda.append("log", "line", i, { timeout: 0 }));
  published.push(edda.publish("storm", "said", i, { timeout: 0 }));
  if (i % 3 === 0) await sleep(4);
}
const values = (await Promise.all(calls)).map(({ data }) => data.value);
const offsets = (await Promise.all(appends)).map(({ offset }) => offset);
await Promise.all(published);
await loop;
while (heard.length < n || connections < 5) await sleep(10);
await sleep(300); // for what comes twice
edda.close();
// A connection that has fallen silent may not be closed yet, and would be waited for.
process.stdout.write(JSON.stringify({ connections, values, offsets, heard, looped }), () => process.exit());
