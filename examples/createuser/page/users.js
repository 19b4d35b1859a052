// The page of createuser. Everything that it shows comes from the node: users and what the
// third party was told from channels, the rest from the service views. It is only ever put into
// the page as text.
import { connect } from "/edda.js";

const $ = (id) => document.getElementById(id);
const edda = connect();

edda.addEventListener("open", () => {
  $("status").dataset.state = "open";
  $("status").textContent = "Connected";
  look();
});
edda.addEventListener("close", () => {
  $("status").dataset.state = "lost";
  $("status").textContent = "Connection lost, reconnecting…";
});
edda.addEventListener("error", () => {}); // close has said it

// ---- what happens, as it does

edda.subscribe({ channel: "users", patterns: ["user.:user_uuid.created"], from: "start" }, ({ data: event }) => {
  const li = element("li", "", event.data.name);
  li.append(element("small", "", `${event.data.email}, ${event.data.ref}, friend ${event.data.first_friend.friend}`));
  $("users").prepend(li);
});

edda.subscribe({ channel: "party", from: "start" }, ({ data: { what, name, ref } }) => {
  const li = element("li", what === "redact" ? "undone" : "", `${what} ${name}`);
  li.append(element("small", "", ref));
  $("told").prepend(li);
});

// ---- to create one

const steps = [...document.querySelectorAll("#steps li")];
let under; // the command under way: its key is the user's id, so a repetition is known

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [name, email, trouble] = ["name", "email", "trouble"].map((field) => $("form").elements[field].value.trim());
  $("create").disabled = true;
  show("none", "…");
  mark(() => "");
  under ??= crypto.randomUUID();
  try {
    const { status, data } = await edda.call("users", "create.user", { user_uuid: under, name, email }, {
      key: under, headers: trouble ? { Metadata: JSON.stringify({ trouble }) } : {},
    });
    if (status >= 400) throw { detail: data };
    mark(() => "done");
    show("done", `${data.event.event_type} is stored, version ${data.event.version}.`);
    $("name").value = $("email").value = "";
    await look(data.position);
  } catch (err) {
    failed(trouble, err);
    await look();
  } finally {
    under = undefined;
    $("create").disabled = false;
  }
});

// failed shows where it failed. What had been done before is undone: the third party is told,
// and the transaction has left nothing.
function failed(trouble, err) {
  show("failed", `${err.detail ?? err}. Nothing is stored.`);
  const at = steps.findIndex((li) => li.dataset.step === trouble);
  if (at < 0) return; // it was refused for another reason, which is shown
  mark((i) => {
    if (i === at) return "failed";
    if (i > at) return "never";
    return steps[i].dataset.undo === undefined ? "done" : "undone";
  });
}

function mark(state) {
  steps.forEach((li, i) => (li.dataset.state = state(i)));
}

function show(state, text) {
  $("result").dataset.state = state;
  $("result").textContent = text;
}

// ---- what there is

async function look(position) {
  const { data } = await edda.call("views", "all", position ? { after: position } : {});
  $("tables").replaceChildren(
    ...count(data.profiles.length, "in profiles, each with a row in friend_lists"),
    ...count(data.events.length, "in edda_events"),
    ...count(data.log.length, "in log"),
  );
}

function count(n, what) {
  return [element("dt", "", n), element("dd", "", what)];
}

function element(name, className = "", text = "") {
  const e = document.createElement(name);
  e.className = className;
  e.textContent = text;
  return e;
}
