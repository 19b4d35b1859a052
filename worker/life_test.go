package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
	"github.com/edda-io/edda/worker"
)

// hold is a handler that says that it runs, and replies when it is let go. It
// passes on why its context ended; a method "stubborn" does not care that it did.
type hold struct {
	began  chan string
	let    chan struct{}
	causes chan error
}

func newHold() *hold {
	return &hold{began: make(chan string, 100), let: make(chan struct{}), causes: make(chan error, 100)}
}

func (h *hold) handle(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
	h.began <- string(m.Payload)
	done := c.Done()
	if m.Type == "stubborn" {
		done = nil
	}
	select {
	case <-h.let:
		return echo(c, m)
	case <-done:
		h.causes <- context.Cause(c)
		return nil, c.Err()
	}
}

// The outcome of an attempt that was given up is not told; that its handler has
// returned is.
func TestFenced(t *testing.T) {
	n := newFakeNode(t)
	h := newHold()
	s := balanced("hold", h.handle)
	s.Concurrency = 1
	n.run(worker.Options{}, s)
	k, _ := n.registered()
	k.send(dispatch(1, "hold", "nice", "a"), dispatch(2, "hold", "nice", "b"))
	if got := recv(t, h.began); got != "a" {
		t.Errorf("%s has begun", got)
	}
	k.send(fenced(2)) // it waits still
	if out := k.outcome(); out.GetAttemptId() != 2 || !out.GetHandedBack() {
		t.Errorf("outcome is %v", out)
	}
	k.send(fenced(1), fenced(99))
	if err := recv(t, h.causes); edda.ReasonOf(err) != edda.Fenced || !strings.Contains(err.Error(), "it took too long") {
		t.Errorf("the context ends with %v", err)
	}
	if out := k.outcome(); out.GetAttemptId() != 1 || !out.GetHandedBack() {
		t.Errorf("outcome is %v", out)
	}

	// A handler that does not return keeps nobody waiting, as often as there are slots.
	k.send(dispatch(3, "hold", "stubborn", "c"))
	recv(t, h.began)
	k.send(fenced(3), dispatch(4, "hold", "stubborn", "d"))
	if got := recv(t, h.began); got != "d" {
		t.Errorf("%s has begun", got)
	}
	k.send(fenced(4), dispatch(5, "hold", "nice", "e"))
	k.send(&eddav1.NodeFrame{}) // unknown to this release: passed over
	select {
	case got := <-h.began:
		t.Errorf("%s has begun, with two handlers for one slot", got)
	case <-time.After(20 * time.Millisecond):
	}
	close(h.let)
	ends := map[uint64]bool{}
	for range 3 {
		out := k.outcome()
		ends[out.GetAttemptId()] = out.GetHandedBack()
	}
	if len(ends) != 3 || !ends[3] || !ends[4] || ends[5] {
		t.Errorf("handed back: %v, want 3 and 4", ends)
	}
}

// No more handlers run than the service allows; the others wait in order.
func TestConcurrency(t *testing.T) {
	n := newFakeNode(t)
	h := newHold()
	s := balanced("hold", h.handle)
	s.Concurrency = 2
	n.run(worker.Options{}, s)
	k, _ := n.registered()
	var frames []*eddav1.NodeFrame
	for i := range 6 {
		frames = append(frames, dispatch(uint64(i), "hold", "nice", fmt.Sprint(i)))
	}
	k.send(frames...)
	first := []string{recv(t, h.began), recv(t, h.began)}
	slices.Sort(first)
	if !slices.Equal(first, []string{"0", "1"}) {
		t.Errorf("first begin %v", first)
	}
	for i := 2; i < 6; i++ {
		h.let <- struct{}{}
		k.outcome()
		if got := recv(t, h.began); got != fmt.Sprint(i) {
			t.Errorf("%s has begun, want %d", got, i)
		}
	}
	close(h.let)
	k.outcome()
	k.outcome()
}

