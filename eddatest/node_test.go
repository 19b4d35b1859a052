package eddatest_test

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/node"
)

// A test of a service whose others are mocked: what is sent comes, at once or a day
// later, what comes back is handled, and the state is as it should be.
func TestWholeStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, orders())
		payments := n.Mock("payments")
		payments.On("charge").With(amount{500}).Times(1).Do(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			return nil, ctx.SendAfter(0, "orders/7", "paid", nil)
		})
		mails := n.MockOrdered("mails")
		mails.On("review").Reply("sent")

		began := time.Now()
		got, err := edda.Call[string](t.Context(), n.Client(), "orders/7", "place", amount{500})
		if got != "placed" || err != nil {
			t.Fatalf("place: got %q, %v, want placed", got, err)
		}
		if left := n.Requests(); len(left) == 0 {
			t.Error("nothing is left, want the review of tomorrow")
		}
		n.Settle(48 * time.Hour)
		if status, ok := eddatest.Get[string](n, "orders/7", "status"); status != "paid" || !ok {
			t.Errorf("status: got %q, %t, want paid", status, ok)
		}
		n.AssertCalls(`payments charge { "cents": 500 }`, `mails/7 review "how was it?"`)
		payments.AssertCalls(`payments charge {"cents":500}`)
		if got := eddatest.Payloads[amount](payments, "charge"); len(got) != 1 || got[0] != (amount{500}) {
			t.Errorf("charged: got %v, want 500 cents once", got)
		}
		if calls := mails.Calls(); len(calls) != 1 || calls[0].At.Sub(began) != 24*time.Hour {
			t.Errorf("got mails %v, want the review after a day", calls)
		}
	})
}

// A mock that fails is tried again by its policy, without time passing.
func TestRetriesCostNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, passThrough("charge", "payments"))
		payments := n.Mock("payments")
		payments.On("charge").Fail(errors.New("the bank is away")).Times(3)
		payments.On("charge").Reply("ok").Times(1)
		if _, err := n.Client().Call(t.Context(), to("pass/1", "charge")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		n.Settle(time.Hour)
		if took := time.Since(began); took < 500*time.Millisecond {
			t.Errorf("four attempts took %v, want the delays of the policy", took)
		}
		calls := payments.Calls()
		if len(calls) != 4 || calls[3].Attempt != 4 {
			t.Errorf("got calls %v, want four attempts", calls)
		}
	})
}

func TestDeadLettersAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := eddatest.Start(t, passThrough("charge", "payments"))
		payments := edda.NewBalanced("payments")
		payments.Retry = edda.RetryPolicy{Max: 2}
		n.MockLike(payments).On("charge").Fail(errors.New("the bank is away")).Times(2)
		if _, err := n.Client().Call(t.Context(), to("pass/1", "charge")); err != nil {
			t.Fatal(err)
		}
		n.Settle(time.Hour)
		letters := n.DeadLetters()
		if len(letters) != 1 || letters[0].Detail != "the bank is away" || letters[0].Attempts != 2 {
			t.Errorf("got dead letters %+v, want the charge after two attempts", letters)
		}
	})
}

