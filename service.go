package edda

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Kind says how a service's requests are given out.
type Kind string

// The kinds of services.
const (
	// Ordered: the requests of one key one at a time, in the order of acceptance,
	// also across retries. Every request has a key.
	Ordered Kind = "ordered"
	// Balanced: each request to the least loaded worker, in no order. No request
	// has a key.
	Balanced Kind = "balanced"
)

// OnDead says what happens to the rest after a request has died.
type OnDead string

// The choices after a dead letter.
const (
	// Continue: the key goes on with its next request. The default.
	Continue OnDead = "continue"
	// StopKey: the key's other requests wait until somebody resumes the key.
	StopKey OnDead = "stop-key"
	// Pause: the whole service waits until somebody resumes it.
	Pause OnDead = "pause"
)

// Defaults of a service.
const (
	DefaultConcurrency = 1024
	// MaxConcurrency is the most that one worker, or endpoint, may be given of a service.
	MaxConcurrency        = 65_536
	DefaultAttemptTimeout = 30 * time.Second
)

// HandlerFunc handles one message. It may be called concurrently for different
// keys, never for one key of an ordered service. A nil reply without an error is
// an empty reply. An error ends the attempt: it is retried by the service's
// policy, unless it is a *HandlerError that says Final. Panics count as errors.
type HandlerFunc func(ctx *Context, m *Message) (*Reply, error)

// Method is one method of a service.
type Method struct {
	// Name is the method's name.
	Name string
	// Handler handles its messages.
	Handler HandlerFunc
	// Input is the Go type of the payload. Before it is accepted, every payload is
	// checked against the type's JSON Schema and read into it. Nil takes anything.
	Input reflect.Type
	// Output is the Go type of the reply, for documentation. Nil is unknown.
	Output reflect.Type
	// Check, when not nil, checks a payload in place of Input's schema before it is
	// accepted. It must be safe for concurrent use and must not keep the payload. In a
	// worker elsewhere it is asked at the start of each attempt; what it refuses is failed
	// for good, as by Final with BadSchema or the reason of the *Error that it returns.
	Check func(contentType string, payload []byte) error
}

// Service is a named set of handlers. Make one with NewOrdered or NewBalanced,
// set the fields that should not have their default, add handlers, and hand it
// to a node; from then on it must not change.
type Service struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	// Name is what callers call.
	Name string
	// Kind is how requests are given out.
	Kind Kind
	// Concurrency is how many handlers run at a time. Zero means DefaultConcurrency; at
	// most MaxConcurrency.
	Concurrency int
	// AttemptTimeout is how long one attempt may take before it is fenced, its
	// context cancelled, and the request retried. Zero means DefaultAttemptTimeout.
	AttemptTimeout time.Duration
	// Retry says when failed attempts are repeated.
	Retry RetryPolicy
	// OnDead is Continue when empty.
	OnDead OnDead
	// Group makes the service the consumer of a group; NewConsumer makes one. Name is
	// Group.Service() then, Kind is Ordered, methods are the types of messages, timeout
	// and retry policy are the group's, and OnDead is Continue. The group is created when
	// there is none; of one that there is, the fields that are set here are changed.
	Group *GroupSpec

	methods map[string]*Method
	any     HandlerFunc
}

// NewOrdered returns an ordered service without handlers.
func NewOrdered(name string) *Service { return &Service{Name: name, Kind: Ordered} }

// NewBalanced returns a balanced service without handlers.
func NewBalanced(name string) *Service { return &Service{Name: name, Kind: Balanced} }

// NewConsumer returns the consumer of a group of a stream, without handlers. Its
// methods are the types of messages, which need not be names; HandleAny has those that
// were not added. A message of a type without a handler is a dead letter. Messages of
// one key and shard come one at a time, in order; those without a key in no order.
func NewConsumer(stream, group string) *Service {
	g := &GroupSpec{Stream: stream, Name: group}
	return &Service{Name: g.Service(), Kind: Ordered, Group: g}
}

// Add adds a method. It panics when the name is malformed or taken, or the
// handler is nil: those are mistakes in the program.
func (s *Service) Add(m Method) {
	if err := checkMethod(s.Group, m.Name); err != nil {
		panic(err)
	}
	if m.Handler == nil {
		panic(fmt.Sprintf("edda: method %s of service %s has no handler", m.Name, s.Name))
	}
	if _, taken := s.methods[m.Name]; taken {
		panic(fmt.Sprintf("edda: service %s has a method %s already", s.Name, m.Name))
	}
	if s.methods == nil {
		s.methods = map[string]*Method{}
	}
	s.methods[m.Name] = &m
}

// HandleAny sets the handler of every method that was not added by name. A
// service without one refuses unknown methods before they are accepted.
func (s *Service) HandleAny(h HandlerFunc) { s.any = h }

// Method returns the named method, or nil when there is none.
func (s *Service) Method(name string) *Method {
	if m, ok := s.methods[name]; ok {
		return m
	}
	if s.any == nil {
		return nil
	}
	return &Method{Name: name, Handler: s.any}
}

// Methods returns the names of the added methods in order. It is nil when the
// service takes any method.
func (s *Service) Methods() []string {
	if s.any != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.methods))
}

// Handle adds a typed method. In and Out are encoded as JSON, and In's JSON
// Schema guards the method: a payload that does not fit is refused before it is
// accepted. Three types are special: In []byte takes any payload, Out []byte
// is replied as it is, and Out *Reply is the reply itself.
func Handle[In, Out any](s *Service, method string, fn func(ctx *Context, in In) (Out, error)) {
	in, decode := decoder[In]()
	out, encode := encoder[Out]()
	s.Add(Method{Name: method, Input: in, Output: out, Handler: func(ctx *Context, m *Message) (*Reply, error) {
		v, err := decode(m)
		if err != nil {
			return nil, err
		}
		o, err := fn(ctx, v)
		if err != nil {
			return nil, err
		}
		return encode(o)
	}})
}

// Validate names the first field that makes no sense. A node calls it.
func (s *Service) Validate() error {
	spec := s.Spec()
	if err := spec.Validate(); err != nil {
		return err
	}
	if len(s.methods) == 0 && s.any == nil {
		return &Error{Op: "check service " + s.Name, Reason: BadValue, Err: errors.New("it has no handler")}
	}
	return nil
}
