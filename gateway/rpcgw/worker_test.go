package rpcgw_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/rpcgw"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

func TestWorkerAnswers(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", balanced("echo"))
	got := s.call(t, "echo", "say", "hello")
	d := w.dispatch()
	m := d.GetMessage()
	if m.GetType() != "say" || m.GetService() != "echo" || string(m.GetPayload()) != "hello" || m.GetContentType() != "text/plain" ||
		len(m.GetId()) != 16 || d.GetAttempt() != 1 || d.GetDeadline() == 0 || d.GetState() != nil {
		t.Errorf("dispatched %v", d)
	}
	w.send(taken(d.GetAttemptId()), reply(d.GetAttemptId(), "hello back"))
	a := <-got
	if a.text(t) != "hello back" || a.EffectiveStatus() != 200 || a.ContentType != "text/plain" || a.Attempts != 1 {
		t.Errorf("got %+v", a)
	}
}

// A message reaches the worker with all that it has.
func TestDispatchIsTheWholeMessage(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", &eddav1.Service{Namespace: "shop", Name: "users", Kind: eddav1.Kind_KIND_ORDERED})
	sent := &eddav1.Message{
		Type: "login", Namespace: "shop", Service: "users", Key: "ü/42", Source: "till-3",
		Headers:     []*eddav1.Header{{Name: "X-A", Value: "1"}, {Name: "X-A", Value: ""}},
		ContentType: "application/json", Schema: "login/1", Payload: []byte(`{"a":1}`), Frames: [][]byte{[]byte("one"), {}},
		ReplyTo: &eddav1.Address{Namespace: "shop", Name: "replies", Key: "7"}, CorrelationId: "story", CausationId: bytes.Repeat([]byte{7}, 16),
		Traceparent: "00-1-2-01", Tracestate: "a=b", IdempotencyKey: "k",
		Deadline: time.Now().Add(time.Hour).UnixNano(), Chain: []*eddav1.Address{{Name: "users", Key: "1"}},
	}
	go func() { _, _ = s.client(t).Call(within(t), &eddav1.CallRequest{Message: sent}) }()
	d := w.dispatch()
	if d.GetMessage().GetTime() == 0 || d.GetFence() == 0 || len(d.GetMessage().GetId()) != 16 {
		t.Errorf("time, fence or id are missing: %v", d)
	}
	if diff := cmp.Diff(sent, d.GetMessage(), protocmp.Transform(), protocmp.IgnoreFields(sent, "id", "time")); diff != "" {
		t.Errorf("the worker got another message (-sent +got):\n%s", diff)
	}
	w.send(reply(d.GetAttemptId(), "ok"))
}

func TestStateTravels(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", ordered("counter"))
	var fence uint64
	for i, want := range []string{"", "n=1", "n=2"} {
		got := s.call(t, "counter/visits", "add", "")
		d := w.dispatch()
		if d.GetState() == nil || stateText(d.GetState()) != want || d.GetFence() <= fence {
			t.Errorf("call %d: state is %v, want %q; fence is %d after %d", i, d.GetState(), want, d.GetFence(), fence)
		}
		fence = d.GetFence()
		next := fmt.Sprint(i + 1)
		w.send(outcome(&eddav1.Outcome{
			AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{Payload: []byte(next)}},
			Set: []*eddav1.StateEntry{{Name: "n", Value: []byte(next)}, {Name: "gone", Value: []byte("x")}}, Delete: []string{"gone"},
		}))
		if text := (<-got).text(t); text != next {
			t.Errorf("reply %q, want %q", text, next)
		}
	}
}

func stateText(s *eddav1.State) string {
	var b strings.Builder
	for _, e := range s.GetEntries() {
		fmt.Fprintf(&b, "%s=%s", e.GetName(), e.GetValue())
	}
	return b.String()
}

