package edda

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda/internal/wire"
)

var rewriteGolden = flag.Bool("rewrite", false, "add to testdata what is missing there")

// fullMessage has every field set.
func fullMessage() *Message {
	at := func(s int64) time.Time { return time.Unix(1_800_000_000+s, 123_456_789).UTC() }
	return &Message{
		ID: ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Type: "login", To: Address{"shop", "users", "42"},
		ReplyTo: Address{"shop", "replies", "7"}, Source: "till-3", Principal: "bob",
		Headers:     Headers{{"X-A", "1"}, {"x-a", ""}, {"", "2"}, {"Long", strings.Repeat("v", 200)}},
		ContentType: "application/json", Schema: "login/1", Payload: []byte(`{"email":"a@b"}`), Frames: [][]byte{[]byte("one"), {}},
		CorrelationID: "story", CausationID: ID{15: 9}, TraceParent: "00-1-2-01", TraceState: "a=b",
		IdempotencyKey: "k", Deadline: at(3), Due: at(2), Time: at(1),
		Chain: []Address{{"", "users", "1"}, {"shop", "echo", ""}},
	}
}

func fullReply() *Reply {
	return &Reply{Status: 404, Headers: Headers{{"A", "1"}, {"a", ""}}, ContentType: "text/plain", Payload: []byte("no such user")}
}

