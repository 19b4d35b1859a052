package cqrs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/eventual"
	"github.com/edda-io/edda/cqrs/internal/merge"
	"github.com/edda-io/edda/pattern"
)

// servicePrefix comes before the app's name in the name of its own service.
const servicePrefix = "cqrs."

// maxHandlerName is how many bytes a handler's name has at most.
const maxHandlerName = 256

// newTable reads broadcasters and wiring. The error says everything that is wrong with
// them; its reason is edda.BadValue.
func newTable(bs []*Broadcaster, w *Wiring) (*table, error) {
	b := &tableBuilder{
		table:  &table{broadcasters: map[string]*routes{}, exact: map[string]*command{}},
		models: map[string]*model{},
	}
	b.wire(bs, w)
	for i, one := range bs {
		switch {
		case one == nil:
			b.badf("broadcaster %d is nil", i+1)
		case b.broadcasters[one.name] != nil:
			b.badf("broadcaster %s is there twice", one.name)
		default:
			b.broadcaster(one)
		}
	}
	b.ambiguous()
	b.checkCommands()
	if len(b.errs) > 0 {
		return nil, &edda.Error{Op: "read the broadcasters", Reason: edda.BadValue, Err: errors.Join(b.errs...)}
	}
	return b.table, nil
}

// tableBuilder makes a table, and goes on after what is wrong, to say all of it.
type tableBuilder struct {
	*table
	wired   map[wiredTo][]Route
	carried map[wiredTo][]string // patterns of channels
	models  map[string]*model
	errs    []error
}

// wiredTo is whom a route of a Wiring is for: a handler, or a channel.
type wiredTo struct {
	broadcaster, name string
}

