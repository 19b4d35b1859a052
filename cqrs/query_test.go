package cqrs

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/pattern"
)

// chronicle is what was stored, for a naive search.
type chronicle struct {
	*App
	t      *testing.T
	events []*Event // in the order of their positions
}

// newChronicle stores events at random: of few types, objects, keys and times, that follow
// from each other.
func newChronicle(t *testing.T, db driver.DB, r *rand.Rand, n int) *chronicle {
	t.Helper()
	b := NewBroadcaster("Users")
	a, err := New(db, Options{NoRelay: true}, b)
	if err != nil {
		t.Fatal(err)
	}
	c := &chronicle{App: a, t: t}
	versions := map[string]uint64{}
	began := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for i := range n {
		e := &Event{
			ID: newID(), CommandID: newID(), CorrelationID: fmt.Sprint("story ", r.IntN(4)), Broadcaster: pick(r, "Users", "Orders"),
			Type:   pick(r, "user.42.created", "User.7.Created", "user.7.updated", "order.created", "order.50%_off\\.created", "order.é.created", "a.b.c.d"),
			Object: pick(r, "User", "User.list", "Order"), Key: pick(r, "1", "2", "3"), Data: json.RawMessage(`{}`),
			CreatedAt: began.Add(time.Duration(r.IntN(20)) * time.Second), Live: true,
		}
		if r.IntN(3) > 0 && len(c.events) > 0 {
			parent := c.events[r.IntN(len(c.events))]
			e.CausationID, e.CausationLevel, e.CorrelationID = parent.ID, parent.CausationLevel+1, parent.CorrelationID
		}
		if i%17 == 3 {
			e.CausationID, e.CausationLevel = newID(), 1 // an event of elsewhere
		}
		versions[e.Object+e.Key]++
		e.Version = versions[e.Object+e.Key]
		if e.List() {
			for _, key := range []string{"1", "2", "4"}[:1+r.IntN(3)] {
				versions["item "+key]++
				e.Items = append(e.Items, Item{Key: key, Version: versions["item "+key]})
			}
		}
		c.events = append(c.events, e)
	}
	for from := 0; from < n; {
		to := min(from+1+r.IntN(9), n)
		transact(t, db, func(ctx context.Context, tx *Tx) error { return (eventRows{}).insertEvents(ctx, tx, c.events[from:to]) })
		from = to
	}
	return c
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// naive finds what a filter says by looking at each event.
func (c *chronicle) naive(f EventFilter) []*Event {
	var found []*Event
	for _, e := range c.events {
		keyIn := e.Key == f.Key && (f.Object == "" || !strings.HasSuffix(f.Object, ".list") && e.Object == f.Object)
		for _, item := range e.Items {
			keyIn = keyIn || item.Key == f.Key && (f.Object == "" || f.Object == "User" || f.Object == "User.list")
		}
		fits := len(f.Types) == 0
		for _, text := range f.Types {
			p, err := pattern.ParseFold(text)
			if err != nil {
				c.t.Fatal(err)
			}
			fits = fits || p.Match(e.Type)
		}
		switch {
		case !fits,
			f.Broadcaster != "" && f.Broadcaster != e.Broadcaster,
			f.Key != "" && !keyIn,
			f.Key == "" && f.Object != "" && f.Object != e.Object && f.Object+".list" != e.Object,
			f.CorrelationID != "" && f.CorrelationID != e.CorrelationID,
			!f.CommandID.IsZero() && f.CommandID != e.CommandID,
			!f.CausationID.IsZero() && f.CausationID != e.CausationID,
			!f.Since.IsZero() && e.CreatedAt.Before(f.Since),
			!f.Until.IsZero() && !e.CreatedAt.Before(f.Until):
			continue
		}
		found = append(found, e)
	}
	if !f.OldestFirst {
		slices.Reverse(found)
	}
	return found
}

// all reads all pages.
func (c *chronicle) all(f EventFilter) []*Event {
	c.t.Helper()
	var all []*Event
	for {
		page, err := c.Events(c.t.Context(), f)
		if err != nil {
			c.t.Fatalf("%+v: %v", f, err)
		}
		if most := f.Limit; len(page.Items) > most || page.Next != "" && len(page.Items) != most {
			c.t.Fatalf("%+v: a page has %d events, next is %q", f, len(page.Items), page.Next)
		}
		all = append(all, page.Items...)
		if f.After = page.Next; page.Next == "" {
			return all
		}
	}
}

func (c *chronicle) same(what any, got, want []*Event) {
	c.t.Helper()
	if g, w := idsOf(got), idsOf(want); !slices.Equal(g, w) {
		c.t.Errorf("%+v: got %d events, want %d\n%v\n%v", what, len(got), len(want), g, w)
	}
}

func idsOf(events []*Event) []string {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID.String())
	}
	return ids
}

