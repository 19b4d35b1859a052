package eddatest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

// Outcome is what one invocation of a handler asked for.
type Outcome struct {
	edda.Outcome
	// Parts are those that the handler yielded, in order. They are kept when it
	// returned an error, too: callers may have read them.
	Parts []edda.Part

	t      testing.TB
	before map[string]string
}

// Invoke runs the handler of one method once, in the goroutine of the test and
// without a node, and returns its outcome. The key is "" for a balanced service;
// the payload is encoded as JSON, or a []byte as it is; nil is none. Options change
// the attempt before it begins: WithState, or a function of your own for what else
// a handler may look at (attempt, fence, headers, principal).
//
// Nothing is checked against the schema, retried or sent. A method that the service
// does not have, or a key that its kind does not go with, fails the test at once; an
// error or panic of the handler is in the outcome.
func Invoke(t testing.TB, s *edda.Service, method, key string, payload any, options ...func(*edda.Dispatch)) *Outcome {
	t.Helper()
	switch {
	case s.Method(method) == nil:
		t.Fatalf("eddatest: service %s has no method %q, only %s", s.Name, method, strings.Join(s.Methods(), ", "))
	case s.Kind == edda.Ordered && key == "":
		t.Fatalf("eddatest: service %s is ordered: give its handler a key", s.Name)
	case s.Kind == edda.Balanced && key != "":
		t.Fatalf("eddatest: service %s is balanced: its handlers have no key, and not %q", s.Name, key)
	}
	now := time.Now()
	spec := s.Spec()
	to := spec.Address()
	to.Key = key
	m := &edda.Message{
		ID: edda.NewID(to.Hash(), now), To: to, Type: method, Principal: edda.Anonymous, ContentType: "application/json", Time: now,
	}
	if payload != nil {
		m.Payload = encode(t, payload)
	}
	taken := &parts{}
	d := &edda.Dispatch{Message: m, Attempt: 1, Fence: 1, Parts: taken}
	if s.Kind == edda.Ordered {
		d.State = values{}
	}
	for _, change := range options {
		change(d)
	}
	out := &Outcome{Outcome: s.Invoke(t.Context(), d), t: t, before: map[string]string{}}
	taken.mu.Lock()
	out.Parts = taken.all
	taken.mu.Unlock()
	for i := range out.Parts {
		out.Parts[i].Attempt, out.Parts[i].Number = d.Attempt, i+1
	}
	if d.State != nil {
		for e, err := range d.State.List(t.Context(), "") {
			if err != nil {
				t.Fatalf("eddatest: list the state: %v", err)
			}
			out.before[e.Name] = string(e.Value)
		}
	}
	return out
}

// WithStep makes the invocation one of a step of the saga, which may be left pending
// and add steps. Undo says that it is the step's compensation.
func WithStep(saga string, undo bool) func(*edda.Dispatch) {
	return func(d *edda.Dispatch) { d.Step = &edda.StepRef{SagaID: saga, Undo: undo} }
}

// WithState is the state that the key has when the handler begins. Those that
// handlers read with edda.Get are JSON.
func WithState(state map[string]string) func(*edda.Dispatch) {
	state = maps.Clone(state)
	return func(d *edda.Dispatch) { d.State = values(state) }
}

// State returns the state that the key has after the outcome: changed, or as it was
// when the handler returned an error.
func (o *Outcome) State() map[string]string {
	after := maps.Clone(o.before)
	for _, e := range o.Set {
		after[e.Name] = string(e.Value)
	}
	for _, name := range o.Delete {
		delete(after, name)
	}
	return after
}

// AssertSends fails the test unless the handler sent exactly these messages, in
// this order, each as Call.String writes a call: payments/42 charge {"cents":5}.
// Nothing is sent when it returned an error.
func (o *Outcome) AssertSends(want ...string) {
	o.t.Helper()
	got := make([]string, len(o.Sends))
	for i, m := range o.Sends {
		got[i] = line(m.To, m.Type, m.Payload)
	}
	assertLines(o.t, "messages sent", got, want)
}

// AssertPending fails the test unless the handler left its step pending.
func (o *Outcome) AssertPending() {
	o.t.Helper()
	switch {
	case o.Err != nil:
		o.t.Errorf("eddatest: the handler returned an error, expected edda.ErrPending: %v%s", o.Err, stack(o.Stack))
	case !o.Pending:
		o.t.Errorf("eddatest: the handler replied %s, expected edda.ErrPending", shownReply(o.Reply))
	}
}

// AssertFinal fails the test unless the handler returned a final error (edda.Final)
// with the reason.
func (o *Outcome) AssertFinal(reason string) {
	o.t.Helper()
	e, ok := finalError(o.Err)
	switch {
	case o.Pending:
		o.t.Errorf("eddatest: the handler left the step pending, expected the final error %s", reason)
	case o.Err == nil:
		o.t.Errorf("eddatest: the handler replied %s, expected the final error %s", shownReply(o.Reply), reason)
	case !ok:
		o.t.Errorf("eddatest: the handler returned an error that is retried, expected the final one %s: %v", reason, o.Err)
	case e.Reason != reason:
		o.t.Errorf("eddatest: the handler returned the final error %s, expected %s: %v", e.Reason, reason, o.Err)
	}
}

// ReplyOf returns the reply, decoded from JSON. An error of the handler, a status
// of 400 or above, or a reply that does not fit fails the test at once.
func ReplyOf[T any](o *Outcome) T {
	o.t.Helper()
	var v T
	if o.Err != nil {
		o.t.Fatalf("eddatest: the handler returned an error, expected a reply: %v%s", o.Err, stack(o.Stack))
	}
	if o.Pending {
		o.t.Fatalf("eddatest: the handler left the step pending, expected a reply")
	}
	if o.Reply.EffectiveStatus() >= 400 {
		o.t.Fatalf("eddatest: the handler replied %s, expected a status below 400", shownReply(o.Reply))
	}
	if err := json.Unmarshal(o.Reply.Payload, &v); err != nil {
		o.t.Fatalf("eddatest: the reply %s is no %T: %v", shownReply(o.Reply), v, err)
	}
	return v
}

// parts takes what a handler yields.
type parts struct {
	mu  sync.Mutex // guards all
	all []edda.Part
}

// WritePart takes one part.
func (p *parts) WritePart(_ context.Context, contentType string, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, edda.Part{ContentType: contentType, Payload: bytes.Clone(payload)})
	return nil
}

// values is a state that a test made up. It never changes.
type values map[string]string

// Get returns a value.
func (s values) Get(_ context.Context, name string) ([]byte, bool, error) {
	v, ok := s[name]
	return []byte(v), ok, nil
}

// List yields values in order of the name.
func (s values) List(_ context.Context, prefix string) iter.Seq2[edda.StateEntry, error] {
	return func(yield func(edda.StateEntry, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(s)) {
			if strings.HasPrefix(name, prefix) && !yield(edda.StateEntry{Name: name, Value: []byte(s[name])}, nil) {
				return
			}
		}
	}
}

func finalError(err error) (*edda.HandlerError, bool) {
	e, ok := errors.AsType[*edda.HandlerError](err)
	return e, ok && e.Final
}

func shownReply(r *edda.Reply) string {
	return strings.TrimSuffix(fmt.Sprintf("%d %s", r.EffectiveStatus(), clip(show(r.Payload))), " ")
}

// stack shows where a handler panicked.
func stack(s []byte) string {
	if s == nil {
		return ""
	}
	return "\n" + string(s)
}
