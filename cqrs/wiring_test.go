package cqrs

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/edda-io/edda"
)

// fixture is a broadcaster with the handlers of spool-broadcast's example settings, which are
// routed by testdata/wiring.json alone.
func fixture(t *testing.T) *table {
	t.Helper()
	m := NewModel(ModelOptions[routed]{Name: "TestModel", Key: []string{"test_uuid"}})
	b := NewBroadcaster("TestBroadcaster")
	for _, typ := range []string{"create.test", "create.:test_uuid.test", "update.test.:test_uuid"} {
		b.Command(CommandSpec{Type: typ, Event: "test.:test_uuid.created", Model: m})
	}
	b.Validator("*", allValid)
	for _, name := range []string{"create", "satisfy", "shouldBeProper"} {
		b.Hook("TestHook."+name, nothingHooked)
	}
	b.Processor("TestProcessor.update", nothingProcessed)
	for _, name := range []string{"myMethod", "myLoggerMethod", "created", "logger", "wild"} {
		b.Projector("TestProjector."+name, nothingProjected, nil)
	}
	b.Channel(ChannelSpec{Name: "TestChannel"})
	settings, err := os.ReadFile("testdata/wiring.json")
	if err != nil {
		t.Fatal(err)
	}
	var w Wiring
	if err := json.Unmarshal(settings, &w); err != nil {
		t.Fatal(err)
	}
	made, err := newTable([]*Broadcaster{b}, &w)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestWiringOfFixture(t *testing.T) {
	made := fixture(t)
	const b = "TestBroadcaster"
	later := func(typ string) string {
		var names []string
		for _, h := range made.eventual(b) {
			if made.later(b, h, typ) != nil {
				names = append(names, strings.TrimPrefix(h.name, "TestProjector."))
			}
		}
		return strings.Join(names, " ")
	}
	short := strings.NewReplacer("TestHook.", "", "TestProjector.", "", "TestProcessor.", "")
	for _, c := range []struct{ what, got, want string }{
		{"create.test before", namesOf(made.hooks(b, "create.test", Before)), "create shouldBeProper"},
		{"create.test after", namesOf(made.hooks(b, "create.test", After)), ""},
		{"create.42.test before", namesOf(made.hooks(b, "create.42.test", Before)), "create shouldBeProper"},
		{"create.42.test after", namesOf(made.hooks(b, "create.42.test", After)), "satisfy"},
		{"update.test.42", namesOf(made.hooks(b, "update.test.42", Before)), ""},
		{"test.created", namesOf(made.strong(b, "test.created")), "update myMethod"},
		{"test.42.created", namesOf(made.strong(b, "test.42.created")), "update created"},
		{"test.1.test.2.created", namesOf(made.strong(b, "test.1.test.2.created")), "created"},
		{"test.updated, later", later("test.updated"), "myLoggerMethod wild"},
		{"test.42.created, later", later("test.42.created"), "logger wild"},
		{"test.1.test.2.created, later", later("test.1.test.2.created"), "logger wild"},
		{"test.a.b.c, later", later("test.a.b.c"), "wild"},
		{"test.created on channels", strings.Join(made.channels(b, "test.created"), " "), "TestChannel"},
		{"test.a.b on channels", strings.Join(made.channels(b, "test.a.b"), " "), ""},
	} {
		if got := short.Replace(c.got); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	c := made.strong(b, "test.42.created")[0].c
	want := Config{
		Priority: 1, Consistency: Strong, ExpectsInput: Objects{"TestModel"}, ExpectsResponse: Objects{"TestModel"}, ExpectsOutput: Objects{"TestModel"},
		DispatchesCommand: "update.test.:test_uuid", Merge: Merge{True: true},
		Retry: edda.RetryPolicy{Max: 1}.WithDefaults(), Timeout: DefaultHandlerTimeout, OnDead: edda.Continue,
	}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("the processor's config is %+v, want %+v", *c, want)
	}
}

func TestWiringRefuses(t *testing.T) {
	in := func(kind, method string) string {
		return `{"broadcast":{"` + kind + `":{"Users":{"broadcasters":{"Accounts":{"user.*":{"save":` + method + `}}}}}}}`
	}
	const at = `broadcast.projectors.Users.broadcasters.Accounts["user.*"].save`
	for settings, want := range map[string]string{
		`{"pipelines":{}}`:                                                      `unknown member pipelines; there is hooks, projectors, processors, dispatchers and channels`,
		`{"broadcast":{"auto_transaction":true}}`:                               `unknown member broadcast.auto_transaction;`,
		`{"hooks":{},"hooks":{}}`:                                               `hooks: it is there twice`,
		`{"hooks":[]}`:                                                          `hooks is a list, must be an object`,
		`{"hooks":{"A":{"priority":1}}}`:                                        `unknown member hooks.A.priority; there is broadcasters`,
		in("projectors", `{"consistancy":"strong"}`):                            `unknown member ` + at + `.consistancy; there is consistency and config`,
		in("projectors", `{"lifecycle":"before"}`):                              at + `.lifecycle: a projector has a consistency`,
		in("projectors", `{"consistency":1}`):                                   at + `.consistency is 1, must be a string`,
		in("hooks", `{"consistency":"strong"}`):                                 `.save.consistency: a hook has a lifecycle`,
		in("projectors", `{"config":{"consistency":"strong"}}`):                 at + `.config.consistency: it stands beside the config, not in it`,
		in("projectors", `{"config":{"expects_inputs":"User"}}`):                `unknown member ` + at + `.config.expects_inputs; there is priority, lifecycle`,
		in("projectors", `{"config":{"priority":"high"}}`):                      at + `.config.priority is "high", must be a whole number`,
		in("projectors", `{"config":{"priority":1.5}}`):                         at + `.config.priority is 1.5, must be a whole number`,
		in("projectors", `{"config":{"expects_input":1}}`):                      at + `.config.expects_input is 1, must be the name of an object, or a list of names`,
		in("projectors", `{"config":{"data":{"merge":{"by":"x"}}}}`):            `unknown member ` + at + `.config.data.merge.by; there is as and each`,
		in("projectors", `{"config":{"data":{"merge":true,"zip":{"on":"x"}}}}`): at + `.config.data: a result is merged in one way`,
		in("projectors", `{"config":{"merge":true,"push":{"on":"x"}}}`):         at + `.config: a result is merged in one way`,
		in("projectors", `{"config":{"merge":true,"data":{"merge":true}}}`):     at + `.config: how to merge stands in data and beside it`,
		in("projectors", `{"config":{"timeout":30}}`):                           at + `.config.timeout is 30, must be a duration`,
		in("projectors", `{"config":{"timeout":"-1s"}}`):                        at + `.config.timeout is "-1s", must be a duration above zero`,
		in("projectors", `{"config":{"retry":{"max":0}}}`):                      at + `.config.retry.max must be a number from 1 on`,
		in("projectors", `{"config":{"retry":{"times":3}}}`):                    `.config.retry.times"`,
		in("projectors", `{"config":{"retry_on_timeout":true}}`):                at + `.config.retry_on_timeout: a timeout is a failure like any other`,
		in("projectors", `{"config":{"retry_max":2}}`):                          at + `.config: retry_max and retry_wait say nothing without retry_on_fail`,
		in("projectors", `{"config":{"retry_on_fail":true,"retry":{}}}`):        at + `.config: it has retry and retry_on_fail`,
		in("projectors", `{"config":{"processing":"parallel"}}`):                at + `.config.processing is "parallel", must be serial`,
		in("channels", `{"lifespan":"ephemeral"}`):                              `.save.lifespan is "ephemeral", must be eternal: a lifespan is a subscription's`,
		in("channels", `{"config":{"priority":1}}`):                             `.save.config.priority: a channel carries each event of its patterns once`,
		in("channels", `{"consistency":"strong"}`):                              `there is lifespan and config`,
		`{"hooks":{"A":{"broadcasters":{"B":{"c":{"":{}}}}}}}`:                  `hooks.A.broadcasters.B.c[""]: the method has no name`,
	} {
		err := json.Unmarshal([]byte(settings), &Wiring{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\nthe error is %v\nwant         %s", settings, err, want)
		}
		if reason := edda.ReasonOf(err); reason != edda.BadValue && reason != edda.UnknownField {
			t.Errorf("%s: the reason is %s", settings, reason)
		}
	}
}

// Later routes win where patterns are as specific, so the order of the document counts.
func TestWiringKeepsTheOrder(t *testing.T) {
	const a, b = `"z.:b":{"m":{"config":{"priority":1}}}`, `"z.:a":{"m":{"config":{"priority":2}}}`
	for settings, want := range map[string]int{a + "," + b: 2, b + "," + a: 1} {
		var w Wiring
		if err := json.Unmarshal([]byte(`{"projectors":{"A":{"broadcasters":{"Test":{`+settings+`}}}}}`), &w); err != nil {
			t.Fatal(err)
		}
		one := broadcasterOf(routedModel())
		one.Projector("A.m", nothingProjected, nil)
		made, err := newTable([]*Broadcaster{one}, &w)
		if err != nil {
			t.Fatal(err)
		}
		if got := made.strong("Test", "z.x")[0].c.Priority; got != want {
			t.Errorf("%s: the priority is %d, want %d", settings, got, want)
		}
	}
}

func TestWiringOfNoChannel(t *testing.T) {
	w := &Wiring{Channels: []WiredChannel{{"Test", "nobody", "m", "*"}, {"Nobody", "x", "m", "*"}}}
	_, err := newTable([]*Broadcaster{broadcasterOf(routedModel())}, w)
	for _, want := range []string{
		`wiring: channel nobody of broadcaster Test on "*": the broadcaster has no channel of this name, nor any other`,
		`wiring: channel x of broadcaster Nobody on "*": there is no broadcaster of this name; there is Test`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}

func TestConfigOldRetry(t *testing.T) {
	fixed := edda.RetryPolicy{Max: 4, Delay: 50 * time.Millisecond, Backoff: 1, Jitter: -1}
	for s, want := range map[string]edda.RetryPolicy{
		`{}`: {}, `{"retry_on_fail":false}`: {}, `{"retry_max":0}`: {Max: 1}, `{"retry_on_fail":true}`: {},
		`{"retry_on_fail":true,"retry_max":3}`: {Max: 4}, `{"retry_on_fail":true,"retry_max":3,"retry_wait":50}`: fixed,
	} {
		var c Config
		if err := json.Unmarshal([]byte(s), &c); err != nil || c.Retry != want {
			t.Errorf("%s is %+v, %v, want %+v", s, c.Retry, err, want)
		}
	}
}

// What is written is read again as it was.
func TestConfigJSON(t *testing.T) {
	names := rapid.SampledFrom([]Objects{nil, {"*"}, {"User", "User.list"}})
	merges := rapid.SampledFrom([]Merge{{}, {True: true}, {As: "x"}, {As: "x", Each: true}, {Each: true, Include: "*"}, {Push: "l", Each: true}, {Zip: "id", Include: "x"}})
	durations := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 90 * time.Second})
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Priority:     rapid.IntRange(-5, 300).Draw(t, "priority"),
			Lifecycle:    rapid.SampledFrom([]Lifecycle{"", Before, After}).Draw(t, "lifecycle"),
			Consistency:  rapid.SampledFrom([]Consistency{"", Strong, Eventual}).Draw(t, "consistency"),
			ExpectsInput: names.Draw(t, "input"), ExpectsResponse: names.Draw(t, "response"), ExpectsOutput: names.Draw(t, "output"),
			DispatchesCommand: rapid.SampledFrom([]string{"", "a.:b"}).Draw(t, "command"),
			Merge:             merges.Draw(t, "data"), MergeMetadata: merges.Draw(t, "metadata"),
			Retry: edda.RetryPolicy{
				Max: rapid.SampledFrom([]int{-1, 0, 3}).Draw(t, "max"), Delay: durations.Draw(t, "delay"), MaxDelay: durations.Draw(t, "most"),
				Backoff: rapid.SampledFrom([]float64{0, 1, 2.5}).Draw(t, "backoff"), Jitter: rapid.SampledFrom([]float64{-1, 0, 0.5}).Draw(t, "jitter"),
			},
			Timeout: durations.Draw(t, "timeout"),
			OnDead:  rapid.SampledFrom([]edda.OnDead{"", edda.StopKey}).Draw(t, "dead"),
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var got Config
		if err := json.Unmarshal(b, &got); err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%s is read as\n%+v, %v, want\n%+v", b, got, err, c)
		}
	})
}
