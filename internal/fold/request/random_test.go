package request

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
		f(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d: repeat with -run '^%s$' -seed %d", seed, t.Name(), seed)
		}
	}
}

// gen makes records at random, most of which make sense after those before.
type gen struct {
	*rand.Rand
	m    *model
	ids  int // made so far
	time int64
}

func newGen(seed uint64) *gen {
	return &gen{Rand: rand.New(rand.NewPCG(seed, 0)), m: newModel(), time: 1000}
}

func (g *gen) chance(percent int) bool { return g.IntN(100) < percent }

// pick returns one of the choices.
func pick[T any](g *gen, choices ...T) T { return choices[g.IntN(len(choices))] }

// next makes the next record and applies it to the model.
func (g *gen) next() (op, string) {
	o := op{start: g.chance(40)}
	if g.chance(70) {
		g.time += int64(g.IntN(5))
	}
	o.time = g.time
	if g.chance(3) {
		o.time -= 10 // a clock that goes back
	}
	switch n := g.IntN(116); {
	case n < 30:
		a, msg := g.accepted()
		o.rec, o.msg = a, msg
	case n < 48:
		o.rec = &record.Dispatched{Seq: g.seq(func(r *modelRequest) bool { return g.m.ready(r) })}
	case n < 66:
		o.rec = g.completed()
	case n < 76:
		o.rec = g.failed()
	case n < 81:
		o.rec = &record.Ended{
			Seq: g.seq(nil), KeepUntil: g.keepUntil(),
			Failure: record.Failure{Reason: pick(g, edda.Cancelled, edda.DeadlineExceeded, edda.NoService), Message: "ended"},
		}
	case n < 86:
		o.rec = &record.Due{Seq: g.seq(func(r *modelRequest) bool { return !r.Queued })}
	case n < 89:
		seq, fence := g.attempt()
		o.rec = &record.Released{Seq: seq, Fence: fence}
	case n < 94:
		o.typ = pick(g, record.TypeLetterRetried, record.TypeLetterRetried, record.TypeLetterDropped)
		o.rec = &record.Letter{ID: g.letter(), KeepUntil: g.keepUntil()}
	case n < 96:
		o.rec = &record.KeyResumed{Address: g.stopped()}
	case n < 98:
		to := g.Uint64N(testPartitions)
		o.rec = &record.OutboxAcked{To: to, Number: g.Uint64N(uint64(len(g.m.sent[to])) + 1)}
	case n < 99:
		o.rec = &record.Owned{Epoch: g.m.epoch + g.Uint64N(2), Node: "n"}
	case n >= 112:
		o.rec = g.stepCancelled()
	case n >= 100:
		o.rec = g.part()
	default:
		o.typ = record.TypeServicePaused
		o.rec = &record.ServiceChanged{Address: edda.Address{Namespace: edda.DefaultNamespace, Name: "a"}}
	}
	return o, g.m.apply(o)
}

func (g *gen) keepUntil() int64 {
	switch g.IntN(4) {
	case 0:
		return 0
	case 1:
		return g.m.time + int64(g.IntN(4))
	default:
		return g.m.time + int64(g.IntN(60))
	}
}

var testAddresses = []edda.Address{
	{Namespace: "default", Name: "a", Key: "1"},
	{Namespace: "default", Name: "a", Key: "2"},
	{Namespace: "default", Name: "b", Key: "1"},
	{Namespace: "other", Name: "a", Key: "1"},
	{Namespace: "default", Name: "w"}, // balanced
}

// message makes a request's message and what is recorded of it.
func (g *gen) message(hash uint64) (*record.Accepted, *edda.Message) {
	msg := &edda.Message{
		ID: testID(g.ids), Type: pick(g, "m", "n"), To: pick(g, testAddresses...), Principal: pick(g, edda.Anonymous, "bob"),
		Payload: []byte(strings.Repeat("x", g.IntN(20))), CorrelationID: pick(g, "", "story"),
	}
	a := &record.Accepted{Hash: hash, Kind: edda.Ordered, Keep: g.chance(50)}
	if msg.To.Key == "" {
		a.Kind = edda.Balanced
	}
	if g.ids > 0 && g.chance(15) {
		msg.ID, a.GivenID = testID(g.IntN(g.ids)), true
		if old := g.m.byID(msg.ID); old != nil && g.chance(70) {
			msg.To, msg.Principal, a.Kind = old.To, old.Principal, old.Kind
		}
	} else {
		g.ids++
		a.GivenID = g.chance(30)
	}
	if g.chance(30) {
		msg.IdempotencyKey = pick(g, "k1", "k2")
		a.Fingerprint = []byte(pick(g, "f1", "f1", "f1", "f2"))
	}
	if g.chance(20) {
		msg.Due = time.Unix(0, g.m.time+int64(g.IntN(12)-2)).UTC()
	}
	if g.chance(10) {
		msg.Deadline = time.Unix(0, g.m.time+50).UTC()
	}
	if g.step(a, msg); a.Step == nil && g.chance(4) {
		a.Refused = record.Failure{Reason: edda.NoService, Message: "gone"}
	}
	a.Message = mustEncode(msg)
	return a, msg
}

