package record

import (
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

func TestMessageNames(t *testing.T) {
	made := edda.NewID(1<<50, time.Unix(1, 0))
	for _, m := range []edda.StreamMessage{
		{},
		{ID: "given"},
		{ID: "given", Key: "user/1", Payload: make([]byte, 300), CorrelationID: "story", Headers: edda.Headers{{Name: "a", Value: "b"}}},
		{Key: "k"},
	} {
		e := m.Envelope()
		if m.ID == "" {
			e.ID = made
		}
		b, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		n := MessageNames{Given: []byte("old"), Key: []byte("old"), Made: []byte("old")}
		if err := n.Read(b); err != nil || string(n.Given) != m.ID || string(n.Key) != m.Key || (m.ID == "") != (n.Made != nil) {
			t.Errorf("names of %+v are %+v, %v", m, n, err)
		}
		var read edda.StreamMessage
		if err := read.UnmarshalBinary(b); err != nil || n.ID() != read.ID {
			t.Errorf("the message is called %q, want %q, %v", n.ID(), read.ID, err)
		}
	}
	var n MessageNames
	if err := n.Read(nil); err != nil || n.ID() != "" {
		t.Errorf("an empty message is called %q, %v", n.ID(), err)
	}
	for _, b := range [][]byte{{0xff}, wire.AppendString(nil, 1, "short")} {
		if err := n.Read(b); err == nil || !strings.Contains(err.Error(), "message of a stream") {
			t.Errorf("%x: %v", b, err)
		}
	}
}

// Whatever is a message has the names that decoding all of it finds.
func FuzzMessageNames(f *testing.F) {
	for _, m := range []edda.Message{
		{ID: edda.NewID(1, time.Unix(1, 0)), Type: "placed"},
		{IdempotencyKey: "given", To: edda.Address{Key: "user/1"}, Payload: []byte("payload"), Chain: []edda.Address{{Name: "users"}}},
	} {
		b, err := m.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m edda.Message
		var n MessageNames
		if m.UnmarshalBinary(b) != nil {
			return
		}
		if err := n.Read(b); err != nil {
			t.Fatalf("%x is a message, and %v", b, err)
		}
		var s edda.StreamMessage
		s.Set(&m)
		if n.ID() != s.ID || string(n.Key) != m.To.Key || string(n.Given) != m.IdempotencyKey {
			t.Errorf("the message is called %q, key %q, want %q, %q", n.ID(), n.Key, s.ID, m.To.Key)
		}
	})
}