func TestEventsAreWhatANaiveSearchFinds(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		c := newChronicle(t, db, r, 150)
		types := []string{
			"*", "user.*", "USER.:id.created", "user.:id?.updated", ":a.:b", "order.50%_off\\.created", "order.:x?.created", "*.created",
			"order.É.created", "a.*.d", "user.42.(created|updated)", "nothing", "order.50%_off\\.:x", ":a?.b.c.d",
		}
		for range 60 {
			f := EventFilter{Limit: 5 + r.IntN(60), OldestFirst: r.IntN(2) == 0}
			for range r.IntN(3) {
				f.Types = append(f.Types, pick(r, types...))
			}
			some := c.events[r.IntN(len(c.events))]
			set := func(one int, to func()) {
				if r.IntN(one) == 0 {
					to()
				}
			}
			set(3, func() { f.Object = pick(r, "User", "User.list", "Order", "Nobody") })
			set(3, func() { f.Key = pick(r, "1", "2", "4", "9") })
			set(4, func() { f.Broadcaster = some.Broadcaster })
			set(4, func() { f.CorrelationID = some.CorrelationID })
			set(20, func() { f.CommandID = some.CommandID })
			set(10, func() { f.CausationID = some.CausationID })
			set(4, func() { f.Since = some.CreatedAt })
			set(4, func() { f.Until = some.CreatedAt.Add(time.Second) })
			if !f.Until.IsZero() && !f.Since.Before(f.Until) {
				f.Until = time.Time{}
			}
			c.same(f, c.all(f), c.naive(f))
		}
	})
}

func TestCausesAreWhatANaiveSearchFinds(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		c := newChronicle(t, db, rand.New(rand.NewPCG(seed, 2)), 80)
		byID := map[edda.ID]*Event{}
		for _, e := range c.events {
			byID[e.ID] = e
		}
		for _, e := range c.events {
			var children, siblings, ancestors, descendants []*Event
			for p := byID[e.CausationID]; p != nil; p = byID[p.CausationID] {
				ancestors = append([]*Event{p}, ancestors...)
			}
			for _, o := range c.events {
				if o.CausationID == e.ID {
					children = append(children, o)
				}
				if o != e && !e.CausationID.IsZero() && o.CausationID == e.CausationID {
					siblings = append(siblings, o)
				}
				for p := byID[o.CausationID]; p != nil; p = byID[p.CausationID] {
					if p == e {
						descendants = append(descendants, o)
					}
				}
			}
			for what, q := range map[string]struct {
				ask  func(context.Context, edda.ID) ([]*Event, error)
				want []*Event
			}{
				"children": {c.Children, children}, "siblings": {c.Siblings, siblings},
				"ancestors": {c.Ancestors, ancestors}, "descendants": {c.Descendants, descendants},
			} {
				got, err := q.ask(t.Context(), e.ID)
				if err != nil {
					t.Fatal(err)
				}
				c.same(what, got, q.want)
			}
			parent, err := c.Parent(t.Context(), e.ID)
			if err != nil || (parent == nil) != (byID[e.CausationID] == nil) || parent != nil && parent.ID != e.CausationID {
				t.Errorf("the parent of %s is %v, %v", e.ID, parent, err)
			}
		}
	})
}

// causes stores events of which each brought the next one about.
func causes(t *testing.T, db driver.DB, n int) []*Event {
	t.Helper()
	events := make([]*Event, n)
	for i := range events {
		events[i] = &Event{ID: newID(), CommandID: newID(), CausationLevel: i, Object: "User", Key: "1", Version: uint64(i + 1), Data: json.RawMessage(`{}`), CreatedAt: time.Now()}
		if i > 0 {
			events[i].CausationID = events[i-1].ID
		}
	}
	transact(t, db, func(ctx context.Context, tx *Tx) error { return (eventRows{}).insertEvents(ctx, tx, events) })
	return events
}