// The state of a key can be set as a whole and value by value, for services that
// list their methods and for those that do not.
func TestState(t *testing.T) {
	anyMethod := edda.NewOrdered("any")
	edda.Handle(anyMethod, "typed", func(*edda.Context, amount) (string, error) { return "typed", nil })
	anyMethod.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		v, _, err := ctx.Get(m.Type)
		return &edda.Reply{Payload: v}, err
	})
	elsewhere := edda.NewOrdered("users")
	elsewhere.Namespace = "test"
	elsewhere.HandleAny(func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, nil })
	for _, key := range []string{"orders/a/b c", "any/1", "test:users/x:y"} {
		bubble(t, key, func(t *testing.T) {
			n := eddatest.Start(t, orders(), anyMethod, elsewhere)
			want := func(state map[string]string) {
				t.Helper()
				if got := n.State(key); !maps.Equal(got, state) {
					t.Errorf("got state %v, want %v", got, state)
				}
			}
			want(nil)
			n.SetState(key, map[string]string{"a": "1", "b": `"x"`, "raw": "\xff"})
			want(map[string]string{"a": "1", "b": `"x"`, "raw": "\xff"})
			eddatest.Set(n, key, "b", []int{2})
			want(map[string]string{"a": "1", "b": "[2]", "raw": "\xff"})
			if b, ok := eddatest.Get[[]int](n, key, "b"); !ok || len(b) != 1 || b[0] != 2 {
				t.Errorf("got b %v, %t, want [2]", b, ok)
			}
			if _, ok := eddatest.Get[int](n, key, "c"); ok {
				t.Error("got a value that was never set")
			}
			n.SetState(key, map[string]string{"c": ""})
			want(map[string]string{"c": ""})
			n.SetState(key, nil)
			want(nil)
		})
	}
	bubble(t, "handlers see it", func(t *testing.T) {
		n := eddatest.Start(t, anyMethod)
		n.SetState("any/1", map[string]string{"name": "ann"})
		r, err := n.Client().Call(t.Context(), to("any/1", "name"))
		if err != nil || string(r.Payload) != "ann" {
			t.Errorf("got %v, %v, want ann", r, err)
		}
		got, err := edda.Call[string](t.Context(), n.Client(), "any/1", "typed", amount{})
		if got != "typed" || err != nil {
			t.Errorf("typed method: got %q, %v, want typed", got, err)
		}
	})
}

// A service may be under test in several tests, also at once; it stays as it was.
func TestServiceIsNotChanged(t *testing.T) {
	s := orders()
	for range 2 {
		bubble(t, "node", func(t *testing.T) { eddatest.Start(t, s).SetState("orders/1", nil) })
	}
	if got := s.Methods(); len(got) != 2 {
		t.Errorf("the service has methods %v, want the two it had", got)
	}
}

// The node may be started with options.
func TestStartWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen atomic.Int64
		n := eddatest.StartWith(t, node.Options{Partitions: 4, Services: []*edda.Service{orders()}, OnReply: func(_ context.Context, _ *edda.Request, _ *edda.Reply) error {
			seen.Add(1)
			return nil
		}})
		n.Mock("payments").On("charge").Maybe()
		n.MockOrdered("mails").On("review").Maybe()
		if _, err := edda.Call[string](t.Context(), n.Client(), "orders/7", "place", amount{500}); err != nil {
			t.Fatal(err)
		}
		if got := n.Node.Info().Partitions; got != 4 || seen.Load() == 0 {
			t.Errorf("got %d partitions, OnReply seen %d times; want 4 and at least one", got, seen.Load())
		}
	})
}

// It works without a bubble too: then time is real.
func TestWithoutBubble(t *testing.T) {
	n := eddatest.Start(t, passThrough("charge", "payments"))
	payments := n.Mock("payments")
	payments.On("charge").Reply("ok")
	if _, err := n.Client().Call(t.Context(), to("pass/1", "charge")); err != nil {
		t.Fatal(err)
	}
	n.Settle(time.Minute)
	payments.AssertCalls("payments charge")
}