// State beyond 64 KiB is asked for, one entry or a list in pages.
func TestStateIsAskedFor(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", ordered("big"))
	var set []*eddav1.StateEntry
	for i := range 50 {
		set = append(set, &eddav1.StateEntry{Name: fmt.Sprintf("a%02d", i), Value: bytes.Repeat([]byte{byte(i)}, 20<<10)})
	}
	first := s.call(t, "big/1", "fill", "")
	w.send(outcome(&eddav1.Outcome{AttemptId: w.dispatch().GetAttemptId(), Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{}}, Set: set}))
	(<-first).text(t)

	second := s.call(t, "big/1", "read", "")
	d := w.dispatch()
	if n := len(d.GetState().GetEntries()); !d.GetState().GetPartial() || n != 3 || d.GetState().GetEntries()[2].GetName() != "a02" {
		t.Errorf("%d entries came, partial is %v; want the 3 that fit 64 KiB", n, d.GetState().GetPartial())
	}
	ask := func(q *eddav1.StateGet) *eddav1.StateValue {
		q.AttemptId, q.QueryId = d.GetAttemptId(), 77
		w.send(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_StateGet{StateGet: q}})
		v := w.next("StateValue", func(f *eddav1.NodeFrame) bool { return f.GetStateValue() != nil }).GetStateValue()
		if v.GetQueryId() != 77 || v.GetError() != nil {
			t.Errorf("answer to %v: %d, %v", q, v.GetQueryId(), v.GetError())
		}
		return v
	}
	if v := ask(&eddav1.StateGet{Name: "a31"}); len(v.GetEntries()) != 1 || !bytes.Equal(v.GetEntries()[0].GetValue(), set[31].GetValue()) {
		t.Errorf("a31 has %d entries", len(v.GetEntries()))
	}
	if v := ask(&eddav1.StateGet{Name: "b"}); len(v.GetEntries()) != 0 {
		t.Errorf("b is there: %v", v)
	}
	var names []string
	for after, more := "", true; more; {
		v := ask(&eddav1.StateGet{Name: "a", List: true, After: after})
		for _, e := range v.GetEntries() {
			names = append(names, e.GetName())
			after = e.GetName()
		}
		more = v.GetMore()
	}
	if len(names) != 50 || !slices.IsSorted(names) {
		t.Errorf("listed %v", names)
	}
	if v := ask(&eddav1.StateGet{Name: "a4", List: true, After: "a47"}); len(v.GetEntries()) != 2 {
		t.Errorf("after a47 there are %d, want 2", len(v.GetEntries()))
	}
	w.send(reply(d.GetAttemptId(), "ok"))
	(<-second).text(t)
}

// What a handler sends goes out with its outcome, on behalf of who called it.
func TestSends(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", ordered("a"), ordered("b"))
	got := s.call(t, "a/1", "go", "")
	d := w.dispatch()
	w.send(outcome(&eddav1.Outcome{
		AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{}},
		Sends: []*eddav1.Message{{Type: "on", Service: "b", Key: "2", Principal: "root", CausationId: bytes.Repeat([]byte{1}, 16), Payload: []byte("x")}},
	}))
	(<-got).text(t)
	m := w.dispatch().GetMessage()
	if m.GetService() != "b" || m.GetKey() != "2" || m.GetPrincipal() != "" || !bytes.Equal(m.GetCausationId(), d.GetMessage().GetId()) ||
		m.GetCorrelationId() == "" || string(m.GetPayload()) != "x" {
		t.Errorf("sent on %v", m)
	}
}

