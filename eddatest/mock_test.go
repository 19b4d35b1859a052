package eddatest_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
)

// caller is a service whose method to calls what its payload names, one after the
// other, and makes nothing of the errors.
func caller(n **eddatest.Node) *edda.Service {
	s := edda.NewBalanced("caller")
	edda.Handle(s, "to", func(ctx *edda.Context, lines []string) ([]string, error) {
		answers := make([]string, len(lines))
		for i, l := range lines {
			f := strings.SplitN(l, " ", 3)
			m := to(f[0], f[1])
			if len(f) > 2 {
				m.Payload = []byte(f[2])
			}
			r, err := (*n).Client().Call(ctx, m)
			if err == nil {
				answers[i] = string(r.Payload)
			} else {
				answers[i] = string(edda.ReasonOf(err))
			}
		}
		return answers, nil
	})
	return s
}

// calling runs a test whose service calls the mocks that expect makes, and returns
// what they answered and how the test failed.
func calling(t *testing.T, expect func(n *eddatest.Node), lines ...string) (answers []string, failures string) {
	t.Helper()
	failures = failing(t, func(t testing.TB) {
		var n *eddatest.Node
		n = eddatest.Start(t, caller(&n))
		expect(n)
		var err error
		if answers, err = edda.Call[[]string](t.Context(), n.Client(), "caller", "to", lines); err != nil {
			t.Errorf("%v", err)
		}
	})
	return answers, failures
}

func TestMockAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers, failures := calling(t, func(n *eddatest.Node) {
			m := n.Mock("m")
			m.On("json").Reply(amount{5})
			m.On("bytes").Reply([]byte("abc"))
			m.On("reply").Reply(edda.TextReply(403, "no"))
			m.On("nothing")
			m.On("nil").Reply(nil)
			m.On("fail").Fail(edda.Final("NO", "no"))
			m.On("do").Do(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
				return &edda.Reply{Payload: []byte(strings.ToUpper(string(m.Payload)))}, nil
			})
			m.On("which").With(amount{1}).Reply("one")
			m.On("which").With([]byte("raw")).Reply("raw")
			m.On("which").Reply("other")
			m.On("turns").Times(2).Reply("first")
			m.On("turns").Reply("then")
			n.MockOrdered("test:o").On("json").Maybe()
		}, "m json", "m bytes", "m reply", "m nothing", "m nil", "m fail", "m do abc",
			`m which { "cents" : 1 }`, "m which raw", "m which 7", "m turns", "m turns", "m turns", "m turns")
		want := []string{`{"cents":5}`, "abc", "no", "", "", "FAILED", "ABC", `"one"`, `"raw"`, `"other"`, `"first"`, `"first"`, `"then"`, `"then"`}
		if !slices.Equal(answers, want) || failures != "" {
			t.Errorf("got answers %q and failures %q, want %q and none", answers, failures, want)
		}
	})
}

// Each way in which calls are not as expected fails the test, whatever the code
// under test makes of the error, and says what was expected and what came.
func TestUnexpected(t *testing.T) {
	for name, c := range map[string]struct {
		expect  func(n *eddatest.Node)
		calls   []string
		answers []string
		want    []string
	}{
		"no expectation": {
			expect:  func(n *eddatest.Node) { n.Mock("m") },
			calls:   []string{`m charge {"cents": 5}`},
			answers: []string{"FAILED"},
			want:    []string{"unexpected call, number 1 to m: nobody expected it", `m charge {"cents":5}`, "m has no expectations; say what it answers with On"},
		},
		"another payload": {
			expect:  func(n *eddatest.Node) { n.Mock("m").On("charge").With(amount{5}) },
			calls:   []string{`m charge {"cents":5}`, `m charge {"cents":6}`},
			answers: []string{"", "FAILED"},
			want: []string{"unexpected call, number 2 to m: nobody expected it", `m charge {"cents":6}`,
				"expected:", `m charge {"cents":5}, at least 1 time (mock_test.go:`, "): came 1 time"},
		},
		"once too often": {
			expect:  func(n *eddatest.Node) { n.Mock("m").On("charge").Times(2) },
			calls:   []string{"m charge", "m charge", "m charge x"},
			answers: []string{"", "", "FAILED"},
			want:    []string{"number 3 to m", `m charge "x"`, "m charge with any payload, exactly 2 times", "came 2 times"},
		},
		"never": {
			expect:  func(n *eddatest.Node) { n.Mock("m").On("charge").Times(0) },
			calls:   []string{"m charge"},
			answers: []string{"FAILED"},
			want:    []string{"number 1 to m", "m charge with any payload, never (", "came 0 times"},
		},
		"too seldom": {
			expect:  func(n *eddatest.Node) { m := n.Mock("m"); m.On("a").Times(2); m.On("b"); m.On("c").Maybe() },
			calls:   []string{"m a"},
			answers: []string{""},
			want: []string{"calls to m are missing", "m a with any payload, exactly 2 times", "came 1 time",
				"m b with any payload, at least 1 time", "came 0 times", "came:", "1. m a"},
		},
		"too early": {
			expect: func(n *eddatest.Node) {
				eddatest.InOrder(n.Mock("a").On("x"), n.MockOrdered("b").On("y"))
			},
			calls:   []string{"b/1 y", "a x", "b/1 y"},
			answers: []string{"FAILED", "", ""},
			want:    []string{"unexpected call, number 1 to b: it is too early, these come first:", "a x with any payload", "b/1 y", "expected:", "b y with any"},
		},
		"too late": {
			expect: func(n *eddatest.Node) {
				eddatest.InOrder(n.Mock("a").On("x"), n.MockOrdered("b").On("y"))
			},
			calls:   []string{"a x", "b/1 y", "a x"},
			answers: []string{"", "", "FAILED"},
			want:    []string{"unexpected call, number 2 to a: it is too late, these have come already:", "b y with any payload", "a x"},
		},
	} {
		bubble(t, name, func(t *testing.T) {
			answers, failures := calling(t, c.expect, c.calls...)
			has(t, failures, c.want...)
			if !slices.Equal(answers, c.answers) {
				t.Errorf("got answers %q, want %q", answers, c.answers)
			}
			if n := strings.Count(failures, "eddatest:"); n != 1 {
				t.Errorf("got %d failures, want one:\n%s", n, failures)
			}
		})
	}
}