// What is wrong with how a test uses the node is said at once.
func TestNodeMisuse(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(n *eddatest.Node)
		want string
	}{
		"bad key":       {func(n *eddatest.Node) { n.State("-/1") }, `name "-" must be`},
		"no key":        {func(n *eddatest.Node) { n.State("orders") }, "name one, as in users/42"},
		"set no key":    {func(n *eddatest.Node) { n.SetState("orders", nil) }, "only a key of an ordered service that this node hosts"},
		"set elsewhere": {func(n *eddatest.Node) { n.SetState("users/1", nil) }, "only a key of an ordered service that this node hosts"},
		"set of a mock": {func(n *eddatest.Node) { n.MockOrdered("m"); n.SetState("m/1", nil) }, "only a key of an ordered service that this node hosts"},
		"not JSON": {func(n *eddatest.Node) {
			n.SetState("orders/1", map[string]string{"a": "x"})
			eddatest.Get[int](n, "orders/1", "a")
		}, `state "a" of orders/1 is "x", which is no int`},
		"cannot encode":  {func(n *eddatest.Node) { eddatest.Set(n, "orders/1", "a", func() {}) }, "unsupported type: func()"},
		"name too long":  {func(n *eddatest.Node) { n.SetState("orders/1", map[string]string{"": "x"}) }, "state name of 0 bytes"},
		"after the end":  {func(n *eddatest.Node) { n.Node.Stop(context.Background()); n.Requests() }, "shutting down"},
		"letters, ended": {func(n *eddatest.Node) { n.Node.Stop(context.Background()); n.DeadLetters() }, "shutting down"},
	} {
		bubble(t, name, func(t *testing.T) {
			has(t, failing(t, func(t testing.TB) { c.do(eddatest.Start(t, orders())) }), c.want)
		})
	}
	bubble(t, "no handler", func(t *testing.T) {
		has(t, failing(t, func(t testing.TB) { eddatest.Start(t, edda.NewOrdered("empty")) }), "check service empty: it has no handler")
	})
}

// Settle says what is left.
func TestSettleSaysWhatIsLeft(t *testing.T) {
	bubble(t, "delayed", func(t *testing.T) {
		has(t, failing(t, func(t testing.TB) {
			n := eddatest.Start(t, orders())
			n.Mock("payments").On("charge").Fail(errors.New("no"))
			n.MockOrdered("mails")
			if _, err := n.Client().Call(t.Context(), to("orders/7", "place", amount{5})); err != nil {
				t.Errorf("%v", err)
			}
			n.Settle(time.Second)
		}), "not every request has ended within 1s; left are", "payments charge: retrying, attempt 4 (FAILED: no), goes on in", "mails/7 review: accepted, goes on in 23h59m59s")
	})
	bubble(t, "stopped", func(t *testing.T) {
		has(t, failing(t, func(t testing.TB) {
			n := eddatest.Start(t, orders())
			n.Node.Stop(t.Context())
			n.Settle(time.Second)
		}), "shutting down")
	})
}

// What goes on when a test ends is waited for; what comes later is not.
func TestEndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		failures := failing(t, func(t testing.TB) {
			n := eddatest.Start(t, orders())
			n.Mock("payments").On("charge").Do(func(*edda.Context, *edda.Message) (*edda.Reply, error) {
				time.Sleep(3 * time.Second)
				return nil, nil
			})
			n.MockOrdered("mails").On("review").Times(0)
			if _, err := n.Client().Send(t.Context(), to("orders/7", "place", amount{5})); err != nil {
				t.Errorf("%v", err)
			}
		})
		if took := time.Since(began); failures != "" || took < 3*time.Second || took > time.Minute {
			t.Errorf("the test took %v and failed with %q; want it to pass after the charge", took, failures)
		}
	})
}

// A handler that does not return is told of.
func TestHandlerThatDoesNotReturn(t *testing.T) {
	for _, target := range []string{"hosted", "mocked"} {
		bubble(t, target, func(t *testing.T) {
			gate := make(chan struct{})
			stuck := func(*edda.Context, *edda.Message) (*edda.Reply, error) {
				<-gate
				return nil, nil
			}
			has(t, failing(t, func(t testing.TB) {
				s := edda.NewBalanced("hosted")
				s.HandleAny(stuck)
				n := eddatest.Start(t, s)
				n.Mock("mocked").On("m").Maybe().Do(stuck)
				if _, err := n.Client().Send(t.Context(), to(target, "m")); err != nil {
					t.Errorf("%v", err)
				}
			}), "a handler has not returned within 1m0s of the end of the test", target+" m: taken, attempt 1")
			close(gate)
		})
	}
}
