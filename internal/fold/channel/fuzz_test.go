package channel

import (
	"fmt"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// FuzzChannels makes records of bytes and asserts, without a model, what holds of channels
// whatever comes: each has its stream, which keeps what its history says and no more, and
// no other stream is like one; who publishes where no channel is gets nothing done; also
// after checkpoints and crashes.
func FuzzChannels(f *testing.F) {
	f.Add([]byte{0, 1, 0, 3, 1, 0x12, 6, 4, 1, 0x12, 5, 2, 1, 1, 0x12, 6})
	f.Add([]byte{1, 0x13, 0, 0x13, 7, 2, 9, 1, 0x15, 4, 3, 0x15, 0, 0x13, 1, 5, 2, 0x13, 6, 6})
	f.Add([]byte{0, 0x21, 0, 0x42, 3, 0x27, 5, 2, 0x21, 4, 1, 0x27, 6, 0, 0x41, 1, 0x47, 7, 0xff, 1, 0x47, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		z := &fuzzed{world: newWorld(t)}
		take := func() (b byte) {
			if len(data) > 0 {
				b, data = data[0], data[1:]
			}
			return b
		}
		for len(data) > 0 && z.env.Position < 200 {
			z.step(t, take(), take())
			z.check(t)
		}
	})
}

type fuzzed struct {
	*world
	sent uint64
}

func (z *fuzzed) step(t *testing.T, what, b byte) {
	t.Helper()
	name := randomChannels[int(b>>4)%len(randomChannels)]
	there := z.m.Channel(edda.DefaultNamespace, name) != nil
	switch what % 8 {
	case 0:
		z.set(t, edda.ChannelSpec{Name: name, History: edda.History{Count: uint64(b & 7), Age: time.Duration(b&3) * time.Minute}})
	case 1:
		z.publish(t, name, z.ids(b)...)
	case 2:
		z.remove(t, name)
		there = false
	case 3:
		a := published(name, z.ids(b)...)
		z.sent++
		a.Origin = record.Origin{From: 3, Number: z.sent}
		z.apply(t, a.AppendTo(nil))
	case 4:
		z.checkpoint(t)
	case 5:
		z.crash(t)
	case 6:
		c := record.Completed{Seq: 1, Appends: []record.StreamAppended{*published(name, z.ids(b)...), *published(randomChannels[0], "x")}}
		z.apply(t, c.AppendTo(nil))
	case 7:
		z.now += int64(b) * int64(time.Second)
		for _, r := range z.streams.Expired(z.now) {
			z.apply(t, r.AppendTo(nil))
		}
	}
	if now := z.m.Channel(edda.DefaultNamespace, name) != nil; now != there && what%8 != 0 {
		t.Fatalf("channel %q is there: %t, before it was %t", name, now, there)
	}
}

func (z *fuzzed) ids(b byte) (ids []string) {
	for i := range 1 + b&3 {
		ids = append(ids, fmt.Sprint("id", (b>>2)&3+i/2)) // each twice
	}
	return ids
}

func (z *fuzzed) check(t *testing.T) {
	t.Helper()
	n := 0
	for c := range z.m.From("", "") {
		n++
		s := z.streams.Stream(c.Spec.Namespace, edda.ChannelStream(c.Spec.Name))
		if s == nil || c.Removed() || s.Spec.Retention != (edda.Retention{Count: c.Spec.History.Count, Age: c.Spec.History.Age}) {
			t.Fatalf("the stream of channel %+v is %+v", c.Spec, s)
		}
		for _, sh := range s.Shards() {
			v := z.streams.View(s, sh)
			entries, _, err := v.Read(z.tree, 0, 1<<30, 1<<30)
			if kept := sh.End - sh.First; err != nil || uint64(len(entries)) != kept || kept > c.Spec.History.Count || sh.Name != edda.DefaultShard {
				t.Fatalf("shard %s of channel %+v has %d messages from %d to %d, %v", sh.Name, c.Spec, len(entries), sh.First, sh.End, err)
			}
		}
	}
	if z.streams.Len() != n {
		t.Fatalf("%d channels have %d streams", n, z.streams.Len())
	}
}
