package sagacmd_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/cmd/edda/internal/sagacmd"
	"github.com/edda-io/edda/examples"
)

var commands = clitest.Commands{sagacmd.New}

// sagaNode answers as a node that has these sagas would, one answer after the other, the last one
// for ever, and notes what it was asked.
type sagaNode struct {
	*httptest.Server
	asked []string
}

func newSagaNode(t *testing.T, answers ...string) *sagaNode {
	t.Helper()
	n := &sagaNode{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n.asked = append(n.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.URL, body)))
		answer := answers[min(len(n.asked), len(answers))-1]
		if strings.Contains(answer, `"code"`) {
			var problem struct{ Status int }
			_ = json.Unmarshal([]byte(answer), &problem)
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(problem.Status)
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(n.Close)
	return n
}

// sagaJSON is a saga with two steps as a node shows it.
func sagaJSON(t *testing.T, state edda.SagaState, change func(s *edda.Saga)) string {
	t.Helper()
	began := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	s := &edda.Saga{
		ID: "trip-1", Name: "trip", State: state, Principal: "ada", CorrelationID: "trip-1", CreatedAt: began, StartedAt: began,
		StepCount: 2, SucceededCount: 1, Steps: []edda.Step{
			{ID: "hotel", Service: "hotels", Method: "book", State: edda.StepSucceeded, Attempts: 1, StartedAt: began, EndedAt: began.Add(time.Second)},
			{ID: "car", Service: "cars", Method: "book", State: edda.StepRunning, After: []string{"hotel"}, StartedAt: began.Add(time.Second)},
		},
	}
	if state.Ended() {
		s.EndedAt = began.Add(9 * time.Second)
	}
	if change != nil {
		change(s)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func compensation(state edda.CompensationState) func(s *edda.Saga) {
	return func(s *edda.Saga) { s.Steps[0].Compensation = &edda.Compensation{State: state} }
}

// A saga that is not cancelled keeps none of the others from it.
func TestSagasCancelled(t *testing.T) {
	none := `{"status":404,"code":"not_found","reason":"NO_SAGA","detail":"there is no saga"}`
	node := newSagaNode(t, sagaJSON(t, edda.SagaSucceeded, nil), none, sagaJSON(t, edda.SagaCancelled, nil))
	r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "sagas", "cancel", "a", "b", "trip-1")
	if r.Code != cli.ExitFailed || r.Out != "cancelled trip-1: it is cancelled\n" || !strings.Contains(r.ErrOut, "saga a was not cancelled: it is succeeded; cancel saga b: ") {
		t.Errorf("got %+v, want trip-1 cancelled and what is with a and b", r)
	}
	r = commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "sagas", "cancel", "a", "..")
	if r.Code != cli.ExitUsage || len(node.asked) != 3 {
		t.Errorf("got %+v and the node was asked %v, want nothing done for an id that is none", r, node.asked)
	}
}

// What is printed of a saga has columns that are as wide as their widest cell, and says how
// long the saga took.
var columns, took = regexp.MustCompile(`  +`), regexp.MustCompile(`after <?[\d.]+m?s`)

