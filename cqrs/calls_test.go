package cqrs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

// onSQLite opens a database that is closed with the test.
func onSQLite(t *testing.T) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "edda.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestCreateUser(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		var called map[string]json.RawMessage
		id := newID()
		h.flow.faults.set("after", id, func(context.Context, *Tx) error { return nil })
		h.flow.onAfter = func(c *Command) { called = c.Calls }
		out := h.do(h.create(id))
		h.heard(id, 1, "do join", "do mail")
		h.stored(id)
		if got := string(called["join"]) + string(called["mail"]); got != `{"ref":"R-join"}{"ref":"R-mail"}` {
			t.Errorf("the after hook found the results %s", got)
		}
		var u user
		if err := out.Event.Decode(&u); err != nil || u.Ref != "R-join" {
			t.Errorf("the event has %+v (%v), want the reference of the call whose result is merged", u, err)
		}
		if !slices.Equal(out.Event.Saga, []string{"join", "mail"}) {
			t.Errorf("chain_saga is %q", out.Event.Saga)
		}
		s, err := h.node.Saga(t.Context(), edda.DefaultNamespace, sagaID(id, 1))
		if err != nil || s.State != edda.SagaSucceeded || s.Name != "create.user" || s.CorrelationID != id.String() {
			t.Errorf("the saga is %+v (%v)", s, err)
		}
		again := h.do(h.create(id))
		if !again.Replayed || again.Event.ID != out.Event.ID {
			t.Errorf("the repeated command has the outcome %+v, want that of the first", again)
		}
		h.heard(id, 1, "do join", "do mail")
	})
}

// TestCallHearsWhatCallsBefore sees to it that a call is told the data with the results of
// the calls before, and its undoing the same.
func TestCallHearsWhatCallsBefore(t *testing.T) {
	h := newHost(t, onSQLite(t))
	id := newID()
	var told []string
	h.flow.onCall = func(what string, c *Called) {
		told = append(told, fmt.Sprintf("%s %s ref=%q result=%s user=%s", what, strings.TrimPrefix(c.ID, id.String()),
			refOf(c.Data), c.Result, c.Metadata["user"]))
	}
	h.flow.faults.set("after", id, failing)
	c := h.create(id)
	c.Metadata = map[string]json.RawMessage{"user": json.RawMessage(`"bob"`)}
	h.refused(c, edda.Failed, "it does not want to")
	h.settled(id, 1)
	want := []string{
		`do .1.join ref="" result= user="bob"`,
		`do .1.mail ref="R-join" result= user="bob"`,
		`undo .1.mail ref="R-join" result={"ref":"R-mail"} user="bob"`,
		`undo .1.join ref="" result={"ref":"R-join"} user="bob"`,
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("the calls were told (-want +got)\n%s", diff)
	}
}

func refOf(data json.RawMessage) string {
	var u user
	if err := json.Unmarshal(data, &u); err != nil {
		return err.Error()
	}
	return u.Ref
}

// TestCallsAreValidated lets a validator refuse what a call returned.
func TestCallsAreValidated(t *testing.T) {
	h := newHost(t, onSQLite(t))
	id := newID()
	h.flow.faults.set("validator", id, nil)
	h.flow.onValidate = func(c *Command) error {
		if refOf(c.Data.raw) == "R-join" {
			return errors.New("no such reference")
		}
		return nil
	}
	h.refused(h.create(id), edda.BadSchema, "no such reference")
	h.heard(id, 1, "do join", "undo join") // the second call was not made any more
	h.notStored(id)
}

func TestCallRefuses(t *testing.T) {
	h := newHost(t, onSQLite(t))
	refuse := func(context.Context, *Tx) error { return edda.Final("NO_FUNDS", "the account is empty") }
	t.Run("at once", func(t *testing.T) {
		id := newID()
		h.flow.faults.set("mail", id, refuse)
		h.refused(h.create(id), edda.Failed, "call mail: NO_FUNDS: the account is empty")
		h.heard(id, 1, "do join", "undo join") // what was not made is not undone
	})
	t.Run("after an attempt that may have been heard", func(t *testing.T) {
		id := newID()
		n := 0
		h.flow.faults.set("mail", id, func(ctx context.Context, tx *Tx) error {
			if n++; n == 1 {
				return failing(ctx, tx)
			}
			return refuse(ctx, tx)
		})
		h.refused(h.create(id), edda.Failed, "NO_FUNDS")
		h.heard(id, 1, "do join", "undo mail", "undo join")
	})
}

func TestCallResultsThatCannotBeKept(t *testing.T) {
	h := newHost(t, onSQLite(t))
	for reason, result := range map[edda.Reason]any{edda.TooLarge: strings.Repeat("x", maxResultBytes), edda.BadJSON: func() {}} {
		id := newID()
		h.flow.onResult = func(string) any { return result }
		h.refused(h.create(id), reason, "call join: its result has")
		h.heard(id, 1, "do join", "undo join")
	}
}

