package cqrs

import (
	"fmt"
	"strings"

	"github.com/edda-io/edda/pattern"
)

// HandlerInfo is a hook or a handler of events with its routes.
type HandlerInfo struct {
	Broadcaster string `json:"broadcaster"`
	// Handler is its name, such as Users.isUnique.
	Handler string `json:"handler"`
	Kind    Kind   `json:"kind"`
	// Routes are where it runs, the most specific pattern first; none when nothing leads to it.
	Routes []RouteInfo `json:"routes"`
	// Tables are those of a projector that can be rebuilt.
	Tables []Table `json:"tables,omitempty"`
}

// RouteInfo is a route with all defaults.
type RouteInfo struct {
	Pattern string `json:"pattern"`
	Config  Config `json:"config"`
}

// Handlers returns the routing table: all hooks and handlers of events, by broadcaster and as they
// were registered.
func (a *App) Handlers() []HandlerInfo { return a.table.infos() }

func (t *table) infos() []HandlerInfo {
	all := []HandlerInfo{}
	for _, name := range t.names {
		r := t.broadcasters[name]
		for _, h := range r.broadcaster.handlers {
			info := HandlerInfo{Broadcaster: name, Handler: h.name, Kind: h.kind, Routes: []RouteInfo{}, Tables: h.tables}
			for _, one := range r.router(h).of[h] {
				info.Routes = append(info.Routes, RouteInfo{Pattern: one.pattern.String(), Config: *one.c})
			}
			all = append(all, info)
		}
	}
	return all
}

// router is where the routes of a handler are.
func (r *routes) router(h *handler) *router {
	if h.kind == KindHook {
		return &r.hooks
	}
	return &r.events
}

// Match is what happens on a type of command or event, in order.
type Match struct {
	// Type is what was asked for.
	Type string `json:"type"`
	// Command is the command of that type, nil when it is taken for a type of event. Then
	// Handlers are its hooks, and what its event brings about.
	Command *CommandMatch `json:"command,omitempty"`
	// Handlers are those that run, in the order in which they do: hooks, then strong handlers,
	// then the eventual ones, which do not wait for each other.
	Handlers []HandlerMatch `json:"handlers"`
	// Channels are those that carry the event.
	Channels []ChannelMatch `json:"channels"`
}

// CommandMatch is a command as it was registered.
type CommandMatch struct {
	Broadcaster string `json:"broadcaster"`
	Type        string `json:"type"`
	Event       string `json:"event"`
	Object      string `json:"object"`
	// Validators are the patterns of those that check it. Calls are the names of its reversible
	// calls, which are made between the hooks before and after.
	Validators []string `json:"validators"`
	Calls      []string `json:"calls"`
}

// ChannelMatch is a channel of a broadcaster.
type ChannelMatch struct {
	Broadcaster string `json:"broadcaster"`
	Channel     string `json:"channel"`
}

// HandlerMatch says that a handler runs, when, and why as it does.
type HandlerMatch struct {
	Broadcaster string `json:"broadcaster"`
	Handler     string `json:"handler"`
	Kind        Kind   `json:"kind"`
	// When is before or after of hooks, strong or eventual of others.
	When string `json:"when"`
	// Pattern is the one whose config holds. Others are the rest of those that match.
	Pattern string   `json:"pattern"`
	Others  []string `json:"others,omitempty"`
	// Why says why the config of Pattern holds and not that of the others; "" without others.
	Why string `json:"why,omitempty"`
	// Config is how it runs, with all defaults.
	Config Config `json:"config"`
}

// Match explains what happens on a type, with or without its parameters filled in: of a command, if
// there is one of the type, else of an event.
func (a *App) Match(typ string) *Match { return a.table.explain(typ) }

func (t *table) explain(typ string) *Match {
	m := &Match{Type: typ, Handlers: []HandlerMatch{}, Channels: []ChannelMatch{}}
	c, ok := t.command(typ)
	if !ok {
		for _, name := range t.names {
			m.addEvent(t, name, typ)
		}
		return m
	}
	name := c.broadcaster.name
	m.Command = &CommandMatch{
		Broadcaster: name, Type: c.spec.Type, Event: c.spec.Event, Object: c.spec.Model.core().name, Validators: []string{}, Calls: []string{},
	}
	for _, v := range t.validators(name, typ) {
		m.Command.Validators = append(m.Command.Validators, v.pattern)
	}
	for _, call := range c.spec.Calls {
		m.Command.Calls = append(m.Command.Calls, call.Name)
	}
	r := t.broadcasters[name]
	m.add(name, &r.hooks, string(Before), typ, t.hooks(name, typ, Before))
	m.add(name, &r.hooks, string(After), typ, t.hooks(name, typ, After))
	m.addEvent(t, name, c.spec.Event)
	return m
}

// addEvent adds what a broadcaster does on a type of event.
func (m *Match) addEvent(t *table, name, typ string) {
	r := t.broadcasters[name]
	m.add(name, &r.events, string(Strong), typ, t.strong(name, typ))
	m.add(name, &r.events, string(Eventual), typ, t.late(name, typ))
	for _, channel := range t.channels(name, typ) {
		m.Channels = append(m.Channels, ChannelMatch{Broadcaster: name, Channel: channel})
	}
}

func (m *Match) add(broadcaster string, r *router, when, typ string, matches []*match) {
	for _, one := range matches {
		hm := HandlerMatch{
			Broadcaster: broadcaster, Handler: one.h.name, Kind: one.h.kind, When: when, Pattern: one.route.pattern.String(), Config: *one.c,
		}
		hm.explain(r, one, typ)
		m.Handlers = append(m.Handlers, hm)
	}
}

// explain says why the config of the match holds.
func (hm *HandlerMatch) explain(r *router, m *match, typ string) {
	var lesser, earlier []string
	for _, one := range r.of[m.h] {
		if one == m.route || !one.pattern.Match(typ) {
			continue
		}
		text := one.pattern.String()
		hm.Others = append(hm.Others, text)
		if pattern.Compare(m.route.pattern, one.pattern) > 0 {
			lesser = append(lesser, text)
		} else {
			earlier = append(earlier, text)
		}
	}
	var why []string
	if len(lesser) > 0 {
		why = append(why, fmt.Sprintf("more specific than %s", strings.Join(lesser, ", ")))
	}
	if len(earlier) > 0 {
		why = append(why, fmt.Sprintf("registered after %s, which is as specific", strings.Join(earlier, ", ")))
	}
	hm.Why = strings.Join(why, "; ")
}