// What the commands ask of a node, what they print of its answer, and their exit codes.
func TestSagaCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trip.json")
	if err := os.WriteFile(file, []byte(`{"name":"trip","start":false,"steps":[{"id":"hotel"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	running := sagaJSON(t, edda.SagaRunning, nil)
	for _, c := range []struct {
		args, answer string
		asked        string
		code         int
		out, errOut  string
	}{
		{"start FILE", running, `POST /v1/sagas {"name":"trip","start":true,"steps":[{"id":"hotel"}]}`, 0, "started trip-1\n", "see it: edda"},
		{"start FILE --id t2 --hold", sagaJSON(t, edda.SagaCreated, nil), `POST /v1/sagas {"id":"t2","name":"trip","start":false,"steps":[{"id":"hotel"}]}`, 0, "created trip-1\n", "sagas start --id trip-1"},
		{"start --id trip-1 -q", running, "POST /v1/sagas/trip-1/start", 0, "trip-1\n", ""},
		{"start - --wait=1ms", running, `GET /v1/sagas/trip-1?wait=1ms`, 1, "started trip-1\n", "saga trip-1 is running after"},
		{"add trip-1 -", running, `POST /v1/sagas/trip-1/steps {"name":"echo"}`, 0, "added to trip-1, which has 2 steps now\n", ""},
		{"cancel trip-1", sagaJSON(t, edda.SagaCancelled, nil), "POST /v1/sagas/trip-1/cancel", 0, "cancelled trip-1: it is cancelled\n", ""},
		{"cancel trip-1", sagaJSON(t, edda.SagaSucceeded, nil), "POST /v1/sagas/trip-1/cancel", 1, "", "saga trip-1 was not cancelled: it is succeeded"},
		{"complete trip-1 car 17 --completion-key k", `{"applied":true,"state":"succeeded"}`, `POST /v1/sagas/trip-1/steps/car/complete?completionKey=k {"result":17}`, 0, "completed car of trip-1\n", ""},
		{"complete trip-1 car", `{"applied":false,"state":"failed"}`, `POST /v1/sagas/trip-1/steps/car/complete {"result":null}`, 1, "", "nothing was changed: step car of saga trip-1 is failed"},
		{"fail trip-1 car no", `{"applied":true,"state":"failed"}`, `POST /v1/sagas/trip-1/steps/car/fail {"error":{"message":"no"}}`, 0, "failed car of trip-1\n", ""},
		{"prune --state succeeded --until 2026-11-21", `{"removed":12}`, "DELETE /v1/sagas?state=succeeded&until=2026-11-21T00%3A00%3A00Z", 0, "removed 12\n", ""},
		{"prune trip-1", ``, "DELETE /v1/sagas/trip-1", 0, "removed trip-1\n", ""},
		{"ls --name trip --limit 7 --since 2026-11-21T10:00:00+01:00", `{"items":[` + running + `]}`, "GET /v1/sagas?limit=7&name=trip&since=2026-11-21T09%3A00%3A00Z", 0, "trip-1  trip  running  1/2", ""},
		{"ls -q", `{"items":[` + running + `],"next":"abc"}`, "GET /v1/sagas?limit=100", 0, "trip-1\n", "there is more: --after abc"},
		{"ls", `{"items":[` + sagaJSON(t, edda.SagaCompensationFailed, nil) + `]}`, "GET /v1/sagas?limit=100", 0, "compensation_failed", "a saga waits for a person"},
		{"show trip-1", running, "GET /v1/sagas/trip-1", 0, "steps  1 of 2 succeeded", ""},
		{"show trip-1 --wait", sagaJSON(t, edda.SagaSucceeded, nil), "GET /v1/sagas/trip-1?wait=5m0s", 0, "succeeded after TOOK", ""},
		{"show trip-1 --wait", sagaJSON(t, edda.SagaCompensated, nil), "GET /v1/sagas/trip-1?wait=5m0s", 1, "compensated", "edda: saga trip-1 is compensated"},
		{"show trip-1 --mermaid", running, "GET /v1/sagas/trip-1", 0, "flowchart TD\n", ""},
		{"show trip-1 --json", running, "GET /v1/sagas/trip-1", 0, `"succeededCount": 1`, ""},
		{"show no~1", `{"status":404,"code":"not_found","reason":"NO_SAGA","detail":"there is no saga no~1"}`, "GET /v1/sagas/no~1", 1, "", "what there is: edda"},
		{"fail trip-1 x", `{"status":404,"code":"not_found","reason":"NO_STEP","detail":"no"}`, `POST /v1/sagas/trip-1/steps/x/fail {"error":{"message":"failed by hand"}}`, 1, "", "sagas show trip-1"},
	} {
		t.Run(c.args, func(t *testing.T) {
			node := newSagaNode(t, c.answer)
			args := append([]string{"sagas"}, strings.Fields(strings.ReplaceAll(c.args, "FILE", file))...)
			r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, `{"name":"echo"}`, args...)
			if last := node.asked[len(node.asked)-1]; last != c.asked {
				t.Errorf("the node was asked\n%s\nwant\n%s", last, c.asked)
			}
			if r.Code != c.code {
				t.Errorf("got exit code %d, want %d", r.Code, c.code)
			}
			if !strings.Contains(took.ReplaceAllString(columns.ReplaceAllString(r.Out, "  "), "after TOOK"), c.out) || c.out == "" && r.Out != "" {
				t.Errorf("got on stdout:\n%swant %q", r.Out, c.out)
			}
			if !strings.Contains(r.ErrOut, c.errOut) || c.errOut == "" && r.ErrOut != "" {
				t.Errorf("got on stderr:\n%swant %q", r.ErrOut, c.errOut)
			}
		})
	}
}

// A compensation that has failed is acted on; of any other it is said that nothing
// was changed.
func TestCompensationCommands(t *testing.T) {
	failed := sagaJSON(t, edda.SagaCompensationFailed, compensation(edda.CompensationFailed))
	for _, c := range []struct {
		args, before, after string
		asked               int
		out, errOut         string
	}{
		{"skip trip-1 hotel", failed, sagaJSON(t, edda.SagaCompensated, nil), 2, "skipped hotel of trip-1, which is compensated now\n", ""},
		{"resolve trip-1 hotel", failed, sagaJSON(t, edda.SagaCompensated, nil), 2, "resolved hotel of trip-1, which is compensated now\n", ""},
		{"retry trip-1 hotel", failed, sagaJSON(t, edda.SagaCompensating, nil), 2, "retried hotel of trip-1, which is compensating now\n", ""},
		{"retry trip-1 hotel", sagaJSON(t, edda.SagaCompensated, compensation(edda.CompensationSucceeded)), "", 1, "", "hotel of saga trip-1 is succeeded, not failed"},
		{"retry trip-1 hotel", sagaJSON(t, edda.SagaSucceeded, compensation(edda.CompensationWaiting)), "", 1, "", "saga trip-1 has ended, it is succeeded, and step hotel was not to be undone"},
		{"retry trip-1 car", failed, "", 1, "", "step car of saga trip-1 has no compensation"},
		{"skip trip-1 bus", failed, `{"status":404,"code":"not_found","reason":"NO_STEP","detail":"no"}`, 2, "", "(NO_STEP)"},
	} {
		t.Run(c.args, func(t *testing.T) {
			node := newSagaNode(t, c.before, c.after)
			r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", append([]string{"sagas"}, strings.Fields(c.args)...)...)
			if len(node.asked) != c.asked {
				t.Errorf("the node was asked %q, want %d times", node.asked, c.asked)
			}
			step := strings.ReplaceAll(strings.Replace(c.args, " trip-1 ", " /v1/sagas/trip-1/steps/", 1), " ", "")
			action, path, _ := strings.Cut(step, "/")
			if want := "POST /" + path + "/compensation/" + action; c.asked == 2 && node.asked[1] != want {
				t.Errorf("the node was asked %q, want %q", node.asked[1], want)
			}
			if ok := c.errOut == ""; r.Out != c.out || !strings.Contains(r.ErrOut, c.errOut) || (r.Code == cli.ExitDone) != ok {
				t.Errorf("got %+v, want %q and %q", r, c.out, c.errOut)
			}
		})
	}
}

// What a person can do about a saga is said where it is shown.
func TestSagaHints(t *testing.T) {
	for _, c := range []struct {
		name, saga, want string
	}{
		{"created", sagaJSON(t, edda.SagaCreated, nil), "edda sagas start --id trip-1"},
		{"stuck", sagaJSON(t, edda.SagaCompensationFailed, compensation(edda.CompensationFailed)), "edda sagas resolve trip-1 hotel"},
		{"pending", sagaJSON(t, edda.SagaRunning, func(s *edda.Saga) { s.Steps[1].Pending = true }), "edda sagas complete trip-1 car RESULT"},
		{"nested", sagaJSON(t, edda.SagaCompensated, func(s *edda.Saga) { s.Steps[1].SagaID, s.Steps[1].State = "trip-1~car", edda.StepFailed }), "edda sagas show trip-1~car"},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := newSagaNode(t, c.saga)
			r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "sagas", "show", "trip-1")
			if !strings.Contains(r.ErrOut, c.want) {
				t.Errorf("got on stderr:\n%swant %q", r.ErrOut, c.want)
			}
		})
	}
}

// A saga is followed through as many answers as it takes.
func TestFollow(t *testing.T) {
	node := newSagaNode(t, sagaJSON(t, edda.SagaRunning, nil), sagaJSON(t, edda.SagaRunning, nil), sagaJSON(t, edda.SagaSucceeded, nil))
	r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "sagas", "show", "trip-1", "--wait", "--json")
	if r.Code != cli.ExitDone || strings.Count(r.Out, `"id": "trip-1"`) != 1 || len(node.asked) != 3 {
		t.Errorf("got %+v after %q, want the saga once after three looks", r, node.asked)
	}
}

// A definition that can be none is wrong use, whoever sees it.
func TestBadDefinitions(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, "", examples.Services()...)
	for doc, why := range map[string]string{
		`no`:                      "is not JSON",
		`{"name":"n","stepz":[]}`: "(UNKNOWN_FIELD)",
		`{"name":"n","steps":[]}`: "(SCHEMA)",
		`{"name":"n","steps":[{"id":"a","service":"echo","method":"say","after":["b"]},{"id":"b","service":"echo","method":"say","after":["a"]}]}`: "(CYCLE)",
	} {
		r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, doc, "sagas", "start", "-")
		if r.Code != cli.ExitUsage || !strings.Contains(r.ErrOut, why) || !strings.Contains(r.ErrOut, "see: edda sagas start --help") {
			t.Errorf("%s: got %+v, want exit code %d and %s", doc, r, cli.ExitUsage, why)
		}
	}
}
