package node_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// queued is a step that is a message on the stream "work".
func queued(id, after string) edda.StepSpec {
	return edda.StepSpec{
		ID: id, Task: edda.Task{Method: "make", Args: args(`"short"`)}, After: strings.Fields(after),
		Queue: &edda.QueueSpec{Stream: "work", Success: "done", Failure: "failed"},
	}
}

// orders returns the messages that steps are.
func orders(t *testing.T, n *node.Node) []edda.StreamMessage {
	t.Helper()
	synctest.Wait()
	return read(t, n, edda.Read{Stream: "work"}).Messages
}

// answerTo is a message that finishes the step of m.
func answerTo(m *edda.StreamMessage, data string, change ...func(*edda.StreamMessage)) edda.StreamMessage {
	a := edda.StreamMessage{Type: "made", ContentType: "application/json", Payload: []byte(data), Headers: slices.Clone(m.Headers)}
	for _, f := range change {
		f(&a)
	}
	return a
}

// says appends a message.
func says(t *testing.T, n *node.Node, stream string, m edda.StreamMessage) {
	t.Helper()
	putAll(t, n, &edda.Append{Stream: stream, Messages: []edda.StreamMessage{m}})
	synctest.Wait()
}

// A hammer whose handle comes from somebody who reads a stream.
func TestQueueHammer(t *testing.T) {
	bubble(t, "hammer", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{Partitions: 8}, hammer(&j, logged(&j, "hammer", nil))...)
		spec := hammerSpec()
		spec.Steps[1] = queued("handle", "head")
		id := create(t, n, spec)
		s := isIn(t, n, id, "running: head=succeeded handle=running hammer=waiting")
		if st := s.Steps[1]; !st.Pending || st.Queue == nil || *st.Queue != *spec.Steps[1].Queue {
			t.Errorf("step is %+v", st)
		}
		all := orders(t, n)
		if len(all) != 1 {
			t.Fatalf("got %d messages, want one", len(all))
		}
		m := &all[0]
		key := m.Headers.Get("ce-completionkey")
		want := fmt.Sprintf(`{"args":["short"],"dependencies":[{"headId":1}],"sagaId":%q,"stepId":"handle","completionKey":%q}`, id, key)
		if string(m.Payload) != want || m.Type != "make" || m.Key != id || m.Source != "/v1/sagas/"+id || m.ReplyTo.Name != "done" ||
			m.Headers.Get("ce-sagaid") != id || m.Headers.Get("ce-stepid") != "handle" || len(key) != 32 || m.CorrelationID != id {
			t.Errorf("got %s, %+v, want %s", m.Payload, m, want)
		}
		says(t, n, "done", answerTo(m, `{"handleId":2}`))
		endsAs(t, n, id, edda.SagaSucceeded)
		says(t, n, "done", answerTo(m, `3`))
		says(t, n, "failed", answerTo(m, `"late"`))
		if r := look(t, n, id).Steps[1].Result; string(r) != `{"handleId":2}` {
			t.Errorf("result is %s", r)
		}
		j.want(t, `head["ThunderBestowed"][] hammer[][{"headId":1} {"handleId":2}]`)
		if ls := letters(t, n, "done/edda.sagas"); len(ls) != 0 {
			t.Errorf("dead letters: %+v", ls)
		}
		if ws := n.Workers(); len(ws) != 1 {
			t.Errorf("workers: %+v", ws)
		}
	})
}

