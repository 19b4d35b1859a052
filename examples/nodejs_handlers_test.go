package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

// oddHandlers is a worker whose handlers end in every way that main.js does not
// need.
const oddHandlers = `
import { Final, Worker, pending, reply } from "./edda.js";

const odd = {
  name: "odd",
  kind: "ordered",
  retry: { max: 2, delay: 1 },
  handler: async (req) => {
    switch (req.method) {
      case "final":
        throw new Final("no more of this");
      case "nothing":
        return;
      case "text":
        return "not made by reply()";
      case "status":
        return reply("200", "ok");
      case "thrown":
        throw undefined;
      case "lost":
        req.set("name", "value");
        throw new Error("so nothing is kept");
      case "later":
        req.set("name", "asked by " + req.json().stepId);
        return pending;
      case "set":
        req.set("name", "value");
        return reply(200, String(req.get("name")));
      case "delete":
        req.delete("name");
        return reply(200, String(req.get("name")));
      case "get":
        return reply(200, String(req.get("name")));
    }
  },
};
await new Worker(process.env.EDDA_ADDR, [odd], { id: process.env.EDDA_WORKER_ID }).run();
`

// Whatever a handler does ends its own attempt, and not the worker's connection.
func TestNodejsHandlersEndInEveryWay(t *testing.T) {
	dir := nodejsDir(t)
	if err := os.WriteFile(filepath.Join(dir, "odd.js"), []byte(oddHandlers), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := serveNode(t, t.TempDir())
	w := runNodejs(t, dir, "odd.js", url, "odd")
	w.until(t, "worker odd is registered")
	for _, c := range []struct {
		method string
		status int
		answer []string // what it has
	}{
		{"final", 500, []string{`"FAILED"`, "no more of this"}},
		{"nothing", 204, nil},
		{"text", 500, []string{`"DEAD"`, "must return what reply() makes"}},
		{"status", 500, []string{`"DEAD"`, "must return what reply() makes"}},
		{"thrown", 500, []string{`"DEAD"`, "undefined"}},
		{"lost", 500, []string{`"DEAD"`, "so nothing is kept"}},
		{"get", 200, []string{"undefined"}},
		{"set", 200, []string{"value"}},
		{"get", 200, []string{"value"}},
		{"delete", 200, []string{"undefined"}},
		{"get", 200, []string{"undefined"}},
	} {
		status, answer := post(t, url+"/v1/call/odd/a/"+c.method, "{}")
		if status != c.status {
			t.Errorf("%s: got %d %s, want %d", c.method, status, answer, c.status)
		}
		for _, part := range c.answer {
			if !strings.Contains(answer, part) {
				t.Errorf("%s: got %s, want something with %s", c.method, answer, part)
			}
		}
	}
	// A step that is left pending keeps what its handler set, and is finished by its saga's id and its own.
	post(t, url+"/v1/sagas", `{"id":"asked","steps":[{"id":"first","service":"odd","key":"b","method":"later"}]}`)
	for pending := false; !pending; {
		var saga struct{ Steps []edda.Step }
		get(t, url+"/v1/sagas/asked", &saga)
		pending = saga.Steps[0].Pending
		if state := saga.Steps[0].State; state != edda.StepRunning {
			t.Fatalf("the step is %s, want it running", state)
		}
	}
	if status, answer := post(t, url+"/v1/call/odd/b/get", "{}"); status != 200 || answer != "asked by first" {
		t.Errorf("got %d %s, want what the pending step has set", status, answer)
	}
	if _, answer := post(t, url+"/v1/sagas/asked/steps/first/complete", `{"result":1}`); !strings.Contains(answer, `"applied":true`) {
		t.Errorf("got %s, want the step finished", answer)
	}
	w.kill()
	if said := strings.Join(w.said, "\n"); strings.Contains(said, "connection lost") {
		t.Errorf("a handler has cost the worker its connection:\n%s", said)
	}
}
