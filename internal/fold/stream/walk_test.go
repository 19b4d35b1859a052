package stream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// walked is a message that a walk has come by.
type walked struct {
	stream, shard string
	index         uint32
	offset        uint64
	time          int64
	payload       string
}

// walker follows a stream as the node does: with one walk after the other.
type walker struct {
	stream  string
	serial  uint64
	from    Spot
	walk    *Walk
	leaves  bool // each walk after a step
	settled int64
	gone    bool
	got     []walked
}

// step reads about so many bytes, and reports whether there was something.
func (r *walker) step(tb testing.TB, w *world, bytes int) bool {
	tb.Helper()
	for {
		s := w.stream(r.stream)
		if r.walk == nil {
			if s == nil {
				return false
			}
			if r.serial != s.Serial {
				r.gone = r.gone || r.serial != 0
				r.serial, r.from = s.Serial, Spot{}
			}
			if r.serial != 0 && r.from.Time == 0 {
				r.settled = s.LastAt() // what is gone at the start is not missing
			}
			r.walk = w.m.Walk(s, r.from, r.settled)
		}
		n := len(r.got)
		if err := r.walk.Next(w.tree, bytes, func(shard string, index uint32, e *Entry) error {
			var m edda.StreamMessage
			if err := m.UnmarshalBinary(e.Message); err != nil {
				return err
			}
			if e.Time < r.from.Time || e.Time == r.from.Time && e.Offset < r.from.of(shard) {
				return fmt.Errorf("message %d of shard %s, of %d, comes after the place %+v", e.Offset, shard, e.Time, r.from)
			}
			r.got = append(r.got, walked{r.stream, shard, index, e.Offset, e.Time, string(m.Payload)})
			r.from.Pass(shard, e)
			return nil
		}); err != nil {
			tb.Fatal(err)
		}
		r.gone = r.gone || r.walk.Gone()
		stored := r.walk.Stored()
		if !stored || r.leaves {
			r.walk = nil
		}
		if !stored || len(r.got) > n {
			return len(r.got) > n
		}
		if r.leaves {
			r.from = Spot{Time: w.stream(r.stream).storedAt + 1}
			continue
		}
		r.from, r.walk = Spot{Time: r.walk.End()}, nil
	}
}

func (r *walker) drain(tb testing.TB, w *world, bytes int) {
	tb.Helper()
	for r.step(tb, w, bytes) {
	}
}

// Whatever happens to streams, walkers that begin anywhere come by what is kept of the
// rest, once, in the order in which it was appended, and know when something is missing.
func TestWalksAreCompleteAndInOrder(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			z := &walkWorld{world: newWorld(t), rng: rand.New(rand.NewPCG(seed, 1)), kept: map[string]bool{}}
			for range 400 {
				z.act(t)
			}
			for _, r := range z.walkers {
				z.finish(t, r)
			}
		})
	}
}

// walkWorld is a world in which everything that was ever appended is known.
type walkWorld struct {
	*world
	rng     *rand.Rand
	all     []walked // of the stream as it is now
	n       int
	walkers []*following
	kept    map[string]bool
}

// following is a walker, and where it began in all that there is.
type following struct {
	walker
	begun int // how many messages there were, or are to be left out
	reset bool
}

func (z *walkWorld) act(t *testing.T) {
	switch k := z.rng.IntN(100); {
	case k < 40:
		z.add(t)
	case k < 50:
		z.now += int64(z.rng.IntN(3))
	case k < 58:
		z.checkpoint(t)
	case k < 62:
		z.forget()
		z.crash(t)
	case k < 66 && len(z.all) > 0:
		sh := z.all[z.rng.IntN(len(z.all))]
		z.trim(t, record.StreamTrimmed{Name: "orders", Shard: sh.shard, Offset: sh.offset + uint64(z.rng.IntN(2))})
	case k < 67 && len(z.all) > 0:
		z.trim(t, record.StreamTrimmed{Name: "orders", Time: z.all[z.rng.IntN(len(z.all))].time})
	case k < 68 && z.stream("orders") != nil:
		z.remove(t, "orders")
		z.all = nil
		for _, r := range z.walkers {
			r.begun, r.reset, r.got = 0, true, nil
		}
	case k < 69:
		z.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Count: uint64(z.rng.IntN(20))}})
	case k < 75 && len(z.walkers) < 8:
		z.walkers = append(z.walkers, z.follow())
	case len(z.walkers) > 0:
		r := z.walkers[z.rng.IntN(len(z.walkers))]
		if z.rng.IntN(4) == 0 {
			r.walk = nil // another one goes on from the place
		}
		r.step(t, z.world, 1+z.rng.IntN(2000))
	}
}

