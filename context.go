package edda

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of what one invocation may keep.
const (
	// MaxStateNameBytes is the longest name in a key's state.
	MaxStateNameBytes = 512
	// MaxStateValueBytes is the largest value in a key's state: 1 MiB.
	MaxStateValueBytes = 1 << 20
	// MaxOutcomeBytes bounds reply, state changes, sends, appends and added steps of one
	// invocation together: 6 MiB.
	MaxOutcomeBytes = 6 << 20
	// MaxSends is how many messages one invocation may send, and how often it may
	// append, together.
	MaxSends = 1000
)

// Dispatch is one attempt at a message, as a worker gets it.
type Dispatch struct {
	// Message is what is to be handled. The handler may read it, not change it.
	Message *Message
	// Attempt counts from 1; above that the message was started before.
	Attempt int
	// Fence rises with each dispatch of the key, also across restarts.
	Fence uint64
	// State reads the state of the key as it was at the dispatch. It is nil for a
	// balanced service.
	State StateReader
	// Renewer gives the attempt its timeout anew. Nil when there is none.
	Renewer Renewer
	// Parts takes the parts of the reply that the handler yields before it returns.
	// Nil takes none.
	Parts PartWriter
	// Step is nil unless the message is a step of a saga, or the compensation of one.
	Step *StepRef
	// Delivery is nil unless the message is one of a stream.
	Delivery *DeliveryRef
}

// Renewer gives an attempt its timeout anew. It is safe for concurrent use.
type Renewer interface{ Progress() }

// StateReader reads the state of one key. It is safe for concurrent use.
type StateReader interface {
	// Get returns the value, which nobody changes, and whether there is one.
	Get(ctx context.Context, name string) ([]byte, bool, error)
	// List yields names that begin with prefix, ascending, with their values.
	List(ctx context.Context, prefix string) iter.Seq2[StateEntry, error]
}

// StateEntry is one named value of a key's state.
type StateEntry struct {
	Name  string
	Value []byte
}

// Outcome is all that one invocation asks for. It is kept whole or not at all.
type Outcome struct {
	// Reply is set exactly when Err is nil and Pending is not.
	Reply *Reply
	// Pending leaves the step of a saga running until somebody finishes it.
	Pending bool
	// Err ends the attempt; then nothing below is kept.
	Err error
	// Stack is where the handler panicked, nil when it did not.
	Stack []byte
	// Set holds changed values, Delete names that are gone; in order of the name.
	Set    []StateEntry
	Delete []string
	// Sends are messages to other services, in the order they were sent, at most
	// MaxSends.
	Sends []*Message
	// Steps are added to the saga that the message is a step of.
	Steps []StepSpec
	// Appends are messages for streams, in the order they were appended; MaxSends
	// bounds them and Sends together.
	Appends []*Append
}

// Context is a handler's view of its invocation: a context.Context that ends
// with the attempt, the message's particulars, the state of its key, and sends.
// It is safe for concurrent use until the handler returns; after that changing
// and sending return an error.
type Context struct {
	context.Context
	d *Dispatch

	mu      sync.Mutex        // guards what follows
	changed map[string][]byte // nil value: deleted
	sends   []*Message
	appends []*Append
	steps   []StepSpec
	bytes   int
	over    bool
}

// Message returns the message being handled.
func (c *Context) Message() *Message { return c.d.Message }

// Key returns the key being handled, "" in a balanced service.
func (c *Context) Key() string { return c.d.Message.To.Key }

// RequestID returns the id of the request, the same for each attempt.
func (c *Context) RequestID() ID { return c.d.Message.ID }

// Attempt counts the attempts from 1.
func (c *Context) Attempt() int { return c.d.Attempt }

// Redelivered reports whether a handler was started for this request before.
func (c *Context) Redelivered() bool { return c.d.Attempt > 1 }

// Fence returns a number that rises with each dispatch of the key, across
// restarts too. Write it beside what you write to a database of your own, and
// let the database refuse writes with a lower one: then an attempt that was
// given up can do no harm.
func (c *Context) Fence() uint64 { return c.d.Fence }

// Progress says that the handler gets on: the attempt has its timeout anew. A
// handler that may take longer than the attempt timeout calls it now and then.
func (c *Context) Progress() {
	if c.d.Renewer != nil {
		c.d.Renewer.Progress()
	}
}

// errBalanced: state was used where there is no key.
var errBalanced = errors.New("a balanced service keeps no state: it has no keys")

// errOver: a Context was used after its handler returned.
var errOver = errors.New("the invocation is over")

