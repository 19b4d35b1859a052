package stream

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

var (
	randomSeed  = flag.Uint64("random.seed", 0, "the only seed that TestRandom takes")
	randomSeeds = flag.Uint64("random.seeds", 60, "how many seeds TestRandom takes")
)

// The names of what there may be.
var (
	randomStreams = []string{"orders", atHome("orders-"), atHome("o")}
	randomShards  = []string{edda.DefaultShard, "eu", "us"}

	randomProducers = []string{"relay", "import"}
)

// atHome returns a name that begins so, of a stream in the world's partition.
func atHome(prefix string) string {
	for n := 0; ; n++ {
		name := fmt.Sprint(prefix, n)
		if fold.Home(edda.StreamHash(edda.DefaultNamespace, name), testPartitions) == testHome {
			return name
		}
	}
}

// walk is a random walk.
type walk struct {
	*world
	model *model
	rng   *rand.Rand
	ids   []string // that were ever given
	stale []staleView
	sent  uint64 // by partition 3
}

// staleView is a view that was taken some time ago.
type staleView struct {
	View
	stream string
	shard  string
	serial uint64
	want   []Entry // from the view's first offset on
}

// Streams in all ways of use are at every step what the plain model says.
func TestRandom(t *testing.T) {
	from, to := uint64(1), *randomSeeds
	if *randomSeed != 0 {
		from, to = *randomSeed, *randomSeed
	}
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomWalk(t, seed, 120) })
	}
}

func randomWalk(t *testing.T, seed uint64, steps int) {
	t.Helper()
	w := &walk{world: newWorld(t), model: &model{streams: map[string]*modelStream{}, gone: map[string]int64{}}, rng: rand.New(rand.NewPCG(seed, 1))}
	w.marks = int(seed % 4) // so few that history is searched in all ways
	w.bytes = []int{1, 150, rowBytes}[seed/4%3]
	w.load(t)
	for step := range steps {
		before := w.now
		if w.rng.IntN(3) > 0 {
			w.now += int64(w.rng.ExpFloat64() * float64(20*time.Second))
		}
		w.step(t)
		if t.Failed() {
			t.Fatalf("at step %d, seed %d, %s after the one before", step, seed, time.Duration(w.now-before))
		}
		w.model.check(t, w.world, w.ids)
		w.readStale(t)
	}
}

func (w *walk) step(t *testing.T) {
	t.Helper()
	name := pick(w.rng, randomStreams)
	position := w.env.Position + 1
	switch n := w.rng.IntN(100); {
	case n < 50:
		a := w.randomAppend(name)
		w.want(t, w.append(t, a), w.model.append(a, Refused, position, w.now, new(uint64)))
	case n < 55:
		w.sent++
		a := w.randomAppend(name)
		a.Origin = record.Origin{From: 3, Number: w.sent}
		w.want(t, w.append(t, a), w.model.append(a, Dropped, position, w.now, new(uint64)))
		w.want(t, w.append(t, a), nil) // it has come before
	case n < 61:
		w.outcome(t, position)
	case n < 69:
		spec := w.randomSpec(name)
		want := w.model.set(spec, position, w.now)
		if s := w.model.streams[name]; want[0].Kind == Changed {
			for _, sh := range s.shards {
				sh.retain(spec.Retention, w.now)
			}
		}
		w.want(t, w.set(t, spec), want)
	case n < 76:
		trim := w.randomTrim(name)
		w.want(t, w.trim(t, trim), w.model.trim(&trim))
	case n < 79:
		w.want(t, w.remove(t, name), w.model.remove(name, w.now))
	case n < 82:
		w.expire(t)
	case n < 92:
		w.checkpoint(t)
	case n < 95:
		w.batch(t)
		w.crash(t)
	default:
		w.crash(t)
	}
	if s := w.stream(name); s != nil && w.rng.IntN(4) == 0 {
		w.takeView(s)
	}
}

func pick[T any](rng *rand.Rand, of []T) T { return of[rng.IntN(len(of))] }

