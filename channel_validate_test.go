package edda

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func goodChannel() *ChannelSpec {
	return &ChannelSpec{
		Namespace: "shop", Name: strings.Repeat("n", MaxNameBytes),
		From:    []ChannelSource{{Stream: "orders", Patterns: []string{"order.*", "audit.:what?"}}, {Stream: "stock"}},
		History: History{Count: 5, Age: time.Hour},
	}
}

// wantBad fails the test unless the error has the reason and the text.
func wantBad(t *testing.T, name string, err error, reason Reason, text string) {
	t.Helper()
	if ReasonOf(err) != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %s with %q", name, err, reason, text)
	}
}

func TestValidateChannel(t *testing.T) {
	if err := goodChannel().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (&ChannelSpec{Name: "floor"}).Validate(); err != nil {
		t.Fatal(err)
	}
	many := make([]ChannelSource, MaxChannelSources)
	for i := range many {
		many[i] = ChannelSource{Stream: "s" + strings.Repeat("x", i), Patterns: make([]string, 40)}
		for j := range many[i].Patterns {
			many[i].Patterns[j] = strings.Repeat("p", MaxPatternBytes)
		}
	}
	for _, c := range []struct {
		name   string
		change func(c *ChannelSpec)
		reason Reason
		text   string
	}{
		{"namespace", func(c *ChannelSpec) { c.Namespace = "a b" }, BadName, "namespace"},
		{"no name", func(c *ChannelSpec) { c.Name = "" }, BadName, "channel is empty"},
		{"long name", func(c *ChannelSpec) { c.Name += "n" }, BadName, "channel has 129 bytes"},
		{"reserved name", func(c *ChannelSpec) { c.Name = "edda.x" }, BadName, "reserved"},
		{"source", func(c *ChannelSpec) { c.From[1].Stream = "/" }, BadName, `from[1]: stream "/"`},
		{"own stream", func(c *ChannelSpec) { c.From[1].Stream = ChannelStream("floor") }, BadName, "from[1]: stream \"edda.channel.floor\" begins with"},
		{"twice", func(c *ChannelSpec) { c.From[1].Stream = "orders" }, BadValue, `from[1]: stream "orders" is there twice`},
		{"pattern", func(c *ChannelSpec) { c.From[0].Patterns[1] = "a.:" }, BadValue, `from[0]: patterns[1]: `},
		{"empty pattern", func(c *ChannelSpec) { c.From[0].Patterns[0] = "" }, BadValue, "from[0]: patterns[0]: pattern is empty"},
		{"too many patterns", func(c *ChannelSpec) { c.From[0].Patterns = make([]string, MaxPatterns+1) }, TooLarge, "from[0]: there are 1001 patterns"},
		{"too many sources", func(c *ChannelSpec) { c.From = make([]ChannelSource, MaxChannelSources+1) }, TooLarge, "65 streams feed it"},
		{"too much", func(c *ChannelSpec) { c.From = many }, TooLarge, "at most 1048576 are allowed together"},
		{"age", func(c *ChannelSpec) { c.History.Age = -1 }, BadValue, "history.age is -1ns"},
	} {
		ch := goodChannel()
		c.change(ch)
		wantBad(t, c.name, ch.Validate(), c.reason, c.text)
	}
}

func TestChannelDefaultsAndClone(t *testing.T) {
	want := ChannelSpec{Namespace: DefaultNamespace, Name: "floor", History: History{Count: DefaultHistoryCount, Age: DefaultHistoryAge}}
	if got := (ChannelSpec{Name: "floor"}).WithDefaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	spec := goodChannel().WithDefaults()
	if !reflect.DeepEqual(spec, *goodChannel()) {
		t.Errorf("what is set has changed: %+v", spec)
	}
	clone := spec.Clone()
	if !reflect.DeepEqual(clone, spec) {
		t.Errorf("the clone is %+v, want %+v", clone, spec)
	}
	clone.From[0].Patterns[0], clone.From[1].Stream = "x", "y"
	if !reflect.DeepEqual(spec, *goodChannel()) {
		t.Errorf("a change of the clone shows: %+v", spec)
	}
	if name, own := ChannelOf(ChannelStream("floor")); name != "floor" || !own {
		t.Errorf("got %q, %v", name, own)
	}
	if name, own := ChannelOf("floor"); own {
		t.Errorf("got %q, %v", name, own)
	}
}