// Get returns a value of the key's state and whether there is one. Changes made
// by this invocation are seen. The caller must not change the value.
func (c *Context) Get(name string) ([]byte, bool, error) {
	if c.d.State == nil {
		return nil, false, errBalanced
	}
	c.mu.Lock()
	v, changed := c.changed[name]
	c.mu.Unlock()
	if changed {
		return v, v != nil, nil
	}
	return c.d.State.Get(c, name)
}

// Set changes a value of the key's state. It is kept with the reply, if the
// handler returns one. The context keeps the slice.
func (c *Context) Set(name string, value []byte) error {
	if err := checkChange(name, value); err != nil {
		return err
	}
	if value == nil {
		value = []byte{}
	}
	return c.change(name, value)
}

// Delete removes a value of the key's state. It is kept with the reply.
func (c *Context) Delete(name string) error { return c.change(name, nil) }

func (c *Context) change(name string, value []byte) error {
	if c.d.State == nil {
		return errBalanced
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	grown := c.bytes + len(name) + len(value) - len(c.changed[name])
	if err := c.admit(grown); err != nil {
		return err
	}
	if c.changed == nil {
		c.changed = map[string][]byte{}
	}
	c.changed[name] = value
	return nil
}

// admit checks that the invocation is not over and may grow to the given size,
// and notes it. The caller holds mu.
func (c *Context) admit(size int) error {
	if c.over {
		return errOver
	}
	if size > MaxOutcomeBytes {
		return fmt.Errorf("outcome of %d bytes, at most %d are allowed", size, MaxOutcomeBytes)
	}
	c.bytes = size
	return nil
}

// List yields the names and values of the key's state whose name begins with
// prefix, in order of the name, with this invocation's changes.
func (c *Context) List(prefix string) iter.Seq2[StateEntry, error] {
	return func(yield func(StateEntry, error) bool) {
		if c.d.State == nil {
			yield(StateEntry{}, errBalanced)
			return
		}
		mine := c.changes(prefix)
		for e, err := range c.d.State.List(c, prefix) {
			if err != nil {
				yield(StateEntry{}, err)
				return
			}
			for len(mine) > 0 && mine[0].Name < e.Name {
				if mine[0].Value != nil && !yield(mine[0], nil) {
					return
				}
				mine = mine[1:]
			}
			if len(mine) > 0 && mine[0].Name == e.Name {
				continue // its turn comes with the next name, or after the last
			}
			if !yield(e, nil) {
				return
			}
		}
		for _, e := range mine {
			if e.Value != nil && !yield(e, nil) {
				return
			}
		}
	}
}

// changes returns the changed entries under prefix in order; a nil value is a
// deletion.
func (c *Context) changes(prefix string) []StateEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var es []StateEntry
	for name, v := range c.changed {
		if strings.HasPrefix(name, prefix) {
			es = append(es, StateEntry{Name: name, Value: v})
		}
	}
	slices.SortFunc(es, func(a, b StateEntry) int { return cmp.Compare(a.Name, b.Name) })
	return es
}

// Send sends a message when, and only if, the handler returns a reply. It may
// have a Due time. The node fills in id, principal, correlation and causation.
// There is no waiting for what it brings about: let the other service send back.
// On error the message is not sent, and what was sent before still is. One
// invocation sends at most MaxSends messages; whoever has more of them sends
// itself one, and goes on when that comes.
func (c *Context) Send(m *Message) error {
	sent := *m
	if err := c.d.complete(&sent); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.sends) + len(c.appends); !c.over && n >= MaxSends {
		return fmt.Errorf("send message %d of one invocation, at most %d are allowed", n+1, MaxSends)
	}
	if err := c.admit(c.bytes + sent.BinarySize()); err != nil {
		return err
	}
	c.sends = append(c.sends, &sent)
	return nil
}

// Append appends messages to a stream, or publishes them to a channel, when, and only if,
// the handler returns a reply. Both are of the handler's namespace unless a names another;
// a stream is created when there is none. The node fills in principal, correlation, causation and trace. An
// invocation cannot append under a condition (IfLast, IfEmpty): it is part of an outcome
// that holds as a whole. What may not be appended because the stream lists its shards,
// and not this one, or because the channel is not there, is dropped, which the node logs. On error nothing is appended, and
// what was appended before still is. MaxSends bounds how often one invocation appends
// and sends. The context keeps what the messages refer to.
func (c *Context) Append(a *Append) error {
	own := *a
	own.Messages = slices.Clone(a.Messages)
	if err := c.d.completeAppend(&own); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.sends) + len(c.appends); !c.over && n >= MaxSends {
		return fmt.Errorf("append number %d of one invocation, sends included, at most %d are allowed", n+1, MaxSends)
	}
	if err := c.admit(c.bytes + own.binarySize()); err != nil {
		return err
	}
	c.appends = append(c.appends, &own)
	return nil
}