func TestFailures(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", &eddav1.Service{Name: "flaky", Kind: eddav1.Kind_KIND_BALANCED, Retry: &eddav1.Retry{Max: 2, Delay: 1}})
	for _, c := range []struct {
		name    string
		outcome *eddav1.Outcome
		reason  edda.Reason
		detail  string
	}{
		{"final", fails(&eddav1.Failure{Reason: "NO_FUNDS", Message: "empty", Final: true}), edda.Failed, "NO_FUNDS: empty"},
		{"spent", fails(&eddav1.Failure{Message: "try again"}), edda.Dead, "try again"},
		{"panicked", fails(&eddav1.Failure{Message: "nil map", Panicked: true}), edda.Dead, "nil map"},
		{"pending", &eddav1.Outcome{Result: &eddav1.Outcome_Pending{Pending: true}}, edda.Dead, "saga"},
		{"a bad status", answers(&eddav1.Reply{Status: 99}), edda.Failed, "status 99"},
		{"state without keys", &eddav1.Outcome{Result: &eddav1.Outcome_Reply{}, Set: []*eddav1.StateEntry{{Name: "a"}}}, edda.Dead, "keeps no state"},
		{"a bad send", &eddav1.Outcome{Result: &eddav1.Outcome_Reply{}, Sends: []*eddav1.Message{{Service: "..", Type: "x"}}}, edda.Dead, ".."},
	} {
		got := s.call(t, "flaky", "go", c.name)
		attempts := map[edda.Reason]int{edda.Failed: 1, edda.Dead: 2}[c.reason]
		for range attempts {
			c.outcome.AttemptId = w.dispatch().GetAttemptId()
			w.send(outcome(c.outcome))
		}
		if a := <-got; edda.ReasonOf(a.err) != c.reason || !strings.Contains(a.err.Error(), c.detail) {
			t.Errorf("%s: got %v (%s), want %s, %q", c.name, a.err, edda.ReasonOf(a.err), c.reason, c.detail)
		}
	}
}

func fails(f *eddav1.Failure) *eddav1.Outcome {
	return &eddav1.Outcome{Result: &eddav1.Outcome_Failure{Failure: f}}
}

func answers(r *eddav1.Reply) *eddav1.Outcome {
	return &eddav1.Outcome{Result: &eddav1.Outcome_Reply{Reply: r}}
}

// A late outcome is refused, and the worker was told.
func TestFenced(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", &eddav1.Service{
		Name: "slow", Kind: eddav1.Kind_KIND_ORDERED, AttemptTimeout: int64(300 * time.Millisecond), Retry: &eddav1.Retry{Max: 1000, Delay: 1},
	})
	got := s.call(t, "slow/1", "go", "")
	first := w.dispatch()
	w.send(taken(first.GetAttemptId()))
	f := w.fenced()
	if f.GetAttemptId() != first.GetAttemptId() || f.GetError().GetReason() != "FENCED" {
		t.Errorf("fenced %v, want attempt %d", f, first.GetAttemptId())
	}
	second := w.dispatch()
	if second.GetAttempt() != 2 || second.GetFence() <= first.GetFence() {
		t.Errorf("the second attempt is %v", second)
	}
	w.send(reply(first.GetAttemptId(), "too late"), reply(second.GetAttemptId(), "in time"))
	if text := w.says(got, "in time").text(t); text != "in time" {
		t.Errorf("reply %q", text)
	}
}

// Progress gives an attempt its time anew; beats do not.
func TestProgress(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", &eddav1.Service{Name: "slow", Kind: eddav1.Kind_KIND_BALANCED, AttemptTimeout: int64(500 * time.Millisecond)})
	got := s.call(t, "slow", "go", "")
	var working sync.WaitGroup
	defer working.Wait()
	a := w.answer(got, func(d *eddav1.Dispatch) {
		working.Go(func() { // for longer than an attempt may take
			for begin := time.Now(); time.Since(begin) < 800*time.Millisecond; <-time.After(20 * time.Millisecond) {
				_ = w.trySend(beat(d.GetAttemptId()))
			}
			_ = w.trySend(reply(d.GetAttemptId(), "done"))
		})
	})
	if text := a.text(t); text != "done" {
		t.Errorf("reply %q", text)
	}
}

func TestHandedBackCostsNothing(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", balanced("echo"))
	got := s.call(t, "echo", "say", "")
	d := w.dispatch()
	w.send(outcome(&eddav1.Outcome{AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_HandedBack{HandedBack: true}}))
	again := w.dispatch()
	if again.GetAttempt() != 1 {
		t.Errorf("attempt %d, want 1", again.GetAttempt())
	}
	w.send(reply(again.GetAttemptId(), ""))
	if a := <-got; a.text(t) != "" || a.Attempts != 1 || a.EffectiveStatus() != 204 {
		t.Errorf("got %+v", a)
	}
}

