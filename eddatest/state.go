package eddatest

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// State returns the state of a key ("users/42") as its last outcome left it: the
// values by name, empty when there are none. An error fails the test at once. In
// another namespace the key is "namespace:users/42".
func (n *Node) State(key string) map[string]string {
	n.t.Helper()
	entries, err := n.Node.State(context.Background(), n.address(key), "")
	if err != nil {
		n.t.Fatalf("eddatest: %v", err)
	}
	values := make(map[string]string, len(entries))
	for _, e := range entries {
		values[e.Name] = string(e.Value)
	}
	return values
}

// SetState makes the state of a key exactly this; nil leaves it empty. Get, Set
// and the handlers' edda.Get and edda.Set have JSON as values. The key must be of a
// service that the node hosts. It is a request of its own to the key (method
// eddatest.set), and so waits for what the key is doing. An error, or a key that is
// busy for a minute, fails the test at once.
func (n *Node) SetState(key string, values map[string]string) {
	n.t.Helper()
	c := stateChange{Replace: true, Values: map[string][]byte{}}
	for name, v := range values {
		c.Values[name] = []byte(v)
	}
	n.change(key, &c)
}

// Get returns a value of a key's state, decoded from JSON, and whether there is
// one. It is for tests what edda.Get is for handlers. An error fails the test at
// once.
func Get[T any](n *Node, key, name string) (T, bool) {
	n.t.Helper()
	var v T
	text, ok := n.State(key)[name]
	if ok {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			n.t.Fatalf("eddatest: state %q of %s is %s, which is no %T: %v", name, key, show([]byte(text)), v, err)
		}
	}
	return v, ok
}

// Set changes one value of a key's state, encoded as JSON, as SetState does.
func Set[T any](n *Node, key, name string, v T) {
	n.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		n.t.Fatalf("eddatest: state %q of %s: %v", name, key, err)
	}
	n.change(key, &stateChange{Values: map[string][]byte{name: b}})
}

// stateChange is the payload of the method setState.
type stateChange struct {
	Replace bool
	Values  map[string][]byte
}

// setState is a method that ordered services have on the node of a test.
const setState = "eddatest.set"

// busyFor is how long a change of state waits for its key.
const busyFor = time.Minute

func (n *Node) change(key string, c *stateChange) {
	n.t.Helper()
	a := n.address(key)
	if n.hosted[edda.Address{Namespace: a.Namespace, Name: a.Name}] != edda.Ordered || a.Key == "" {
		n.t.Fatalf("eddatest: set state of %q: only a key of an ordered service that this node hosts, as in users/42, has state", key)
	}
	ctx, cancel := context.WithTimeout(context.Background(), busyFor)
	defer cancel()
	m := &edda.Message{To: a, Type: setState, ContentType: "application/json", Payload: edda.JSON(c)}
	if _, err := n.Client().In(a.Namespace).Call(ctx, m); err != nil {
		n.t.Fatalf("eddatest: set state of %s: %v", key, err)
	}
}

// withSetState returns the service with the method setState, if it is ordered. The
// service itself stays as it is: another test may have it too.
func withSetState(s *edda.Service) *edda.Service {
	methods, takesAny := s.Methods(), s.Method(setState) != nil
	if s.Kind != edda.Ordered || len(methods) == 0 && !takesAny {
		return s
	}
	hosted := *s
	if takesAny {
		hosted.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if m.Type == setState {
				return changeState(ctx, m)
			}
			return s.Method(m.Type).Handler(ctx, m)
		})
		return &hosted
	}
	hosted = edda.Service{
		Namespace: s.Namespace, Name: s.Name, Kind: s.Kind, Concurrency: s.Concurrency,
		AttemptTimeout: s.AttemptTimeout, Retry: s.Retry, OnDead: s.OnDead,
	}
	for _, name := range methods {
		hosted.Add(*s.Method(name))
	}
	hosted.Add(edda.Method{Name: setState, Handler: changeState})
	return &hosted
}

func changeState(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	var c stateChange
	if err := json.Unmarshal(m.Payload, &c); err != nil {
		return nil, edda.Final(string(edda.BadJSON), "%v", err)
	}
	if c.Replace {
		for e, err := range ctx.List("") {
			if err != nil {
				return nil, err
			}
			if err := ctx.Delete(e.Name); err != nil {
				return nil, err
			}
		}
	}
	for name, v := range c.Values {
		if err := ctx.Set(name, v); err != nil {
			return nil, edda.Final(string(edda.BadValue), "%v", err)
		}
	}
	return &edda.Reply{}, nil
}

// address reads "users/42" or "namespace:users/42", as edda.Address.String writes
// it.
func (n *Node) address(s string) edda.Address {
	n.t.Helper()
	a, err := parseAddress(s)
	if err != nil {
		n.t.Fatalf("eddatest: %v", err)
	}
	return a
}

func parseAddress(s string) (edda.Address, error) {
	namespace, rest := edda.DefaultNamespace, s
	if name, _, _ := strings.Cut(s, "/"); strings.Contains(name, ":") {
		namespace, rest, _ = strings.Cut(s, ":")
	}
	a, err := edda.ParseAddress(rest)
	if err != nil {
		return a, err
	}
	a.Namespace = namespace
	return a, a.Validate()
}
