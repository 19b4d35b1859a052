package cqrs

import (
	"cmp"
	"slices"

	"github.com/edda-io/edda/cqrs/internal/eventual"
	"github.com/edda-io/edda/pattern"
)

// table says which commands there are and what runs on which types, of all broadcasters
// of an app. It is immutable and safe for concurrent use. Make it with newTable.
type table struct {
	broadcasters map[string]*routes
	names        []string // of the broadcasters, in the order of their registration
	commands     []*command
	exact        map[string]*command
	filled       pattern.Set // of commands, by their indices
}

// command is a command that a broadcaster has.
type command struct {
	spec        CommandSpec
	broadcaster *Broadcaster
	typ, event  *pattern.Pattern
}

// routes is what a broadcaster does.
type routes struct {
	broadcaster   *Broadcaster
	validators    pattern.Set // by their indices
	hooks, events router
	late          []*handler // that have an eventual route
	channels      []channelRoutes
}

// channelRoutes is a channel, and the types that it carries; all when there are none.
type channelRoutes struct {
	spec   ChannelSpec
	events []*pattern.Pattern
}

// match is a handler, and how it runs where a route of it matches.
type match struct {
	h     *handler
	how   *eventual.How // of an eventual handler
	c     *Config       // with all defaults
	route *route
}

// route is a route of a handler.
type route struct {
	match
	pattern *pattern.Pattern
	order   int // of the handler's registration
}

// router finds the routes that match a type. They are there by how specific they are, the
// most specific first, so that the first one of a handler is the one that counts.
type router struct {
	routes []*route
	of     map[*handler][]*route
	set    pattern.Set // by index
}

// fill takes the routes of a broadcaster, in the order of their registration.
func (r *router) fill(all []*route) {
	slices.Reverse(all) // of those that are as specific, the last one counts
	slices.SortStableFunc(all, func(a, b *route) int { return pattern.Compare(b.pattern, a.pattern) })
	r.routes, r.of = all, map[*handler][]*route{}
	for i, one := range all {
		r.set.Add(one.pattern, i)
		r.of[one.h] = append(r.of[one.h], one)
	}
}

// find returns what matches a type and is kept by keep, each handler once, in the order
// in which they run: by priority, then as they were registered.
func (r *router) find(typ string, keep func(*Config) bool) []*match {
	var room [16]int
	ids := r.set.AppendMatches(room[:0], typ)
	var seen [16]*handler
	found := make([]*route, 0, len(ids))
	handlers := seen[:0]
	for _, id := range ids {
		one := r.routes[id]
		if slices.Contains(handlers, one.h) {
			continue
		}
		handlers = append(handlers, one.h)
		if keep(one.c) {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b *route) int {
		return cmp.Or(cmp.Compare(a.c.Priority, b.c.Priority), cmp.Compare(a.order, b.order))
	})
	matches := make([]*match, len(found))
	for i, one := range found {
		matches[i] = &one.match
	}
	return matches
}

// command returns the command of a type, which is as it was registered, or with its
// parameters filled in. Of several the most specific one is meant.
func (t *table) command(typ string) (*command, bool) {
	if c, ok := t.exact[typ]; ok {
		return c, true
	}
	var best *command
	for _, id := range t.filled.AppendMatches(nil, typ) {
		if c := t.commands[id]; best == nil || pattern.Compare(c.typ, best.typ) > 0 {
			best = c
		}
	}
	return best, best != nil
}

// validators returns those of a broadcaster for a type of command, in the order of their
// registration.
func (t *table) validators(broadcaster, typ string) []validator {
	r, ok := t.broadcasters[broadcaster]
	if !ok {
		return nil
	}
	var found []validator
	for _, id := range r.validators.AppendMatches(nil, typ) {
		found = append(found, r.broadcaster.validators[id])
	}
	return found
}

// hooks returns those of a broadcaster that run on a type of command, in their order.
func (t *table) hooks(broadcaster, typ string, l Lifecycle) []*match {
	return t.find(broadcaster, typ, (*routes).commandRouter, func(c *Config) bool { return c.Lifecycle == l })
}

// strong returns the handlers of a broadcaster that run on a type of event within its
// transaction, in their order.
func (t *table) strong(broadcaster, typ string) []*match {
	return t.find(broadcaster, typ, (*routes).eventRouter, func(c *Config) bool { return c.Consistency == Strong })
}

// eventual returns the handlers of a broadcaster that have an eventual route, in the order
// of their registration.
func (t *table) eventual(broadcaster string) []*handler {
	if r, ok := t.broadcasters[broadcaster]; ok {
		return r.late
	}
	return nil
}

// later returns how a handler from eventual runs on a type of event; nil when it does
// not, or does so within the transaction.
func (t *table) later(broadcaster string, h *handler, typ string) *match {
	r, ok := t.broadcasters[broadcaster]
	if !ok {
		return nil
	}
	for _, one := range r.events.of[h] {
		if one.pattern.Match(typ) {
			if one.c.Consistency != Eventual {
				return nil
			}
			return &one.match
		}
	}
	return nil
}

// late returns the handlers of a broadcaster that run on a type of event after its transaction,
// by their priority.
func (t *table) late(broadcaster, typ string) []*match {
	return t.find(broadcaster, typ, (*routes).eventRouter, func(c *Config) bool { return c.Consistency == Eventual })
}

// channels returns the names of a broadcaster's channels that carry a type of event.
func (t *table) channels(broadcaster, typ string) []string {
	r, ok := t.broadcasters[broadcaster]
	if !ok {
		return nil
	}
	var names []string
	for _, c := range r.channels {
		fits := func(p *pattern.Pattern) bool { return p.Match(typ) }
		if len(c.events) == 0 || slices.ContainsFunc(c.events, fits) {
			names = append(names, c.spec.Name)
		}
	}
	return names
}

func (t *table) find(broadcaster, typ string, of func(*routes) *router, keep func(*Config) bool) []*match {
	r, ok := t.broadcasters[broadcaster]
	if !ok {
		return nil
	}
	return of(r).find(typ, keep)
}

func (r *routes) commandRouter() *router { return &r.hooks }

func (r *routes) eventRouter() *router { return &r.events }

// types returns the types of all commands, as they were registered.
func (t *table) types() []string {
	all := make([]string, len(t.commands))
	for i, c := range t.commands {
		all[i] = c.spec.Type
	}
	return all
}