// TestRepeatedAfterFailure repeats a command under its id: the next run makes calls of its own, once
// those of the run before are undone.
// A command whose event can have no type is refused before a third party is told.
func TestNoCallsForAnEventWithoutAType(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		for key, want := range map[string]string{
			"a.b":                    `"a.b" for :user_uuid, which must be one segment`,
			strings.Repeat("a", 250): "at most 255 are allowed",
		} {
			id := edda.NewID(1, time.Now())
			h.refused(&Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: key})}, edda.BadValue, want)
			h.heard(id, 1)
		}
		h.nothing()
	})
}

func TestRepeatedAfterFailure(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		id := newID()
		h.flow.faults.set("after", id, once(failing))
		release := make(chan struct{})
		h.flow.faults.set("undo mail", id, func(ctx context.Context, _ *Tx) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		h.refused(h.create(id), edda.Failed, "it does not want to")
		ctx, cancel := context.WithTimeout(t.Context(), shortTimeout)
		defer cancel()
		if _, err := h.Do(ctx, h.create(id)); edda.ReasonOf(err) != edda.Timeout {
			t.Errorf("while the run before is undone Do returned %v", err)
		}
		close(release)
		out := h.do(h.create(id))
		if out.Replayed {
			t.Error("the next run is said to be a repetition")
		}
		h.heard(id, 1, "do join", "do mail", "undo mail", "undo join")
		h.heard(id, 2, "do join", "do mail")
		h.stored(id)
	})
}

// TestSameCommandTwiceAtATime joins a command that is under way.
func TestSameCommandTwiceAtATime(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		id := newID()
		begun, release := make(chan struct{}), make(chan struct{})
		h.flow.faults.set("join", id, once(func(context.Context, *Tx) error {
			close(begun)
			<-release
			return nil
		}))
		type done struct {
			out *Outcome
			err error
		}
		results := make(chan done, 2)
		do := func() {
			out, err := h.Do(t.Context(), h.create(id))
			results <- done{out, err}
		}
		go do()
		<-begun
		h.flow.faults.set("before", id, once(func(context.Context, *Tx) error {
			return errors.New("the hooks of the second one shall not run: the first one is there")
		}))
		go do()
		close(release)
		first, second := <-results, <-results
		if first.err != nil || second.err != nil {
			t.Fatal(first.err, second.err)
		}
		if first.out.Event.ID != second.out.Event.ID || first.out.Replayed == second.out.Replayed {
			t.Errorf("the outcomes are %+v and %+v, want one event, once said to be a repetition", first.out, second.out)
		}
		h.heard(id, 1, "do join", "do mail")
		h.heard(id, 2)
		h.stored(id)
	})
}

// attempt runs a step of a command's saga as a node would.
func (h *host) attempt(method string, id edda.ID, run, attempt int) edda.Outcome {
	h.t.Helper()
	return h.attemptWith(method, id, run, attempt, `{"result":{}}`, `{"result":{}}`)
}

func (h *host) attemptWith(method string, id edda.ID, run, attempt int, results ...string) edda.Outcome {
	h.t.Helper()
	x, _, err := h.begin(h.t.Context(), h.create(id))
	if err != nil {
		h.t.Fatal(err)
	}
	x.run = run
	spec, err := h.saga(h.t.Context(), x)
	if err != nil {
		h.t.Fatal(err)
	}
	step := spec.Steps[len(results)]
	in := edda.StepInput{SagaID: spec.ID, StepID: step.ID, Args: step.Args}
	for _, r := range results {
		in.Dependencies = append(in.Dependencies, json.RawMessage(r))
	}
	s := edda.NewBalanced("test")
	h.callMethods(s)
	return s.Invoke(h.t.Context(), &edda.Dispatch{
		Message: &edda.Message{ID: newID(), Type: method, Payload: edda.JSON(in)}, Attempt: attempt, Step: &edda.StepRef{SagaID: spec.ID},
	})
}

// isFinalWith checks that a step has failed for good with a reason.
func isFinalWith(t *testing.T, out edda.Outcome, reason edda.Reason) {
	t.Helper()
	he, ok := errors.AsType[*edda.HandlerError](out.Err)
	if !ok || !he.Final || he.Reason != string(reason) {
		t.Errorf("the step ended with %v (%T), want a final %s", out.Err, out.Err, reason)
	}
}

