package record

import (
	"bytes"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

func TestAppendMessageReadsBack(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 20_000, 3 << 20} {
		msg := &edda.Message{ID: edda.NewID(7, time.Unix(1_800_000_000, 0)), Type: "m", Payload: bytes.Repeat([]byte("x"), size)}
		a := Accepted{Hash: 9, Kind: edda.Balanced, Keep: true}
		rec, err := a.AppendMessage(nil, msg)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(rec)
		if err != nil {
			t.Fatal(err)
		}
		var got Accepted
		if err := got.Decode(r.Body); err != nil {
			t.Fatal(err)
		}
		var back edda.Message
		if err := back.UnmarshalBinary(got.Message); err != nil {
			t.Fatal(err)
		}
		if back.ID != msg.ID || len(back.Payload) != size || got.Hash != 9 || got.Kind != edda.Balanced || !got.Keep {
			t.Errorf("size %d: read back %+v with %d bytes of payload", size, got, len(back.Payload))
		}
	}
}
