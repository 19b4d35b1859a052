package edda

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

// goodAppend has every field that may be set.
func goodAppend() *Append {
	return &Append{
		Namespace: "shop", Stream: "orders", Shard: "eu", IfLast: new(uint64(41)), Principal: "ada",
		Messages: []StreamMessage{
			{},
			{
				ID: "ü-1 ☃", Type: "order.placed ☃", Key: "42/a", Source: "till 7", ReplyTo: Address{"shop", "replies", "eu"},
				Headers: Headers{{"Color", "red"}}, ContentType: "text/plain", Payload: []byte("x"), CorrelationID: "c", TraceParent: "t", TraceState: "s",
				Time: time.Now(),
			},
			{ID: strings.Repeat("i", MaxMessageIDBytes), Type: strings.Repeat("t", MaxMessageTypeBytes), Key: strings.Repeat("k", MaxKeyBytes)},
		},
	}
}

func TestValidateAppend(t *testing.T) {
	if err := goodAppend().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (&Append{Stream: "s", Messages: make([]StreamMessage, MaxAppendMessages)}).Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(a *Append)
		reason Reason
		text   string // part of the error's
	}{
		{"namespace", func(a *Append) { a.Namespace = "a b" }, BadName, "namespace"},
		{"no stream", func(a *Append) { a.Stream = "" }, BadName, "stream is empty"},
		{"reserved stream", func(a *Append) { a.Stream = "edda.x" }, BadName, "reserved"},
		{"shard", func(a *Append) { a.Shard = "ü" }, BadName, `shard "ü" must be`},
		{"no messages", func(a *Append) { a.Messages = nil }, BadValue, "at least one"},
		{"too many", func(a *Append) { a.Messages = make([]StreamMessage, MaxAppendMessages+1) }, TooLarge, "at most 65536"},
		{"two conditions", func(a *Append) { a.IfEmpty = true }, BadValue, "IfLast and IfEmpty"},
		{"id", func(a *Append) { a.Messages[2].ID += "i" }, BadValue, "check append: messages[2]: id has 256 bytes, at most 255 are allowed"},
		{"id, wide letters", func(a *Append) { a.Messages[2].ID = strings.Repeat("☃", 100) }, BadValue, "id has 300 bytes"},
		{"id with a control character", func(a *Append) { a.Messages[1].ID = "a\nb" }, BadValue, `messages[1]: id "a\nb" has a control character`},
		{"id with a wide control character", func(a *Append) { a.Messages[1].ID = "a\u0085" }, BadValue, "has a control character"},
		{"id that is no UTF-8", func(a *Append) { a.Messages[0].ID = "\xff" }, BadValue, `messages[0]: id "\xff" is not UTF-8`},
		{"type", func(a *Append) { a.Messages[1].Type = "\x7f" }, BadValue, "type"},
		{"long type", func(a *Append) { a.Messages[1].Type = strings.Repeat("t", 256) }, BadValue, "at most 255"},
		{"key", func(a *Append) { a.Messages[1].Key = ".." }, BadName, "messages[1]: key"},
		{"long key", func(a *Append) { a.Messages[1].Key = strings.Repeat("k", 513) }, BadName, "at most 512"},
		{"reply stream", func(a *Append) { a.Messages[1].ReplyTo.Name = "/" }, BadName, "messages[1]: reply to: stream"},
		{"no reply stream", func(a *Append) { a.Messages[1].ReplyTo.Name = "" }, BadName, "reply to: stream is empty"},
		{"reply shard", func(a *Append) { a.Messages[1].ReplyTo.Key = "a b" }, BadName, "reply to: shard"},
		{"context", func(a *Append) { a.Messages[1].Source = strings.Repeat("s", MaxMessageContextBytes) }, TooLarge, "at most 65536"},
		{"headers", func(a *Append) { a.Messages[1].Headers.Add("X", strings.Repeat("s", MaxMessageContextBytes)) }, TooLarge, "headers"},
		{"time", func(a *Append) { a.Messages[1].Time = time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC) }, BadValue, "1678"},
		{"a number without a producer", func(a *Append) { a.Messages[1].Number = 7 }, BadValue, "messages[1]: number is 7, and the append names no producer"},
		{"a producer without numbers", func(a *Append) { a.Producer = "p" }, BadValue, "messages[0]: number is missing"},
		{"a number too few", func(a *Append) { number(a, 5, 7); a.Messages[2].Number = 0 }, BadValue, "messages[2]: number is missing"},
		{"numbers that do not rise", func(a *Append) { number(a, 5, 7, 7) }, BadValue, "messages[2]: number is 7, must be greater than that of the message before, which is 7"},
		{"producer", func(a *Append) { number(a, 5, 7, 8); a.Producer = strings.Repeat("p", 256) }, BadValue, "producer has 256 bytes"},
		{"what a producer is called", func(a *Append) { number(a, 5, 7, 8); a.Producer = "a\n" }, BadValue, "control character"},
		{"too much", func(a *Append) {
			for i := range a.Messages {
				a.Messages[i].Payload = make([]byte, MaxAppendBytes/2)
			}
		}, TooLarge, "its 3 messages have 9437184 bytes, at most 6291456 are allowed together"},
	} {
		a := goodAppend()
		c.change(a)
		if err := a.Validate(); ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %s and %q", c.name, err, c.reason, c.text)
		}
	}
	alone := &Append{Stream: "s", Messages: []StreamMessage{{ID: "\n"}}}
	if err := alone.Validate(); err == nil || err.Error() != `check append: id "\n" has a control character` {
		t.Errorf("a message alone: %v", err)
	}
}

