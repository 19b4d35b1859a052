package eddatest

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

// Expectation is a call that a mock expects, and what it answers. Of several that
// fit a call, the first one that is not spent takes it.
//
// One that nothing more is said of takes any payload, replies with nothing, and is
// met by one call or more. Say what it is to do before the services under test
// call: its methods are for the goroutine of the test.
type Expectation struct {
	m      *Mock
	method string
	where  string
	with   []byte // the payload, unless any will do
	any    bool
	do     edda.HandlerFunc

	least, most   int            // calls; most below zero: no limit
	came          int            // guarded by the node's mu, as what follows
	before, after []*Expectation // that come before and after this one
}

// On expects calls of a method. A method that a service mocked with MockLike does
// not have fails the test at once.
func (m *Mock) On(method string) *Expectation {
	m.n.t.Helper()
	if m.methods != nil && !slices.Contains(m.methods, method) {
		m.n.t.Fatalf("eddatest: %s has no method %q, only %s", m.addr, method, strings.Join(m.methods, ", "))
	}
	e := &Expectation{m: m, method: method, any: true, least: 1, most: -1}
	e.do = func(*edda.Context, *edda.Message) (*edda.Reply, error) { return &edda.Reply{}, nil }
	if _, file, number, ok := runtime.Caller(1); ok {
		e.where = fmt.Sprintf("%s:%d", filepath.Base(file), number)
	}
	m.n.mu.Lock()
	m.expected = append(m.expected, e)
	m.n.mu.Unlock()
	return e
}

// With expects this payload: the same JSON value (the order of members and white
// space do not matter), or for a []byte the same bytes.
func (e *Expectation) With(payload any) *Expectation {
	e.m.n.t.Helper()
	b := e.m.n.encode(payload)
	e.set(func() { e.with, e.any = b, false })
	return e
}

// Reply answers with v as JSON; a []byte as it is; an *edda.Reply as it is, with
// its status; nil with an empty reply.
func (e *Expectation) Reply(v any) *Expectation {
	e.m.n.t.Helper()
	reply := edda.Reply{}
	switch v := v.(type) {
	case nil:
	case *edda.Reply:
		reply = *v
	case []byte:
		reply = edda.Reply{ContentType: "application/octet-stream", Payload: v}
	default:
		reply = edda.Reply{ContentType: "application/json", Payload: e.m.n.encode(v)}
	}
	return e.Do(func(*edda.Context, *edda.Message) (*edda.Reply, error) {
		r := reply
		return &r, nil
	})
}

// Fail answers with an error, as if a handler had returned it: the call is tried
// again by the policy of the mocked service (edda.RetryPolicy's defaults, unless
// MockLike says otherwise), each time as a call of its own, unless the error is
// one of edda.Final. With edda.ErrPending the step of a saga is left pending.
func (e *Expectation) Fail(err error) *Expectation {
	return e.Do(func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, err })
}

// Do answers with what f returns. F is a handler like any other: it may send, and it
// runs in a goroutine of its own, so it may call t.Error, not t.Fatal.
func (e *Expectation) Do(f edda.HandlerFunc) *Expectation {
	e.set(func() { e.do = f })
	return e
}

// Times expects exactly so many calls. Zero forbids them.
func (e *Expectation) Times(calls int) *Expectation {
	e.set(func() { e.least, e.most = calls, calls })
	return e
}

// Maybe allows any number of calls, none included.
func (e *Expectation) Maybe() *Expectation {
	e.set(func() { e.least, e.most = 0, -1 })
	return e
}

func (e *Expectation) set(change func()) {
	e.m.n.mu.Lock()
	defer e.m.n.mu.Unlock()
	change()
}

// InOrder expects the calls of each before those of the next. They may be of
// different mocks of one node.
func InOrder(expectations ...*Expectation) {
	for i, e := range expectations {
		e.set(func() {
			e.before = append(e.before, expectations[:i]...)
			e.after = append(e.after, expectations[i+1:]...)
		})
	}
}

// fits reports whether the expectation is of such a call.
func (e *Expectation) fits(m *edda.Message) bool {
	return e.method == m.Type && (e.any || same(e.with, m.Payload))
}

// spent reports whether all expected calls have come.
func (e *Expectation) spent() bool { return e.most >= 0 && e.came >= e.most }

// disorder says what should have come before, or should not have come yet; "" when
// it is this one's turn.
func (e *Expectation) disorder() string {
	for _, o := range e.before {
		if o.came < o.least {
			return fmt.Sprintf("it is too early, these come first:\n\t%s", o)
		}
	}
	for _, o := range e.after {
		if o.came > 0 {
			return fmt.Sprintf("it is too late, these have come already:\n\t%s", o)
		}
	}
	return ""
}

// String says what is expected, where, and how often it came: payments charge
// {"cents":5}, exactly 1 time (order_test.go:12): came 2 times. The caller holds mu.
func (e *Expectation) String() string {
	payload := "with any payload"
	if !e.any {
		payload = show(e.with)
	}
	often := "at least " + times(e.least)
	switch {
	case e.most == 0:
		often = "never"
	case e.most > 0:
		often = "exactly " + times(e.most)
	case e.least == 0:
		often = "any number of times"
	}
	return fmt.Sprintf("%s %s %s, %s (%s): came %s", e.m.addr, e.method, payload, often, e.where, times(e.came))
}

func times(n int) string {
	if n == 1 {
		return "1 time"
	}
	return fmt.Sprintf("%d times", n)
}
