// The page of the chat. What people say is only ever put into the page as text.
import { connect } from "/edda.js";

const channel = "chat";
const opened = new Date();
const keptInPage = 1_000; // messages; the node's history has as many
const $ = (id) => document.getElementById(id);

// Who this is: kept for the tab, so that another tab can be somebody else.
let me = JSON.parse(sessionStorage.getItem("me") ?? "null"); // {name, token}
let client;

if (me) enter();
else askName();

// ---- who joins

function askName(why = "") {
  $("chat").hidden = true;
  $("join").hidden = false;
  $("join-error").textContent = why;
  $("name").focus();
}

// The key is the same until there is an answer: if that is lost, the name is not.
let joinKey = random();

$("join-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("name").value.trim().replace(/\s+/g, " ");
  $("join-button").disabled = true;
  try {
    const response = await fetch(`/join/${encodeURIComponent(name)}`, { method: "POST", headers: { "Idempotency-Key": joinKey } });
    if (response.status < 500) joinKey = random();
    if (!response.ok) throw new Error(await whyNot(response));
    me = { name, token: (await response.json()).token };
    sessionStorage.setItem("me", JSON.stringify(me));
    $("join-error").textContent = "";
    enter();
  } catch (err) {
    $("join-error").textContent = err instanceof TypeError ? "The node cannot be reached. Try again." : err.message;
    $("name").select();
  } finally {
    $("join-button").disabled = false;
  }
});

// whyNot returns what an answer says to people.
async function whyNot(response) {
  const text = await response.text();
  if (!response.headers.get("Content-Type")?.includes("json")) return text;
  return JSON.parse(text).detail ?? response.statusText;
}

// ---- the conversation

function enter() {
  $("join").hidden = true;
  $("chat").hidden = false;
  $("text").focus();
  client = connect({ token: me.token });
  client.addEventListener("open", () => status("open", `Connected as ${me.name}`));
  client.addEventListener("close", ({ detail }) => detail.again && status("lost", "Connection lost, reconnecting…"));
  client.addEventListener("error", ({ detail }) => {
    if (detail.reason === "NO_CREDENTIALS") leave("The node does not know you any more. Join again.");
  });
  const onGap = () => ($("gap").hidden = false);
  const room = client.subscribe({ channel, from: "start", onPresence: (_, { present }) => showPeople(present), onGap }, heard);
  room.ready.then(() => ($("empty").hidden = before !== undefined), () => {}); // leave says why
}

$("leave").addEventListener("click", () => leave());

function leave(why) {
  sessionStorage.removeItem("me");
  client.close();
  for (const id of ["messages", "unsent", "people"]) $(id).replaceChildren();
  [me, client, before] = [null, undefined, undefined];
  $("count").textContent = "";
  askName(why);
}

function status(state, text) {
  $("status").dataset.state = state;
  $("status").textContent = text;
  $("chat").classList.toggle("lost", state === "lost"); // who is here is not known then
}

let before; // the message above the next one

// heard shows a message. One of this tab takes the place of what was on its way.
function heard({ principal, time, data }) {
  if (typeof data?.text !== "string") return;
  const mine = principal === me.name;
  const waited = mine ? document.getElementById(`unsent-${data.id}`) : null;
  const follow = waited !== null || isAtEnd();
  waited?.remove();
  const when = new Date(time);
  if (when > opened) $("log").ariaLive = "polite"; // nobody wants to have the history read out
  const day = when.toDateString();
  if (before?.day !== day) $("messages").append(element("li", "day", when.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" })));
  const again = before?.day === day && before.principal === principal && when - before.when < 5 * 60_000;
  $("messages").append(bubble({ name: principal, mine, when, again, text: data.text }));
  before = { principal, when, day };
  $("empty").hidden = true;
  while ($("messages").childElementCount > keptInPage) $("messages").firstElementChild.remove();
  if (follow) toEnd();
  else $("newer").hidden = false;
}

function bubble({ name, mine, when, again, text }) {
  const li = element("li", "message");
  li.classList.toggle("mine", mine);
  li.classList.toggle("again", again);
  li.style.setProperty("--hue", hue(name));
  const what = element("div", "what");
  if (!again) {
    if (!mine) li.append(face(name));
    const who = element("div", "who", mine ? "You" : name);
    const time = element("time", "", when.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = when.toISOString();
    who.append(time);
    what.append(who);
  } else {
    what.append(element("span", "hidden", mine ? "You: " : `${name}: `));
  }
  what.append(element("div", "text", text));
  li.append(what);
  return li;
}

// ---- to say something

$("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text === "") return;
  $("text").value = "";
  say(text);
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say-form").requestSubmit();
});

// say shows what is said as on its way until it comes back. While the node is away the
// client keeps it.
async function say(text) {
  const id = random();
  const li = bubble({ name: me.name, mine: true, when: new Date(), again: true, text });
  li.id = `unsent-${id}`;
  li.classList.add("unsent");
  const state = element("div", "state", "sending…");
  li.querySelector(".what").append(state);
  $("unsent").append(li);
  toEnd();
  let why;
  try {
    const { status, data } = await client.call("chat", "say", { id, text }, { key: channel, timeout: 0 });
    if (status < 400) return;
    why = data;
  } catch (err) {
    why = err.detail || err.reason;
  }
  li.classList.add("failed");
  state.textContent = `not sent: ${why}`;
}

// ---- who is here

function showPeople(present) {
  $("count").textContent = present.length;
  const names = present.map((p) => p.principal).sort((a, b) => a.localeCompare(b));
  $("people").replaceChildren(...names.map((name) => {
    const li = element("li");
    li.style.setProperty("--hue", hue(name));
    li.append(face(name), element("span", "", name));
    if (name === me.name) li.append(element("span", "you", "you"));
    return li;
  }));
}

// ---- small things

function random() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

function element(name, className = "", text = "") {
  const e = document.createElement(name);
  e.className = className;
  e.textContent = text;
  return e;
}

function face(name) {
  const e = element("span", "face", [...name][0].toUpperCase());
  e.setAttribute("aria-hidden", "true");
  return e;
}

function hue(name) {
  let h = 0;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) % 360;
  return h;
}

function isAtEnd() {
  const { scrollHeight, scrollTop, clientHeight } = $("log");
  return scrollHeight - scrollTop - clientHeight < 80;
}

function toEnd() {
  $("log").scrollTop = $("log").scrollHeight;
  $("newer").hidden = true;
}

$("newer").addEventListener("click", toEnd);
let atEnd = true; // before the window changes its size
$("log").addEventListener("scroll", () => {
  atEnd = isAtEnd();
  if (atEnd) $("newer").hidden = true;
});
new ResizeObserver(() => atEnd && toEnd()).observe($("log"));