// number has a producer number messages.
func number(a *Append, numbers ...uint64) {
	a.Producer = "relay"
	for i, n := range numbers {
		a.Messages[i].Number = n
	}
}

func TestValidateNumbers(t *testing.T) {
	a := goodAppend()
	number(a, 1, 2, math.MaxUint64)
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateAppendAllocates(t *testing.T) {
	a := goodAppend()
	if n := testing.AllocsPerRun(100, func() { _ = a.Validate() }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestValidateStream(t *testing.T) {
	good := func() *StreamSpec {
		return &StreamSpec{Namespace: "shop", Name: "orders", Shards: []string{"eu", "us"}, Retention: Retention{time.Hour, 1, 1}, Dedupe: MaxDedupe}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(s *StreamSpec)
		reason Reason
		text   string
	}{
		{"name", func(s *StreamSpec) { s.Name = "" }, BadName, "stream is empty"},
		{"namespace", func(s *StreamSpec) { s.Namespace = "-" }, BadName, "namespace"},
		{"shard", func(s *StreamSpec) { s.Shards[1] = "" }, BadName, "shards[1]: shard is empty"},
		{"shard twice", func(s *StreamSpec) { s.Shards[1] = "eu" }, BadValue, `shard "eu" is listed twice`},
		{"many shards", func(s *StreamSpec) {
			s.Shards = make([]string, MaxShards+1)
			for i := range s.Shards {
				s.Shards[i] = "s" + strconv.Itoa(i)
			}
		}, TooLarge, "65537 shards"},
		{"long names", func(s *StreamSpec) {
			s.Shards = make([]string, 10_000)
			for i := range s.Shards {
				s.Shards[i] = strings.Repeat("s", 120) + strconv.Itoa(i)
			}
		}, TooLarge, "1048576"},
		{"age", func(s *StreamSpec) { s.Retention.Age = -1 }, BadValue, "retention.age is -1ns, must not be negative"},
		{"long age", func(s *StreamSpec) { s.Retention.Age = math.MaxInt64 }, BadValue, "at most 876000h"},
		{"dedupe", func(s *StreamSpec) { s.Dedupe = -1 }, BadValue, "dedupe"},
		{"long dedupe", func(s *StreamSpec) { s.Dedupe = MaxDedupe + 1 }, BadValue, "at most 720h0m0s"},
	} {
		s := good()
		c.change(s)
		if err := s.Validate(); ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %s and %q", c.name, err, c.reason, c.text)
		}
	}
	if s := (StreamSpec{}).WithDefaults(); s.Namespace != DefaultNamespace || s.Dedupe != DefaultDedupe {
		t.Errorf("defaults: %+v", s)
	}
}

func TestValidateRead(t *testing.T) {
	good := func() *Read {
		return &Read{Namespace: "shop", Stream: "orders", Shard: "eu", From: "7", Limit: 10_000, Bytes: 4 << 20}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(r *Read)
		reason Reason
		text   string
	}{
		{"stream", func(r *Read) { r.Stream = "a/b" }, BadName, "stream"},
		{"shard", func(r *Read) { r.Shard = "*" }, BadName, "shard"},
		{"from", func(r *Read) { r.From = "begin" }, BadValue, `"start", "end", an offset`},
		{"limit", func(r *Read) { r.Limit = -1 }, BadValue, "must be 1 to 10000"},
		{"high limit", func(r *Read) { r.Limit = 10_001 }, BadValue, "limit is 10001"},
		{"bytes", func(r *Read) { r.Bytes = 4<<20 + 1 }, BadValue, "bytes"},
		{"wait", func(r *Read) { r.Wait = -1 }, BadValue, "wait"},
	} {
		r := good()
		c.change(r)
		if err := r.Validate(); ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %s and %q", c.name, err, c.reason, c.text)
		}
	}
	want := Read{DefaultNamespace, "s", DefaultShard, FromStart, 100, 4 << 20, 0}
	if r := (Read{Stream: "s"}).WithDefaults(); r != want {
		t.Errorf("defaults are %+v, want %+v", r, want)
	}
}

func TestPlaces(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 0, 0, 5, time.UTC)
	for f, want := range map[From]Place{
		FromStart: {Kind: AtStart}, FromEnd: {Kind: AtEnd}, FromOffset(0): {Kind: AtOffset}, FromOffset(math.MaxUint64): {Kind: AtOffset, Offset: math.MaxUint64},
		FromTime(at): {Kind: AtTime, Time: at}, "2026-11-21T14:00:00.000000005+02:00": {Kind: AtTime, Time: at},
	} {
		if got, err := f.Parse(); err != nil || got.Kind != want.Kind || got.Offset != want.Offset || !got.Time.Equal(want.Time) {
			t.Errorf("%q is %+v, %v, want %+v", f, got, err, want)
		}
	}
	for f, want := range map[From]string{
		"":   `"" is no place in a stream, must be "start", "end", an offset in decimal digits, or a time like "2006-01-02T15:04:05Z"`,
		"-1": "no place", "+1": "no place", "0x1": "no place", "1.5": "no place", "Start": "no place", "2026-11-21": "no place",
		"18446744073709551616": "at most 18446744073709551615", "1500-01-01T00:00:00Z": "between 1678 and 2262",
	} {
		if got, err := f.Parse(); ReasonOf(err) != BadValue || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %+v, %v, want %q", f, got, err, want)
		}
	}
}

