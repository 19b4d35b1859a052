package request

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// modelParts are what a request of the model has yielded.
type modelParts struct {
	any         bool
	attempt     int
	fence       uint64
	first, last uint64 // first is the number before the first
	parts       []string
}

func (p *modelParts) String() string {
	if !p.any {
		return ""
	}
	return showParts(p.attempt, p.first, p.last, p.parts)
}

func showParts(attempt int, first, last uint64, parts []string) string {
	return fmt.Sprintf("%d.%d-%d %s", attempt, first, last, strings.Join(parts, " "))
}

func (m *model) part(p *record.Part, o op) {
	r := m.attempt(p.Seq, p.Fence, o)
	if r == nil {
		return
	}
	y := &r.yielded
	if y.fence != r.Fence && p.Number != 1 || y.fence == r.Fence && p.Number != uint64(len(y.parts))+1 {
		m.sayFence(Stale, r, p.Fence)
		m.spare(o)
		return
	}
	if y.fence != r.Fence {
		y.any = true
		r.renewParts()
	}
	typ := string(p.ContentType)
	if p.ContentType == nil && len(y.parts) > 0 {
		typ, _, _ = strings.Cut(y.parts[len(y.parts)-1], "=")
	}
	y.last++
	y.parts = append(y.parts, typ+"="+string(p.Payload))
	m.say(Yielded, r)
	m.spare(o)
}

// renewParts forgets what an earlier attempt than the one that runs has yielded.
func (r *modelRequest) renewParts() {
	y := &r.yielded
	if !y.any || r.Fence == 0 || y.fence == r.Fence {
		return
	}
	if y.attempt < r.Attempts {
		y.attempt, y.first = r.Attempts, 0
	} else {
		y.first = y.last + 1 // the attempt was handed back, and has this number again
	}
	y.fence, y.last, y.parts = r.Fence, y.first, nil
}

// parts returns all parts of a request as text.
func (w *world) parts(r *Request) string {
	w.tb.Helper()
	p := r.Parts()
	if p == nil {
		return ""
	}
	var texts []string
	at := p.Reset
	for at < p.Stored() { // a few bytes at a time
		some, err := ReadParts(w.tree, r.Seq, p.Attempt, at, p.Stored(), 20)
		if err != nil || len(some) == 0 {
			w.tb.Fatalf("parts of %s after %d.%d, up to %d: %v, %v", idName(r.ID), p.Attempt, at, p.Stored(), some, err)
		}
		for _, part := range some {
			at++
			texts = append(texts, part.ContentType+"="+string(part.Payload))
		}
	}
	for _, part := range p.Recent {
		at++
		texts = append(texts, part.ContentType+"="+string(part.Payload))
	}
	if at != p.Last {
		w.tb.Fatalf("parts of %s end at %d, want %d", idName(r.ID), at, p.Last)
	}
	return showParts(p.Attempt, p.Reset, p.Last, texts)
}

// part makes a part of a running attempt, mostly with the next number.
func (g *gen) part() *record.Part {
	p := &record.Part{Payload: []byte(strings.Repeat("z", g.IntN(6)))}
	p.Seq, p.Fence = g.attempt()
	p.Number = 1
	if r := g.m.find(p.Seq); r != nil && r.yielded.fence == p.Fence {
		p.Number = uint64(len(r.yielded.parts)) + 1
	}
	if g.chance(8) {
		p.Number = g.Uint64N(4)
	}
	if g.chance(40) {
		p.ContentType = []byte(pick(g, "", "text/plain", "application/json"))
	}
	return p
}

// yield adds parts to the attempt that runs.
func (w *world) yield(r *Request, payloads ...string) {
	w.tb.Helper()
	for _, payload := range payloads {
		p := record.Part{Seq: r.Seq, Fence: r.Fence, Number: r.Parts().expects(r.Fence), Payload: []byte(payload)}
		if said := w.do(op{rec: &p, time: w.env.Time}); !strings.HasPrefix(said, "yielded") {
			w.tb.Fatalf("part %q brings about %s", payload, said)
		}
	}
}

// started returns a request that runs.
func (w *world) started(n int) *Request {
	w.tb.Helper()
	accepted, _ := pair(n, "k", 0)
	w.do(accepted)
	return w.req.byID[testID(n)]
}

func (w *world) retry(r *Request) {
	w.tb.Helper()
	w.do(op{rec: &record.AttemptFailed{Seq: r.Seq, Fence: r.Fence, RetryAt: 1}, start: true, time: w.env.Time})
}

func (w *world) wantParts(r *Request, want string) {
	w.tb.Helper()
	if got := w.parts(r); got != want {
		w.tb.Errorf("parts are %q, want %q", got, want)
	}
}