// Delivery returns which message of which stream is handled, and for which group; nil
// when it is none.
func (c *Context) Delivery() *DeliveryRef { return c.d.Delivery }

// Step returns of which saga the request is a step, or the compensation of one, and
// nil when it is neither. The payload is StepInput as JSON then.
func (c *Context) Step() *StepRef { return c.d.Step }

// AddSteps adds steps to the saga whose step is handled when, and only if, the
// handler returns a reply or ErrPending. They may depend on each other, on any step of
// the saga and on the one that is handled. It returns an error, and adds none of them,
// when the request is no step of a saga, or undoes one, and the errors of
// StepSpec.Validate. A step with an id that the saga has already, or one that makes a
// circle or depends on what there is not, is found out only when the handler has
// returned: then the step that is handled fails. The context keeps the slice.
func (c *Context) AddSteps(steps ...StepSpec) error {
	size, err := c.d.checkSteps(steps)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := checkStepCount(len(c.steps) + len(steps)); err != nil {
		return err
	}
	if err := c.admit(c.bytes + size); err != nil {
		return err
	}
	c.steps = append(c.steps, steps...)
	return nil
}

// SendAfter sends v as JSON to the address ("users/42") after the delay, as Send does.
func (c *Context) SendAfter(delay time.Duration, to, method string, v any) error {
	a, err := ParseAddress(to)
	if err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	m := &Message{To: a, Type: method, ContentType: "application/json", Payload: b}
	if delay > 0 {
		m.Due = time.Now().Add(delay)
	}
	return c.Send(m)
}

// Get returns a value of the key's state, decoded from JSON, and whether there
// is one.
func Get[T any](c *Context, name string) (T, bool, error) {
	var v T
	b, ok, err := c.Get(name)
	if err != nil || !ok {
		return v, false, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, false, fmt.Errorf("state %q: %w", name, err)
	}
	return v, true, nil
}

// Set changes a value of the key's state, encoded as JSON.
func Set[T any](c *Context, name string, v T) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("state %q: %w", name, err)
	}
	return c.Set(name, b)
}

// Invoke runs the handler that d is for and returns what it asks for. The
// context ends the attempt. A panic becomes an error. What runs services calls
// it: a node, a worker, a test.
func (s *Service) Invoke(ctx context.Context, d *Dispatch) Outcome {
	m := s.Method(d.Message.Type)
	if m == nil {
		return Outcome{Err: Final(string(NoMethod), "service %s has no method %s", s.Name, d.Message.Type)}
	}
	c := &Context{Context: ctx, d: d}
	out := c.run(m.Handler)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if out.Err != nil && errors.Is(out.Err, ErrPending) {
		out = Outcome{Pending: true}
	}
	if out.Err != nil {
		return out
	}
	if err := d.checkResult(&out, c.bytes); err != nil {
		return Outcome{Err: err}
	}
	for name, v := range c.changed {
		if v == nil {
			out.Delete = append(out.Delete, name)
		} else {
			out.Set = append(out.Set, StateEntry{Name: name, Value: v})
		}
	}
	slices.Sort(out.Delete)
	slices.SortFunc(out.Set, func(a, b StateEntry) int { return cmp.Compare(a.Name, b.Name) })
	out.Sends, out.Appends, out.Steps = c.sends, c.appends, c.steps
	return out
}

func (c *Context) run(h HandlerFunc) (out Outcome) {
	returned := false
	defer func() {
		if returned {
			return
		}
		// A handler that calls runtime.Goexit ends here too, with nothing to recover.
		p := recover()
		out = Outcome{Err: fmt.Errorf("handler panicked: %v", p), Stack: bytes.Clone(debug.Stack())}
	}()
	reply, err := h(c, c.d.Message)
	returned = true
	return Outcome{Reply: reply, Err: err}
}

// FromContext returns the Context of the handler that ctx came from, however it was
// derived, and whether there is one.
func FromContext(ctx context.Context) (*Context, bool) {
	c, ok := ctx.Value(chainKey{}).(*Context)
	return c, ok
}

// chainKey finds the Context of the handler that a context came from.
type chainKey struct{}

// Value makes the Context known to clients that are called with it.
func (c *Context) Value(key any) any {
	if key == (chainKey{}) {
		return c
	}
	return c.Context.Value(key)
}