// What a worker has taken is tried again when it goes, what it has not begun costs
// no attempt.
func TestWorkerGoes(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", balanced("echo"))
	taking, waiting := s.call(t, "echo", "say", "taken"), s.call(t, "echo", "say", "not")
	for range 2 {
		if d := w.dispatch(); string(d.GetMessage().GetPayload()) == "taken" {
			w.send(taken(d.GetAttemptId()))
		}
	}
	w.leave()
	next := s.join(t, "w2", balanced("echo"))
	for range 2 {
		d := next.dispatch()
		want := map[string]uint32{"taken": 2, "not": 1}[string(d.GetMessage().GetPayload())]
		if d.GetAttempt() != want {
			t.Errorf("%s: attempt %d, want %d", d.GetMessage().GetPayload(), d.GetAttempt(), want)
		}
		next.send(reply(d.GetAttemptId(), "ok"))
	}
	(<-taking).text(t)
	(<-waiting).text(t)
}

// A worker that drains is given nothing more, and ends in its time.
func TestWorkerDrains(t *testing.T) {
	s := serve(t, options{})
	w1, w2 := s.join(t, "w1", balanced("echo")), s.join(t, "w2", balanced("echo"))
	w1.send(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Drain{Drain: &eddav1.Drain{}}}, beat(99))
	w1.fenced() // the answer to 99: the drain was read
	for range 4 {
		got := s.call(t, "echo", "say", "")
		w2.send(reply(w2.dispatch().GetAttemptId(), "w2"))
		if text := (<-got).text(t); text != "w2" {
			t.Errorf("answered by %s", text)
		}
	}
}

// An operator, or the node when it stops, tells the worker to finish.
func TestNodeDrainsWorker(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", balanced("echo"))
	if _, err := s.node.DrainWorker("w1"); err != nil {
		t.Fatal(err)
	}
	d := w.next("Drain", func(f *eddav1.NodeFrame) bool { return f.GetDrain() != nil }).GetDrain()
	if !strings.Contains(d.GetReason(), "operator") || d.GetStopping() {
		t.Errorf("reason %q, stopping %v", d.GetReason(), d.GetStopping())
	}
}

func TestCredit(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", &eddav1.Service{Name: "echo", Kind: eddav1.Kind_KIND_BALANCED, Concurrency: 1})
	credit := func(n uint32) {
		w.send(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Credit{Credit: &eddav1.Credit{Service: "echo", Concurrency: n}}}, beat(99))
		w.fenced() // the answer to 99
	}
	credit(2)
	a, b := s.call(t, "echo", "say", ""), s.call(t, "echo", "say", "")
	first, second := w.dispatch(), w.dispatch() // both at a time
	credit(0)
	w.send(reply(first.GetAttemptId(), ""), reply(second.GetAttemptId(), ""))
	(<-a).text(t)
	(<-b).text(t)
	third := s.call(t, "echo", "say", "")
	credit(1)
	w.send(reply(w.dispatch().GetAttemptId(), ""))
	(<-third).text(t)
}

func TestMembers(t *testing.T) {
	s := serve(t, options{})
	w1 := s.join(t, "w1", ordered("users"))
	w2 := s.join(t, "w2", ordered("users"))
	for _, w := range []*link{w1, w2} {
		w.next("Members of both", func(f *eddav1.NodeFrame) bool {
			m := f.GetMembers()
			return m.GetService() == "users" && slices.Equal(m.GetWorkerIds(), []string{"w1", "w2"})
		})
	}
	w1.leave()
	w2.next("Members without w1", func(f *eddav1.NodeFrame) bool { return slices.Equal(f.GetMembers().GetWorkerIds(), []string{"w2"}) })
}