// partRows counts the rows of parts, and of their expiry.
func (w *world) partRows() int {
	return len(slices.DeleteFunc(w.rows(), func(row string) bool { return row[0] != 'P' && row[0] != 'X' }))
}

// The parts of an attempt make room for those of the next when that yields its
// first, in the table too.
func TestPartsOfEarlierAttemptsGo(t *testing.T) {
	w := newWorld(t)
	r := w.started(1)
	w.yield(r, "a", "b")
	w.checkpoint()
	w.yield(r, "c")
	w.wantParts(r, "1.0-3 =a =b =c")
	w.retry(r)
	w.wantParts(r, "1.0-3 =a =b =c")
	if w.checkpoint(); w.partRows() != 3 {
		t.Errorf("%d rows, want 3", w.partRows())
	}
	w.yield(r, "d")
	w.wantParts(r, "2.0-1 =d")
	if w.checkpoint(); w.partRows() != 1 {
		t.Errorf("%d rows, want 1", w.partRows())
	}
	w.wantParts(r, "2.0-1 =d")
}

// A request that ends in an attempt without parts has none, and that they are
// void can be seen.
func TestOutcomeDropsPartsOfEarlierAttempts(t *testing.T) {
	w := newWorld(t)
	r := w.started(1)
	w.yield(r, "a", "b")
	w.checkpoint()
	w.retry(r)
	w.do(op{rec: &record.Completed{Seq: r.Seq, Fence: r.Fence, Reply: encodeReply(&edda.Reply{}), KeepUntil: 1000}, time: w.env.Time})
	w.wantParts(r, "2.0-0 ")
	if w.checkpoint(); w.partRows() != 1 {
		t.Errorf("%d rows, want that of the expiry alone", w.partRows())
	}
}

// An attempt that was handed back has its number again, but no part has a number
// that another part had.
func TestPartsOfAnAttemptHandedBack(t *testing.T) {
	w := newWorld(t)
	r := w.started(1)
	w.yield(r, "a", "b")
	w.do(op{rec: &record.Released{Seq: r.Seq, Fence: r.Fence}, start: true, time: w.env.Time})
	w.wantParts(r, "1.0-2 =a =b")
	w.yield(r, "c")
	w.wantParts(r, "1.3-4 =c")
	w.crash()
	w.wantParts(w.req.byID[r.ID], "1.3-4 =c")
}

// Parts live as long as the outcome, also through a dead letter and its retry.
func TestPartsLiveAsLongAsTheOutcome(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		w := newWorld(t)
		save := func() {
			if checkpoint {
				w.checkpoint()
			}
		}
		r := w.started(1)
		for n := range 40 {
			w.yield(r, fmt.Sprint(n))
		}
		save()
		w.do(op{rec: &record.AttemptFailed{Seq: r.Seq, Fence: r.Fence}, time: w.env.Time})
		save()
		letter := func() *Request {
			t.Helper()
			r, err := w.req.Lookup(testID(1), w.env.Time)
			if err != nil || r == nil || r.Parts() == nil {
				t.Fatalf("checkpoint %t: got %+v, %v, want a request with parts", checkpoint, r, err)
			}
			return r
		}
		if p := letter().Parts(); p.Last != 40 {
			t.Errorf("checkpoint %t: %d parts, want 40", checkpoint, p.Last)
		}
		w.do(op{rec: &record.Letter{ID: testID(1)}, typ: record.TypeLetterRetried, start: true, time: w.env.Time})
		save()
		r = w.req.byID[testID(1)]
		w.yield(r, "again")
		save()
		w.do(op{rec: &record.Completed{Seq: r.Seq, Fence: r.Fence, Reply: encodeReply(&edda.Reply{}), KeepUntil: 1000}, time: w.env.Time})
		w.wantParts(letter(), "2.0-1 =again")
		w.checkpoint()
		w.wantParts(letter(), "2.0-1 =again")
		w.do(op{rec: &record.Owned{}, time: 1000})
		if w.checkpoint(); w.partRows() != 0 {
			t.Errorf("checkpoint %t: %d rows are left after the end", checkpoint, w.partRows())
		}
	}
}