// An unexpected call is not retried, and is among the calls.
func TestUnexpectedIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []eddatest.Call
		failures := failing(t, func(t testing.TB) {
			n := eddatest.Start(t, passThrough("charge", "payments"))
			m := n.Mock("payments")
			if _, err := n.Client().Send(t.Context(), to("pass/1", "charge", 7)); err != nil {
				t.Errorf("%v", err)
			}
			n.Settle(time.Hour)
			calls = m.Calls()
		})
		has(t, failures, "unexpected call, number 1 to payments")
		if len(calls) != 1 || calls[0].String() != "payments charge 7" {
			t.Errorf("got calls %v, want the unexpected one, once", calls)
		}
	})
}

// What a handler sends to nobody, or to somebody who refuses it, fails the test.
func TestSentToNobody(t *testing.T) {
	strict := edda.NewBalanced("payments")
	edda.Handle(strict, "charge", func(*edda.Context, amount) (string, error) { return "", nil })
	for name, c := range map[string]struct {
		to   string
		mock func(n *eddatest.Node)
		want string
	}{
		"not mocked":     {"payments", func(*eddatest.Node) {}, `service "payments" of namespace "default" is not registered`},
		"wrong kind":     {"payments/1", func(n *eddatest.Node) { n.Mock("payments").On("charge").Maybe() }, "service payments is balanced"},
		"unknown method": {"payments", func(n *eddatest.Node) { n.MockLike(otherMethod()).On("refund").Maybe() }, "no method charge, only refund"},
		"no such schema": {"payments", func(n *eddatest.Node) { n.MockLike(strict).On("charge").Maybe() }, "payload does not fit"},
	} {
		bubble(t, name, func(t *testing.T) {
			has(t, failing(t, func(t testing.TB) {
				n := eddatest.Start(t, passThrough("charge", c.to))
				c.mock(n)
				if _, err := n.Client().Call(t.Context(), to("pass/1", "charge", "much")); err != nil {
					t.Errorf("%v", err)
				}
			}), "a handler sent what nobody takes:", c.to+` charge "much"`, c.want)
		})
	}
}

func otherMethod() *edda.Service {
	s := edda.NewBalanced("payments")
	edda.Handle(s, "refund", func(*edda.Context, amount) (string, error) { return "", nil })
	return s
}

// MockLike takes over kind, policies, methods and schemas.
func TestMockLike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := otherMethod()
		s.Retry = edda.RetryPolicy{Max: 1}
		answers, failures := calling(t, func(n *eddatest.Node) {
			n.MockLike(s).On("refund").Fail(errors.New("away")).Times(1)
		}, `payments refund {"cents":1}`, `payments refund {"cents":"x"}`, "payments other")
		if want := []string{"DEAD", "SCHEMA", "NO_METHOD"}; !slices.Equal(answers, want) || failures != "" {
			t.Errorf("got answers %q and failures %q, want %q and none", answers, failures, want)
		}
	})
}

// What is missing because a request has not ended says so.
func TestMissingNamesWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		has(t, failing(t, func(t testing.TB) {
			n := eddatest.Start(t, orders())
			n.Mock("payments").On("charge")
			n.MockOrdered("mails").On("review")
			if _, err := n.Client().Send(t.Context(), to("orders/7", "place", amount{5})); err != nil {
				t.Errorf("%v", err)
			}
		}), "calls to mails are missing", "mails review with any payload, at least 1 time", "came: none",
			"requests that had not ended (Settle lets time go by for them):", "mails/7 review: accepted, goes on in 2")
	})
}

// After a failure that ended the test early, nothing is called missing.
func TestNothingIsMissingAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := failing(t, func(t testing.TB) {
			eddatest.Start(t, orders()).Mock("payments").On("charge")
			t.Fatalf("the test's own")
		})
		if got != "the test's own" {
			t.Errorf("got failures %q, want the test's own alone", got)
		}
	})
}