func (b *tableBuilder) badf(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

// wire puts the routes of the wiring to their handlers.
func (b *tableBuilder) wire(bs []*Broadcaster, w *Wiring) {
	b.wired, b.carried = map[wiredTo][]Route{}, map[wiredTo][]string{}
	if w == nil {
		return
	}
	for _, c := range w.Channels {
		if err := c.findIn(bs); err != nil {
			b.badf("wiring: channel %s of broadcaster %s on %q: %w", c.Channel, c.Broadcaster, c.Pattern, err)
			continue
		}
		to := wiredTo{c.Broadcaster, c.Channel}
		b.carried[to] = append(b.carried[to], c.Pattern)
	}
	for _, r := range w.Routes {
		if err := r.findIn(bs); err != nil {
			b.badf("wiring: %s %s of broadcaster %s on %q: %w", r.Kind, r.Handler, r.Broadcaster, r.Route.Pattern, err)
			continue
		}
		to := wiredTo{r.Broadcaster, r.Handler}
		b.wired[to] = append(b.wired[to], r.Route)
	}
}

// findIn says what is wrong with whom the route is for.
func (r *WiredRoute) findIn(bs []*Broadcaster) error {
	b, err := broadcasterIn(bs, r.Broadcaster)
	if err != nil {
		return err
	}
	var names []string
	for _, h := range b.handlers {
		switch {
		case h.name == r.Handler && h.kind == r.Kind:
			return nil
		case h.name == r.Handler:
			return fmt.Errorf("it is a %s", h.kind)
		}
		names = append(names, h.name)
	}
	return fmt.Errorf("the broadcaster has no handler of this name%s", known(names))
}

// findIn says what is wrong with the channel.
func (c *WiredChannel) findIn(bs []*Broadcaster) error {
	b, err := broadcasterIn(bs, c.Broadcaster)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range b.channels {
		if s.Name == c.Channel {
			return nil
		}
		names = append(names, s.Name)
	}
	return fmt.Errorf("the broadcaster has no channel of this name%s", known(names))
}

func broadcasterIn(bs []*Broadcaster, name string) (*Broadcaster, error) {
	var names []string
	for _, b := range bs {
		if b == nil {
			continue
		}
		if b.name == name {
			return b, nil
		}
		names = append(names, b.name)
	}
	return nil, fmt.Errorf("there is no broadcaster of this name%s", known(names))
}

// known says which names there are.
func known(names []string) string {
	if len(names) == 0 {
		return ", nor any other"
	}
	return "; there is " + strings.Join(names, ", ")
}

func (b *tableBuilder) broadcaster(one *Broadcaster) {
	r := &routes{broadcaster: one}
	b.broadcasters[one.name] = r
	b.names = append(b.names, one.name)
	if err := edda.CheckName("broadcaster", one.name); err != nil {
		b.badf("%w", errors.Unwrap(err))
	}
	if strings.HasPrefix(one.name, servicePrefix) {
		b.badf("broadcaster %q begins with %q, which is for the services of apps", one.name, servicePrefix)
	}
	for i := range one.commands {
		b.command(one, &one.commands[i])
	}
	for i, v := range one.validators {
		p, err := pattern.ParseFold(v.pattern)
		switch {
		case err != nil:
			b.badf("broadcaster %s: validator %d: %w", one.name, i+1, err)
		case v.check == nil:
			b.badf("broadcaster %s: validator of %q has no function", one.name, v.pattern)
		default:
			r.validators.Add(p, i)
		}
	}
	b.handlers(one, r)
	for _, c := range one.channels {
		b.channel(one, r, c)
	}
}

func (b *tableBuilder) channel(one *Broadcaster, r *routes, c ChannelSpec) {
	routes := channelRoutes{spec: c}
	if err := edda.CheckName("channel", c.Name); err != nil {
		b.badf("broadcaster %s: %w", one.name, errors.Unwrap(err))
	}
	if slices.ContainsFunc(r.channels, func(o channelRoutes) bool { return o.spec.Name == c.Name }) {
		b.badf("broadcaster %s: channel %s is there twice", one.name, c.Name)
	}
	for _, text := range slices.Concat(c.Events, b.carried[wiredTo{one.name, c.Name}]) {
		p, err := pattern.ParseFold(text)
		if err != nil {
			b.badf("broadcaster %s: channel %s: %w", one.name, c.Name, err)
			continue
		}
		routes.events = append(routes.events, p)
	}
	r.channels = append(r.channels, routes)
}

// handlers reads the handlers of a broadcaster with their routes.
func (b *tableBuilder) handlers(one *Broadcaster, r *routes) {
	names := map[string]bool{}
	var hooks, events []*route
	for order, h := range one.handlers {
		at := fmt.Sprintf("broadcaster %s: %s %s", one.name, h.kind, h.name)
		if err := checkHandlerName(h.name); err != nil {
			b.badf("%s: %w", at, err)
		}
		if names[h.name] {
			b.badf("%s: there is another handler of this name", at)
		}
		names[h.name] = true
		if err := h.check(); err != nil {
			b.badf("%s: %w", at, err)
		}
		eventual := false
		for _, on := range slices.Concat(h.routes, b.wired[wiredTo{one.name, h.name}]) {
			made, err := h.route(on, order)
			if err != nil {
				b.badf("%s on %q: %w", at, on.Pattern, err)
				continue
			}
			eventual = eventual || made.c.Consistency == Eventual
			if h.kind == KindHook {
				hooks = append(hooks, made)
			} else {
				events = append(events, made)
			}
		}
		if eventual {
			r.late = append(r.late, h)
		}
	}
	r.hooks.fill(hooks)
	r.events.fill(events)
}

// checkHandlerName refuses what could not stand in "BROADCASTER/NAME", or in a terminal.
func checkHandlerName(s string) error {
	odd := func(r rune) bool {
		return r == '/' || r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.IsSpace(r)
	}
	switch {
	case s == "":
		return errors.New("it has no name; one is Class.method")
	case len(s) > maxHandlerName:
		return fmt.Errorf("its name has %d bytes, at most %d are allowed", len(s), maxHandlerName)
	case strings.ContainsFunc(s, odd):
		return errors.New(`its name may have no "/", no spaces and no control characters`)
	}
	return nil
}

// check says what is wrong with the handler itself.
func (h *handler) check() error {
	if h.hook == nil && h.project == nil && h.batch == nil && h.process == nil && h.dispatch == nil {
		return errors.New("it has no function")
	}
	for i, t := range h.tables {
		if t == "" {
			return errors.New("it has a table without a name")
		}
		if slices.Contains(h.tables[:i], t) {
			return fmt.Errorf("table %s is there twice", t)
		}
	}
	return nil
}

// route makes a route of the handler's.
func (h *handler) route(on Route, order int) (*route, error) {
	p, err := pattern.ParseFold(on.Pattern)
	if err != nil {
		return nil, err
	}
	c, err := on.Config.complete(h)
	if err != nil {
		return nil, err
	}
	r := &route{match: match{h: h, c: c}, pattern: p, order: order}
	r.route = r
	r.how = &eventual.How{Retry: c.Retry, OnDead: c.OnDead, Config: &r.match}
	return r, nil
}

// complete returns the config for a handler, with all defaults.
func (c Config) complete(h *handler) (*Config, error) {
	c.Priority = cmp.Or(c.Priority, DefaultPriority)
	c.Timeout = cmp.Or(c.Timeout, DefaultHandlerTimeout)
	c.OnDead = cmp.Or(c.OnDead, edda.Continue)
	switch {
	case h.kind == KindHook:
		c.Lifecycle = cmp.Or(c.Lifecycle, Before)
	case h.batch != nil:
		c.Consistency = cmp.Or(c.Consistency, Eventual)
	default:
		c.Consistency = cmp.Or(c.Consistency, Strong)
	}
	if c.Retry == (edda.RetryPolicy{}) && c.Consistency != Eventual {
		c.Retry.Max = 1
	}
	c.Retry = c.Retry.WithDefaults()
	if err := c.check(h); err != nil {
		return nil, err
	}
	return &c, nil
}

// check says what is wrong with a complete config of a handler.
func (c *Config) check(h *handler) error {
	hook := h.kind == KindHook
	switch {
	case hook && c.Lifecycle != Before && c.Lifecycle != After:
		return fmt.Errorf("lifecycle is %q, must be before or after", c.Lifecycle)
	case !hook && c.Lifecycle != "":
		return fmt.Errorf("lifecycle is %q, but only hooks have one; a %s has a consistency", c.Lifecycle, h.kind)
	case hook && c.Consistency != "":
		return fmt.Errorf("consistency is %q, but hooks have none: they are part of their command; they have a lifecycle", c.Consistency)
	case !hook && c.Consistency != Strong && c.Consistency != Eventual:
		return fmt.Errorf("consistency is %q, must be strong or eventual", c.Consistency)
	case h.batch != nil && c.Consistency != Eventual:
		return errors.New("consistency is strong, but a projector of batches is eventual")
	case c.Timeout < 0:
		return fmt.Errorf("timeout is %s, must be positive", c.Timeout)
	case c.OnDead != edda.Continue && c.OnDead != edda.StopKey && c.OnDead != edda.Pause:
		return fmt.Errorf("onDead is %q, must be continue, stop-key or pause", c.OnDead)
	case c.DispatchesCommand != "" && h.kind != KindProcessor:
		return fmt.Errorf("it has dispatches_command, but a %s runs no commands; processors do", h.kind)
	}
	if err := c.Retry.Validate(); err != nil {
		return fmt.Errorf("retry: %w", errors.Unwrap(err))
	}
	return cmp.Or(c.checkExpects(h), c.checkMerge(h))
}

// checkExpects refuses what could never be looked at.
func (c *Config) checkExpects(h *handler) error {
	for _, objects := range []struct {
		field string
		names Objects
		none  bool
		why   string
	}{
		{"expects_input", c.ExpectsInput, false, ""},
		{"expects_response", c.ExpectsResponse, h.kind == KindProjector || h.kind == KindDispatcher, "nothing comes back to it; say expects_output of what goes out"},
		{"expects_output", c.ExpectsOutput, h.kind == KindHook || h.batch != nil, "nothing goes out of it; say expects_response of what comes back from a hook"},
	} {
		switch {
		case slices.Contains(objects.names, ""):
			return fmt.Errorf("%s has an empty name", objects.field)
		case objects.none && !slices.Contains(objects.names, "*") && len(objects.names) > 0:
			return fmt.Errorf("%s is %s, but this is a %s: %s", objects.field, strings.Join(objects.names, ", "), h.kind, objects.why)
		}
	}
	return nil
}

// checkMerge refuses to merge what there is not.
func (c *Config) checkMerge(h *handler) error {
	if err := cmp.Or(merge.How(c.Merge).Check(), merge.How(c.MergeMetadata).Check()); err != nil {
		return err
	}
	switch {
	case (c.Merge != Merge{} || c.MergeMetadata != Merge{}) && (h.kind == KindDispatcher || h.batch != nil):
		return fmt.Errorf("a %s like this has no result that could be merged", h.kind)
	case c.MergeMetadata.Include != "":
		return errors.New("metadata cannot include: say it of the data")
	}
	return nil
}

// checkCommands looks at what can be told only once all commands are known.
func (b *tableBuilder) checkCommands() {
	for _, name := range b.names {
		r := b.broadcasters[name]
		for _, one := range r.events.routes {
			if one.c.DispatchesCommand == "" {
				continue
			}
			if err := b.checkDispatches(one); err != nil {
				b.badf("broadcaster %s: %s %s on %q: dispatches_command %q: %w",
					name, one.h.kind, one.h.name, one.pattern, one.c.DispatchesCommand, err)
			}
		}
	}
	b.checkValidators()
}

// checkDispatches says what is wrong with the commands that a processor may run.
func (b *tableBuilder) checkDispatches(r *route) error {
	p, err := pattern.ParseFold(r.c.DispatchesCommand)
	if err != nil {
		return err
	}
	known := false
	for _, c := range b.commands {
		if !pattern.Overlap(p, c.typ) {
			continue
		}
		known = true
		if len(c.spec.Calls) > 0 && r.c.Consistency == Strong {
			return fmt.Errorf("command %s makes calls, which may not be made while a transaction is open: let the processor be eventual", c.spec.Type)
		}
	}
	if !known {
		return errors.New("no broadcaster has such a command")
	}
	return nil
}

// checkValidators finds the commands that could only be refused, as nothing validates them.
func (b *tableBuilder) checkValidators() {
	for _, c := range b.commands {
		validated := slices.ContainsFunc(c.broadcaster.validators, func(v validator) bool {
			p, err := pattern.ParseFold(v.pattern)
			return err != nil || pattern.Overlap(p, c.typ)
		})
		if !validated {
			b.badf("broadcaster %s: command %s: no validator is for it, so it would always be refused", c.broadcaster.name, c.spec.Type)
		}
	}
}

// ambiguous finds commands that no type could tell apart.
func (b *tableBuilder) ambiguous() {
	forms := map[string]*command{}
	for i, c := range b.commands {
		form := c.form()
		if other := forms[form]; other != nil {
			b.badf("command %s of broadcaster %s and command %s of broadcaster %s have the same type",
				other.spec.Type, other.broadcaster.name, c.spec.Type, c.broadcaster.name)
			continue
		}
		forms[form] = c
		b.exact[c.spec.Type] = c
		b.filled.Add(c.typ, i)
	}
}

// form is the command's type without the names of parameters and the case of letters.
func (c *command) form() string {
	segs := strings.Split(strings.Trim(c.spec.Type, "."), ".")
	for i, s := range segs {
		if strings.HasPrefix(s, ":") && !strings.HasPrefix(s, "::") {
			_, optional := strings.CutSuffix(s, "?")
			segs[i] = ":"
			if optional {
				segs[i] = ":?"
			}
		}
	}
	return strings.ToLower(strings.Join(segs, "."))
}
