package group

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run the random tests with this seed alone")
	seedsFlag = flag.Uint64("seeds", 0, "run the random tests with seeds up to this one")
)

// seeds calls f with each seed of the run; a failure names it. At full length the seeds
// are others each time: those that were right stay right until something changes, and the
// first ones are taken every time anyway.
func seeds(t *testing.T, n uint64, f func(t *testing.T, seed uint64)) {
	t.Helper()
	first := uint64(1)
	switch {
	case *seedFlag != 0:
		first, n = *seedFlag, *seedFlag
	case *seedsFlag != 0:
		n = *seedsFlag
	case os.Getenv("EDDA_LONG") != "":
		first = uint64(time.Now().UnixNano())
		n = first + 12*n - 1
	}
	for seed := first; seed <= n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { f(t, seed) })
		if t.Failed() {
			t.Fatalf("repeat with -run '^%s$' -seed %d", t.Name(), seed)
		}
	}
}

// gen makes records at random, most of which make sense in the world it looks at.
type gen struct {
	*rand.Rand
	w   *world
	c   *checker
	ids int
}

func newGen(t *testing.T, rng *rand.Rand) *gen {
	t.Helper()
	g := &gen{Rand: rng}
	s := setup{partitions: 2, window: window{1 + g.IntN(8), pick(g, 200, 700, 100_000), 1 + g.IntN(3)}}
	if g.chance(50) {
		s.room = 1 + g.IntN(6)
	}
	g.w = newWorld(t, s)
	g.c = newChecker(g.w)
	return g
}

func (g *gen) chance(percent int) bool { return g.IntN(100) < percent }

// pick returns one of the choices.
func pick[T any](g *gen, choices ...T) T { return choices[g.IntN(len(choices))] }

// Both streams live in the partition; far does not.
var testStreams, farStream = func() (here []string, far string) {
	for i := 0; len(here) < 2 || far == ""; i++ {
		name := fmt.Sprintf("s%d", i)
		switch hash := edda.StreamHash(edda.DefaultNamespace, name); {
		case hash>>63 != 0:
			far = name
		case len(here) < 2:
			here = append(here, name)
		}
	}
	return here, far
}()

func (g *gen) stream() string { return pick(g, testStreams...) }
func (g *gen) group() string  { return g.stream() + "/" + pick(g, "g", "h") }
func (g *gen) shard() string  { return pick(g, edda.DefaultShard, edda.DefaultShard, "eu", "us") }

func (g *gen) from() edda.From {
	switch g.IntN(5) {
	case 0:
		return edda.FromStart
	case 1:
		return edda.FromOffset(g.Uint64N(12))
	case 2:
		return edda.FromTime(time.Unix(0, g.w.now-int64(g.IntN(20))))
	default:
		return edda.FromEnd
	}
}

// make makes the next record.
func (g *gen) make() []byte {
	if g.chance(60) {
		g.w.now += int64(g.IntN(4))
	}
	rec := g.record()
	var flags record.Flags
	if g.chance(20) && rec[0] < byte(record.TypeSagaCreated) {
		flags = record.FlagStart
	}
	record.Stamp(rec, flags, g.w.now)
	return rec
}