// What any release has written must be read for ever: the lines of
// testdata/wire-v1.txt are never changed.
func TestGoldenMessagesAreRead(t *testing.T) {
	const file = "testdata/wire-v1.txt"
	text, err := os.ReadFile(file)
	if err != nil && !*rewriteGolden {
		t.Fatal(err)
	}
	golden := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		if golden[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		value interface {
			AppendBinary(b []byte) ([]byte, error)
			UnmarshalBinary(b []byte) error
		}
	}{
		{"message", fullMessage()}, {"empty-message", &Message{Principal: Anonymous}}, {"reply", fullReply()}, {"empty-reply", &Reply{Status: 204}},
	} {
		now, err := c.value.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		old, ok := golden[c.name]
		if !ok && *rewriteGolden {
			text = fmt.Appendf(text, "%s %x\n", c.name, now)
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got := reflect.New(reflect.TypeOf(c.value).Elem()).Interface().(interface{ UnmarshalBinary(b []byte) error })
		if err := got.UnmarshalBinary(old); !ok || err != nil || !reflect.DeepEqual(got, c.value) {
			t.Errorf("%s reads as\n%+v, %v, want\n%+v", c.name, got, err, c.value)
		}
		if !bytes.Equal(now, old) {
			t.Errorf("%s is written as\n%x, was\n%x", c.name, now, old)
		}
	}
}

// A message that leaves out what has a default reads back with the defaults.
func TestDefaultsAreNotWritten(t *testing.T) {
	m := Message{To: Address{DefaultNamespace, "users", ""}, Principal: Anonymous, Payload: []byte{}}
	b, err := m.AppendBinary(nil)
	if err != nil || len(b) != 2+len("users") {
		t.Errorf("%d bytes, %v: %x", len(b), err, b)
	}
	var got Message
	if err := got.UnmarshalBinary(b); err != nil || got.Principal != Anonymous || got.To != (Address{Name: "users"}) {
		t.Errorf("reads as %+v, %v", got, err)
	}
	if err := got.UnmarshalBinary(nil); err != nil || got.Principal != Anonymous || !got.Time.IsZero() {
		t.Errorf("nothing reads as %+v, %v", got, err)
	}
}

// Fields of a later release outlive a rewrite, in their order.
func TestUnknownFieldsSurviveARewrite(t *testing.T) {
	later := wire.AppendUint(nil, 900, 7)
	later = wire.AppendFixed(later, 901, 8)
	later = wire.AppendString(later, 900, "again")
	b, _ := fullMessage().AppendBinary(nil)
	var m Message
	if err := m.UnmarshalBinary(append(slices.Clip(later), b...)); err != nil {
		t.Fatal(err)
	}
	if got, _ := m.AppendBinary(nil); !bytes.Equal(got, append(b, later...)) {
		t.Errorf("message is rewritten as\n%x, want\n%x", got, append(b, later...))
	}
	b, _ = fullReply().AppendBinary(nil)
	var r Reply
	if err := r.UnmarshalBinary(append(slices.Clip(later), b...)); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.AppendBinary(nil); !bytes.Equal(got, append(b, later...)) {
		t.Errorf("reply is rewritten as\n%x, want\n%x", got, append(b, later...))
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	malformed := []byte{0xff}
	for name, b := range map[string][]byte{
		"cut off":      malformed,
		"short id":     wire.AppendString(nil, fID, "short"),
		"causation id": wire.AppendString(nil, fCausationID, "short"),
		"long id":      wire.AppendBytes(nil, fID, make([]byte, 17)),
		"reply to":     wire.AppendBytes(nil, fReplyTo, malformed),
		"header":       wire.AppendBytes(nil, fHeader, malformed),
		"chain":        wire.AppendBytes(nil, fChain, malformed),
		"id number":    wire.AppendUint(nil, fID, 1),
	} {
		var m Message
		if err := m.UnmarshalBinary(b); err == nil || !strings.HasPrefix(err.Error(), "message") {
			t.Errorf("message with %s: %+v, %v", name, m, err)
		}
	}
	for name, b := range map[string][]byte{"cut off": malformed, "header": wire.AppendBytes(nil, rHeader, malformed)} {
		var r Reply
		if err := r.UnmarshalBinary(b); err == nil || !strings.HasPrefix(err.Error(), "reply") {
			t.Errorf("reply with %s: %+v, %v", name, r, err)
		}
	}
}

// BinarySize is enough for what there is.
func TestBinarySizeIsEnough(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, m := range []*Message{
		{}, fullMessage(), {Payload: make([]byte, 1<<20)}, {Headers: Headers{{long, long}, {}}}, {Frames: [][]byte{nil, nil, []byte(long)}},
		{Chain: []Address{{long, long, long}}}, {To: Address{long, long, long}, ReplyTo: Address{long, long, long}},
		{Source: long, Schema: long, CorrelationID: long, TraceParent: long, TraceState: long, IdempotencyKey: long, Type: long},
	} {
		b, err := m.AppendBinary(nil)
		if err != nil || len(b) > m.BinarySize() {
			t.Errorf("%d bytes, the bound is %d, %v", len(b), m.BinarySize(), err)
		}
	}
}

// Whatever bytes there are, reading does not panic; what was read is written so
// that it reads the same, and within the bound.
func FuzzMessage(f *testing.F) {
	full, _ := fullMessage().AppendBinary(nil)
	f.Add(full)
	f.Add([]byte{})
	f.Add(wire.AppendUint(full, 900, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		if m.UnmarshalBinary(b) != nil {
			return
		}
		once, err := m.AppendBinary(nil)
		if err != nil || len(once) > m.BinarySize() {
			t.Fatalf("%d bytes, the bound is %d, %v", len(once), m.BinarySize(), err)
		}
		if err := again.UnmarshalBinary(once); err != nil {
			t.Fatalf("%x is refused: %v", once, err)
		}
		if twice, _ := again.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%x\nbecomes\n%x", once, twice)
		}
	})
}

func FuzzReply(f *testing.F) {
	full, _ := fullReply().AppendBinary(nil)
	f.Add(full)
	f.Add([]byte{})
	f.Add(wire.AppendUint(full, 900, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Reply
		if r.UnmarshalBinary(b) != nil {
			return
		}
		once, err := r.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalBinary(once); err != nil || !reflect.DeepEqual(r.Headers, again.Headers) || !bytes.Equal(r.Payload, again.Payload) {
			t.Fatalf("%+v reads back as %+v, %v", r, again, err)
		}
		if twice, _ := again.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%x\nbecomes\n%x", once, twice)
		}
	})
}