func TestValidateSubscribe(t *testing.T) {
	for _, from := range []From{"", FromStart, FromEnd, FromTime(time.Now()), "pAz0_-"} {
		for _, s := range []*Subscribe{
			{Stream: "s", From: from}, {Namespace: "shop", Channel: "c", Patterns: []string{"a.*"}, Ephemeral: true, From: from},
		} {
			if err := s.Validate(); err != nil {
				t.Errorf("%+v: %v", s, err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		s      Subscribe
		reason Reason
		text   string
	}{
		{"nothing", Subscribe{}, BadName, "stream is empty"},
		{"both", Subscribe{Stream: "s", Channel: "c"}, BadValue, `names the stream "s" and the channel "c"`},
		{"namespace", Subscribe{Namespace: "/", Stream: "s"}, BadName, "namespace"},
		{"stream", Subscribe{Stream: ChannelStream("c")}, BadName, "reserved"},
		{"channel", Subscribe{Channel: "a b"}, BadName, `channel "a b"`},
		{"pattern", Subscribe{Channel: "c", Patterns: []string{"a", ""}}, BadValue, "patterns[1]: pattern is empty"},
		{"patterns", Subscribe{Channel: "c", Patterns: make([]string, MaxPatterns+1)}, TooLarge, "at most 1000"},
		{"offset", Subscribe{Stream: "s", From: "42"}, BadValue, `the offset "42" is of one shard`},
		{"place", Subscribe{Stream: "s", From: "later"}, BadValue, `"later" is no place to subscribe from`},
		{"no point", Subscribe{Stream: "s", From: "p"}, BadValue, "no place"},
		{"point", Subscribe{Stream: "s", From: "pa="}, BadValue, "no place"},
	} {
		wantBad(t, c.name, c.s.Validate(), c.reason, c.text)
	}
	want := Subscribe{Namespace: DefaultNamespace, Channel: "c", From: FromEnd, Principal: Anonymous}
	if got := (Subscribe{Channel: "c"}).WithDefaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestValidatePublish(t *testing.T) {
	good := Append{Channel: strings.Repeat("n", MaxNameBytes), Messages: make([]StreamMessage, 2)}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() { _ = good.Validate() }); got != 0 {
		t.Errorf("to validate takes %v allocations", got)
	}
	if got, want := good.Target(), "edda.channel."+good.Channel; got != want {
		t.Errorf("it goes to %q, want %q", got, want)
	}
	if got := (&Append{Stream: "s"}).Target(); got != "s" {
		t.Errorf("it goes to %q", got)
	}
	for _, c := range []struct {
		name   string
		change func(a *Append)
		reason Reason
		text   string
	}{
		{"both", func(a *Append) { a.Stream = "s" }, BadValue, "must name one of them"},
		{"channel", func(a *Append) { a.Channel = "edda.x" }, BadName, "reserved"},
		{"shard", func(a *Append) { a.Shard = DefaultShard }, BadValue, `shard is "default", but a channel has no shards`},
		{"last", func(a *Append) { a.IfLast = new(uint64(1)) }, BadValue, "IfLast and IfEmpty are for shards of streams"},
		{"empty", func(a *Append) { a.IfEmpty = true }, BadValue, "IfLast and IfEmpty are for shards of streams"},
	} {
		a := good
		c.change(&a)
		wantBad(t, c.name, a.Validate(), c.reason, c.text)
	}
}