// TestCommitIsRecovered makes a second attempt to commit, whose first was lost.
func TestCommitIsRecovered(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		t.Run("nothing is stored", func(t *testing.T) {
			h.t = t
			id := newID()
			isFinalWith(t, h.attempt(commitMethod, id, 1, 2), edda.WorkerLost)
			h.notStored(id)
			// The first one comes late.
			isFinalWith(t, h.attempt(commitMethod, id, 1, 1), edda.Cancelled)
			h.notStored(id)
			// And later still, when the next run has committed.
			h.do(h.create(id))
			h.stored(id)
			isFinalWith(t, h.attempt(commitMethod, id, 1, 1), edda.Cancelled)
			isFinalWith(t, h.attempt(commitMethod, id, 1, 3), edda.WorkerLost)
			h.heard(id, 2, "do join", "do mail")
		})
		t.Run("it was committed", func(t *testing.T) {
			h.t = t
			id := newID()
			first := h.attempt(commitMethod, id, 1, 1)
			h.stored(id)
			second := h.attempt(commitMethod, id, 1, 2)
			if first.Err != nil || second.Err != nil || string(first.Reply.Payload) != string(second.Reply.Payload) {
				t.Errorf("the attempts ended with %+v and %+v, want the same", first, second)
			}
		})
		t.Run("the first is still at it", func(t *testing.T) {
			h.t = t
			id := newID()
			second := make(chan edda.Outcome, 1)
			h.flow.faults.set("child", id, func(context.Context, *Tx) error {
				go func() { second <- h.attempt(commitMethod, id, 1, 2) }()
				return nil
			})
			first := h.attempt(commitMethod, id, 1, 1)
			switch out := <-second; {
			case first.Err == nil && out.Err == nil:
				h.stored(id)
			case first.Err != nil:
				isFinalWith(t, first, edda.Cancelled)
				isFinalWith(t, out, edda.WorkerLost)
				h.notStored(id)
			default:
				t.Errorf("the first attempt has committed, and the second ended with %v", out.Err)
			}
		})
	})
}

// TestCallAttemptsThatWereLost counts attempts at a call whose process died.
func TestCallAttemptsThatWereLost(t *testing.T) {
	h := newHost(t, onSQLite(t))
	id := newID()
	out := h.attemptWith(callMethod, id, 1, 3) // two are allowed
	if out.Err != nil || !strings.Contains(string(out.Reply.Payload), "its last attempt was lost") {
		t.Errorf("the step ended with %v %s, want the result that it failed, so that it is undone", out.Err, out.Reply.Payload)
	}
	if heard := h.flow.heard(sagaID(id, 1)); heard != nil {
		t.Errorf("the partner heard %q", heard)
	}
}

// TestAbortedRunsMakeNoCalls gives up a run between its calls.
func TestAbortedRunsMakeNoCalls(t *testing.T) {
	h := newHost(t, onSQLite(t))
	id := newID()
	x, _, err := h.begin(t.Context(), h.create(id))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.abort(t.Context(), x.row(), "the test says so"); err != nil {
		t.Fatal(err)
	}
	for attempt := range 2 { // an attempt before the first may have been handed back, and have made it
		out := h.attemptWith(callMethod, id, 1, 1+attempt)
		if out.Err != nil || !strings.Contains(string(out.Reply.Payload), "was aborted") {
			t.Errorf("attempt %d ended with %+v, want the result that it failed, so that it is undone", 1+attempt, out)
		}
	}
	if heard := h.flow.heard(sagaID(id, 1)); heard != nil {
		t.Errorf("the partner heard %q", heard)
	}
}

// TestSagaOfACommandIsCancelled has a person cancel the saga while the command commits.
func TestSagaOfACommandIsCancelled(t *testing.T) {
	h := newHost(t, onSQLite(t))
	id := newID()
	h.flow.faults.set("child", id, func(ctx context.Context, _ *Tx) error {
		_, err := h.node.CancelSaga(context.WithoutCancel(ctx), edda.DefaultNamespace, sagaID(id, 1))
		return err
	})
	_, err := h.Do(t.Context(), h.create(id))
	state := h.settled(id, 1)
	switch committed := len(h.strings("SELECT 1 FROM edda_commands WHERE status = 'committed' AND key = $1", id.String())) == 1; {
	case committed:
		if err != nil || state != edda.SagaCompensationFailed {
			t.Errorf("it was committed, Do returned %v, and the saga is %s", err, state)
		}
		h.heard(id, 1, "do join", "do mail")
		h.stored(id)
	default:
		if edda.ReasonOf(err) != edda.Cancelled || state != edda.SagaCompensated {
			t.Errorf("it was not committed, Do returned %v, and the saga is %s", err, state)
		}
		h.heard(id, 1, "do join", "do mail", "undo mail", "undo join")
		h.notStored(id)
	}
	id = newID()
	h.do(h.create(id))
	if out := h.undo(id); out.Err == nil {
		t.Error("a call of a command that was committed is undone")
	} else {
		isFinalWith(t, out, edda.Conflict)
	}
	h.heard(id, 1, "do join", "do mail")
}