// A mock's function that ends its goroutine fails its call, and nothing hangs.
func TestMockFunctionThatExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		answers, _ := calling(t, func(n *eddatest.Node) {
			n.Mock("m").On("x").Do(func(*edda.Context, *edda.Message) (*edda.Reply, error) {
				runtime.Goexit()
				return nil, nil
			})
		}, "m x")
		if took := time.Since(began); !slices.Equal(answers, []string{"FAILED"}) || took > time.Second {
			t.Errorf("got %q after %v, want FAILED at once", answers, took)
		}
	})
}

// A mock's function gets its attempt's context, and has the state of its key.
func TestMockFunctionIsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := edda.NewOrdered("m")
		s.AttemptTimeout, s.Retry = time.Second, edda.RetryPolicy{Max: 2}
		ended := 0
		answers, failures := calling(t, func(n *eddatest.Node) {
			m := n.MockLike(s)
			m.On("slow").Do(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
				<-ctx.Done()
				ended++
				return nil, ctx.Err()
			})
			m.On("count").Do(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
				v, _, err := ctx.Get("n")
				if err != nil {
					return nil, err
				}
				return &edda.Reply{Payload: append(v, 'x')}, ctx.Set("n", append(v, 'x'))
			})
		}, "m/1 slow", "m/1 count", "m/1 count", "m/2 count")
		if want := []string{"DEAD", "x", "xx", "x"}; !slices.Equal(answers, want) || failures != "" || ended != 2 {
			t.Errorf("got answers %q, failures %q, %d contexts ended; want %q, none, 2", answers, failures, ended, want)
		}
	})
}

// What is wrong with how a test uses mocks is said at once.
func TestMockMisuse(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(n *eddatest.Node)
		want string
	}{
		"twice":          {func(n *eddatest.Node) { n.Mock("m"); n.MockOrdered("m") }, "mock m: the node has this service already"},
		"under test":     {func(n *eddatest.Node) { n.MockOrdered("orders") }, "mock orders: the node has this service already"},
		"bad name":       {func(n *eddatest.Node) { n.Mock("a b") }, `name "a b" must be`},
		"key":            {func(n *eddatest.Node) { n.Mock("m/1") }, `mock "m/1": name a service, without a key`},
		"unknown method": {func(n *eddatest.Node) { n.MockLike(otherMethod()).On("refnd") }, `payments has no method "refnd", only refund`},
		"cannot encode":  {func(n *eddatest.Node) { n.Mock("m").On("x").Reply(func() {}) }, "encode func() as JSON"},
		"bad payload": {func(n *eddatest.Node) {
			m := n.Mock("m")
			m.On("x")
			_, _ = n.Client().Call(context.Background(), to("m", "x", "text"))
			eddatest.Payloads[int](m, "x")
		}, `the payload of m x "text" is no int`},
		"after the end": {func(n *eddatest.Node) { n.Node.Stop(context.Background()); n.Mock("m") }, "mock m: "},
	} {
		bubble(t, name, func(t *testing.T) {
			has(t, failing(t, func(t testing.TB) { c.do(eddatest.Start(t, orders())) }), c.want)
		})
	}
}

// AssertCalls shows where what came begins to differ.
func TestAssertCallsShowsTheDifference(t *testing.T) {
	for name, c := range map[string]struct {
		want     []string
		failures []string
	}{
		"same":    {[]string{`m/a b x {"b":1,"a":[2]}`, `m/1 y "text"`, "m/1 z"}, nil},
		"another": {[]string{`m/a b x {"b":1,"a":[3]}`, `m/1 y "text"`, "m/1 z"}, []string{"from number 1 on", "came:", `> 1. m/a b x {"a":[2],"b":1}`, "  2. ", "expected:", `> 1. m/a b x {"b":1,"a":[3]}`}},
		"fewer":   {[]string{`m/a b x {"a":[2],"b":1}`}, []string{"from number 2 on", `> 2. m/1 y "text"`, "  3. m/1 z", "expected:", "  1. "}},
		"more":    {[]string{`m/a b x {"a":[2],"b":1}`, `m/1 y "text"`, "m/1 z", "m/1 z"}, []string{"from number 4 on", "> 4. m/1 z"}},
		"none":    {nil, []string{"from number 1 on", "> 1. m/a b", "expected: none"}},
	} {
		bubble(t, name, func(t *testing.T) {
			failures := failing(t, func(t testing.TB) {
				n := eddatest.Start(t)
				m := n.MockOrdered("m")
				m.On("x")
				m.On("y")
				m.On("z")
				for _, msg := range []*edda.Message{
					{To: edda.Address{Name: "m", Key: "a b"}, Type: "x", Payload: []byte(`{"a":[2], "b":1}`)}, to("m/1", "y", "text"), to("m/1", "z"),
				} {
					if _, err := n.Client().Call(t.Context(), msg); err != nil {
						t.Errorf("%v", err)
					}
				}
				m.AssertCalls(c.want...)
			})
			has(t, failures, c.failures...)
			if c.failures == nil && failures != "" {
				t.Errorf("got failures %s, want none", failures)
			}
		})
	}
}