func TestValidateGroup(t *testing.T) {
	good := func() *GroupSpec {
		return &GroupSpec{Namespace: "shop", Stream: "orders", Name: "billing", From: FromStart, MinMembers: 2, MaxMembers: 2, ProcessingTimeout: 1, IdleTimeout: 1}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(g *GroupSpec)
		reason Reason
		text   string
	}{
		{"stream", func(g *GroupSpec) { g.Stream = "" }, BadName, "stream is empty"},
		{"name", func(g *GroupSpec) { g.Name = "a/b" }, BadName, "group"},
		{"from", func(g *GroupSpec) { g.From = "now" }, BadValue, "no place"},
		{"min", func(g *GroupSpec) { g.MinMembers = -1 }, BadValue, "minMembers is -1, must be 1 to"},
		{"max", func(g *GroupSpec) { g.MaxMembers = -1 }, BadValue, "maxMembers is -1"},
		{"min above max", func(g *GroupSpec) { g.MaxMembers = 1 }, BadValue, "must not be less than minMembers, which is 2"},
		{"processing timeout", func(g *GroupSpec) { g.ProcessingTimeout = -1 }, BadValue, "processingTimeout"},
		{"idle timeout", func(g *GroupSpec) { g.IdleTimeout = -1 }, BadValue, "idleTimeout"},
		{"retry", func(g *GroupSpec) { g.Retry.Max = -2 }, BadValue, "max is -2"},
	} {
		g := good()
		c.change(g)
		if err := g.Validate(); ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %s and %q", c.name, err, c.reason, c.text)
		}
	}
	want := GroupSpec{Namespace: DefaultNamespace, From: FromEnd, MinMembers: 1, ProcessingTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	if g := (GroupSpec{}).WithDefaults(); g != want {
		t.Errorf("defaults are %+v, want %+v", g, want)
	}
}

