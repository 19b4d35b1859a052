package client_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// oneStep is a saga to create.
func oneStep() *edda.SagaSpec {
	return &edda.SagaSpec{Steps: []edda.StepSpec{{ID: "a", Task: edda.Task{Service: "s", Method: "m"}}}}
}

// sagaCall is a method of edda.SagaBackend, called.
type sagaCall struct {
	name string
	call func(context.Context, *client.Conn) error
	// answer is what the node says.
	answer proto.Message
	// again says that the call is made again after a broken connection.
	again bool
}

func sagaCalls() []sagaCall {
	saga := &eddav1.Saga{Id: "x", State: "succeeded"}
	finish := func(ctx context.Context, c *client.Conn) error {
		_, err := c.FinishStep(ctx, "", "x", "a", edda.StepResult{})
		return err
	}
	compensate := func(a edda.CompensationAction) func(context.Context, *client.Conn) error {
		return func(ctx context.Context, c *client.Conn) error {
			_, err := c.Compensate(ctx, "", "x", "a", a)
			return err
		}
	}
	return []sagaCall{
		{"create", func(ctx context.Context, c *client.Conn) error { _, err := c.CreateSaga(ctx, oneStep()); return err }, &eddav1.SagaAck{Id: "x"}, true},
		{"get", func(ctx context.Context, c *client.Conn) error { _, err := c.Saga(ctx, "", "x"); return err }, saga, true},
		{"wait", func(ctx context.Context, c *client.Conn) error { _, err := c.WaitSaga(ctx, "", "x"); return err }, saga, true},
		{"list", func(ctx context.Context, c *client.Conn) error {
			_, _, err := c.Sagas(ctx, edda.SagaFilter{}, 0, "")
			return err
		}, &eddav1.ListSagasResponse{}, true},
		{"start", func(ctx context.Context, c *client.Conn) error { _, err := c.StartSaga(ctx, "", "x"); return err }, saga, true},
		{"cancel", func(ctx context.Context, c *client.Conn) error { _, err := c.CancelSaga(ctx, "", "x"); return err }, saga, true},
		{"add", func(ctx context.Context, c *client.Conn) error {
			_, err := c.AddSteps(ctx, "", "x", oneStep().Steps)
			return err
		}, saga, false},
		{"finish", finish, &eddav1.StepAnswer{Applied: true, State: "succeeded"}, true},
		{"skip", compensate(edda.SkipCompensation), saga, true},
		{"resolve", compensate(edda.ResolveCompensation), saga, true},
		{"retry", compensate(edda.RetryCompensation), saga, false},
		{"prune", func(ctx context.Context, c *client.Conn) error {
			_, err := c.PruneSagas(ctx, edda.SagaFilter{})
			return err
		}, &eddav1.PruneSagasResponse{Removed: 1}, false},
	}
}