func (g *gen) accepted() (*record.Accepted, *edda.Message) {
	a, msg := g.message(home(testPartition))
	if g.chance(15) {
		from := g.Uint64N(testPartitions)
		a.Origin = record.Origin{From: from, Number: g.m.received[from] + pick(g, uint64(1), 1, 1, 2)}
		if g.chance(20) {
			a.Origin.Number = max(1, g.m.received[from])
		}
	}
	if g.chance(10) && msg.Principal == edda.Anonymous {
		msg.Principal = "" // as a caller may leave it
	}
	return a, msg
}

// seq names an unfinished request that fits, mostly.
func (g *gen) seq(fits func(r *modelRequest) bool) uint64 {
	var open []*modelRequest
	for _, r := range g.m.all {
		if !r.State.Ended() && (fits == nil || fits(r)) {
			open = append(open, r)
		}
	}
	if len(open) == 0 || g.chance(8) {
		if len(g.m.all) > 0 && g.chance(80) {
			return pick(g, g.m.all...).Seq
		}
		return g.Uint64N(1 << 14)
	}
	return pick(g, open...).Seq
}

// attempt names a running attempt, mostly.
func (g *gen) attempt() (seq, fence uint64) {
	seq = g.seq(func(r *modelRequest) bool { return r.Fence != 0 })
	if r := g.m.find(seq); r != nil && r.Fence != 0 && !g.chance(8) {
		return seq, r.Fence
	}
	if g.m.fence > 0 {
		fence = g.m.fence - g.Uint64N(min(g.m.fence+1, 4))
	}
	return seq, fence
}

func (g *gen) completed() *record.Completed {
	c := &record.Completed{KeepUntil: g.keepUntil()}
	c.Seq, c.Fence = g.attempt()
	if g.chance(10) {
		c.Failure = record.Failure{Reason: "NO_FUNDS", Message: "final"}
		return c
	}
	c.Reply = encodeReply(&edda.Reply{
		Status: pick(g, 0, 200, 404), ContentType: pick(g, "", "text/plain", "application/json"),
		Payload: []byte(strings.Repeat("y", g.IntN(8))), Headers: edda.Headers{{Name: "A", Value: "b"}},
	})
	for range g.IntN(3) {
		ch := record.Change{Name: pick(g, "n1", "n2", "n3", "n4")}
		if g.chance(70) {
			ch.Value = []byte(pick(g, "", "v1", "v2"))
		}
		if !slices.ContainsFunc(c.Changes, func(o record.Change) bool { return o.Name == ch.Name }) {
			c.Changes = append(c.Changes, ch)
		}
	}
	if g.chance(30) {
		for range g.IntN(3) {
			a, _ := g.message(home(pick(g, testPartition, testPartition, g.Uint64N(testPartitions))))
			c.Sends = append(c.Sends, *a)
		}
	}
	g.ofStep(c)
	return c
}

func (g *gen) failed() *record.AttemptFailed {
	a := &record.AttemptFailed{Failure: record.Failure{Reason: edda.Failed, Message: "boom"}, Uncounted: g.chance(15)}
	a.Seq, a.Fence = g.attempt()
	if g.chance(30) {
		a.Seq, a.Fence = g.seq(func(r *modelRequest) bool { return r.step != nil && g.m.ready(r) }), 0
	}
	if g.chance(60) {
		a.RetryAt = max(1, g.m.time+int64(g.IntN(8)-2))
	} else {
		a.Then = pick(g, record.ThenContinue, record.ThenStopKey, record.ThenPause)
	}
	return a
}

func (g *gen) letter() edda.ID {
	var ids []edda.ID
	for _, r := range g.m.all {
		if r.Letter {
			ids = append(ids, r.ID)
		}
	}
	if len(ids) == 0 || g.chance(10) {
		return testID(g.IntN(g.ids + 1))
	}
	return pick(g, ids...)
}