// State that did not come with the dispatch is asked for.
func TestLargeState(t *testing.T) {
	n := newFakeNode(t)
	n.run(worker.Options{}, ordered("users", func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var got []string
		for _, name := range []string{"a", "far", "none", "\xff"} {
			v, ok, err := c.Get(name)
			if err != nil {
				return nil, err
			}
			got = append(got, fmt.Sprintf("%s:%s:%t", name, v, ok))
		}
		if err := c.Set("p/2", []byte("mine")); err != nil {
			return nil, err
		}
		for e, err := range c.List("p/") {
			if err != nil {
				return nil, err
			}
			got = append(got, e.Name+"="+string(e.Value))
		}
		return edda.TextReply(200, strings.Join(got, " ")), nil
	}))
	k, _ := n.registered()
	k.send(dispatch(1, "users/1", "get", "", func(d *eddav1.Dispatch) {
		d.State = &eddav1.State{Partial: true, Entries: []*eddav1.StateEntry{{Name: "a", Value: []byte("1")}}}
	}))
	answer := func(want string, v *eddav1.StateValue) {
		t.Helper()
		q := k.next().GetStateGet()
		if got := fmt.Sprintf("%d %s %t %s", q.GetAttemptId(), q.GetName(), q.GetList(), q.GetAfter()); got != want {
			t.Errorf("asked for %q, want %q", got, want)
		}
		v.QueryId = q.GetQueryId()
		k.send(&eddav1.NodeFrame{Frame: &eddav1.NodeFrame_StateValue{StateValue: v}})
	}
	answer("1 far false ", &eddav1.StateValue{Entries: []*eddav1.StateEntry{{Name: "far", Value: []byte("2")}}})
	answer("1 none false ", &eddav1.StateValue{})
	answer("1 p/ true ", &eddav1.StateValue{More: true, Entries: []*eddav1.StateEntry{{Name: "p/1", Value: []byte("x")}}})
	answer("1 p/ true p/1", &eddav1.StateValue{Entries: []*eddav1.StateEntry{{Name: "p/2", Value: []byte("y")}, {Name: "p/3"}}})
	if got, want := string(k.outcome().GetReply().GetPayload()), "a:1:true far:2:true none::false \xff::false p/1=x p/2=mine p/3="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	k.send(dispatch(2, "users/1", "get", "", func(d *eddav1.Dispatch) { d.State = &eddav1.State{Partial: true} }))
	answer("2 a false ", &eddav1.StateValue{Error: &eddav1.Error{Reason: "FENCED", Message: "too late"}})
	if f := k.outcome().GetFailure(); !strings.Contains(f.GetMessage(), "too late") {
		t.Errorf("failure is %v", f)
	}
}

// Parts go out in order, no more than the node takes at a time.
func TestParts(t *testing.T) {
	n := newFakeNode(t)
	refused := make(chan error, 1)
	n.run(worker.Options{}, balanced("tell", func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		for i := range 40 {
			if err := c.Part("text/plain", []byte(fmt.Sprint(i))); err != nil {
				return nil, err
			}
		}
		for {
			if err := c.Part("text/plain", make([]byte, 200<<10)); err != nil {
				refused <- err
				return nil, nil
			}
		}
	}))
	k, _ := n.registered()
	k.send(dispatch(1, "tell", "go", ""))
	stored := func(number uint64, e *eddav1.Error) {
		k.send(&eddav1.NodeFrame{Frame: &eddav1.NodeFrame_PartStored{PartStored: &eddav1.PartStored{AttemptId: 1, Number: number, Error: e}}})
	}
	part := func(want string) {
		t.Helper()
		p := k.next().GetPart()
		if p.GetAttemptId() != 1 || p.GetContentType() != "text/plain" || len(want) < 10 && string(p.GetPayload()) != want || len(want) >= 10 && len(p.GetPayload()) != 200<<10 {
			t.Fatalf("got a part of %d bytes, want %q", len(p.GetPayload()), want)
		}
	}
	for i := range 32 {
		part(fmt.Sprint(i))
	}
	stored(10, nil)
	for i := 32; i < 40; i++ {
		part(fmt.Sprint(i))
	}
	part("some 200 KiB")
	stored(41, nil)
	part("some 200 KiB")
	stored(41, &eddav1.Error{Reason: "TOO_LARGE", Message: "enough"})
	if err := recv(t, refused); edda.ReasonOf(err) != edda.TooLarge {
		t.Errorf("refused with %v", err)
	}
	if out := k.outcome(); out.GetReply() == nil {
		t.Errorf("outcome is %v", out)
	}
}

// A worker whose connection breaks connects again. What ran is not wanted any more,
// and is not told of to the new connection.
func TestReconnects(t *testing.T) {
	n := newFakeNode(t)
	h := newHold()
	why := make(chan error, 10)
	r := n.run(worker.Options{OnDisconnect: func(err error) { why <- err }}, balanced("hold", h.handle))
	k, first := n.registered()
	k.send(dispatch(1, "hold", "nice", "a"), dispatch(2, "hold", "stubborn", "b"))
	recv(t, h.began)
	recv(t, h.began)
	k.stop(errors.New("broken"))
	if err := recv(t, h.causes); !strings.Contains(err.Error(), "connection") {
		t.Errorf("the context ends with %v", err)
	}
	if err := recv(t, why); !strings.Contains(err.Error(), "broken") {
		t.Errorf("disconnected because of %v", err)
	}
	k, second := n.registered()
	if first.GetWorkerId() == "" || first.GetWorkerId() != second.GetWorkerId() {
		t.Errorf("came as %q, then as %q", first.GetWorkerId(), second.GetWorkerId())
	}
	k.send(dispatch(1, "hold", "nice", "c"))
	recv(t, h.began)
	close(h.let)
	if out := k.outcome(); string(out.GetReply().GetPayload()) != "c" {
		t.Errorf("outcome is %v", out)
	}
	n.server.Stop() // the node is gone for good
	r.cancel()
	if err := r.ended(); err != nil {
		t.Errorf("Run returns %v", err)
	}
}