// When the connection breaks before the answer has come, a call is made again if a
// second time changes nothing; of any other one the outcome is not known.
func TestSagaCallsWhenTheConnectionBreaks(t *testing.T) {
	n := newFakeNode(t)
	w := newWire(t, n.url)
	c := dial(t, w.url(), client.Options{})
	for _, tc := range sagaCalls() {
		n.onSagas(func(ctx context.Context, _ proto.Message, times int) (proto.Message, error) {
			if times == 1 {
				w.cut()
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return tc.answer, nil
		})
		err := tc.call(t.Context(), c)
		calls := n.requests()
		if !tc.again {
			wantReason(t, err, edda.OutcomeUnknown)
			if len(calls) != 1 {
				t.Errorf("%s: made %d times, want once", tc.name, len(calls))
			}
			continue
		}
		if err != nil || len(calls) != 2 || !proto.Equal(calls[0], calls[1]) {
			t.Errorf("%s: got %v, made %d times, want twice the same: %v", tc.name, err, len(calls), calls)
		}
	}
}

// Without a connection nothing was done.
func TestSagaCallsWithoutConnection(t *testing.T) {
	n := newFakeNode(t)
	n.server.Stop()
	c := dial(t, n.url, client.Options{ConnectTimeout: 30 * time.Millisecond})
	for _, tc := range sagaCalls() {
		err := tc.call(t.Context(), c)
		if edda.ReasonOf(err) != edda.Unavailable {
			t.Errorf("%s: got %v, want UNAVAILABLE", tc.name, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range sagaCalls() {
		err := tc.call(t.Context(), c)
		if edda.ReasonOf(err) != edda.Unavailable || !strings.Contains(err.Error(), "the connection is closed") {
			t.Errorf("%s after Close: got %v, want UNAVAILABLE", tc.name, err)
		}
	}
}

// What the node says of a call comes through as it is, and the call is not repeated.
func TestSagaErrors(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{})
	for _, tc := range sagaCalls() {
		n.onSagas(func(context.Context, proto.Message, int) (proto.Message, error) {
			return nil, refuse(&eddav1.Error{Reason: "SAGA_ENDED", Message: "it has ended"})
		})
		err := tc.call(t.Context(), c)
		wantReason(t, err, edda.SagaEnded)
		if !strings.HasSuffix(err.Error(), ": it has ended") || len(n.requests()) != 1 {
			t.Errorf("%s: got %q after %d calls", tc.name, err, len(n.requests()))
		}
		n.onSagas(func(context.Context, proto.Message, int) (proto.Message, error) {
			return nil, status.Error(codes.Unimplemented, "unknown service")
		})
		wantReason(t, tc.call(t.Context(), c), edda.NoRoute)
	}
}

// A caller who waits no longer is told whether the call may have come through.
func TestSagaCallsGivenUp(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{})
	for _, tc := range sagaCalls() {
		ctx, cancel := context.WithCancel(t.Context())
		n.onSagas(func(ctx context.Context, _ proto.Message, times int) (proto.Message, error) {
			if times > 1 {
				return &eddav1.Saga{Id: "x", State: "running"}, nil // the last look of who waits
			}
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		})
		want := edda.OutcomeUnknown
		switch tc.name {
		case "get", "list":
			want = edda.Timeout
		case "wait":
			want = ""
		}
		err := tc.call(ctx, c)
		for round := 0; tc.name == "wait" && edda.ReasonOf(err) == edda.Timeout && round < 20; round++ {
			err = tc.call(ctx, c) // the last look is short, but not with everything else
		}
		wantReason(t, err, want)
		cancel()
	}
}

func TestCreateSagaKeys(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{})
	n.onSagas(func(context.Context, proto.Message, int) (proto.Message, error) {
		return &eddav1.SagaAck{Id: "x", State: "running", Durability: "os", Joined: true}, nil
	})
	spec := oneStep()
	for range 2 {
		ack, err := c.CreateSaga(t.Context(), spec)
		if err != nil || *ack != (edda.SagaAck{ID: "x", State: edda.SagaRunning, Durability: edda.OS}) {
			t.Errorf("got %+v, %v, want a saga that was not joined", ack, err)
		}
	}
	spec.IdempotencyKey = "mine"
	if ack, err := c.CreateSaga(t.Context(), spec); err != nil || !ack.Joined {
		t.Errorf("got %+v, %v, want that it was joined", ack, err)
	}
	var keys []string
	for _, r := range n.requests() {
		keys = append(keys, r.(*eddav1.CreateSagaRequest).GetSaga().GetIdempotencyKey())
	}
	if keys[0] == "" || keys[0] == keys[1] || keys[2] != "mine" {
		t.Errorf("the idempotency keys are %q", keys)
	}
}

// After a broken connection nobody can tell who finished a step that is finished.
func TestFinishStepTwice(t *testing.T) {
	n := newFakeNode(t)
	w := newWire(t, n.url)
	c := dial(t, w.url(), client.Options{})
	late := &eddav1.StepAnswer{State: "succeeded"}
	n.onSagas(func(context.Context, proto.Message, int) (proto.Message, error) { return late, nil })
	a, err := c.FinishStep(t.Context(), "", "x", "a", edda.StepResult{})
	if err != nil || *a != (edda.StepAnswer{State: edda.StepSucceeded}) {
		t.Errorf("too late: got %+v, %v", a, err)
	}
	n.onSagas(func(ctx context.Context, _ proto.Message, times int) (proto.Message, error) {
		if times == 1 {
			w.cut()
			<-ctx.Done()
		}
		return late, nil
	})
	_, err = c.FinishStep(t.Context(), "", "x", "a", edda.StepResult{})
	wantReason(t, err, edda.OutcomeUnknown)
	if !strings.Contains(err.Error(), "the step is succeeded now") {
		t.Errorf("got %q, want the state in it", err)
	}
}

// A saga of many steps comes in pages.
func TestSagaInPages(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{})
	page := func(_ context.Context, r proto.Message, _ int) (proto.Message, error) {
		first := 0
		if g, ok := r.(*eddav1.GetSagaRequest); ok {
			first = int(g.GetFirstStep())
		}
		s := &eddav1.Saga{Id: "x", State: "succeeded", StepCount: 3, MoreSteps: first < 2}
		s.Steps = []*eddav1.Step{{Id: string(rune('a' + first))}}
		return s, nil
	}
	n.onSagas(page)
	for what, get := range map[string]func() (*edda.Saga, error){
		"get":   func() (*edda.Saga, error) { return c.Saga(t.Context(), "", "x") },
		"wait":  func() (*edda.Saga, error) { return c.WaitSaga(t.Context(), "", "x") },
		"start": func() (*edda.Saga, error) { return c.StartSaga(t.Context(), "", "x") },
	} {
		s, err := get()
		if err != nil || len(s.Steps) != 3 || s.Steps[0].ID+s.Steps[1].ID+s.Steps[2].ID != "abc" {
			t.Errorf("%s: got %+v, %v, want steps a, b and c", what, s, err)
		}
	}
	// What was done is done, also when the rest cannot be had.
	n.onSagas(func(ctx context.Context, r proto.Message, times int) (proto.Message, error) {
		if times > 1 {
			return nil, refuse(&eddav1.Error{Reason: "NO_SAGA"})
		}
		return page(ctx, r, times)
	})
	_, err := c.StartSaga(t.Context(), "", "x")
	wantReason(t, err, edda.OutcomeUnknown)
}

