package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// step is one change of a key's state, or a look at it.
type step struct {
	Set    map[string]string
	Delete []string
	Get    []string
	List   *string
	Err    string // "retry" or "final": fail after the changes
}

// stateful returns a service that does the steps it is sent, and replies with
// what it saw.
func stateful(name string) *edda.Service {
	return ordered(name, func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var st step
		if err := json.Unmarshal(m.Payload, &st); err != nil {
			return nil, err
		}
		for name, v := range st.Set {
			if err := ctx.Set(name, []byte(v)); err != nil {
				return nil, edda.Final("SET", "%v", err)
			}
		}
		for _, name := range st.Delete {
			if err := ctx.Delete(name); err != nil {
				return nil, err
			}
		}
		var saw []string
		for _, name := range st.Get {
			v, ok, err := ctx.Get(name)
			if err != nil {
				return nil, err
			}
			saw = append(saw, fmt.Sprintf("%s=%s/%t", name, v, ok))
		}
		if st.List != nil {
			for e, err := range ctx.List(*st.List) {
				if err != nil {
					return nil, err
				}
				saw = append(saw, e.Name+"="+string(e.Value))
			}
		}
		switch {
		case st.Err == "final":
			return nil, edda.Final("NO", "no")
		case st.Err == "retry" && ctx.Attempt() == 1:
			return nil, errHandler
		case st.Err == "status":
			return edda.TextReply(500, strings.Join(saw, " ")), nil
		}
		return edda.TextReply(200, strings.Join(saw, " ")), nil
	})
}

// do has the service do a step.
func do(t *testing.T, n *node.Node, to string, st step) answer {
	t.Helper()
	return call(t, n, msg(to, "m", string(edda.JSON(st))))
}

// The state of a key is kept with the reply, and not without it.
func TestKeyState(t *testing.T) {
	all := ""
	script := func(t *testing.T, n *node.Node, between func() *node.Node) {
		t.Helper()
		set := func(pairs ...string) step {
			s := step{Set: map[string]string{}}
			for i := 0; i < len(pairs); i += 2 {
				s.Set[pairs[i]] = pairs[i+1]
			}
			return s
		}
		prefix := "a/"
		steps := []struct {
			to   string
			st   step
			want string // a reply, or a reason
		}{
			{"s/k", step{Get: []string{"a"}, List: &all}, "a=/false"},
			{"s/k", set("b", "2", "a", "1", "c", ""), ""},
			{"s/k", step{Get: []string{"a", "c", "d"}, List: &all}, "a=1/true c=/true d=/false a=1 b=2 c="},
			{"s/other", step{List: &all}, ""},
			{"s2/k", step{List: &all}, ""},
			{"s/k", step{Set: map[string]string{"a": "9", "z": "9"}, Delete: []string{"b"}, List: &all, Get: []string{"b"}}, "b=/false a=9 c= z=9"},
			{"s/k", step{Set: map[string]string{"a": "lost"}, Delete: []string{"c"}, Err: "final"}, "FAILED"},
			{"s/k", step{List: &all}, "a=9 c= z=9"},
			{"s/k", step{Set: map[string]string{"a/1": "x", "a/2": "y"}, Err: "retry"}, ""},
			{"s/k", step{List: &prefix}, "a/1=x a/2=y"},
			{"s/k", step{Set: map[string]string{"e": "500"}, Err: "status"}, "500"},
			{"s/k", step{Get: []string{"e"}}, "e=500/true"},
			{"s/k", step{Delete: []string{"a", "c", "nothing", "a/1", "e"}, List: &all}, "a/2=y z=9"},
			{"s/k", step{List: &all}, "a/2=y z=9"},
			{"s/k", set(strings.Repeat("n", 513), "x"), "FAILED"},
			{"s/k", step{List: &all}, "a/2=y z=9"},
		}
		for i, st := range steps {
			a := do(t, n, st.to, st.st)
			switch {
			case st.want == "FAILED":
				a.refused(t, edda.Failed)
			case st.st.Err == "status":
				a.replied(t, 500, "")
			case a.err != nil || string(a.reply.Payload) != st.want:
				t.Fatalf("step %d: got %v, %v, want %q", i, a.reply, a.err, st.want)
			}
			n = between()
		}
	}
	bubble(t, "in memory", func(t *testing.T) {
		n := start(t, node.Options{}, stateful("s"), stateful("s2"))
		script(t, n, func() *node.Node { return n })
	})
	bubble(t, "with a restart after each step", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{}, stateful("s"), stateful("s2"))
		script(t, n, func() *node.Node {
			stop(t, n)
			n = d.open(t, node.Options{}, stateful("s"), stateful("s2"))
			return n
		})
	})
	bubble(t, "with a crash after each step", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{}, stateful("s"), stateful("s2"))
		script(t, n, func() *node.Node {
			d = d.crash()
			stop(t, n)
			n = d.open(t, node.Options{}, stateful("s"), stateful("s2"))
			return n
		})
	})
	bubble(t, "of namespaces", func(t *testing.T) {
		other := stateful("s")
		other.Namespace = "other"
		n := start(t, node.Options{}, stateful("s"), other)
		do(t, n, "s/k", step{Set: map[string]string{"a": "1"}}).replied(t, 200, "")
		r, err := n.Client().In("other").Call(t.Context(), msg("s/k", "m", string(edda.JSON(step{List: &all}))))
		answer{r, err}.replied(t, 200, "")
	})
	bubble(t, "of balanced services", func(t *testing.T) {
		n := start(t, node.Options{}, balanced("b", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			_, _, err := ctx.Get("a")
			for _, e := range ctx.List("") {
				if e == nil || err == nil || ctx.Set("a", nil) == nil || ctx.Delete("a") == nil {
					t.Error("a balanced service has state")
				}
			}
			return nil, nil
		}))
		call(t, n, msg("b", "m", "")).replied(t, 204, "")
	})
}