// More levels than are looked at are an error, not an answer that lacks some.
func TestCausesHaveAnEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		a, err := New(db, Options{NoRelay: true})
		if err != nil {
			t.Fatal(err)
		}
		events := causes(t, db, MaxLevels+3)
		last := len(events) - 1
		for what, ask := range map[string]func() ([]*Event, error){
			"ancestors":   func() ([]*Event, error) { return a.Ancestors(t.Context(), events[last-1].ID) },
			"descendants": func() ([]*Event, error) { return a.Descendants(t.Context(), events[1].ID) },
		} {
			if got, err := ask(); edda.ReasonOf(err) != edda.TooLarge {
				t.Errorf("%s: %d events, %v, want too many", what, len(got), err)
			}
		}
		for what, ask := range map[string]func() ([]*Event, error){
			"ancestors":   func() ([]*Event, error) { return a.Ancestors(t.Context(), events[MaxLevels].ID) },
			"descendants": func() ([]*Event, error) { return a.Descendants(t.Context(), events[2].ID) },
		} {
			if got, err := ask(); err != nil || len(got) != MaxLevels {
				t.Errorf("%s: %d events, %v, want %d", what, len(got), err, MaxLevels)
			}
		}
	})
}

func TestEventsRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		a, err := New(db, Options{NoRelay: true})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		for want, f := range map[string]EventFilter{
			"limit is 1001, must be 1 to 1000":    {Limit: 1001},
			"limit is -1":                         {Limit: -1},
			`pattern "a.:"`:                       {Types: []string{"a.:"}},
			"must be before until":                {Since: now, Until: now},
			"after must be the next of a page":    {After: "here"},
			"after must be the next of a page be": {After: "0.0"},
		} {
			if page, err := a.Events(t.Context(), f); edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v gives %v, %v, want %q", f, page, err, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Events(ctx, EventFilter{}); edda.ReasonOf(err) != edda.Cancelled {
			t.Errorf("a cancelled search: %v", err)
		}
		for what, ask := range map[string]func(edda.ID) error{
			"event":       func(id edda.ID) error { _, err := a.Event(t.Context(), id); return err },
			"parent":      func(id edda.ID) error { _, err := a.Parent(t.Context(), id); return err },
			"children":    func(id edda.ID) error { _, err := a.Children(t.Context(), id); return err },
			"siblings":    func(id edda.ID) error { _, err := a.Siblings(t.Context(), id); return err },
			"ancestors":   func(id edda.ID) error { _, err := a.Ancestors(t.Context(), id); return err },
			"descendants": func(id edda.ID) error { _, err := a.Descendants(t.Context(), id); return err },
		} {
			if err := ask(newID()); edda.ReasonOf(err) != edda.NoEvent {
				t.Errorf("%s of an event that is not there: %v", what, err)
			}
		}
	})
}

// The default is the latest ten.
func TestEventsDefault(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		a, err := New(db, Options{NoRelay: true})
		if err != nil {
			t.Fatal(err)
		}
		if page, err := a.Events(t.Context(), EventFilter{}); err != nil || len(page.Items) != 0 || page.Items == nil || page.Next != "" {
			t.Errorf("of no events there is %+v, %v", page, err)
		}
		events := causes(t, db, 11)
		page, err := a.Events(t.Context(), EventFilter{})
		if err != nil || len(page.Items) != 10 || page.Items[0].ID != events[10].ID || page.Next == "" {
			t.Errorf("there is %+v, %v", page, err)
		}
		e, err := a.Event(t.Context(), events[3].ID)
		if err != nil || e.CausationID != events[2].ID {
			t.Errorf("the event is %+v, %v", e, err)
		}
	})
}

func TestLikeOf(t *testing.T) {
	for text, want := range map[string]string{
		"user.created": "user.created%", "User.:id.Created": "user.%created%", "*": "%", "a.:b?.c": "a%c%", "a.50%_.b": `a.50\%\_.b%`,
		"a.(b|c)": "a.%", ".a.b.": "a.b%", "é": "%", `a\`: `a\\%`, "::x": "::x%", ":a?.b": "%b%",
	} {
		if got := likeOf(text); got != want {
			t.Errorf("likeOf(%q) is %q, want %q", text, got, want)
		}
	}
}