// At its end a worker finishes what runs, hands back what has not begun, and says
// that it drains first.
func TestDrains(t *testing.T) {
	n := newFakeNode(t)
	h := newHold()
	s := balanced("hold", h.handle)
	s.Concurrency = 1
	r := n.run(worker.Options{}, s)
	k, _ := n.registered()
	k.send(dispatch(1, "hold", "nice", "a"), dispatch(2, "hold", "nice", "b"))
	recv(t, h.began)
	r.cancel()
	if k.next().GetDrain() == nil {
		t.Error("the worker does not say that it drains")
	}
	if out := k.outcome(); out.GetAttemptId() != 2 || !out.GetHandedBack() {
		t.Errorf("outcome is %v", out)
	}
	k.send(dispatch(3, "hold", "nice", "c"))
	if out := k.outcome(); out.GetAttemptId() != 3 || !out.GetHandedBack() {
		t.Errorf("outcome is %v", out)
	}
	close(h.let)
	if out := k.outcome(); out.GetAttemptId() != 1 || string(out.GetReply().GetPayload()) != "a" {
		t.Errorf("outcome is %v", out)
	}
	for f := k.any(); f != nil; f = k.any() {
		if f.GetHeartbeat() == nil && f.GetTaken() == nil {
			t.Errorf("after the last outcome comes %v", f)
		}
	}
	if err := r.ended(); err != nil {
		t.Errorf("Run returns %v", err)
	}
}

// Handlers that take longer than the drain timeout are told, and what they do not
// finish even then is handed back.
func TestDrainTimeout(t *testing.T) {
	n := newFakeNode(t)
	h := newHold()
	r := n.run(worker.Options{DrainTimeout: time.Millisecond}, balanced("hold", h.handle))
	k, _ := n.registered()
	k.send(dispatch(1, "hold", "nice", "a"), dispatch(2, "hold", "stubborn", "b"))
	recv(t, h.began)
	recv(t, h.began)
	r.cancel()
	if k.next().GetDrain() == nil {
		t.Error("the worker does not say that it drains")
	}
	if err := recv(t, h.causes); !strings.Contains(err.Error(), "worker ends") {
		t.Errorf("the context ends with %v", err)
	}
	back := map[uint64]bool{}
	for range 2 { // in any order
		out := k.outcome()
		if back[out.GetAttemptId()] = true; !out.GetHandedBack() {
			t.Errorf("outcome is %v", out)
		}
	}
	if !back[1] || !back[2] {
		t.Errorf("handed back are %v, want 1 and 2", back)
	}
	if err := r.ended(); err != nil {
		t.Errorf("Run returns %v", err)
	}
	close(h.let) // else its goroutine stays
}

// A node that is about to stop is left and found again; an operator who drains the
// worker wants it gone.
func TestNodeDrains(t *testing.T) {
	n := newFakeNode(t)
	h := newHold()
	r := n.run(worker.Options{}, balanced("hold", h.handle))
	drain := func(stopping bool) *eddav1.NodeFrame {
		return &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Drain{Drain: &eddav1.Drain{Reason: "for people", Stopping: stopping}}}
	}
	close(h.let)
	for _, stopping := range []bool{true, false} {
		k, _ := n.registered()
		k.send(dispatch(1, "hold", "nice", "a"), drain(stopping))
		for ended := false; !ended; {
			switch f := k.any(); {
			case f == nil:
				t.Fatal("no outcome")
			case f.GetOutcome() != nil:
				ended = true
			}
		}
		for k.any() != nil { // until it has left
		}
	}
	if err := r.ended(); !errors.Is(err, worker.ErrDrained) {
		t.Errorf("Run returns %v", err)
	}
}

// A node that does not end the conversation does not keep Run from ending.
func TestNodeHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as a worker waits for a node, 5 s")
	}
	n := newFakeNode(t)
	connected := make(chan string, 1)
	r := n.run(worker.Options{OnConnect: func(node string) { connected <- node }}, balanced("echo", echo))
	k, _ := n.registered()
	recv(t, connected)
	k.deaf.Store(true)
	r.cancel()
	if err := r.ended(); err != nil {
		t.Errorf("Run returns %v", err)
	}
}
