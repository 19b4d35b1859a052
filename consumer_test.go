package edda

import (
	"strings"
	"testing"
	"time"
)

func nothing(*Context, *Message) (*Reply, error) { return &Reply{}, nil }

// consumer returns a consumer that makes sense, changed.
func consumer(change func(s *Service)) *Service {
	s := NewConsumer("orders", "billing")
	s.Add(Method{Name: "order placed/2 ✓", Handler: nothing})
	change(s)
	return s
}

func TestConsumerIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *Service)
		says   string // "" when all is well
	}{
		"as it is":              {func(*Service) {}, ""},
		"in a namespace":        {func(s *Service) { s.Namespace = "shop" }, ""},
		"in the same namespace": {func(s *Service) { s.Namespace, s.Group.Namespace = "shop", "shop" }, ""},
		"continue":              {func(s *Service) { s.OnDead = Continue }, ""},
		"settings of the group": {func(s *Service) { s.Group.ProcessingTimeout, s.Group.Retry.Max = time.Second, 3 }, ""},
		"another namespace":     {func(s *Service) { s.Group.Namespace = "shop" }, "its group is in the namespace shop, must be in its own, default"},
		"bad namespace":         {func(s *Service) { s.Namespace = "a b" }, `namespace "a b"`},
		"another name":          {func(s *Service) { s.Name = "orders" }, "must be called orders/billing"},
		"balanced":              {func(s *Service) { s.Kind = Balanced }, `kind is "balanced"`},
		"attempt timeout":       {func(s *Service) { s.AttemptTimeout = time.Second }, "processing timeout"},
		"retry":                 {func(s *Service) { s.Retry.Max = 1 }, "set the group's"},
		"stop key":              {func(s *Service) { s.OnDead = StopKey }, "must be continue"},
		"pause":                 {func(s *Service) { s.OnDead = Pause }, "must be continue"},
		"bad group":             {func(s *Service) { s.Group.MinMembers = -1 }, "minMembers is -1"},
		"bad stream":            {func(s *Service) { s.Group.Stream = "a/b" }, `stream "a/b"`},
		"bad retry":             {func(s *Service) { s.Group.Retry.Max = -2 }, "max is -2"},
		"too much at a time":    {func(s *Service) { s.Concurrency = MaxConcurrency + 1 }, "concurrency is 65537"},
		"no handler":            {func(s *Service) { s.methods = nil }, "it has no handler"},
	} {
		t.Run(name, func(t *testing.T) {
			err := consumer(c.change).Validate()
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
		})
	}
}

// A type of messages may be nearly any text; a method of another service is a name.
func TestTypesOfConsumers(t *testing.T) {
	add := func(s *Service, name string) (panicked bool) {
		defer func() { panicked = recover() != nil }()
		s.Add(Method{Name: name, Handler: nothing})
		return false
	}
	for _, name := range []string{"a b", "ü/2", strings.Repeat("t", MaxMessageTypeBytes)} {
		if add(NewConsumer("a", "b"), name) || !add(NewOrdered("a"), name) {
			t.Errorf("type %q is not allowed for a consumer, or it is for another service", name)
		}
	}
	for _, name := range []string{"", "a\n", "\xff", strings.Repeat("t", MaxMessageTypeBytes+1)} {
		if !add(NewConsumer("a", "b"), name) {
			t.Errorf("type %q is allowed", name)
		}
		spec := consumer(func(*Service) {}).Spec()
		if spec.Methods = []string{name}; ReasonOf(spec.Validate()) != BadValue {
			t.Errorf("a worker may name the type %q: %v", name, spec.Validate())
		}
	}
}
