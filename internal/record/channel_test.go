package record

import (
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

// What is published is an append to the channel's stream, and takes no more room than was
// made for it, whatever the channel is called.
func TestEncodePublication(t *testing.T) {
	for _, a := range []*edda.Append{
		{Channel: "c", Messages: make([]edda.StreamMessage, 1)},
		{Namespace: strings.Repeat("m", edda.MaxNameBytes), Channel: strings.Repeat("n", edda.MaxNameBytes), Messages: []edda.StreamMessage{{ID: "a"}, {Payload: make([]byte, 100)}}},
	} {
		own := edda.ChannelStream(a.Channel)
		hash, items := edda.StreamHash(a.Namespace, own), make([]edda.Appended, len(a.Messages))
		rec := EncodeAppend(nil, a, hash, time.Now(), items)
		if most := AppendSize(a); len(rec) > most {
			t.Errorf("the record has %d bytes, said were %d", len(rec), most)
		}
		var got StreamAppended
		if err := got.Decode(rec[HeaderBytes:]); err != nil || got.Stream != own || got.Shard != edda.DefaultShard || len(got.Messages) != len(a.Messages) {
			t.Errorf("got %+v, %v", got, err)
		}
		if s := NewStreamAppended(a, hash, time.Now()); s.Stream != own || len(s.AppendBody(nil)) > AppendSize(a) {
			t.Errorf("of a handler it is %+v", s)
		}
	}
}

func TestChannelsThatAreNone(t *testing.T) {
	var c ChannelSet
	for name, body := range map[string]string{
		"no name": "\x0a\x01n", "malformed": "\xff", "a source without a stream": "\x12\x01c\x1a\x03\x12\x01p", "a malformed source": "\x12\x01c\x1a\x01\xff",
	} {
		if err := c.Decode([]byte(body)); err == nil {
			t.Errorf("%s: read as %+v", name, c)
		}
	}
	if err := c.Decode([]byte("\x12\x01c")); err != nil || c.Namespace != edda.DefaultNamespace || c.Name != "c" {
		t.Errorf("got %+v, %v", c, err)
	}
}