// What a message says becomes the step's result, or its error.
func TestQueueAnswers(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, c := range map[string]struct {
		stream, data string
		want         string // the result, or the error
	}{
		"nothing":      {"done", "", "null"},
		"white space":  {"done", " 1 ", "1"},
		"no JSON":      {"done", "{", "FAILED: the result is not JSON: {"},
		"message":      {"failed", `{"message":"no wood"}`, "FAILED: no wood"},
		"reason":       {"failed", `{"reason":"NO_WOOD","message":"none"}`, "NO_WOOD: none"},
		"bad reason":   {"failed", `{"reason":"a b","message":"none"}`, "FAILED: none"},
		"text as JSON": {"failed", `"no wood"`, "FAILED: no wood"},
		"text":         {"failed", `no wood`, "FAILED: no wood"},
		"other JSON":   {"failed", `{"wood":0}`, `FAILED: {"wood":0}`},
		"empty":        {"failed", ``, "FAILED: "},
		"binary":       {"failed", "\xff\xfe", "FAILED: 2 bytes that are not text"},
		"long":         {"failed", long, "FAILED: " + long[:4096] + "..."},
	} {
		bubble(t, name, func(t *testing.T) {
			n := start(t, node.Options{})
			id := create(t, n, sagaOf("", queued("a", "")))
			m := orders(t, n)[0]
			says(t, n, c.stream, answerTo(&m, c.data))
			st := look(t, n, id).Steps[0]
			got := string(st.Result)
			if st.Error != nil {
				got = fmt.Sprintf("%s: %s", st.Error.Reason, st.Error.Message)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Steps whose messages could not be appended, or answered, are refused before they are
// there.
func TestQueueIsRefused(t *testing.T) {
	bubble(t, "refused", func(t *testing.T) {
		n := start(t, node.Options{}, tool("adds", func(ctx *edda.Context, _ *edda.StepInput) (any, error) { return nil, ctx.AddSteps(queued("b", "")) }))
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "work", Shards: []string{"eu"}}); err != nil {
			t.Fatal(err)
		}
		_, err := n.CreateSaga(t.Context(), sagaOf("", edda.StepSpec{ID: "in", Saga: sagaIn(queued("a", ""))}))
		wantReason(t, err, edda.NoShard)
		s := endsAs(t, n, create(t, n, sagaOf("", ask("a", "adds", "", ""))), edda.SagaCompensated)
		if e := s.Steps[0].Error; !strings.Contains(e.Message, `stream "work" has the shards that were listed, and "default" is not one of them`) {
			t.Errorf("got %+v", e)
		}
		good := queued("a", "")
		good.Queue.Shard = "eu"
		create(t, n, sagaOf("", good))
		if m := read(t, n, edda.Read{Stream: "work", Shard: "eu"}).Messages; len(m) != 1 {
			t.Errorf("got %+v", m)
		}
		many := &edda.SagaSpec{}
		for i := range 501 {
			st := queued(fmt.Sprint("s", i), "")
			st.Queue = &edda.QueueSpec{Stream: "w", Success: fmt.Sprint("d", i), Failure: fmt.Sprint("f", i)}
			many.Steps = append(many.Steps, st)
		}
		_, err = n.CreateSaga(t.Context(), many)
		wantReason(t, err, edda.TooLarge)
	})
}

func sagaIn(steps ...edda.StepSpec) *edda.SagaSpec { return &edda.SagaSpec{Steps: steps} }

// A consumer that gives up fails the step: its group says so in place of the reply.
func TestQueueConsumerGivesUp(t *testing.T) {
	bubble(t, "gives up", func(t *testing.T) {
		n := start(t, node.Options{}, consumes("work/makers", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			return nil, edda.Final("NO_WOOD", "none is left")
		}))
		s := endsAs(t, n, create(t, n, sagaOf("", queued("a", ""))), edda.SagaCompensated)
		if e := s.Steps[0].Error; e.Reason != edda.Failed || e.Message != "NO_WOOD: none is left" {
			t.Errorf("got %+v", e)
		}
	})
}

// A result for which there is no room fails the step.
func TestQueueResultIsTooLarge(t *testing.T) {
	bubble(t, "too large", func(t *testing.T) {
		maker := consumes("work/makers", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			a := edda.StreamMessage{Headers: m.Headers, Payload: fmt.Appendf(nil, "%q", strings.Repeat("x", 1000))}
			return nil, ctx.Append(&edda.Append{Stream: "done", Messages: []edda.StreamMessage{a}})
		})
		n := start(t, node.Options{Limits: node.Limits{PayloadBytes: 1000}}, maker)
		s := endsAs(t, n, create(t, n, sagaOf("", queued("a", ""))), edda.SagaCompensated)
		if e := s.Steps[0].Error; e.Reason != edda.TooLarge || e.Message != "the result has 1002 bytes, at most 1000 are allowed" {
			t.Errorf("got %+v", e)
		}
	})
}

// What is none of the node's business is passed over, and what has no right to finish a
// step is a dead letter.
func TestQueueStrangeMessages(t *testing.T) {
	bubble(t, "strange", func(t *testing.T) {
		n := start(t, node.Options{}, tool("later", func(*edda.Context, *edda.StepInput) (any, error) { return nil, edda.ErrPending }))
		id := create(t, n, sagaOf("", queued("a", ""), ask("b", "later", "", "")))
		m := orders(t, n)[0]
		header := func(name, value string) func(*edda.StreamMessage) {
			return func(m *edda.StreamMessage) { m.Headers.Set(name, value) }
		}
		for _, strange := range []edda.StreamMessage{
			{Payload: []byte("1")},
			answerTo(&m, "1", func(m *edda.StreamMessage) { m.Headers = m.Headers[:2] }),
			answerTo(&m, "1", header("ce-sagaid", "nobody")),
			answerTo(&m, "1", header("ce-sagaid", "a b")),
			answerTo(&m, "1", header("ce-stepid", "nothing")),
			answerTo(&m, "1", header("ce-stepid", "b")), // which is no message
		} {
			says(t, n, "done", strange)
		}
		isIn(t, n, id, "running: a=running b=running")
		if ls := letters(t, n, "done/edda.sagas"); len(ls) != 0 {
			t.Errorf("dead letters: %+v", ls)
		}
		says(t, n, "done", answerTo(&m, "1", header("ce-completionkey", strings.Repeat("0", 32))))
		isIn(t, n, id, "running: a=running b=running")
		ls := letters(t, n, "done/edda.sagas")
		if len(ls) != 1 || !strings.Contains(ls[0].Detail, "NOT_ALLOWED: the completion key is not that of step a of saga "+id) {
			t.Errorf("dead letters: %+v", ls)
		}
		// Another saga may take the streams the other way round.
		other := sagaOf("", queued("a", ""))
		other.Steps[0].Queue.Success, other.Steps[0].Queue.Failure = "failed", "third"
		back := create(t, n, other)
		all := orders(t, n)
		says(t, n, "done", answerTo(&all[1], "1"))
		isIn(t, n, back, "running: a=running")
		says(t, n, "failed", answerTo(&all[1], "1"))
		endsAs(t, n, back, edda.SagaSucceeded)
		// Headers may be written in any way.
		says(t, n, "failed", answerTo(&m, `"no"`, func(m *edda.StreamMessage) {
			for i := range m.Headers {
				m.Headers[i].Name = strings.ToUpper(m.Headers[i].Name)
			}
		}))
		isIn(t, n, id, "compensating: a=failed b=running")
	})
}

// A step that nobody takes is undone at the deadline, or when somebody cancels it, and
// may be finished by call.
func TestQueueNobodyAnswers(t *testing.T) {
	bubble(t, "nobody", func(t *testing.T) {
		n := start(t, node.Options{})
		late := sagaOf("", queued("a", ""))
		late.DeadlineAfter = time.Hour
		due, gone, called := create(t, n, late), create(t, n, sagaOf("", queued("a", ""))), create(t, n, sagaOf("", queued("a", "")))
		time.Sleep(59 * time.Minute)
		isIn(t, n, due, "running: a=running")
		if s := endsAs(t, n, due, edda.SagaCompensated); s.Reason != edda.DeadlineExceeded || s.Steps[0].State != edda.StepCancelled {
			t.Errorf("got %+v", s)
		}
		if _, err := n.CancelSaga(t.Context(), "", gone); err != nil {
			t.Fatal(err)
		}
		isIn(t, n, gone, "compensated: a=cancelled")
		finish(t, n, called, "a", edda.StepResult{Result: json.RawMessage("7")}, true, edda.StepSucceeded)
		for _, m := range orders(t, n) {
			says(t, n, "done", answerTo(&m, "1"))
		}
		isIn(t, n, due, "compensated: a=cancelled")
		isIn(t, n, gone, "compensated: a=cancelled")
		if s := isIn(t, n, called, "succeeded: a=succeeded"); string(s.Steps[0].Result) != "7" {
			t.Errorf("got %+v", s.Steps[0])
		}
	})
}

// Steps that are added later are read for before they are there: by call, by a handler
// here and by one elsewhere.
func TestQueueStepsAreAdded(t *testing.T) {
	more := func(id, success, failure string) edda.StepSpec {
		s := queued(id, "")
		s.Queue.Success, s.Queue.Failure = success, failure
		return s
	}
	bubble(t, "added", func(t *testing.T) {
		adds := balanced("adds", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			return nil, ctx.AddSteps(more("here", "done-2", "failed-2"))
		})
		n := start(t, node.Options{Partitions: 8}, adds)
		attach(t, n, spec("far", balancedSpec("far")), func(a *node.Attempt) {
			inner := &edda.SagaSpec{Steps: []edda.StepSpec{more("there", "done-3", "failed-3")}}
			if err := a.Done(&edda.Outcome{Steps: []edda.StepSpec{{ID: "in", Saga: inner}}}); err != nil {
				t.Error(err)
			}
		})
		id := create(t, n, sagaOf("", ask("a", "adds", "", ""), ask("b", "far", "", "")))
		if _, err := n.AddSteps(t.Context(), "", id, []edda.StepSpec{more("call", "done-4", "failed-4")}); err != nil {
			t.Fatal(err)
		}
		all := orders(t, n)
		if len(all) != 3 {
			t.Fatalf("%d messages, want 3: %+v", len(all), look(t, n, id))
		}
		for _, m := range all {
			says(t, n, map[string]string{"here": "done-2", "there": "done-3", "call": "done-4"}[m.Headers.Get("ce-stepid")], answerTo(&m, "1"))
		}
		endsAs(t, n, id, edda.SagaSucceeded)
	})
}