func (g *gen) record() []byte {
	switch n := g.IntN(100); {
	case n < 5:
		return g.set()
	case n < 25:
		return g.append().AppendTo(nil)
	case n < 45:
		d := record.Dispatched{Seq: g.open(func(r *request.Request) bool { return r.Ready(g.w.now) }).Seq}
		return d.AppendTo(nil)
	case n < 66:
		return g.completed()
	case n < 74:
		return g.failed()
	case n < 76:
		r := g.open(func(r *request.Request) bool { return r.Fence != 0 })
		rel := record.Released{Seq: r.Seq, Fence: r.Fence}
		return rel.AppendTo(nil)
	case n < 79:
		e := record.Ended{Seq: g.open(nil).Seq, Failure: record.Failure{Reason: pick(g, edda.Cancelled, edda.NoService, edda.DeadlineExceeded)}}
		return e.AppendTo(nil)
	case n < 83:
		return g.letter()
	case n < 89:
		return g.advanced()
	case n < 92:
		return g.reset()
	case n < 94:
		t := record.StreamTrimmed{Namespace: edda.DefaultNamespace, Name: g.stream(), Shard: pick(g, "", g.shard()), Offset: g.Uint64N(20)}
		return t.AppendTo(nil)
	case n < 96:
		set := record.StreamSet{StreamSpec: edda.StreamSpec{
			Namespace: edda.DefaultNamespace, Name: g.stream(), Retention: edda.Retention{Count: pick(g, 0, 0, uint64(1+g.IntN(10)))},
		}}
		return set.AppendTo(nil)
	case n < 97:
		c := changed(g.group())
		return c.AppendTo(nil, record.TypeGroupRemoved)
	case n < 98 && g.chance(50):
		r := record.StreamRemoved{Namespace: edda.DefaultNamespace, Name: g.stream()}
		return r.AppendTo(nil)
	default:
		o := record.Owned{Epoch: g.w.env.Epoch + g.Uint64N(2)}
		return o.AppendTo(nil)
	}
}

func (g *gen) set() []byte {
	name := g.group()
	set := record.GroupSet{GroupSpec: spec(name, g.from())}
	s := g.w.streams.Stream(set.Namespace, set.Stream)
	known := g.w.group(name) != nil
	base, at := g.c.places(s, "", set.From)
	pos := g.w.env.Position + 1
	if !known { // what the record brings about is looked at after it
		g.c.put(pos<<serialBits, name, true, base, at)
	}
	return set.AppendTo(nil)
}

func (g *gen) reset() []byte {
	r := record.GroupReset{GroupChanged: changed(g.group()), To: g.from()}
	if g.chance(60) {
		r.Shard = g.shard()
	}
	gr := g.w.m.Group(r.Namespace, r.Stream, r.Group)
	if gr != nil && (r.Shard == "" || gr.Stream.Shard(r.Shard) != nil) {
		_, at := g.c.places(gr.Stream, r.Shard, r.To)
		g.c.put(gr.Serial, gr.Spec.Service(), r.Shard == "", 0, at)
	}
	return r.AppendTo(nil)
}

func (g *gen) message() edda.StreamMessage {
	g.ids++
	m := edda.StreamMessage{Key: pick(g, "", "k1", "k1", "k2", "k3"), Payload: fmt.Appendf(nil, "%d%s", g.ids, strings.Repeat("x", g.IntN(150)))}
	if g.chance(40) {
		m.ID = fmt.Sprintf("id-%d", g.IntN(g.ids+1))
	}
	if g.chance(30) {
		m.ReplyTo = edda.Address{Name: pick(g, testStreams[0], testStreams[1], farStream), Key: pick(g, "", "eu")}
	}
	if g.chance(20) {
		m.Time, m.CorrelationID = time.Unix(1, 0), "story"
	}
	return m
}

// append makes an append with slots for some of its messages.
func (g *gen) append() *record.StreamAppended {
	msgs := make([]edda.StreamMessage, 1+g.IntN(3)*g.IntN(4))
	var starts []record.GroupStart
	to := g.stream()
	for i := range msgs {
		msgs[i] = g.message()
		if gr := g.w.group(to + "/g"); gr != nil && g.chance(40) {
			starts = append(starts, record.GroupStart{Group: gr.Serial, Index: uint32(i)})
		}
	}
	a := appended(to+"/"+g.shard(), starts, msgs...)
	for i := range a.Messages { // those without an id of their own have one by chance
		if e := msgs[i].Envelope(); e.IdempotencyKey == "" {
			a.Messages[i] = encode(msgs[i], 1000+g.ids*16+i)
		}
	}
	return a
}

// open returns an unfinished request that fits, mostly, else some request.
func (g *gen) open(fits func(r *request.Request) bool) *request.Request {
	var all, some []*request.Request
	for r := range g.w.req.All() {
		all = append(all, r)
		if fits == nil || fits(r) {
			some = append(some, r)
		}
	}
	switch {
	case len(some) > 0 && !g.chance(5):
		return pick(g, some...)
	case len(all) > 0:
		return pick(g, all...)
	default:
		return &request.Request{Seq: g.Uint64N(1 << 16)}
	}
}