func TestParts(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", balanced("report"))
	c := s.client(t)
	ack, err := c.Send(within(t), &eddav1.SendRequest{Message: &eddav1.Message{Type: "make", Service: "report"}})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := c.Parts(within(t), &eddav1.PartsRequest{Id: ack.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	d := w.dispatch()
	part := func(text string) *eddav1.WorkerFrame {
		return &eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Part{Part: &eddav1.Part{AttemptId: d.GetAttemptId(), ContentType: "text/plain", Payload: []byte(text)}}}
	}
	w.send(part("one"), part("two"))
	for n := uint64(0); n < 2; {
		p := w.next("PartStored", func(f *eddav1.NodeFrame) bool { return f.GetPartStored() != nil }).GetPartStored()
		if p.GetAttemptId() != d.GetAttemptId() || p.GetNumber() <= n || p.GetError() != nil {
			t.Fatalf("stored %v after %d", p, n)
		}
		n = p.GetNumber()
	}
	for i, want := range []string{"one", "two"} {
		e, err := parts.Recv()
		if p := e.GetPart(); err != nil || string(p.GetPayload()) != want || p.GetNumber() != fmt.Sprintf("1.%d", i+1) || p.GetContentType() != "text/plain" {
			t.Errorf("part %d is %v, %v", i, p, err)
		}
	}
	w.send(reply(d.GetAttemptId(), "end"), part("three"))
	refused := w.next("PartStored", func(f *eddav1.NodeFrame) bool { return f.GetPartStored() != nil }).GetPartStored()
	if refused.GetError().GetReason() != "NO_ATTEMPT" {
		t.Errorf("a part after the outcome: %v", refused)
	}
	e, err := parts.Recv()
	if err != nil || string(e.GetEnd().GetReply().GetPayload()) != "end" {
		t.Errorf("the end is %v, %v", e, err)
	}
	if _, err := parts.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	rest, err := c.Parts(within(t), &eddav1.PartsRequest{Id: ack.GetId(), After: "1.1"})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := rest.Recv(); err != nil || e.GetPart().GetNumber() != "1.2" {
		t.Errorf("after 1.1 comes %v, %v", e, err)
	}
}

// A worker that lost its connection comes back in place of itself.
func TestSilentWorkerIsReplaced(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Heartbeat: 100 * time.Millisecond, Lifetime: 300 * time.Millisecond}})
	before := s.join(t, "w1", balanced("echo"))
	for {
		if info, err := s.node.Worker("w1"); err != nil {
			t.Fatal(err)
		} else if info.State == edda.WorkerSilent {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	after := s.join(t, "w1", balanced("echo"))
	after.beats()
	e, st := before.ends()
	if e.GetReason() != "EXISTS" || st.Code().String() != "AlreadyExists" {
		t.Errorf("the first stream ended with %v, %v", e, st)
	}
	got := s.call(t, "echo", "say", "")
	if text := after.says(got, "back").text(t); text != "back" {
		t.Errorf("reply %q", text)
	}
}

// Messages whose texts are not UTF-8, which only callers in the node's process can
// send, do not break a worker's decoder.
func TestTextsThatAreNotUTF8(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", balanced("echo"))
	done := make(chan error, 1)
	ctx := within(t)
	go func() {
		_, err := s.node.Call(ctx, &edda.Message{
			To: edda.Address{Name: "echo"}, Type: "say", ContentType: "a\xff", CorrelationID: "\xfe", Headers: edda.Headers{{Name: "\xff", Value: "v\xff"}},
		})
		done <- err
	}()
	d := w.dispatch()
	if m := d.GetMessage(); m.GetContentType() != "a\uFFFD" || m.GetHeaders()[0].GetValue() != "v\uFFFD" {
		t.Errorf("got %v", m)
	}
	w.send(reply(d.GetAttemptId(), ""))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A worker that wants more at a time than a node gives is told so, when it registers
// and later.
func TestConcurrencyIsBounded(t *testing.T) {
	s := serve(t, options{})
	greedy := balanced("echo")
	greedy.Concurrency = edda.MaxConcurrency + 1
	w := s.open(t)
	w.register("greedy", greedy)
	if e, _ := w.ends(); e.GetReason() != string(edda.BadValue) || !strings.Contains(e.GetMessage(), "must be at most 65536") {
		t.Errorf("got %v, want BAD_VALUE", e)
	}
	greedy.Concurrency = edda.MaxConcurrency
	w = s.join(t, "greedy", greedy)
	w.send(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Credit{Credit: &eddav1.Credit{Service: "echo", Concurrency: math.MaxUint32}}})
	if e, _ := w.ends(); e.GetReason() != string(edda.BadValue) || !strings.Contains(e.GetMessage(), "must be at most 65536") {
		t.Errorf("got %v, want BAD_VALUE", e)
	}
}
