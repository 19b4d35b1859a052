package edda

import (
	"cmp"
	"fmt"
	"time"
)

// ServiceSpec is what a node knows of a service beside its handlers: how requests
// are given out, what callers may send, and what follows a failure.
type ServiceSpec struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	Name      string
	Kind      Kind
	// Methods are the methods there are; any when nil.
	Methods []string
	// Schemas holds the JSON Schema, as JSON text, of the payload of each method that
	// has one.
	Schemas map[string]string
	// Concurrency is how many handlers of one worker run at a time. Zero means
	// DefaultConcurrency; at most MaxConcurrency.
	Concurrency int
	// AttemptTimeout is how long one attempt may take. Zero means
	// DefaultAttemptTimeout.
	AttemptTimeout time.Duration
	// Retry says when failed attempts are repeated.
	Retry RetryPolicy
	// OnDead is Continue when empty.
	OnDead OnDead
	// Group is that of Service.Group; nil for what is no consumer. Its namespace is the
	// service's.
	Group *GroupSpec
}

// Address is the address of the service as a whole.
func (s *ServiceSpec) Address() Address {
	return Address{Namespace: cmp.Or(s.Namespace, DefaultNamespace), Name: s.Name}
}

// Validate names the first field that makes no sense. A node calls it.
func (s *ServiceSpec) Validate() error {
	bad := func(format string, args ...any) error {
		return &Error{Op: "check service " + s.Name, Reason: BadValue, Err: fmt.Errorf(format, args...)}
	}
	if s.Group != nil {
		if err := s.checkGroup(bad); err != nil {
			return err
		}
	} else if err := s.Address().Validate(); err != nil {
		return err
	}
	switch {
	case s.Kind != Ordered && s.Kind != Balanced:
		return bad("kind %q is neither ordered nor balanced", s.Kind)
	case s.Concurrency < 0:
		return bad("concurrency is %d, must be positive", s.Concurrency)
	case s.Concurrency > MaxConcurrency:
		return bad("concurrency is %d, must be at most %d; more workers carry more", s.Concurrency, MaxConcurrency)
	case s.AttemptTimeout < 0:
		return bad("attempt timeout is %v, must be positive", s.AttemptTimeout)
	}
	for _, m := range s.Methods {
		if err := checkMethod(s.Group, m); err != nil {
			return err
		}
	}
	switch cmp.Or(s.OnDead, Continue) {
	case Continue, Pause:
	case StopKey:
		if s.Kind == Balanced {
			return bad("a balanced service has no keys to stop, so onDead must be continue or pause")
		}
	default:
		return bad("onDead %q is none of continue, stop-key, pause", s.OnDead)
	}
	return s.Retry.Validate()
}

// checkGroup checks what a consumer of a group has otherwise than another service.
func (s *ServiceSpec) checkGroup(bad func(string, ...any) error) error {
	g := s.Group
	if err := g.Validate(); err != nil {
		return err
	}
	switch namespace := s.Address().Namespace; {
	case s.Name != g.Service():
		return bad("the consumer of group %s of stream %s must be called %s", g.Name, g.Stream, g.Service())
	case cmp.Or(g.Namespace, namespace) != namespace:
		return bad("its group is in the namespace %s, must be in its own, %s", g.Namespace, namespace)
	case s.Kind != Ordered:
		return bad("kind is %q, that of a consumer must be ordered", s.Kind)
	case s.AttemptTimeout != 0:
		return bad("a consumer has no attempt timeout of its own; set the group's processing timeout")
	case s.Retry != (RetryPolicy{}):
		return bad("a consumer has no retry policy of its own; set the group's")
	case cmp.Or(s.OnDead, Continue) != Continue:
		return bad("onDead is %q, must be continue: the group goes on after a dead letter", s.OnDead)
	}
	return CheckName("namespace", s.Address().Namespace)
}

// checkMethod checks a method's name. That of a consumer is the type of messages.
func checkMethod(g *GroupSpec, name string) error {
	switch {
	case g == nil:
		return CheckName("method", name)
	case name == "":
		return badOf("type", BadValue, "type is empty")
	}
	return checkText("type", name, MaxMessageTypeBytes)
}

// Spec is what a node knows of the service. Its schemas are derived by the node.
func (s *Service) Spec() ServiceSpec {
	return ServiceSpec{
		Namespace: s.Namespace, Name: s.Name, Kind: s.Kind, Methods: s.Methods(), Concurrency: s.Concurrency,
		AttemptTimeout: s.AttemptTimeout, Retry: s.Retry, OnDead: s.OnDead, Group: s.Group,
	}
}

// WorkerState says whether a worker is given requests.
type WorkerState string

// The states of a worker.
const (
	// WorkerReady: it is given requests.
	WorkerReady WorkerState = "ready"
	// WorkerDraining: it finishes what it has.
	WorkerDraining WorkerState = "draining"
	// WorkerPaused: somebody has paused it; it keeps what it has.
	WorkerPaused WorkerState = "paused"
	// WorkerSilent: nothing was heard of it for its lifetime, or it is out of health;
	// what it had was given up.
	WorkerSilent WorkerState = "silent"
)

// WorkerInfo is what is known of a worker.
type WorkerInfo struct {
	ID string `json:"id"`
	// Services are those it hosts, as "name", or "namespace/name" outside of
	// DefaultNamespace.
	Services []string          `json:"services"`
	Version  string            `json:"version,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	// Transport is how the node reaches it: in-process, grpc or http.
	Transport string `json:"transport"`
	// Slots is how many handlers it runs at most, InFlight how many it runs.
	Slots    int         `json:"slots"`
	InFlight int         `json:"inFlight"`
	LastBeat time.Time   `json:"lastBeat,omitzero"`
	State    WorkerState `json:"state"`
	// Holds is what it runs, the oldest first, at most 100; only of a worker that was
	// asked for by its id.
	Holds []WorkerHold `json:"holds,omitempty"`
}

// WorkerHold is a request that a worker runs.
type WorkerHold struct {
	Request ID        `json:"request"`
	Service string    `json:"service"`
	Key     string    `json:"key,omitempty"`
	Method  string    `json:"method"`
	Attempt int       `json:"attempt"`
	Since   time.Time `json:"since"`
}