func (g *gen) completed() []byte {
	r := g.open(func(r *request.Request) bool { return r.Fence != 0 })
	c := record.Completed{Seq: r.Seq, Fence: r.Fence}
	if g.chance(5) {
		c.Fence++
	}
	// The node ends a letter that is retried after its group is gone: it leaves no state.
	if r.Delivery != nil && g.w.m.BySerial(r.Delivery.Group) != nil && g.chance(40) {
		c.Changes = []record.Change{{Name: "n", Value: fmt.Append(nil, g.ids)}}
	}
	if g.chance(12) {
		c.Failure = record.Failure{Reason: edda.Failed, Message: "final"}
	} else if g.chance(20) {
		for range 1 + g.IntN(2) {
			c.Appends = append(c.Appends, *g.append())
		}
	}
	return c.AppendTo(nil)
}

func (g *gen) failed() []byte {
	r := g.open(func(r *request.Request) bool { return r.Fence != 0 })
	a := record.AttemptFailed{Seq: r.Seq, Fence: r.Fence, Failure: record.Failure{Reason: edda.Timeout}, Uncounted: g.chance(20)}
	if g.chance(60) {
		a.RetryAt = max(1, g.w.now+int64(g.IntN(5)-2))
	}
	return a.AppendTo(nil)
}

func (g *gen) letter() []byte {
	l := record.Letter{ID: edda.ID{9}}
	if letters := g.w.letters(); len(letters) > 0 {
		l.ID = pick(g, letters...).ID
	}
	return l.AppendTo(nil, pick(g, record.TypeLetterRetried, record.TypeLetterRetried, record.TypeLetterDropped))
}

func (g *gen) advanced() []byte {
	name := g.group()
	for _, gr := range g.w.advance {
		if !gr.removed && g.chance(80) {
			name = gr.Spec.Service()
		}
	}
	g.w.advance = nil
	c := changed(name)
	return c.AppendTo(nil, record.TypeGroupAdvanced)
}

// drain has everything handled: then the groups have had every message.
func (g *gen) drain(do func()) {
	g.w.tb.Helper()
	for range 100_000 {
		rec := g.drainNext()
		if rec == nil {
			break
		}
		record.Stamp(rec, 0, g.w.now)
		if err := g.w.try(rec); err != nil {
			g.w.tb.Fatal(err)
		}
		do()
	}
	for gr := range g.w.m.All() {
		if gr.Lag() != 0 || gr.Open() != 0 || gr.Advancing() {
			g.w.tb.Fatalf("%s is left with %s", gr.Spec.Service(), g.w.whereIs(gr))
		}
		for _, c := range gr.cursors {
			if p := g.c.groups[gr.Serial].shard(c.index); len(p.open) > 0 || max(p.next, c.shard.First) < c.shard.End {
				g.w.tb.Fatalf("%s has not had all of %s: %+v", gr.Spec.Service(), c.shard.Name, p)
			}
		}
	}
}

func (g *gen) drainNext() []byte {
	g.w.now += 10
	for r := range g.w.req.All() {
		switch {
		case r.Fence != 0:
			c := record.Completed{Seq: r.Seq, Fence: r.Fence}
			return c.AppendTo(nil)
		case r.Ready(g.w.now):
			d := record.Dispatched{Seq: r.Seq}
			return d.AppendTo(nil)
		}
	}
	for gr := range g.w.m.All() {
		if gr.Advancing() {
			c := changed(gr.Spec.Service())
			return c.AppendTo(nil, record.TypeGroupAdvanced)
		}
	}
	return nil
}

