package live_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is streams in memory, whose clock goes as the test says.
type fake struct {
	mu      sync.Mutex
	now     int64
	streams map[string]*fakeStream
	rings   map[string]map[int]func()
	ringID  int
	// sleepy has walkers and rings take time, at random. Only for bubbles.
	sleepy *rand.Rand
	err    error               // of Next and End
	onEnd  func()              // called by End
	onNext func(stream string) // called by Next
	walks  int                 // calls of Next that returned messages
	bytes  int                 // of each message that is appended; 100 when zero
}

type fakeStream struct {
	entries []live.Entry // in the order in which they were stored
	next    map[string]uint64
	gone    []live.Entry
	trimmed int64 // the latest time of which a message was removed
}

func newFake() *fake {
	return &fake{now: 1_000, streams: map[string]*fakeStream{}, rings: map[string]map[int]func(){}}
}

func (f *fake) stream(name string) *fakeStream {
	s := f.streams[name]
	if s == nil {
		s = &fakeStream{next: map[string]uint64{}}
		f.streams[name] = s
	}
	return s
}

// tick moves the clock.
func (f *fake) tick(d int64) {
	f.mu.Lock()
	f.now += d
	f.mu.Unlock()
}

// append stores messages of a type in a shard, and rings.
func (f *fake) append(stream, shard, typ string, n int) (offset uint64, stored int64) {
	f.mu.Lock()
	s := f.stream(stream)
	for range n {
		offset = s.next[shard]
		s.next[shard]++
		s.entries = append(s.entries, live.Entry{
			Message: edda.StreamMessage{
				ID: stream + "/" + shard + "/" + strconv.FormatUint(offset, 10), Shard: shard, Offset: offset,
				Type: typ, Payload: []byte("payload"), Time: time.Unix(0, f.now),
			},
			Stored: f.now, Bytes: cmp.Or(f.bytes, 100),
		})
	}
	stored = f.now
	f.mu.Unlock()
	f.ring(stream)
	return offset, stored
}

func (f *fake) ring(stream string) {
	f.mu.Lock()
	var rings []func()
	for _, r := range f.rings[stream] {
		rings = append(rings, r)
	}
	f.mu.Unlock()
	for _, r := range rings {
		r()
	}
}

// trim removes the first n messages of a stream, and returns those that it has removed.
func (f *fake) trim(stream string, n int) []live.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stream(stream)
	n = min(n, len(s.entries))
	gone := slices.Clone(s.entries[:n])
	for i := range gone {
		s.trimmed = max(s.trimmed, gone[i].Stored)
	}
	s.entries, s.gone = slices.Clone(s.entries[n:]), append(s.gone, gone...)
	return gone
}

// forget has it forget what was trimmed.
func (f *fake) forget(stream string) {
	f.mu.Lock()
	f.stream(stream).gone = nil
	f.mu.Unlock()
}

// remove removes a stream; what is appended later is in another one.
func (f *fake) remove(stream string) []live.Entry {
	gone := f.trim(stream, 1<<30)
	f.mu.Lock()
	f.now++
	f.stream(stream).next = map[string]uint64{}
	f.mu.Unlock()
	return gone
}

func (f *fake) End(ctx context.Context, _, stream string) (live.Place, error) {
	f.nap()
	if f.onEnd != nil {
		f.onEnd()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return live.Place{}, f.err
	}
	return f.end(stream), ctx.Err()
}

// end is the place after all that there is, in one of two forms. f.mu is held.
func (f *fake) end(stream string) live.Place {
	s := f.stream(stream)
	p := live.Place{Time: max(s.trimmed, f.now)}
	for i := range s.entries {
		if s.entries[i].Stored == f.now {
			p = p.After(f.now, s.entries[i].Message.Shard, s.entries[i].Message.Offset)
		}
	}
	for shard, next := range s.next { // what was trimmed of this instant
		if s.trimmed == f.now && next > 0 {
			p = p.After(f.now, shard, next-1)
		}
	}
	return p
}

func (f *fake) Watch(_, stream string, ring func()) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ringID++
	id := f.ringID
	if f.rings[stream] == nil {
		f.rings[stream] = map[int]func(){}
	}
	f.rings[stream][id] = ring
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.rings[stream], id)
	}
}

// watched is how many watch streams now.
func (f *fake) watched() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.rings {
		n += len(r)
	}
	return n
}

func (f *fake) nap() {
	f.mu.Lock()
	sleepy := f.sleepy
	var d time.Duration
	if sleepy != nil && sleepy.IntN(3) == 0 {
		d = time.Duration(1 + sleepy.IntN(5))
	}
	f.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}

func (f *fake) Walk(_, stream string, from live.Place) live.Walker {
	return &fakeWalker{f: f, stream: stream, place: from, from: from}
}

type fakeWalker struct {
	f           *fake
	stream      string
	place, from live.Place
	gap         bool
}

func (w *fakeWalker) Next(ctx context.Context, bytes int) ([]live.Entry, error) {
	w.f.nap()
	if w.f.onNext != nil {
		w.f.onNext(w.stream)
	}
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	if w.f.err != nil {
		return nil, w.f.err
	}
	s := w.f.stream(w.stream)
	for i := range s.gone {
		if w.from.Time > 0 && !w.place.Has(s.gone[i].Stored, s.gone[i].Message.Shard, s.gone[i].Message.Offset) {
			w.gap = true
		}
	}
	var list []live.Entry
	for i := range s.entries {
		e := &s.entries[i]
		if !w.place.Has(e.Stored, e.Message.Shard, e.Message.Offset) {
			list = append(list, *e)
		}
	}
	slices.SortStableFunc(list, func(a, b live.Entry) int {
		return cmp.Or(cmp.Compare(a.Stored, b.Stored), cmp.Compare(a.Message.Shard, b.Message.Shard), cmp.Compare(a.Message.Offset, b.Message.Offset))
	})
	n := 0
	for n < len(list) && bytes > 0 {
		bytes -= list[n].Bytes
		n++
	}
	list = list[:n]
	for i := range list {
		w.place = w.place.After(list[i].Stored, list[i].Message.Shard, list[i].Message.Offset)
	}
	if err := ctx.Err(); n == 0 && err != nil {
		return nil, err // only then it would ask
	}
	if n == 0 {
		w.place = w.place.With(w.f.end(w.stream))
	} else {
		w.f.walks++
	}
	return list, nil
}

func (w *fakeWalker) Place() live.Place { return w.place }
func (w *fakeWalker) Gap() bool         { return w.gap }
