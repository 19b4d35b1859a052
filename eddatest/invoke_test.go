package eddatest_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
)

func TestInvoke(t *testing.T) {
	out := eddatest.Invoke(t, orders(), "place", "7", amount{500}, eddatest.WithState(map[string]string{"note": `"x"`}))
	if got := eddatest.ReplyOf[string](out); got != "placed" {
		t.Errorf("got reply %q, want placed", got)
	}
	out.AssertSends(`payments charge {"cents": 500}`, `mails/7 review "how was it?"`)
	if got, want := out.State(), map[string]string{"note": `"x"`, "status": `"placed"`}; !maps.Equal(got, want) {
		t.Errorf("got state %v, want %v", got, want)
	}

	out = eddatest.Invoke(t, orders(), "place", "7", amount{0}, eddatest.WithState(map[string]string{"note": "1"}))
	out.AssertFinal("NO_AMOUNT")
	out.AssertSends()
	if got, want := out.State(), map[string]string{"note": "1"}; !maps.Equal(got, want) {
		t.Errorf("got state %v after an error, want %v", got, want)
	}
}

// The parts that a handler yields are in its outcome, also when it fails.
func TestInvokeParts(t *testing.T) {
	s := edda.NewBalanced("s")
	edda.Handle(s, "count", func(ctx *edda.Context, to int) (string, error) {
		for i := range to {
			if err := edda.Yield(ctx, i); err != nil {
				return "", err
			}
		}
		return "", errors.New("no more")
	})
	out := eddatest.Invoke(t, s, "count", "", 2)
	if len(out.Parts) != 2 || string(out.Parts[1].Payload) != "1" || out.Parts[1].ContentType != "application/json" || out.Parts[1].ID().String() != "1.2" || out.Err == nil {
		t.Errorf("got parts %+v and error %v, want 0 and 1, and an error", out.Parts, out.Err)
	}
}

// What a handler sees of its attempt can be chosen.
func TestInvokeOptions(t *testing.T) {
	s := edda.NewOrdered("s")
	edda.Handle(s, "see", func(ctx *edda.Context, in []byte) ([]any, error) {
		if err := ctx.Delete("gone"); err != nil {
			return nil, err
		}
		var names []string
		for e, err := range ctx.List("n") {
			if err != nil {
				return nil, err
			}
			names = append(names, e.Name)
		}
		return []any{string(in), ctx.Key(), ctx.Attempt(), ctx.Fence(), ctx.Message().Headers.Get("a"), ctx.Message().Principal, names, ctx.RequestID().IsZero()}, nil
	})
	s.Namespace = "test"
	out := eddatest.Invoke(t, s, "see", "k", []byte("raw"), eddatest.WithState(map[string]string{"gone": "", "n2": "", "n1": ""}), func(d *edda.Dispatch) {
		d.Attempt, d.Fence = 2, 9
		d.Message.Principal = "ann"
		d.Message.Headers.Set("A", "b")
	})
	want := `["raw","k",2,9,"b","ann",["n1","n2"],false]`
	if got := string(out.Reply.Payload); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := out.State(); len(got) != 2 {
		t.Errorf("got state %v, want it without what was deleted", got)
	}
}

// A handler that is a step of a saga may leave it pending, and add steps.
func TestInvokeStep(t *testing.T) {
	s := edda.NewBalanced("s")
	edda.Handle(s, "pend", func(ctx *edda.Context, _ []byte) (string, error) {
		return "", errors.Join(ctx.AddSteps(edda.StepSpec{ID: "x", Task: edda.Task{Service: "s", Method: "m"}}), edda.ErrPending)
	})
	edda.Handle(s, "text", func(*edda.Context, []byte) (string, error) { return "text", nil })
	step := eddatest.WithStep("trip", false)
	out := eddatest.Invoke(t, s, "pend", "", nil, step)
	out.AssertPending()
	if len(out.Steps) != 1 || out.Steps[0].ID != "x" {
		t.Errorf("added are %+v", out.Steps)
	}
	for want, f := range map[string]func(t testing.TB){
		"the handler replied 200 \"text\", expected edda.ErrPending": func(t testing.TB) { eddatest.Invoke(t, s, "text", "", nil, step).AssertPending() },
		"a compensation was left pending": func(t testing.TB) {
			eddatest.Invoke(t, s, "pend", "", nil, eddatest.WithStep("trip", true)).AssertPending()
		},
		"left the step pending, expected a reply":            func(t testing.TB) { eddatest.ReplyOf[string](eddatest.Invoke(t, s, "pend", "", nil, step)) },
		"left the step pending, expected the final error NO": func(t testing.TB) { eddatest.Invoke(t, s, "pend", "", nil, step).AssertFinal("NO") },
	} {
		t.Run(want, func(t *testing.T) { has(t, failing(t, f), want) })
	}
}