// same demands that another world has the same groups.
func (w *world) same(other *world) {
	w.tb.Helper()
	show := func(w *world) (all []string) {
		for g := range w.m.All() {
			all = append(all, fmt.Sprintf("%s %d %+v %d: %s; resets %d base %d turn %d filling %t bytes %d behind %d",
				g.service, g.Serial, g.Spec, g.CreatedAt, w.whereIs(g), g.resets, g.base, g.turn, g.filling, g.bytes, g.behind.Len()))
		}
		return append(all, w.open())
	}
	if a, b := show(w), show(other); !slices.Equal(a, b) {
		w.tb.Fatalf("one world has\n%s\nthe other\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// Whatever happens, groups keep their promises (see checker), and the same records bring
// about the same whenever there is a checkpoint, a restart or a crash.
func TestRandomRecords(t *testing.T) {
	seeds(t, 40, func(t *testing.T, seed uint64) {
		t.Helper()
		g := newGen(t, rand.New(rand.NewPCG(seed, 0)))
		schedule := rand.New(rand.NewPCG(seed, 1))
		saved, reloaded, crashed := newWorld(t, g.w.setup), newWorld(t, g.w.setup), newWorld(t, g.w.setup)
		every := 2 + schedule.IntN(30)
		follow := func() {
			t.Helper()
			g.c.applied()
			g.w.check()
			rec, want := g.w.log[len(g.w.log)-1], g.w.said[len(g.w.said)-1]
			for i, w := range []*world{saved, reloaded, crashed} {
				if err := w.try(rec); err != nil {
					t.Fatal(err)
				}
				if got := w.said[len(w.said)-1]; got != want {
					t.Fatalf("world %d: record %d brings about\n%swant\n%s", i, len(w.log), got, want)
				}
			}
			if schedule.IntN(every) == 0 {
				saved.checkpoint()
			}
			if schedule.IntN(every) == 0 {
				reloaded.reload()
			}
			if schedule.IntN(every) == 0 {
				crashed.checkpoint()
			}
			if schedule.IntN(every) == 0 {
				crashed.crash()
			}
			for _, w := range []*world{saved, reloaded, crashed} {
				w.check()
				w.same(g.w)
			}
		}
		for range 100 + schedule.IntN(200) {
			if err := g.w.try(g.make()); err != nil {
				t.Fatal(err)
			}
			follow()
		}
		g.drain(follow)
		g.leaveNothing([]*world{saved, reloaded, crashed})
	})
}

// leaveNothing removes everything, and demands that nothing is left.
func (g *gen) leaveNothing(others []*world) {
	g.w.tb.Helper()
	worlds := append([]*world{g.w}, others...)
	do := func(rec []byte) {
		record.Stamp(rec, 0, g.w.now)
		for _, w := range worlds {
			if err := w.try(rec); err != nil {
				w.tb.Fatal(err)
			}
		}
	}
	for _, l := range g.w.letters() {
		drop := record.Letter{ID: l.ID}
		do(drop.AppendTo(nil, record.TypeLetterDropped))
	}
	for _, name := range testStreams {
		r := record.StreamRemoved{Namespace: edda.DefaultNamespace, Name: name}
		do(r.AppendTo(nil))
	}
	for r := range g.w.req.All() { // retried letters with a delay
		e := record.Ended{Seq: r.Seq, Failure: record.Failure{Reason: edda.Cancelled}}
		do(e.AppendTo(nil))
	}
	for i, w := range worlds {
		w.now = g.w.now + int64(48*time.Hour)
		o := record.Owned{}
		rec := o.AppendTo(nil)
		record.Stamp(rec, 0, w.now)
		if err := w.try(rec); err != nil {
			w.tb.Fatal(err)
		}
		w.check()
		w.checkpoint()
		w.checkpoint()
		if rows := w.rows("pMcdxsyYuUvwW"); len(rows) != 0 {
			w.tb.Errorf("world %d: rows are left: %s", i, strings.Join(rows, "\n"))
		}
		if m := w.m; len(m.groups)+len(m.feeds)+len(m.dirty)+len(m.moved)+len(m.removed)+w.req.Count()+w.req.Bytes() != 0 {
			w.tb.Errorf("world %d: something is left: %+v", i, m)
		}
	}
}
