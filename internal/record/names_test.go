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