// Failures of helpers say what came and what was expected.
func TestOutcomeFailures(t *testing.T) {
	s := edda.NewBalanced("s")
	edda.Handle(s, "text", func(*edda.Context, []byte) (string, error) { return "text", nil })
	edda.Handle(s, "status", func(*edda.Context, []byte) (*edda.Reply, error) { return edda.TextReply(404, "gone"), nil })
	edda.Handle(s, "final", func(*edda.Context, []byte) (string, error) { return "", edda.Final("NO", "not %d", 1) })
	edda.Handle(s, "error", func(*edda.Context, []byte) (string, error) { return "", errors.New("away") })
	edda.Handle(s, "panic", func(*edda.Context, []byte) (string, error) { panic("oh") })
	edda.Handle(s, "state", func(ctx *edda.Context, _ []byte) (string, error) { return "", ctx.Set("a", nil) })
	for name, c := range map[string]struct {
		method string
		check  func(o *eddatest.Outcome)
		want   []string
	}{
		"no type":         {"text", func(o *eddatest.Outcome) { eddatest.ReplyOf[int](o) }, []string{`the reply 200 "text" is no int`}},
		"status":          {"status", func(o *eddatest.Outcome) { eddatest.ReplyOf[string](o) }, []string{`replied 404 "gone", expected a status below 400`}},
		"error":           {"error", func(o *eddatest.Outcome) { eddatest.ReplyOf[string](o) }, []string{"returned an error, expected a reply: away"}},
		"panic":           {"panic", func(o *eddatest.Outcome) { eddatest.ReplyOf[string](o) }, []string{"handler panicked: oh", "invoke_test.go:"}},
		"reply not final": {"text", func(o *eddatest.Outcome) { o.AssertFinal("NO") }, []string{`replied 200 "text", expected the final error NO`}},
		"error not final": {"error", func(o *eddatest.Outcome) { o.AssertFinal("NO") }, []string{"an error that is retried, expected the final one NO: away"}},
		"other final":     {"final", func(o *eddatest.Outcome) { o.AssertFinal("YES") }, []string{"the final error NO, expected YES: NO: not 1"}},
		"sends nothing":   {"text", func(o *eddatest.Outcome) { o.AssertSends("m x") }, []string{"the messages sent are not as expected, from number 1 on", "came: none", "> 1. m x"}},
		"no state":        {"state", func(o *eddatest.Outcome) { eddatest.ReplyOf[string](o) }, []string{"a balanced service keeps no state"}},
	} {
		t.Run(name, func(t *testing.T) {
			has(t, failing(t, func(t testing.TB) { c.check(eddatest.Invoke(t, s, c.method, "", nil)) }), c.want...)
		})
	}
	for want, f := range map[string]func(t testing.TB){
		`service s has no method "txt", only error, final`: func(t testing.TB) { eddatest.Invoke(t, s, "txt", "", nil) },
		"s is balanced":         func(t testing.TB) { eddatest.Invoke(t, s, "text", "k", nil) },
		"orders is ordered":     func(t testing.TB) { eddatest.Invoke(t, orders(), "place", "", nil) },
		"encode func() as JSON": func(t testing.TB) { eddatest.Invoke(t, s, "text", "", func() {}) },
	} {
		t.Run(want, func(t *testing.T) { has(t, failing(t, f), want) })
	}
}
