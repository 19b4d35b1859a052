package cqrs

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

func nothingHooked(context.Context, Querier, *Command) (Data, error)      { return Data{}, nil }
func nothingProjected(context.Context, *Tx, *Event) (Data, error)         { return Data{}, nil }
func noBatch(context.Context, *Tx, []*Event) error                        { return nil }
func nothingProcessed(context.Context, Querier, *Event) (*Command, error) { return nil, nil }
func nothingDispatched(context.Context, Querier, *Event) ([]*Derived, error) {
	return nil, nil
}
func allValid(context.Context, *Command) error { return nil }

type routed struct {
	ID string `json:"test_uuid"`
}

func routedModel() *Model[routed] {
	return NewModel(ModelOptions[routed]{Name: "Test", Key: []string{"test_uuid"}})
}

// tableOf makes a table of one broadcaster, Test, with the commands create.test and
// update.test.:test_uuid.
func tableOf(t *testing.T, fill func(b *Broadcaster)) *table {
	t.Helper()
	b := broadcasterOf(routedModel())
	fill(b)
	made, err := newTable([]*Broadcaster{b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func broadcasterOf(m *Model[routed]) *Broadcaster {
	b := NewBroadcaster("Test")
	b.Command(CommandSpec{Type: "create.test", Event: "test.:test_uuid.created", Model: m})
	b.Command(CommandSpec{Type: "update.test.:test_uuid", Event: "test.:test_uuid.updated", Model: m})
	b.Validator("*", allValid)
	return b
}

func namesOf(ms []*match) string {
	var names []string
	for _, m := range ms {
		names = append(names, m.h.name)
	}
	return strings.Join(names, " ")
}

// Which patterns match what is checked with package pattern; here it is seen through the
// table, by each way in.
func TestTableMatchesPatterns(t *testing.T) {
	for _, r := range []struct {
		pattern, typ string
		want         bool
	}{
		{"test.:crud", "test.created", true},
		{"test.:crud", "test.created.list", false},
		{"test.:crud", "Test.Created", true},
		{"test.:crud", "test.created.", true},
		{"test.:id?.created", "test.created", true},
		{"test.:id?.created", "test.42.created", true},
		{"test.*", "test", false},
		{"test.*", "test.a.b", true},
		{"*.test", "a.b.test", true},
		{"*.test", "test", false},
		{"a.*.z", "a.b.c.z", true},
		{"test.(created|updated)", "test.updated", true},
		{"test.(created|updated)", "test.destroyed", false},
		{"test.::x", "test.::x", true},
		{"test.::x", "test.y", false},
		{"test.:test_uuid.test.:test_uuid.created", "test.1.test.2.created", true},
	} {
		made := tableOf(t, func(b *Broadcaster) {
			b.Hook("H.hook", nothingHooked, On(r.pattern, Config{}))
			b.Projector("P.strong", nothingProjected, nil, On(r.pattern, Config{}))
			b.Projector("P.eventual", nothingProjected, nil, On(r.pattern, Config{Consistency: Eventual}))
			b.Channel(ChannelSpec{Name: "tests", Events: []string{r.pattern}})
		})
		got := []bool{
			len(made.hooks("Test", r.typ, Before)) == 1,
			len(made.strong("Test", r.typ)) == 1,
			made.later("Test", made.eventual("Test")[0], r.typ) != nil,
			len(made.channels("Test", r.typ)) == 1,
			len(made.explain(r.typ).Handlers) == 2,
		}
		if slices.Contains(got, !r.want) {
			t.Errorf("%q matches %q as hook, strong, eventual, channel, explained: %v, want %t", r.pattern, r.typ, got, r.want)
		}
	}
}

func TestTableOrder(t *testing.T) {
	made := tableOf(t, func(b *Broadcaster) {
		b.Projector("A.late", nothingProjected, nil, On("test.*", Config{}))
		b.Processor("B.second", nothingProcessed, On("test.created", Config{Priority: 2}))
		b.Dispatcher("C.late", nothingDispatched, On("test.created", Config{Priority: DefaultPriority}))
		b.Projector("D.second", nothingProjected, nil, On("*", Config{Priority: 2}))
		b.Projector("E.first", nothingProjected, nil, On("test.created", Config{Priority: -1}))
		b.Projector("F.eventual", nothingProjected, nil, On("test.created", Config{Priority: 1, Consistency: Eventual}))
		b.Projector("G.other", nothingProjected, nil, On("test.updated", Config{}))
	})
	if got, want := namesOf(made.strong("Test", "test.created")), "E.first B.second D.second A.late C.late"; got != want {
		t.Errorf("strong handlers are %s, want %s", got, want)
	}
	if got := namesOf(made.strong("Other", "test.created")); got != "" {
		t.Errorf("a broadcaster that there is not has %s", got)
	}
}

// A handler that several patterns match runs once, as the most specific one says.
func TestTablePrecedence(t *testing.T) {
	type r struct {
		pattern  string
		priority int
	}
	for name, c := range map[string]struct {
		routes []r
		typ    string
		want   int
	}{
		"more texts":                   {[]r{{"test.created", 1}, {"test.:crud", 2}}, "test.created", 1},
		"more texts, whatever comes":   {[]r{{"*", 3}, {"test.:crud", 2}, {"test.created", 1}}, "test.created", 1},
		"only what matches":            {[]r{{"test.created", 1}, {"test.:crud", 2}}, "test.updated", 2},
		"fewer stars":                  {[]r{{"test.:crud", 1}, {"test.*", 2}}, "test.created", 1},
		"fewer stars, first":           {[]r{{"test.*", 2}, {"test.:crud", 1}}, "test.created", 1},
		"parameters that must be":      {[]r{{"test.:crud", 1}, {"test.:crud?", 2}}, "test.created", 1},
		"fewer alternatives":           {[]r{{"test.created", 1}, {"test.(created|updated)", 2}}, "test.created", 1},
		"the later, if as specific":    {[]r{{"test.:a", 2}, {"test.:b", 1}}, "test.created", 1},
		"the later of the same":        {[]r{{"test.created", 2}, {"test.created", 1}}, "test.created", 1},
		"the longer of two with stars": {[]r{{"test.*.list", 1}, {"test.*", 2}}, "test.created.list", 1},
		"case":                         {[]r{{"test.*", 2}, {"TEST.created", 1}}, "test.Created", 1},
	} {
		made := tableOf(t, func(b *Broadcaster) {
			var on []Route
			for _, r := range c.routes {
				on = append(on, On(r.pattern, Config{Priority: r.priority}))
			}
			b.Projector("A.a", nothingProjected, nil, on...)
		})
		ms := made.strong("Test", c.typ)
		if len(ms) != 1 || ms[0].c.Priority != c.want {
			t.Errorf("%s: runs as %v, want once, with priority %d", name, ms, c.want)
		}
	}
}

// The most specific pattern's config says when a handler runs too, so that it never runs
// at two times.
func TestTableOneTime(t *testing.T) {
	made := tableOf(t, func(b *Broadcaster) {
		b.Projector("A.a", nothingProjected, nil, On("test.*", Config{Consistency: Eventual}), On("test.created", Config{}))
		b.Hook("H.h", nothingHooked, On("*", Config{Lifecycle: After}), On("create.test", Config{}))
	})
	h := made.eventual("Test")[0]
	for _, c := range []struct {
		typ              string
		strong, eventual bool
	}{{"test.created", true, false}, {"test.updated", false, true}} {
		strong, later := len(made.strong("Test", c.typ)) == 1, made.later("Test", h, c.typ) != nil
		if strong != c.strong || later != c.eventual {
			t.Errorf("%s: strong is %t, eventual %t, want %t, %t", c.typ, strong, later, c.strong, c.eventual)
		}
	}
	if b, a := made.hooks("Test", "create.test", Before), made.hooks("Test", "create.test", After); len(b) != 1 || len(a) != 0 {
		t.Errorf("a hook that matches twice runs %d times before and %d times after", len(b), len(a))
	}
}

func TestTableCommand(t *testing.T) {
	made := tableOf(t, func(b *Broadcaster) {
		b.Command(CommandSpec{Type: "update.test.all", Event: "test.updated", Model: b.commands[0].Model})
	})
	for typ, want := range map[string]string{
		"create.test":            "create.test",
		"Create.Test":            "create.test",
		"update.test.:test_uuid": "update.test.:test_uuid",
		"update.test.42":         "update.test.:test_uuid",
		"update.test.all":        "update.test.all",
		"update.test":            "",
		"delete.test":            "",
	} {
		got := ""
		if c, ok := made.command(typ); ok {
			got = c.spec.Type
		}
		if got != want {
			t.Errorf("command %s is %q, want %q", typ, got, want)
		}
	}
}

func TestTableValidators(t *testing.T) {
	var ran []string
	validator := func(name string) func(context.Context, *Command) error {
		return func(context.Context, *Command) error { ran = append(ran, name); return nil }
	}
	made := tableOf(t, func(b *Broadcaster) {
		b.validators = nil
		b.Validator("*.test", validator("first"))
		b.Validator("update.*", validator("other"))
		b.Validator("create.test", validator("second"))
	})
	for _, v := range made.validators("Test", "create.test") {
		if err := v.check(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(ran, " "); got != "first second" {
		t.Errorf("validators that ran are %q, want first second", got)
	}
}

// Types are the same, broadcasters are not: what one does is nothing to the other.
func TestTableKeepsBroadcastersApart(t *testing.T) {
	m := routedModel()
	one, two := broadcasterOf(m), NewBroadcaster("Other")
	one.Projector("A.a", nothingProjected, nil, On("test.created", Config{}))
	two.Projector("A.a", nothingProjected, nil, On("test.created", Config{Priority: 7}))
	made, err := newTable([]*Broadcaster{one, two}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"Test": DefaultPriority, "Other": 7} {
		if ms := made.strong(name, "test.created"); len(ms) != 1 || ms[0].c.Priority != want {
			t.Errorf("%s runs %v, want one handler of priority %d", name, ms, want)
		}
	}
}

func TestTableRefuses(t *testing.T) {
	m := routedModel()
	wired := func(kind Kind, broadcaster, handler, pattern string) func(*Broadcaster) *Wiring {
		return func(b *Broadcaster) *Wiring {
			b.Projector("A.a", nothingProjected, nil)
			return &Wiring{Routes: []WiredRoute{{kind, broadcaster, handler, On(pattern, Config{})}}}
		}
	}
	projector := func(c Config) func(*Broadcaster) *Wiring {
		return func(b *Broadcaster) *Wiring {
			b.Projector("A.a", nothingProjected, nil, On("test.*", c))
			return nil
		}
	}
	hook := func(c Config) func(*Broadcaster) *Wiring {
		return func(b *Broadcaster) *Wiring {
			b.Hook("A.a", nothingHooked, On("test.*", c))
			return nil
		}
	}
	command := func(s CommandSpec) func(*Broadcaster) *Wiring {
		return func(b *Broadcaster) *Wiring {
			if s.Model == nil {
				s.Model = m
			}
			b.Command(s)
			return nil
		}
	}
	call := func(c ...Call) func(*Broadcaster) *Wiring {
		return command(CommandSpec{Type: "x.y", Event: "y.x", Calls: c})
	}
	done := func(context.Context, *Called) (any, error) { return nil, nil }
	for name, c := range map[string]struct {
		do   func(b *Broadcaster) *Wiring
		want string
	}{
		"unknown handler":     {wired(KindProjector, "Test", "A.b", "test.*"), `wiring: projector A.b of broadcaster Test on "test.*": the broadcaster has no handler of this name; there is A.a`},
		"unknown broadcaster": {wired(KindProjector, "Tset", "A.a", "test.*"), `there is no broadcaster of this name; there is Test`},
		"handler's kind":      {wired(KindHook, "Test", "A.a", "test.*"), `it is a projector`},
		"wired pattern":       {wired(KindProjector, "Test", "A.a", "test.:"), `projector A.a on "test.:": pattern "test.:": segment 2, ":", has no name`},
		"name twice": {func(b *Broadcaster) *Wiring {
			b.Hook("A.a", nothingHooked)
			b.Projector("A.a", nothingProjected, nil)
			return nil
		}, "projector A.a: there is another handler of this name"},
		"no name":           {func(b *Broadcaster) *Wiring { b.Hook("", nothingHooked); return nil }, "it has no name"},
		"odd name":          {func(b *Broadcaster) *Wiring { b.Hook("a/b", nothingHooked); return nil }, `its name may have no "/"`},
		"no function":       {func(b *Broadcaster) *Wiring { b.Hook("A.a", nil); return nil }, "hook A.a: it has no function"},
		"table twice":       {func(b *Broadcaster) *Wiring { b.Projector("A.a", nothingProjected, []Table{"x", "x"}); return nil }, "table x is there twice"},
		"pattern":           {func(b *Broadcaster) *Wiring { b.Hook("A.a", nothingHooked, On("", Config{})); return nil }, `hook A.a on "": pattern is empty`},
		"command twice":     {command(CommandSpec{Type: "create.test", Event: "x"}), "command create.test of broadcaster Test and command create.test of broadcaster Test have the same type"},
		"command twice, as": {command(CommandSpec{Type: "Update.test.:id", Event: "x"}), "have the same type"},
		"command of many":   {command(CommandSpec{Type: "a.*", Event: "x"}), `command a.*: its type: pattern "a.*": segment 2 is *, which stands for many types`},
		"event of many":     {command(CommandSpec{Type: "a", Event: "(x|y)"}), "command a: its event"},
		"no type":           {command(CommandSpec{Event: "x"}), "command without a type: its type: pattern is empty"},
		"no event":          {command(CommandSpec{Type: "a"}), "command a: its event: pattern is empty"},
		"other model":       {command(CommandSpec{Type: "a", Event: "x", Model: routedModel()}), "there is another model called Test"},
		"no model":          {func(b *Broadcaster) *Wiring { b.Command(CommandSpec{Type: "a", Event: "b"}); return nil }, "command a: it has no model"},
		"not validated": {func(b *Broadcaster) *Wiring {
			b.validators = b.validators[:0]
			b.Validator("create.*", allValid)
			return nil
		}, "command update.test.:test_uuid: no validator is for it"},
		"validator":            {func(b *Broadcaster) *Wiring { b.Validator("a.:", allValid); return nil }, `validator 2: pattern "a.:"`},
		"validator's function": {func(b *Broadcaster) *Wiring { b.Validator("a", nil); return nil }, `validator of "a" has no function`},
		"lifecycle":            {hook(Config{Lifecycle: "during"}), `lifecycle is "during", must be before or after`},
		"eventual hook":        {hook(Config{Consistency: Eventual}), "consistency is \"eventual\", but hooks have none"},
		"projector's":          {projector(Config{Lifecycle: Before}), `lifecycle is "before", but only hooks have one`},
		"consistency":          {projector(Config{Consistency: "weak"}), `consistency is "weak", must be strong or eventual`},
		"strong batches": {func(b *Broadcaster) *Wiring {
			b.BatchProjector("A.a", noBatch, nil, On("test.*", Config{Consistency: Strong}))
			return nil
		}, "a projector of batches is eventual"},
		"timeout":      {projector(Config{Timeout: -1}), "timeout is -1ns, must be positive"},
		"retry":        {projector(Config{Retry: edda.RetryPolicy{Max: -2}}), "retry: max is -2"},
		"on dead":      {projector(Config{OnDead: "cry"}), `onDead is "cry", must be continue, stop-key or pause`},
		"commands":     {projector(Config{DispatchesCommand: "create.test"}), "a projector runs no commands"},
		"empty object": {projector(Config{ExpectsInput: Objects{""}}), "expects_input has an empty name"},
		"response":     {projector(Config{ExpectsResponse: Objects{"Test"}}), "expects_response is Test, but this is a projector: nothing comes back to it"},
		"output":       {hook(Config{ExpectsOutput: Objects{"Test"}}), "expects_output is Test, but this is a hook"},
		"merge":        {hook(Config{Merge: Merge{True: true, As: "x"}}), "a result is merged in one way"},
		"metadata":     {hook(Config{MergeMetadata: Merge{Include: "x"}}), "metadata cannot include"},
		"dispatcher's merge": {func(b *Broadcaster) *Wiring {
			b.Dispatcher("A.a", nothingDispatched, On("test.*", Config{Merge: Merge{True: true}}))
			return nil
		}, "a dispatcher like this has no result"},
		"call's merge":   {call(Call{Name: "a", Do: done, Merge: Merge{Zip: "a", Each: true}}), "zip is for each item anyway"},
		"call's include": {call(Call{Name: "a", Do: done, Merge: Merge{Include: "*"}}), "it includes its result"},
		"broadcaster":    {func(b *Broadcaster) *Wiring { b.name = "a b"; return nil }, `broadcaster "a b" must be a letter or digit`},
		"reserved name":  {func(b *Broadcaster) *Wiring { b.name = "cqrs.x"; return nil }, `broadcaster "cqrs.x" begins with "cqrs."`},
		"channel":        {func(b *Broadcaster) *Wiring { b.Channel(ChannelSpec{Name: "x", Events: []string{"a.:"}}); return nil }, `channel x: pattern "a.:"`},
		"channel twice": {func(b *Broadcaster) *Wiring {
			b.Channel(ChannelSpec{Name: "x"})
			b.Channel(ChannelSpec{Name: "x"})
			return nil
		}, `channel x is there twice`},
		"dispatches what there is not": {func(b *Broadcaster) *Wiring {
			b.Processor("A.a", nothingProcessed, On("test.*", Config{DispatchesCommand: "create.nothing"}))
			return nil
		}, `processor A.a on "test.*": dispatches_command "create.nothing": no broadcaster has such a command`},
		"dispatches calls": {func(b *Broadcaster) *Wiring {
			b.Command(CommandSpec{Type: "call.:who", Event: "called", Model: m, Calls: []Call{{Name: "phone", Do: done}}})
			b.Processor("A.a", nothingProcessed, On("test.*", Config{DispatchesCommand: "call.home"}))
			return nil
		}, `command call.:who makes calls, which may not be made while a transaction is open: let the processor be eventual`},
		"call without anything": {call(Call{Name: "a"}), "command x.y: call a: it has neither Do nor Service"},
		"call of both":          {call(Call{Name: "a", Do: done, Service: "s", Method: "m"}), "it has functions and a service"},
		"call without method":   {call(Call{Name: "a", Service: "s"}), "it has a service and no method"},
		"call without name":     {call(Call{Do: done}), "call without a name: call is empty"},
		"call twice":            {call(Call{Name: "a", Do: done}, Call{Name: "a", Do: done}), "call a is there twice"},
		"call's service":        {call(Call{Name: "a", Service: "s p", Method: "m"}), `name "s p" must be`},
	} {
		b := broadcasterOf(m)
		w := c.do(b)
		_, err := newTable([]*Broadcaster{b}, w)
		if err == nil || !strings.Contains(err.Error(), c.want) || edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("%s: the error is %v, want one with %q", name, err, c.want)
		}
	}
}

// Everything that is wrong is said at once.
func TestTableSaysAll(t *testing.T) {
	b := broadcasterOf(routedModel())
	b.Hook("A.a", nil)
	b.Hook("A.b", nothingHooked, On("a.:", Config{}))
	_, err := newTable([]*Broadcaster{b, b, nil}, nil)
	for _, want := range []string{"A.a: it has no function", `hook A.b on "a.:"`, "broadcaster Test is there twice", "broadcaster 3 is nil"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one with %q", err, want)
		}
	}
}

func TestTableAllowsEventualCalls(t *testing.T) {
	tableOf(t, func(b *Broadcaster) {
		b.Command(CommandSpec{Type: "call.home", Event: "called", Model: b.commands[0].Model,
			Calls: []Call{{Name: "phone", Service: "phones", Method: "call"}}})
		b.Processor("A.a", nothingProcessed, On("test.*", Config{DispatchesCommand: "call.*", Consistency: Eventual}))
		b.BatchProjector("A.b", noBatch, nil, On("*", Config{}))
	})
}

func TestWiring(t *testing.T) {
	b := broadcasterOf(routedModel())
	b.Projector("A.a", nothingProjected, nil, On("test.*", Config{Priority: 1}))
	w := &Wiring{Routes: []WiredRoute{{KindProjector, "Test", "A.a", On("test.created", Config{Priority: 9})}}}
	made, err := newTable([]*Broadcaster{b}, w)
	if err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[string]int{"test.created": 9, "test.updated": 1} {
		if got := made.strong("Test", typ)[0].c.Priority; got != want {
			t.Errorf("%s: the priority is %d, want %d", typ, got, want)
		}
	}
}