func TestSagaRefusedHere(t *testing.T) {
	n := newFakeNode(t)
	n.onSagas(func(context.Context, proto.Message, int) (proto.Message, error) { panic("asked") })
	c := n.dial(t, client.Options{})
	huge := oneStep()
	huge.Steps[0].Args = []json.RawMessage{make([]byte, 8<<20)}
	_, err := c.CreateSaga(t.Context(), huge)
	wantReason(t, err, edda.TooLarge)
	_, err = c.AddSteps(t.Context(), "", "x", huge.Steps)
	wantReason(t, err, edda.TooLarge)
	notUTF8 := oneStep()
	notUTF8.Steps[0].Key = "\xff"
	_, err = c.CreateSaga(t.Context(), notUTF8)
	wantReason(t, err, edda.BadName)
	_, err = c.AddSteps(t.Context(), "", "x", notUTF8.Steps)
	wantReason(t, err, edda.BadName)
	_, _, err = c.Sagas(t.Context(), edda.SagaFilter{}, -1, "")
	wantReason(t, err, edda.BadValue)
}

// Whatever breaks, a saga is created once, or at most once, which its creator knows
// or knows not to know; and its steps are finished once.
func TestSagasWhileConnectionsBreak(t *testing.T) {
	pending := make(chan edda.StepInput, 1000)
	n := open(t, smithy(pending))
	w := newWire(t, serve(t, n))
	c := dial(t, w.url(), client.Options{})
	stop := make(chan struct{})
	var cutting, callers sync.WaitGroup
	var answers atomic.Int64
	cutting.Go(func() {
		for last := int64(0); ; {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			if now := answers.Load(); now > last { // however slow the machine is, something gets through
				last = now
				w.cut()
			}
		}
	})
	var sure, perhaps atomic.Int64
	for range 8 {
		callers.Go(func() {
			for range 25 {
				_, err := c.CreateSaga(t.Context(), started("", smithyStep("a", "later")))
				switch edda.ReasonOf(err) {
				case "":
					sure.Add(1)
					answers.Add(1)
				case edda.OutcomeUnknown:
					perhaps.Add(1)
				case edda.Unavailable:
				default:
					t.Errorf("create: %v", err)
				}
			}
		})
	}
	callers.Wait()
	all, _, err := n.Sagas(t.Context(), edda.SagaFilter{}, 1000, "")
	if got := int64(len(all)); err != nil || got < sure.Load() || got > sure.Load()+perhaps.Load() {
		t.Errorf("there are %d sagas, %v, want %d to %d", got, err, sure.Load(), sure.Load()+perhaps.Load())
	}
	for range all {
		in := recv(t, pending)
		callers.Go(func() {
			var err error
			for first := true; first || retriable(err); first = false {
				_, err = c.FinishStep(t.Context(), "", in.SagaID, in.StepID, edda.StepResult{CompletionKey: in.CompletionKey})
			}
			answers.Add(1)
			s, errWait := c.WaitSaga(t.Context(), "", in.SagaID)
			for retriable(errWait) {
				s, errWait = c.WaitSaga(t.Context(), "", in.SagaID)
			}
			answers.Add(1)
			if err != nil || errWait != nil || s.State != edda.SagaSucceeded {
				t.Errorf("saga %s: %v; %v, %v", in.SagaID, err, s, errWait)
			}
		})
	}
	callers.Wait()
	close(stop)
	cutting.Wait()
}
