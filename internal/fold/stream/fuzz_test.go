package stream

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// FuzzStreams makes records of bytes and asserts, without a model, what holds of streams
// whatever comes: offsets have no gap and are not used twice, a message never becomes
// another, bounds never go back, a repeated id is answered as the first one was, and all
// counts are right; also after checkpoints and crashes.
func FuzzStreams(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 2, 0, 9, 0, 1, 10, 0, 0, 1})
	f.Add([]byte{0, 0x35, 0x12, 9, 0, 0x35, 0x13, 5, 3, 2, 1, 30, 0, 0x35, 0x12, 6, 0, 9, 10})
	f.Add([]byte{5, 0x13, 0x40, 2, 0, 0xff, 1, 0, 0xff, 2, 9, 0, 0xff, 3, 10, 7, 1, 0, 0xff, 1, 8, 0, 9, 9})
	f.Add([]byte{4, 0, 0x0a, 0, 1, 4, 0, 0x0a, 0, 2, 9, 4, 0, 0x1b, 0, 2, 10, 4, 0, 0x0a, 0xc1, 1, 6, 0, 4, 0, 0x0a, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		z := &fuzzed{world: newWorld(t), seen: map[place]string{}, bounds: map[shardRef][2]uint64{}, ids: map[givenID]Item{}, until: map[givenID]int64{}, last: map[numberKey]Last{}}
		z.marks, z.bytes = 2, 100
		z.load(t)
		for len(data) > 0 && z.env.Position < 200 {
			data = z.step(t, data)
			z.check(t)
		}
	})
}

type shardRef struct {
	serial uint64
	index  uint32
}

type place struct {
	shardRef
	offset uint64
}

type givenID struct {
	serial uint64
	id     string
}

// fuzzed remembers what it has seen of the streams.
type fuzzed struct {
	*world
	seen   map[place]string
	bounds map[shardRef][2]uint64
	ids    map[givenID]Item // as they were answered
	until  map[givenID]int64
	last   map[numberKey]Last // of each producer
}

// step takes some bytes and returns the rest.
func (z *fuzzed) step(t *testing.T, data []byte) []byte {
	t.Helper()
	take := func() (b byte) {
		if len(data) > 0 {
			b, data = data[0], data[1:]
		}
		return b
	}
	name := func(b byte) string { return []string{"orders", "o", "p"}[b%3] }
	switch take() % 11 {
	default:
		z.fuzzAppend(t, name(take()), take(), take(), 0)
	case 4:
		z.fuzzAppend(t, name(take()), take(), take(), take())
	case 5:
		b := take()
		spec := edda.StreamSpec{Name: name(b), Dedupe: time.Duration(take()) * time.Second}
		spec.Retention = edda.Retention{Count: uint64(b >> 4), Bytes: uint64(take()) * uint64(b&8), Age: time.Duration(b&4) * time.Minute}
		z.set(t, spec)
	case 6:
		z.remove(t, name(take()))
	case 7:
		z.trim(t, record.StreamTrimmed{Name: name(take()), Offset: uint64(take())})
	case 8:
		z.now += int64(take()) * int64(time.Second)
		records := z.m.Expired(z.now)
		for i := range records {
			z.apply(t, records[i].AppendTo(nil))
		}
	case 9:
		z.checkpoint(t)
	case 10:
		z.crash(t)
	}
	return data
}

func (z *fuzzed) fuzzAppend(t *testing.T, name string, what, expect, number byte) {
	t.Helper()
	a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: name, Shard: []string{edda.DefaultShard, "eu"}[what>>7]}
	var ids []string
	for i := range what & 7 {
		id := fmt.Sprint("id", (what>>3)&7+i/2) // each twice
		if i == 5 {
			id = ""
		}
		ids = append(ids, id)
		a.Messages = append(a.Messages, encoded(id, "", fmt.Sprint("message ", z.env.Position, " ", i)))
	}
	if len(ids) == 0 {
		return
	}
	if expect > 0xc0 {
		a.Expect = uint64(expect - 0xc0)
	}
	if number > 0 {
		a.Producer = "relay"
		for i := range ids {
			a.Numbers = append(a.Numbers, uint64(number)+uint64(i)*uint64(1+number&3))
		}
	}
	effects := z.append(t, a)
	last := effects[len(effects)-1]
	if last.Kind == Refused {
		return
	}
	if last.Kind != Answered || len(last.Items) != len(ids) {
		t.Fatalf("an append of %d messages is %+v", len(ids), effects)
	}
	before := z.lastOf(&last, a)
	for i, item := range last.Items {
		if n := numberOf(a, i); n != 0 && n <= before.Number {
			z.passed(t, n, before, item)
			continue
		}
		z.answered(t, last.Stream, ids[i], item)
	}
	z.raised(t, &last, a, before)
}