// The parts of a request of which nothing is kept go when it ends; what never
// was in the table costs the table nothing.
func TestPartsOfARequestThatIsNotKept(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		w := newWorld(t)
		r := w.started(1)
		for n := range 20 {
			w.yield(r, fmt.Sprint(n))
		}
		if checkpoint {
			w.checkpoint()
		}
		w.do(op{rec: &record.Completed{Seq: r.Seq, Fence: r.Fence, Reply: encodeReply(&edda.Reply{})}, time: w.env.Time})
		if p := r.Parts(); !p.Lost || p.Recent != nil {
			t.Errorf("checkpoint %t: got %+v, want the parts lost", checkpoint, p)
		}
		if got, want := w.changes(), 2; !checkpoint && got != want {
			t.Errorf("a checkpoint has %d changes, want %d: fence and time", got, want)
		}
		if w.checkpoint(); w.partRows() != 0 {
			t.Errorf("checkpoint %t: %d rows are left", checkpoint, w.partRows())
		}
	}
}

// What a checkpoint has written is not in memory any more.
func TestPartsInMemoryAreBounded(t *testing.T) {
	w := newWorld(t)
	r := w.started(1)
	before := w.req.Bytes()
	w.yield(r, strings.Repeat("x", 1000))
	if got := w.req.Bytes() - before; got < 1000 {
		t.Errorf("a part of 1,000 bytes counts as %d", got)
	}
	w.checkpoint()
	if got := w.req.Bytes(); got > overhead || r.Parts().Recent != nil {
		t.Errorf("%d bytes are in memory after a checkpoint, %d parts", got, len(r.Parts().Recent))
	}
	w.check()
}

// A part with an old fence, or out of turn, changes nothing.
func TestPartsAreFenced(t *testing.T) {
	w := newWorld(t)
	r := w.started(1)
	w.yield(r, "a")
	old := r.Fence
	w.retry(r)
	for _, p := range []record.Part{
		{Seq: r.Seq, Fence: old, Number: 2}, {Seq: r.Seq, Fence: r.Fence, Number: 2}, {Seq: r.Seq, Fence: r.Fence},
		{Seq: r.Seq + 1, Fence: r.Fence, Number: 1}, {Seq: r.Seq, Number: 1},
	} {
		if said := w.do(op{rec: &p, start: true, time: w.env.Time}); !strings.HasPrefix(said, "stale") || !strings.HasSuffix(said, "spare\n") {
			t.Errorf("%+v brings about %q, want stale and a spare slot", p, said)
		}
	}
	w.wantParts(r, "1.0-1 =a")
	w.yield(r, "b")
	again := record.Part{Seq: r.Seq, Fence: r.Fence, Number: 1, Payload: []byte("b")}
	if said := w.do(op{rec: &again, time: w.env.Time}); !strings.HasPrefix(said, "stale") {
		t.Errorf("the same part again brings about %q, want stale", said)
	}
	w.wantParts(r, "2.0-1 =b")
}

// A row that makes no sense is refused.
func TestPartsOfARowAreChecked(t *testing.T) {
	bad := appendParts(nil, qParts, &Parts{Attempt: 1, Reset: 3, Last: 2})
	if _, err := readRow(append((&Request{State: edda.Accepted}).row(), bad...)); err == nil {
		t.Error("parts that end before they begin are read")
	}
	if got := (*Parts)(nil).expects(3); got != 1 {
		t.Errorf("the first part has number %d, want 1", got)
	}
}

// Parts count as what is kept of a request, and go with the body of its reply.
func TestPartsOverTheLimitGoWithTheReply(t *testing.T) {
	w := newWorld(t)
	w.req.LimitKept(1000)
	for n := range 5 {
		r := w.started(n)
		w.yield(r, strings.Repeat("a", 150), strings.Repeat("b", 150))
		w.do(op{rec: &record.Completed{Seq: r.Seq, Fence: r.Fence, Reply: encodeReply(&edda.Reply{}), KeepUntil: int64(1000 + n)}, time: w.env.Time})
		w.checkpoint()
	}
	w.checkpoint()
	w.crash()
	for n := range 5 {
		r, err := w.req.Lookup(testID(n), w.env.Time)
		if err != nil || r == nil {
			t.Fatalf("request %d is %+v, %v", n, r, err)
		}
		p := r.Parts()
		if lost := n < 2; p == nil || p.Lost != lost || p.Last != 2 {
			t.Errorf("the parts of request %d are %+v, want lost: %t", n, p, lost)
		} else if !lost {
			w.wantParts(r, "1.0-2 ="+strings.Repeat("a", 150)+" ="+strings.Repeat("b", 150))
		}
	}
	if got := w.partRows(); got != 3*2+5 {
		t.Errorf("%d rows, want those of three requests and five of expiry", got)
	}
	w.do(op{rec: &record.Owned{}, time: 1 << 40})
	w.checkpoint()
	if got := w.partRows(); got != 0 || w.req.kept.bytes != 0 {
		t.Errorf("%d rows and %d bytes are left after all have expired", got, w.req.kept.bytes)
	}
}