// forget has walks over memory and table end, which a crash ends.
func (z *walkWorld) forget() {
	for _, r := range z.walkers {
		r.walk = nil
	}
}

// follow begins to follow the stream: at its start, its end, or between.
func (z *walkWorld) follow() *following {
	r := &following{walker: walker{stream: "orders"}}
	s := z.stream("orders")
	switch {
	case s == nil || z.rng.IntN(3) == 0:
	case z.rng.IntN(2) == 0 || len(z.all) == 0:
		r.serial, r.from, r.begun = s.Serial, Spot{Time: s.LastAt() + 1}, len(z.all)
	default:
		r.begun = z.rng.IntN(len(z.all))
		m := z.all[r.begun]
		r.serial, r.from = s.Serial, Spot{Time: m.time}
		if m.offset > 0 {
			r.from.At = []ShardSpot{{m.shard, m.offset}}
		}
	}
	return r
}

func (z *walkWorld) add(t *testing.T) {
	shard := fmt.Sprint("s", min(z.rng.IntN(12), z.rng.IntN(12)))
	a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: "orders", Shard: shard}
	for range 1 + z.rng.IntN(4) {
		z.n++
		a.Messages = append(a.Messages, encoded("", "", fmt.Sprint(z.n, string(make([]byte, z.rng.IntN(200))))))
	}
	z.append(t, a)
	sh := z.stream("orders").Shard(shard)
	for i, msg := range a.Messages {
		var m edda.StreamMessage
		if err := m.UnmarshalBinary(msg); err != nil {
			t.Fatal(err)
		}
		z.all = append(z.all, walked{"orders", shard, sh.Index, sh.End - uint64(len(a.Messages)-i), sh.LastAt, string(m.Payload)})
	}
}

// finish compares what a walker has come by with what there was.
func (z *walkWorld) finish(t *testing.T, r *following) {
	r.drain(t, z.world, 1+z.rng.IntN(2000))
	got := r.got
	if r.reset { // what came before the stream was removed is gone from the model too
		got = slices.DeleteFunc(slices.Clone(got), func(m walked) bool { return !slices.Contains(z.all, m) })
	}
	missing := 0
	for _, want := range z.all[r.begun:] {
		if len(got) > 0 && got[0] == want {
			got = got[1:]
			continue
		}
		if sh := z.stream("orders").Shard(want.shard); want.offset >= sh.First {
			t.Fatalf("message %d of shard %q is there and did not come", want.offset, want.shard)
		}
		missing++
	}
	if len(got) > 0 {
		t.Fatalf("%d messages too many, the first is %+v", len(got), got[0])
	}
	if missing > 0 && !r.gone && r.begun > 0 {
		t.Fatalf("%d messages are missing, and nothing is said of that", missing)
	}
	if missing == 0 && r.gone && !r.reset {
		t.Fatal("nothing is missing, and the contrary is said")
	}
}