// The group by which the node reads belongs to nobody else.
func TestQueueGroupIsTheNodes(t *testing.T) {
	bubble(t, "group", func(t *testing.T) {
		n := start(t, node.Options{})
		id := create(t, n, sagaOf("", queued("a", "")))
		ref := edda.GroupRef{Stream: "done", Group: "edda.sagas"}
		_, _, err := n.SetGroup(t.Context(), edda.GroupSpec{Stream: "done", Name: "edda.sagas"})
		wantReason(t, err, edda.BadName)
		wantReason(t, n.DeleteGroup(t.Context(), ref), edda.BadName)
		_, err = n.ResetGroup(t.Context(), ref, "", edda.FromEnd)
		wantReason(t, err, edda.BadName)
		_, err = n.ReadGroup(t.Context(), edda.GroupRead{GroupRef: ref, Member: "m"})
		wantReason(t, err, edda.BadName)
		_, err = n.Attach(t.Context(), spec("w", edda.NewConsumer("done", "edda.sagas").Spec()), &farWorker{})
		wantReason(t, err, edda.BadName)
		_, err = n.Worker("edda.sagas/done/edda.sagas")
		wantReason(t, err, edda.NoWorkerID)
		if gs, err := n.Groups(t.Context(), "", "done"); err != nil || len(gs) != 1 || gs[0].Name != "edda.sagas" || len(gs[0].Members) != 1 {
			t.Errorf("got %+v, %v", gs, err)
		}
		// Without the streams it is gone, and is there again with the next saga.
		for _, s := range []string{"done", "failed"} {
			if err := n.DeleteStream(t.Context(), "", s); err != nil {
				t.Fatal(err)
			}
		}
		m := orders(t, n)[0]
		again := create(t, n, sagaOf("", queued("a", "")))
		says(t, n, "done", answerTo(&m, "1"))
		endsAs(t, n, id, edda.SagaSucceeded)
		all := orders(t, n)
		says(t, n, "failed", answerTo(&all[1], ""))
		endsAs(t, n, again, edda.SagaCompensated)
		if gs, err := n.Groups(t.Context(), "", "done"); err != nil || len(gs[0].Members) != 1 {
			t.Errorf("got %+v, %v", gs, err)
		}
	})
}