func TestValidateMembers(t *testing.T) {
	ref := GroupRef{Stream: "orders", Group: "billing"}
	if ref.String() != "orders/billing" || ref.WithDefaults().Namespace != DefaultNamespace {
		t.Errorf("%s, %+v", ref, ref.WithDefaults())
	}
	for _, c := range []struct {
		name   string
		err    error
		reason Reason
		text   string
	}{
		{"read", (&GroupRead{GroupRef: ref, Member: "a", Max: 1000}).Validate(), "", ""},
		{"nobody", (&GroupRead{GroupRef: ref}).Validate(), BadName, "member is empty"},
		{"too many", (&GroupRead{GroupRef: ref, Member: "a", Max: 1001}).Validate(), BadValue, "must be 1 to 1000"},
		{"negative wait", (&GroupRead{GroupRef: ref, Member: "a", Wait: -1}).Validate(), BadValue, "wait"},
		{"no group", (&GroupRead{Member: "a"}).Validate(), BadName, "stream is empty"},
		{"settle", (&Settle{GroupRef: ref, Leases: []string{"a"}, For: time.Hour}).Validate(), "", ""},
		{"no leases", (&Settle{GroupRef: ref}).Validate(), BadValue, "at least one"},
		{"many leases", (&Settle{GroupRef: ref, Leases: make([]string, MaxLeases+1)}).Validate(), BadValue, "10001 leases"},
		{"no lease", (&Settle{GroupRef: ref, Leases: []string{"a", ""}}).Validate(), BadValue, "leases[1] has 0 bytes"},
		{"back in time", (&Settle{GroupRef: ref, Leases: []string{"a"}, For: -1}).Validate(), BadValue, "for is -1ns"},
	} {
		if ReasonOf(c.err) != c.reason || c.err != nil && !strings.Contains(c.err.Error(), c.text) {
			t.Errorf("%s: got %v, want %q and %q", c.name, c.err, c.reason, c.text)
		}
	}
}

// The size that is announced is enough, and not much more.
func TestStreamMessageSize(t *testing.T) {
	a := goodAppend()
	a.Messages[0].Payload = bytes.Repeat([]byte("p"), 300)
	for i := range a.Messages {
		m := &a.Messages[i]
		e := m.Envelope()
		if m.ID == "" {
			e.ID = NewID(1, time.Now())
		}
		b, err := e.AppendBinary(nil)
		if n := m.BinarySize(); err != nil || len(b) > n || n > len(b)+50 {
			t.Errorf("message %d has %d bytes, %v, announced are %d", i, len(b), err, n)
		}
		var back StreamMessage
		if err := back.UnmarshalBinary(b); err != nil || back.Key != m.Key || back.ID == "" || m.ID != "" && back.ID != m.ID {
			t.Errorf("message %d reads as %+v, %v", i, back, err)
		}
	}
}

// The stream of the replies lives with the stream that they reply to.
func TestStreamHash(t *testing.T) {
	of := func(stream string) uint64 { return StreamHash("shop", stream) }
	if of("orders.replies") != of("orders") {
		t.Error("orders.replies does not live with orders")
	}
	if of("orders") == of("order") || of("orders") == StreamHash("other", "orders") || of("ordersreplies") == of("orders") {
		t.Error("other streams have the hash of orders")
	}
	if of(".replies") == of("") {
		t.Error("a suffix alone is cut off")
	}
}
