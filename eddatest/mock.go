package eddatest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/inputschema"
	"github.com/edda-io/edda/node"
)

// Mock stands in for a service. It answers as its expectations say, and keeps what
// it was asked.
//
// A call that none of them expects fails the test, and is answered with a final
// error, so that nothing retries it. Each attempt is a call: a handler that is
// tried three times calls three times.
type Mock struct {
	n        *Node
	addr     edda.Address
	methods  []string       // that it has; any when nil
	svc      *edda.Service  // whose handler is the mock's
	expected []*Expectation // guarded by the node's mu
}

// Mock stands in for a balanced service of any methods. In another namespace the
// name is "namespace:service". An error, or a service that the node has already,
// fails the test at once.
func (n *Node) Mock(service string) *Mock {
	n.t.Helper()
	return n.mockNamed(service, edda.NewBalanced)
}

// MockOrdered stands in for an ordered service, whose requests have keys, of any
// methods. See Mock.
func (n *Node) MockOrdered(service string) *Mock {
	n.t.Helper()
	return n.mockNamed(service, edda.NewOrdered)
}

func (n *Node) mockNamed(name string, makeOne func(string) *edda.Service) *Mock {
	n.t.Helper()
	a := n.address(name)
	if a.Key != "" {
		n.t.Fatalf("eddatest: mock %q: name a service, without a key", name)
	}
	s := makeOne(a.Name)
	s.Namespace = a.Namespace
	return n.MockLike(s)
}

// MockLike stands in for a service as s describes it: kind, policies, methods, and
// the schemas of their payloads. Its handlers are not run. A method that it does not
// have and a payload that does not fit are refused, as by the service itself. See
// Mock; a service made with edda.NewOrdered and no methods has all of them.
func (n *Node) MockLike(s *edda.Service) *Mock {
	n.t.Helper()
	spec := s.Spec()
	var err error
	if spec.Schemas, err = inputschema.Texts(s); err != nil {
		n.t.Fatalf("eddatest: mock %s: %v", s.Name, err)
	}
	m := &Mock{n: n, addr: spec.Address(), methods: spec.Methods, svc: edda.NewBalanced(s.Name)}
	m.svc.HandleAny(m.handle)
	n.mu.Lock()
	_, taken := n.hosted[m.addr]
	taken = taken || slices.ContainsFunc(n.mocks, func(o *Mock) bool { return o.addr == m.addr })
	n.mocks = append(n.mocks, m)
	n.mu.Unlock()
	if taken {
		n.t.Fatalf("eddatest: mock %s: the node has this service already", m.addr)
	}
	if _, err := n.Node.Attach(n.t.Context(), node.WorkerSpec{Transport: "mock", Services: []edda.ServiceSpec{spec}}, runner{m}); err != nil {
		n.t.Fatalf("eddatest: mock %s: %v", m.addr, err)
	}
	return m
}

// runner runs the mock's handler for the node.
type runner struct{ m *Mock }

// Start begins an attempt in a goroutine of its own, which the end of the test
// waits for.
func (r runner) Start(a *node.Attempt) {
	r.m.n.mocked.Go(func() {
		out := edda.Outcome{Err: edda.Final(unexpected, "the mock's function ended its goroutine; use t.Error there, not t.Fatal")}
		defer func() { _ = a.Done(&out) }() // fenced: nobody wants it any more
		a.Taken()
		out = r.m.svc.Invoke(a.Context(), a.Dispatch())
	})
}

// Fenced has nothing to do: the attempt's context has ended.
func (runner) Fenced(*node.Attempt, error) {}

// Members has nothing to do: nobody shares the mock's keys.
func (runner) Members(edda.Address, []string) {}

// Drain has nothing to do: the node gives it nothing more.
func (runner) Drain(string, bool) {}

// unexpected is the reason of the error that an unexpected call gets.
const unexpected = "UNEXPECTED_CALL"

// handle answers a call.
func (m *Mock) handle(ctx *edda.Context, msg *edda.Message) (*edda.Reply, error) {
	answer, err := m.take(Call{Message: msg, Attempt: ctx.Attempt(), At: time.Now(), m: m})
	if err != nil {
		return nil, err
	}
	return answer(ctx, msg)
}

// take notes a call, and returns what answers it. When no expectation fits, the test
// has failed.
func (m *Mock) take(c Call) (answer edda.HandlerFunc, err error) {
	n := m.n
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, c)
	why := "nobody expected it"
	for _, e := range m.expected {
		if !e.fits(c.Message) || e.spent() {
			continue
		}
		if disorder := e.disorder(); disorder != "" {
			why = disorder
			continue
		}
		e.came++
		return e.do, nil
	}
	if !n.over { // a test that has ended cannot fail any more
		n.t.Errorf("eddatest: unexpected call, number %d to %s: %s\n\t%s\n%s", len(m.calls()), m.addr, why, c.withAttempt(), m.expectations())
	}
	return nil, edda.Final(unexpected, "the test did not expect %s", c)
}

// expectations lists what was expected. The caller holds mu.
func (m *Mock) expectations() string {
	if len(m.expected) == 0 {
		return fmt.Sprintf("%s has no expectations; say what it answers with On", m.addr)
	}
	var b strings.Builder
	b.WriteString("expected:")
	for _, e := range m.expected {
		fmt.Fprintf(&b, "\n\t%s", e)
	}
	return b.String()
}

// missing fails the test for expectations that were not met. The caller holds mu.
func (n *Node) missing(left []edda.Request) {
	n.t.Helper()
	for _, m := range n.mocks {
		var unmet []string
		for _, e := range m.expected {
			if e.came < e.least {
				unmet = append(unmet, e.String())
			}
		}
		if len(unmet) == 0 {
			continue
		}
		text := fmt.Sprintf("eddatest: calls to %s are missing\n\t%s\n%s", m.addr, strings.Join(unmet, "\n\t"), came(m.calls()))
		if len(left) > 0 {
			text += "\nrequests that had not ended (Settle lets time go by for them):\n" + unfinished(left)
		}
		n.t.Errorf("%s", text)
	}
}