// Whatever is ended when, a step is appended once, and finished by the first of the
// answers that have one key.
func TestQueueRestart(t *testing.T) {
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		id := create(t, n, sagaOf("", ask("a", "good", "", ""), queued("b", "a"), ask("c", "good", "", "b")))
		for range 3 {
			s := isIn(t, n, id, "running: a=succeeded b=running c=waiting")
			if m := orders(t, n); len(m) != 1 || !s.Steps[1].Pending {
				t.Fatalf("got %d messages, want one, and step %+v", len(m), s.Steps[1])
			}
			n = restart(n)
		}
		m := orders(t, n)[0]
		for _, data := range []string{"1", "2"} { // whether the first is handled before the restart or after
			putAll(t, n, &edda.Append{Stream: "done", Messages: []edda.StreamMessage{answerTo(&m, data, func(a *edda.StreamMessage) { a.Key = id })}})
			n = restart(n)
		}
		if s := endsAs(t, n, id, edda.SagaSucceeded); string(s.Steps[1].Result) != "1" {
			t.Errorf("result is %s, want the first", s.Steps[1].Result)
		}
		synctest.Wait()
		noSlotIsLost(t, n, "good", "done/edda.sagas", "failed/edda.sagas")
		stop(t, n)
	}, func() []*edda.Service {
		good := tool("good", func(_ *edda.Context, in *edda.StepInput) (any, error) { return in.StepID, nil })
		good.Retry = everySecond
		return []*edda.Service{good}
	})
}
