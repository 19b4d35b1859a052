package edda

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A decoder reads what UnmarshalBinary reads, whatever was read before.
func TestStreamDecoder(t *testing.T) {
	var all []StreamMessage
	for i := range 300 {
		m := goodAppend().Messages[i%3]
		m.ID, m.Key = fmt.Sprint("id-", i), fmt.Sprint("key-", i/7)
		switch i % 5 {
		case 0:
			m.ID = ""
		case 1:
			m.CorrelationID, m.CausationID = strings.Repeat("c", i*10), ID{byte(i)}
		case 2:
			m.Principal = "ada"
		}
		all = append(all, m)
	}
	var d StreamDecoder
	var read []StreamMessage
	for i := range all {
		e := all[i].Envelope()
		if e.IdempotencyKey == "" {
			e.ID = NewID(uint64(i), time.Now())
		}
		b, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if own := all[i].AppendEnvelope(nil, e.ID, all[i].Principal); !bytes.Equal(own, b) {
			t.Fatalf("message %d is encoded as %x, its envelope as %x", i, own, b)
		}
		want, got := StreamMessage{Shard: "s", Offset: 7}, StreamMessage{Shard: "s", Offset: 7, ID: "old"}
		if err := want.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(b, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("message %d: got %+v, %v, want %+v", i, got, err, want)
		}
		all[i] = want
		read = append(read, got)
		if len(b) > 3 && d.Decode(b[:len(b)-1], &got) == nil {
			t.Errorf("message %d is cut, and taken", i)
		}
	}
	if !reflect.DeepEqual(read, all) {
		t.Error("what was read first has changed")
	}
}

func TestStreamDecoderAllocates(t *testing.T) {
	m := StreamMessage{ID: "01234567-0123-0123-0123-0123456789ab", Type: "order.placed", ContentType: "application/json", Payload: make([]byte, 256)}
	e := m.Envelope()
	b, err := e.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var d StreamDecoder
	if n := testing.AllocsPerRun(1000, func() {
		if err := d.Decode(b, &m); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations for a message", n)
	}
}