func (w *walk) want(t *testing.T, got, want []Effect) {
	t.Helper()
	if got := plain(got); !slices.EqualFunc(got, want, sameEffect) {
		t.Errorf("effects are\n%+v, want\n%+v", got, want)
	}
}

func (w *walk) randomAppend(name string) *record.StreamAppended {
	a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: name, Shard: pick(w.rng, randomShards)}
	for range 1 + int(w.rng.ExpFloat64()*2) {
		id := ""
		switch n := w.rng.IntN(10); {
		case n < 2 && len(w.ids) > 0:
			id = pick(w.rng, w.ids)
		case n < 5:
			id = fmt.Sprint("id-", w.rng.IntN(60))
			if !slices.Contains(w.ids, id) {
				w.ids = append(w.ids, id)
			}
		}
		a.Messages = append(a.Messages, encoded(id, "k", string(make([]byte, w.rng.IntN(100)))))
	}
	if w.rng.IntN(2) == 0 {
		w.number(a)
	}
	if s := w.model.streams[name]; w.rng.IntN(4) == 0 {
		end := uint64(0)
		if s != nil && s.shard(a.Shard) != nil {
			end = s.shard(a.Shard).end()
		}
		a.Expect = pick(w.rng, []uint64{1, end + 1, end + 2, end})
	}
	return a
}

// number has a producer number an append, beginning somewhere around its last number.
func (w *walk) number(a *record.StreamAppended) {
	a.Producer = pick(w.rng, randomProducers)
	n := uint64(0)
	if s := w.model.streams[a.Stream]; s != nil {
		if last := s.shard(a.Shard).lastOf(a.Producer).Number; last > 0 && w.rng.IntN(8) > 0 {
			n = last - min(last, uint64(w.rng.IntN(4)))
		}
	}
	for range a.Messages {
		n += 1 + uint64(w.rng.ExpFloat64()/2)
		a.Numbers = append(a.Numbers, n)
	}
}

// outcome is a handler that appends several times.
func (w *walk) outcome(t *testing.T, position uint64) {
	t.Helper()
	c := record.Completed{Seq: 1}
	var want []Effect
	count := uint64(0)
	for range 1 + w.rng.IntN(3) {
		a := w.randomAppend(pick(w.rng, randomStreams))
		want = append(want, w.model.append(a, Dropped, position, w.now, &count)...)
		c.Appends = append(c.Appends, *a)
	}
	w.want(t, w.apply(t, c.AppendTo(nil)), want)
}

func (w *walk) randomSpec(name string) edda.StreamSpec {
	s := edda.StreamSpec{Namespace: edda.DefaultNamespace, Name: name}
	if w.rng.IntN(3) == 0 {
		s.Retention.Count = uint64(1 + w.rng.IntN(20))
	}
	if w.rng.IntN(3) == 0 {
		s.Retention.Bytes = uint64(1 + w.rng.IntN(1500))
	}
	if w.rng.IntN(3) == 0 {
		s.Retention.Age = time.Duration(1 + w.rng.Int64N(int64(3*time.Minute)))
	}
	if w.rng.IntN(2) == 0 {
		s.Dedupe = time.Duration(1 + w.rng.Int64N(int64(5*time.Minute)))
	}
	if w.rng.IntN(4) == 0 {
		s.Shards = slices.Clone(randomShards[:1+w.rng.IntN(len(randomShards))])
	}
	return s
}

func (w *walk) randomTrim(name string) record.StreamTrimmed {
	t := record.StreamTrimmed{Namespace: edda.DefaultNamespace, Name: name}
	if w.rng.IntN(2) == 0 {
		t.Shard = pick(w.rng, randomShards)
	}
	if w.rng.IntN(2) == 0 {
		t.Offset = uint64(w.rng.IntN(60))
	}
	if w.rng.IntN(2) == 0 {
		t.Time = w.now - w.rng.Int64N(int64(5*time.Minute))
	}
	return t
}