// What was not there to be read when the walk came by is missed; what an error of the
// reader ends is not read on.
func TestWalkEnds(t *testing.T) {
	w := newWorld(t)
	w.put(t, "orders", "a", "b", "c")
	w.checkpoint(t)
	s := w.stream("orders")
	walk := w.m.Walk(s, Spot{Time: 1}, 0)
	w.trim(t, record.StreamTrimmed{Name: "orders", Shard: edda.DefaultShard, Offset: 2})
	w.checkpoint(t)
	n := 0
	if err := walk.Next(w.tree, 1<<20, func(_ string, _ uint32, e *Entry) error { n++; return nil }); err != nil || n != 1 || !walk.Gone() {
		t.Errorf("came by %d messages, %v, some gone %t", n, err, walk.Gone())
	}
	walk, broken := w.m.Walk(s, Spot{}, 0), errors.New("broken")
	if err := walk.Next(w.tree, 1<<20, func(string, uint32, *Entry) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	w.remove(t, "orders")
	walk = w.m.Walk(s, Spot{}, 0)
	w.checkpoint(t)
	if err := walk.Next(w.tree, 1<<20, func(string, uint32, *Entry) error { return broken }); err != nil || walk.Gone() == false {
		t.Errorf("a stream that is gone is read: %v, some gone %t", err, walk.Gone())
	}
}

// A shard with very many messages, and very many shards with one, cost what there is to
// read.
func TestWalkOverManyShards(t *testing.T) {
	for _, stored := range []bool{false, true} {
		w := newWorld(t)
		const shards, many = 10_000, 20_000
		for i := range shards {
			w.append(t, appending("orders", fmt.Sprint("s", i), ""))
			w.append(t, appending("orders", "s0", "", ""))
			w.since = nil
		}
		if stored {
			w.checkpoint(t)
		}
		r := &walker{stream: "orders"}
		r.drain(t, w, 64<<10)
		if len(r.got) != shards+many {
			t.Fatalf("came by %d messages", len(r.got))
		}
		if !slices.IsSortedFunc(r.got, func(a, b walked) int { return int(a.time - b.time) }) {
			t.Error("they are not in order")
		}
		w.append(t, appending("orders", "s77", ""))
		if walk := w.m.Walk(w.stream("orders"), r.from, 0); len(walk.left) > 2 {
			t.Errorf("at the end a walk looks at %d shards", len(walk.left))
		}
	}
}

// Releases before this one gave appends the same time.
func TestWalkOverAppendsOfOneTime(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.append(t, appending("orders", fmt.Sprint("s", i*7%10), "", ""))
		w.stream("orders").lastAt = 0
		w.now += int64(i % 10 / 9)
	}
	w.checkpoint(t)
	w.load(t)
	for _, leaves := range []bool{false, true} {
		for _, bytes := range []int{1, 300, 1 << 20} {
			r := &walker{stream: "orders", leaves: leaves}
			r.drain(t, w, bytes)
			seen := map[string]uint64{}
			for _, m := range r.got {
				if seen[m.shard] != m.offset {
					t.Fatalf("message %d of shard %s comes after message %d", m.offset, m.shard, seen[m.shard])
				}
				seen[m.shard]++
			}
			if len(r.got) != 200 || r.gone {
				t.Errorf("came by %d messages, some gone %t", len(r.got), r.gone)
			}
		}
	}
}

// A place in a stream that was removed is the start of one that is made under its name,
// although its shards have fewer messages than were behind the place.
func TestWalkFromAnOlderStream(t *testing.T) {
	for _, stored := range []bool{false, true} {
		w := newWorld(t)
		w.put(t, "orders", "a", "b", "c")
		from := Spot{Time: w.stream("orders").LastAt(), At: []ShardSpot{{edda.DefaultShard, 3}}}
		w.remove(t, "orders")
		w.now += 1000
		w.put(t, "orders", "d", "e")
		if stored {
			w.checkpoint(t)
		}
		var got []uint64
		walk := w.m.Walk(w.stream("orders"), from, 0)
		if err := walk.Next(w.tree, 1<<20, func(_ string, _ uint32, e *Entry) error { got = append(got, e.Offset); return nil }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, []uint64{0, 1}) {
			t.Errorf("stored %t: a walk from the old place has the messages %v, want 0 and 1", stored, got)
		}
	}
}