// A handler sees the state as of its dispatch, however long it runs, and may use
// it from several goroutines.
func TestStateWhileOthersChangeIt(t *testing.T) {
	bubble(t, "stuck", func(t *testing.T) {
		gate := make(chan struct{})
		var saw string
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if m.Type == "stuck" && ctx.Attempt() == 1 {
				<-gate
				v, _, err := ctx.Get("v")
				saw = fmt.Sprint(string(v), err, ctx.Set("v", nil))
				return nil, nil
			}
			return nil, ctx.Set("v", m.Payload)
		})
		s.AttemptTimeout = time.Second
		n := start(t, node.Options{}, s)
		call(t, n, msg("s/k", "m", "1")).replied(t, 204, "")
		call(t, n, msg("s/k", "stuck", "2")).replied(t, 204, "")
		close(gate)
		synctest.Wait()
		if saw != "1<nil> <nil>" {
			t.Errorf("a fenced handler saw %q, want the state it was started with", saw)
		}
	})
}

// A long state is listed whole and in order, over what lies in the store and what
// has changed since.
func TestLongState(t *testing.T) {
	bubble(t, "long", func(t *testing.T) {
		value := strings.Repeat("v", 1000)
		service := func() *edda.Service {
			return ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				for i := range 500 {
					if m.Type == "set" || m.Type == "change" && i%50 == 0 {
						if err := ctx.Set(fmt.Sprintf("%03d", i), []byte(m.Type+value)); err != nil {
							return nil, err
						}
					}
				}
				want := 0
				for e, err := range ctx.List("") {
					by := "set"
					if m.Type != "set" && want%50 == 0 {
						by = "change"
					}
					if err != nil || e.Name != fmt.Sprintf("%03d", want) || string(e.Value) != by+value {
						return nil, edda.Final("ORDER", "got %.30s=%.30s, %v, want %d", e.Name, e.Value, err, want)
					}
					want++
				}
				return edda.TextReply(200, fmt.Sprint(want)), nil
			})
		}
		d := newDisk()
		n := d.open(t, node.Options{}, service())
		call(t, n, msg("s/k", "set", "")).replied(t, 200, "500")
		stop(t, n)
		n = d.open(t, node.Options{}, service())
		defer stop(t, n)
		for _, method := range []string{"change", "list", "list"} {
			call(t, n, msg("s/k", method, "")).replied(t, 200, "500")
		}
	})
}
