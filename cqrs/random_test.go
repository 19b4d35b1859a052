package cqrs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// plan is what the handlers do on an event: some of it fails a few times, or always.
type plan struct {
	name, key string
	steps     []planStep // one for each of planHandlers
}

type planStep struct {
	fails    int // so many attempts fail
	how      int // and how they do
	children []*plan
	attempts int // counts
}

// planHandlers are the handlers, in their order.
var planHandlers = []struct {
	name string
	kind Kind
	max  int // attempts
}{
	{"P.one", KindProjector, 1}, {"Q.one", KindProcessor, 3}, {"D.one", KindDispatcher, 2},
	{"Q.two", KindProcessor, 1}, {"P.two", KindProjector, 2},
}

// plans makes a random tree of plans.
func plans(r *rand.Rand, depth int, n *int) *plan {
	*n++
	p := &plan{name: fmt.Sprint("e", *n), key: string(rune('a' + r.IntN(4))), steps: make([]planStep, len(planHandlers))}
	for i, h := range planHandlers {
		s := &p.steps[i]
		if r.IntN(6) == 0 {
			s.fails, s.how = 1+r.IntN(2), r.IntN(3)
		}
		if h.kind == KindProjector || depth == 0 {
			continue
		}
		for len(s.children) < 2 && r.IntN(3) == 0 && (h.kind == KindDispatcher || len(s.children) == 0) {
			s.children = append(s.children, plans(r, depth-1, n))
		}
	}
	return p
}

// failing counts an attempt, and returns the error that it has.
func (s *planStep) failing(ctx context.Context, q Querier) error {
	if s.attempts++; s.attempts > s.fails {
		return nil
	}
	switch s.how {
	case 0:
		return errors.New("planned")
	case 1:
		panic("planned")
	}
	var n int
	return q.QueryRowContext(ctx, "SELECT n FROM nowhere").Scan(&n)
}

// naive is what a database would have: a model that copies all of it before each attempt.
type naive struct {
	lines, events []string
	versions      map[string]int
}

func (m *naive) clone() *naive {
	return &naive{slices.Clone(m.lines), slices.Clone(m.events), maps.Clone(m.versions)}
}

// run does what a plan says, and reports whether it succeeded. When it did not, m is spoilt.
func (m *naive) run(p *plan) bool {
	m.versions[p.key]++
	at := len(m.events)
	m.events = append(m.events, "")
	head := fmt.Sprintf("%s %s %d", p.name, p.key, m.versions[p.key])
	var chain []string
	for i, h := range planHandlers {
		if !m.attempts(p, i, h.max) {
			return false
		}
		chain = append(chain, h.name)
	}
	m.events[at] = head + " " + strings.Join(chain, ",")
	return true
}

func (m *naive) attempts(p *plan, i, most int) bool {
	s := &p.steps[i]
	for range most {
		next := m.clone()
		if s.attempts++; s.attempts <= s.fails {
			continue
		}
		ok := true
		if planHandlers[i].kind == KindProjector {
			next.lines = append(next.lines, planHandlers[i].name+" "+p.name)
		}
		for _, c := range s.children {
			ok = ok && next.run(c)
		}
		if ok {
			*m = *next
			return true
		}
	}
	return false
}

// reset forgets the attempts.
func (p *plan) reset(all map[string]*plan) {
	all[p.name] = p
	for i := range p.steps {
		p.steps[i].attempts = 0
		for _, c := range p.steps[i].children {
			c.reset(all)
		}
	}
}

// planned is a broadcaster whose handlers do what all says.
func planned(all map[string]*plan) *Broadcaster {
	b := newUsers()
	for i, h := range planHandlers {
		step := func(e *Event) (*planStep, error) {
			var u user
			err := e.Decode(&u)
			return &all[u.Email].steps[i], err
		}
		on := On("*", Config{Priority: 10 * (i + 1), Retry: edda.RetryPolicy{Max: h.max, Delay: time.Nanosecond}})
		switch h.kind {
		case KindProjector:
			b.Projector(h.name, func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
				s, err := step(e)
				if err != nil {
					return Data{}, err
				}
				if _, err := logs(h.name)(ctx, tx, &Event{Type: e.Type}); err != nil {
					return Data{}, err
				}
				return Data{}, s.failing(ctx, tx)
			}, nil, on)
		case KindProcessor:
			b.Processor(h.name, func(ctx context.Context, q Querier, e *Event) (*Command, error) {
				s, err := step(e)
				if err := cmpErr(err, s.failing(ctx, q)); err != nil || len(s.children) == 0 {
					return nil, err
				}
				c := s.children[0]
				d, err := users.Stage(user{ID: c.key, Email: c.name})
				return &Command{Type: "create.user", EventType: c.name, Data: d}, err
			}, on)
		case KindDispatcher:
			b.Dispatcher(h.name, func(ctx context.Context, q Querier, e *Event) ([]*Derived, error) {
				s, err := step(e)
				if err := cmpErr(err, s.failing(ctx, q)); err != nil {
					return nil, err
				}
				var derived []*Derived
				for _, c := range s.children {
					d, err := users.Stage(user{ID: c.key, Email: c.name})
					if err != nil {
						return nil, err
					}
					derived = append(derived, &Derived{Type: c.name, Data: d})
				}
				return derived, nil
			}, on)
		}
	}
	return b
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Trees of commands and derived events with failures anywhere: everything is stored, or
// nothing, and what was tried again is there once.
func TestRandomTrees(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		all := map[string]*plan{}
		w := start(t, db, planned(all))
		want := &naive{versions: map[string]int{}}
		succeeded := 0
		const rounds = 60
		for range rounds {
			seed := rand.Uint64()
			n := 0
			p := plans(rand.New(rand.NewPCG(seed, 0)), 3, &n)
			clear(all)
			p.reset(all)
			next := want.clone()
			ok := next.run(p)
			p.reset(all)
			_, err := w.Do(t.Context(), &Command{Type: "create.user", EventType: p.name, Data: staged(t, users, user{ID: p.key, Email: p.name})})
			if ok != (err == nil) {
				t.Fatalf("seed %d: %v, but the model says that it succeeds is %v", seed, err, ok)
			}
			if ok {
				want = next
				succeeded++
			}
			if !w.like(want) {
				t.Fatalf("seed %d", seed)
			}
		}
		if succeeded == 0 || succeeded == rounds {
			t.Errorf("%d of %d succeeded", succeeded, rounds)
		}
	})
}

// like compares what is stored with the model.
func (w *world) like(m *naive) bool {
	w.t.Helper()
	var versions []string
	for _, key := range slices.Sorted(maps.Keys(m.versions)) {
		versions = append(versions, fmt.Sprintf("%s %d", key, m.versions[key]))
	}
	events, err := (eventRows{}).selectEvents(w.t.Context(), w.db.Reader(), w.db.Dialect(), ledger.Range{})
	if err != nil {
		w.t.Fatal(err)
	}
	var stored []string
	for _, e := range events {
		stored = append(stored, fmt.Sprintf("%s %s %d %s", e.Type, e.Key, e.Version, strings.Join(e.Chain, ",")))
	}
	same := true
	for what, c := range map[string]struct{ got, want []string }{
		"events":   {stored, m.events},
		"lines":    {w.strings("SELECT line FROM log ORDER BY n"), m.lines},
		"versions": {w.strings("SELECT key || ' ' || version FROM edda_aggregates ORDER BY key"), versions},
	} {
		if !slices.Equal(c.got, c.want) {
			w.t.Errorf("%s\ngot  %q\nwant %q", what, c.got, c.want)
			same = false
		}
	}
	return same
}