// lastOf is what was known of the producer before an append.
func (z *fuzzed) lastOf(e *Effect, a *record.StreamAppended) Last {
	if e.Shard == nil || a.Producer == "" {
		return Last{}
	}
	return z.last[numberKey{e.Stream.Serial, e.Shard.Index, a.Producer}]
}

// passed checks the answer to a message whose number had come before.
func (z *fuzzed) passed(t *testing.T, n uint64, last Last, item Item) {
	t.Helper()
	switch {
	case !item.Replayed, item.Unknown && (item.Offset != 0 || item.Position != last.Position || n == last.Number):
		t.Fatalf("number %d is answered with %+v, the last one is %+v", n, item, last)
	case n == last.Number && (item.Offset != last.Offset || item.Position != last.Position):
		t.Fatalf("the last number %+v is answered with %+v", last, item)
	}
}

// raised checks what an append has left of its producer.
func (z *fuzzed) raised(t *testing.T, e *Effect, a *record.StreamAppended, want Last) {
	t.Helper()
	for i, item := range e.Items {
		if n := numberOf(a, i); n != 0 && !item.Replayed {
			want = Last{Number: n, Offset: item.Offset, Position: item.Position, ID: e.Last.ID}
		}
	}
	if e.Last != want {
		t.Fatalf("the last number is %+v, want %+v, after %+v", e.Last, want, e.Items)
	}
	if want.Number > 0 {
		z.last[numberKey{e.Stream.Serial, e.Shard.Index, a.Producer}] = want
	}
}

// answered checks the answer to one message.
func (z *fuzzed) answered(t *testing.T, s *Stream, id string, item Item) {
	t.Helper()
	key := givenID{s.Serial, id}
	first, known := z.ids[key]
	known = known && z.until[key] > z.now
	if item.Replayed != (known && id != "") {
		t.Fatalf("id %q is answered with %+v, the first was %+v, %t", id, item, first, known)
	}
	if item.Replayed {
		if first.Replayed = true; item != first {
			t.Fatalf("id %q is answered with %+v, the first time it was %+v", id, item, first)
		}
		return
	}
	z.ids[key], z.until[key] = item, z.now+int64(s.Spec.Dedupe)
	if end := z.bounds[shardRef{s.Serial, item.Shard}][1]; item.Offset < end || item.Position != z.env.Position {
		t.Fatalf("a new message is at %+v, the shard had come to %d", item, end)
	}
}

func (z *fuzzed) check(t *testing.T) {
	t.Helper()
	bytes := 0
	for s := range z.m.All() {
		for _, sh := range s.Shards() {
			ref := shardRef{s.Serial, sh.Index}
			before := z.bounds[ref]
			if sh.First > sh.End || sh.First < before[0] || sh.End < before[1] {
				t.Fatalf("shard %q of %q has %d to %d, before it was %v", sh.Name, s.Spec.Name, sh.First, sh.End, before)
			}
			z.bounds[ref] = [2]uint64{sh.First, sh.End}
			entries := z.read(t, s, sh.Name)
			if uint64(len(entries)) != sh.End-sh.First {
				t.Fatalf("shard %q of %q has %d messages, want %d to %d", sh.Name, s.Spec.Name, len(entries), sh.First, sh.End)
			}
			z.checkEntries(t, ref, sh, entries)
			for _, msg := range sh.recent {
				bytes += len(msg.data) + messageOverhead
			}
		}
	}
	for k := range z.m.ids {
		bytes += len(k.id) + idOverhead
	}
	for k, l := range z.m.numbers {
		bytes += len(k.producer) + len(l.ID) + numberOverhead
	}
	if got := z.m.Bytes(); got != bytes {
		t.Fatalf("%d bytes are in memory, want %d", got, bytes)
	}
}

func (z *fuzzed) checkEntries(t *testing.T, ref shardRef, sh *Shard, entries []Entry) {
	t.Helper()
	size := 0
	for i, e := range entries {
		size += len(e.Message)
		if e.Offset != sh.First+uint64(i) {
			t.Fatalf("message %d has the offset %d, the first one is %d", i, e.Offset, sh.First)
		}
		p := place{ref, e.Offset}
		if before, ok := z.seen[p]; ok && before != string(e.Message) {
			t.Fatalf("message %d of shard %q was %q, is %q", e.Offset, sh.Name, before, e.Message)
		}
		z.seen[p] = string(e.Message)
	}
	if uint64(size) != sh.Bytes {
		t.Fatalf("shard %q has %d bytes, want %d", sh.Name, sh.Bytes, size)
	}
	if !slices.IsSortedFunc(entries, func(a, b Entry) int { return int(a.Time - b.Time) }) {
		t.Fatalf("times go back in shard %q", sh.Name)
	}
}