// undo runs the undoing of the first call as a node would.
func (h *host) undo(id edda.ID) edda.Outcome {
	h.t.Helper()
	s, err := h.node.Saga(h.t.Context(), edda.DefaultNamespace, sagaID(id, 1))
	if err != nil {
		h.t.Fatal(err)
	}
	in := edda.StepInput{SagaID: s.ID, StepID: "join", Args: s.Steps[0].Compensation.Args, Dependencies: []json.RawMessage{s.Steps[0].Result}}
	svc := edda.NewBalanced("test")
	h.callMethods(svc)
	return svc.Invoke(h.t.Context(), &edda.Dispatch{Message: &edda.Message{ID: newID(), Type: undoMethod, Payload: edda.JSON(in)}, Attempt: 1, Step: &edda.StepRef{SagaID: s.ID, Undo: true}})
}

// TestOnlySagasCallAndCommit sends the service of the app what only the node may.
func TestOnlySagasCallAndCommit(t *testing.T) {
	h := newHost(t, onSQLite(t))
	id := newID()
	h.do(h.create(id))
	s, err := h.node.Saga(t.Context(), edda.DefaultNamespace, sagaID(id, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{callMethod, commitMethod, undoMethod} {
		in := edda.StepInput{SagaID: s.ID, StepID: "join", Args: s.Steps[0].Args, Dependencies: []json.RawMessage{}}
		_, err := h.node.Call(t.Context(), &edda.Message{To: edda.Address{Name: h.o.service()}, Type: method, Payload: edda.JSON(in)})
		if err == nil || !strings.Contains(err.Error(), "no step of one") {
			t.Errorf("%s: got error %v", method, err)
		}
	}
	h.heard(id, 1, "do join", "do mail")
}

// TestCommitElsewhere runs commands from a process that does not host the app.
func TestCommitElsewhere(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		other, err := New(db, Options{NoRelay: true, NoMigrations: true}, h.flow.broadcaster())
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Start(t.Context(), h.node); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := other.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		t.Run("committed", func(t *testing.T) {
			h.t = t
			id := newID()
			out, err := other.Do(t.Context(), h.create(id))
			if err != nil || out.Replayed || out.Event == nil || out.Event.Data == nil || out.Position == (Position{}) {
				t.Errorf("the outcome is %+v (%v)", out, err)
			}
			h.stored(id)
		})
		t.Run("not saved", func(t *testing.T) {
			h.t = t
			id := newID()
			c := h.create(id)
			c.DoNotSave = true
			out, err := other.Do(t.Context(), c)
			if err != nil || out.Event == nil || out.Event.Key != id.String() || out.Position != (Position{}) {
				t.Errorf("the outcome is %+v (%v)", out, err)
			}
		})
		t.Run("failed, and not undone yet", func(t *testing.T) {
			h.t = t
			id := newID()
			h.flow.faults.set("projector", id, func(context.Context, *Tx) error {
				return &edda.Error{Op: "ask", Reason: edda.NotAllowed, Err: errors.New("who are you")}
			})
			var undoing atomic.Bool
			undoing.Store(true)
			h.flow.faults.set("undo mail", id, func(ctx context.Context, tx *Tx) error {
				if undoing.Load() {
					return failing(ctx, tx)
				}
				return nil
			})
			// That Do returns at all says that it does not wait for the undoing.
			_, err := other.Do(t.Context(), h.create(id))
			if edda.ReasonOf(err) != edda.NotAllowed || !strings.Contains(err.Error(), "who are you") {
				t.Errorf("Do returned %v (%s)", err, edda.ReasonOf(err))
			}
			undoing.Store(false)
			h.heard(id, 1, "do join", "do mail", "undo mail", "undo join")
			h.notStored(id)
		})
	})
}

func TestCallsNeedANode(t *testing.T) {
	h := newHost(t, onSQLite(t))
	a, err := New(h.db, Options{NoRelay: true, NoMigrations: true}, h.flow.broadcaster())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Do(t.Context(), h.create(newID())); edda.ReasonOf(err) != edda.Unavailable || !strings.Contains(err.Error(), "without a node") {
		t.Errorf("Do returned %v", err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSagaName(t *testing.T) {
	for typ, want := range map[string]string{
		"create.user": "create.user", "update.user.:user_uuid": "update.user._user_uuid", ":x.create": "x.create",
		"edda.create": "create", strings.Repeat("a", 200): strings.Repeat("a", edda.MaxNameBytes), "créer": "cr_er",
	} {
		if got := sagaName(typ); got != want || edda.CheckName("saga name", got) != nil {
			t.Errorf("the sagas of %q are called %q, want %q", typ, got, want)
		}
	}
}