func (g *gen) stopped() edda.Address {
	for _, a := range allLanes() {
		if g.m.stopped[a] {
			return a
		}
	}
	return pick(g, testAddresses...)
}

// finish makes the records after which nothing is left to keep.
func (g *gen) finish(each func(o op, want string)) {
	do := func(o op) {
		o.time = g.time
		each(o, g.m.apply(o))
	}
	for _, a := range allLanes() {
		if g.m.stopped[a] {
			do(op{rec: &record.KeyResumed{Address: a}})
		}
	}
	for _, r := range slices.Clone(g.m.all) {
		if !r.State.Ended() {
			do(op{rec: &record.Ended{Seq: r.Seq, Failure: record.Failure{Reason: edda.Cancelled}, KeepUntil: g.keepUntil()}})
		}
		if r.Letter {
			do(op{rec: &record.Letter{ID: r.ID, KeepUntil: g.keepUntil()}, typ: record.TypeLetterDropped})
		}
	}
	for to := range uint64(testPartitions) {
		do(op{rec: &record.OutboxAcked{To: to, Number: uint64(len(g.m.sent[to]))}})
	}
	g.time += 1000
	do(op{rec: &record.Owned{Epoch: g.m.epoch + 1}})
}

// The same records bring about the same, and leave the same state, whenever
// there is a checkpoint, a reload from the table, a crash or a hint; and both
// are what the model says.
func TestRandomRecordsFollowTheModel(t *testing.T) {
	seeds(t, 60, func(t *testing.T, seed uint64) {
		t.Helper()
		g := newGen(seed)
		schedule := rand.New(rand.NewPCG(seed, 1))
		plain, hinted, saved, reloaded, crashed := newWorld(t), newWorld(t), newWorld(t), newWorld(t), newWorld(t)
		worlds := []*world{plain, hinted, saved, reloaded, crashed}
		every := 2 + schedule.IntN(30)
		step := func(o op, want string) {
			t.Helper()
			rec := o.encode()
			for i, w := range worlds {
				hint := o.msg
				if w == plain || w == crashed {
					hint = nil
				}
				if got := w.apply(rec, hint); got != want {
					t.Fatalf("seed %d: world %d: record %d %s brings about\n%swant\n%s", seed, i, len(w.log), describe(o), got, want)
				}
			}
			if schedule.IntN(every) == 0 {
				saved.checkpoint()
			}
			if schedule.IntN(every) == 0 {
				reloaded.checkpoint()
				reloaded.load()
			}
			if schedule.IntN(every) == 0 {
				crashed.checkpoint()
			}
			if schedule.IntN(every) == 0 {
				crashed.crash()
			}
			for i, w := range worlds {
				w.check()
				if err := g.m.compare(w, g.ids); err != nil {
					t.Fatalf("seed %d: world %d: after record %d %s: %v", seed, i, len(w.log), describe(o), err)
				}
			}
		}
		for range 40 + schedule.IntN(80) {
			step(g.next())
		}
		g.finish(step)
		checkLeftovers(t, worlds)
	})
}

// checkLeftovers checks that nothing is kept of requests that are forgotten, and
// that all tables hold the same.
func checkLeftovers(t *testing.T, worlds []*world) {
	t.Helper()
	for i, w := range worlds {
		w.checkpoint()
		w.checkpoint() // what expired is seen by the next one
		for _, row := range w.rows() {
			if strings.ContainsRune("pMcixdqoPX", rune(row[0])) {
				t.Errorf("world %d: row %s is left", i, row)
			}
		}
		if got, want := w.rows(), worlds[0].rows(); !slices.Equal(got, want) {
			t.Errorf("world %d has the rows\n%s\nwant\n%s", i, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if m := w.req; len(m.open)+len(m.byID)+len(m.keys)+len(m.scope)+len(m.gone)+len(m.keyRows)+len(m.dirty)+len(m.ended)+
			len(m.dropped)+len(m.partRows)+m.bytes != 0 {
			t.Errorf("world %d: the machine still holds something: %+v", i, m)
		}
	}
}

func describe(o op) string {
	s := fmt.Sprintf("%T %+v start %t time %d", o.rec, o.rec, o.start, o.time)
	if o.msg != nil {
		s += " " + idName(o.msg.ID) + " to " + o.msg.To.String()
	}
	return s
}