// expire does what the partition's loop does with what has become too old.
func (w *walk) expire(t *testing.T) {
	t.Helper()
	at := w.m.NextExpiry()
	if at == 0 || at > w.now+int64(10*time.Minute) {
		return
	}
	w.now = max(w.now, at)
	records := w.m.Expired(w.now)
	if at := w.m.NextExpiry(); at != 0 && at <= w.now {
		t.Errorf("after what has expired was asked for, something still has")
	}
	if w.rng.IntN(4) == 0 {
		return // nobody proposes them
	}
	for i := range records {
		if w.model.streams[records[i].Name] == nil {
			t.Fatalf("what there is not has expired: %+v", records[i])
		}
		w.want(t, w.apply(t, records[i].AppendTo(nil)), w.model.trim(&records[i]))
	}
}

func (w *walk) takeView(s *Stream) {
	sh := s.Shard(pick(w.rng, randomShards))
	v := staleView{View: w.m.View(s, sh), stream: s.Spec.Name, serial: s.Serial}
	if sh != nil {
		v.shard = sh.Name
		v.want = slices.Clone(w.model.streams[v.stream].shard(sh.Name).kept())
	}
	if w.stale = append(w.stale, v); len(w.stale) > 6 {
		w.stale = w.stale[1:]
	}
}

// readStale reads old views: what they return was there and has no gap, and what they
// leave out at the beginning has been trimmed.
func (w *walk) readStale(t *testing.T) {
	t.Helper()
	for i := range w.stale {
		v := &w.stale[i]
		from, n, size := v.First+uint64(w.rng.IntN(12)), 1+w.rng.IntN(20), 1+w.rng.IntN(500)
		entries, next, err := v.Read(w.tree, from, n, size)
		if err != nil || len(entries) > n {
			t.Fatalf("read %d messages of at most %d: %v", len(entries), n, err)
		}
		at := max(from, v.First)
		gone := v.End // nothing before it need be there
		if s := w.model.streams[v.stream]; s != nil && s.serial == v.serial {
			gone = min(v.End, w.firstOf(s, v.shard))
		}
		for i, e := range entries {
			if i == 0 && e.Offset > at && e.Offset <= gone {
				at = e.Offset
			}
			if e.Offset != at || !sameEntry(e, v.want[e.Offset-v.First]) {
				t.Fatalf("message %d is %+v, want offset %d", i, e, at)
			}
			if size -= len(e.Message); size < 0 && i > 0 {
				t.Fatalf("%d messages have more bytes than asked for", len(entries))
			}
			at++
		}
		switch {
		case len(entries) > 0 && next != at, len(entries) == 0 && from < v.End && next != v.End, from >= v.End && next != from:
			t.Fatalf("%d messages from %d on, next is %d, the view has %d to %d", len(entries), from, next, v.First, v.End)
		case len(entries) == 0 && from < v.End && gone < v.End:
			t.Fatalf("no messages from %d on, the view has %d to %d, those from %d on are there", from, v.First, v.End, gone)
		}
		w.offsetAt(t, v)
	}
}

func (w *walk) firstOf(s *modelStream, shard string) uint64 {
	if sh := s.shard(shard); sh != nil {
		return sh.first
	}
	return 0
}

// offsetAt looks for a time in an old view. What was trimmed since may be passed over.
func (w *walk) offsetAt(t *testing.T, v *staleView) {
	t.Helper()
	time := w.now - w.rng.Int64N(int64(3*time.Minute))
	got, err := v.OffsetAt(w.tree, time)
	want := v.First
	for _, e := range v.want {
		if e.Time < time {
			want++
		}
	}
	gone := v.First
	if s := w.model.streams[v.stream]; s == nil || s.serial != v.serial {
		gone = v.End
	} else {
		gone = max(gone, min(v.End, w.firstOf(s, v.shard)))
	}
	if err != nil || got < want || got > max(want, gone) {
		t.Fatalf("at %d is offset %d, %v, want %d; those before %d may be gone", time, got, err, want, gone)
	}
}
