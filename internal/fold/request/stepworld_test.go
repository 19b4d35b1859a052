package request

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

// told is a fake saga machine: it records what it is told, and does what the steps
// that the handler added say: "admit N ADDRESS" makes request N, an address by its
// place in testAddresses, at once if N is among the starts; "cancel N" cancels it.
type told struct {
	m    *Machine
	said []byte
}

func (s *told) StepEnded(e *record.StepEnded, starts []uint32) error {
	s.said = appendTold(s.said, e, starts)
	for _, do := range e.Added {
		var n, at int
		if _, err := fmt.Sscanf(string(do), "admit %d %d", &n, &at); err == nil {
			if err := s.admit(n, at, starts); err != nil {
				return err
			}
		} else if _, err := fmt.Sscanf(string(do), "cancel %d", &n); err == nil {
			if err := s.m.CancelStep(testID(n)); err != nil {
				return err
			}
		} else if err := s.doDelivery(string(do), starts); err != nil {
			return err
		}
	}
	return nil
}

func (s *told) admit(n, at int, starts []uint32) error {
	if known, err := s.m.Lookup(testID(n), s.m.env.Time); err != nil || known != nil || n < 0 || n > 1<<20 {
		return err
	}
	a, msg := admitted(n, at)
	if n%2 == 0 {
		a.Message = nil // it is encoded when it must be
	} else {
		msg = nil
	}
	room, err := s.m.AdmitStep(a, msg, slices.Contains(starts, uint32(n)))
	if !room {
		s.said = fmt.Appendf(s.said, "no room for r%d\n", n)
	}
	return err
}

// admitted is the request that "admit N AT" makes.
func admitted(n, at int) (*record.Accepted, *edda.Message) {
	to := testAddresses[uint(at)%uint(len(testAddresses))]
	msg := &edda.Message{ID: testID(n), Type: "m", To: to, Principal: "saga", Payload: []byte("{}")}
	a := &record.Accepted{Hash: home(testPartition), Kind: edda.Ordered, Message: mustEncode(msg), Step: testStep(n)}
	if to.Key == "" {
		a.Kind = edda.Balanced
	}
	return a, msg
}

// testStep is the step that request n is. One in three has its saga elsewhere.
func testStep(n int) *record.Step {
	s := &record.Step{Hash: home(testPartition), Saga: "s", Index: uint32(n), Undo: n%5 == 0, Run: uint64(n % 2)}
	if n%3 == 0 {
		s.Hash = home(2)
	}
	if n%4 == 0 {
		s.AttemptTimeout, s.Retry = time.Second, edda.RetryPolicy{Max: 3, Jitter: -1}
	}
	return s
}

// appendTold shows what a saga machine is told, a line each.
func appendTold(b []byte, e *record.StepEnded, starts []uint32) []byte {
	s := &e.Step
	return fmt.Appendf(b, "told %s/%s step %d undo %t run %d %s %s attempts %d reply %q pending %t added %q starts %v timeout %v\n",
		e.Namespace, s.Saga, s.Index, s.Undo, s.Run, e.State, e.Failure.Reason, e.Attempts, e.Reply, e.Pending, e.Added, starts, s.AttemptTimeout)
}

// toldEndOf is what the model tells of the end of a step, or of a delivery.
type toldEndOf struct {
	r      *modelRequest
	c      *record.Completed // if it was one
	silent bool
}

// tell tells what has ended.
func (m *model) tell() {
	for len(m.told) > 0 {
		t := m.told[0]
		m.told = m.told[1:]
		if t.r.delivery != nil {
			m.deliveryEnded(t.r)
			continue
		}
		e := &record.StepEnded{
			Namespace: t.r.To.Namespace, Step: *t.r.step, State: t.r.State, Failure: t.r.Failure, Attempts: t.r.Attempts, ID: t.r.ID,
		}
		e.Step.AttemptTimeout, e.Step.Retry = 0, edda.RetryPolicy{}
		if t.r.Reply != "" {
			e.Reply = []byte(t.r.Reply)
		}
		var starts []uint32
		if t.c != nil {
			e.Pending, e.Added, starts = t.c.Pending, t.c.Added, t.c.Starts
		}
		if to := fold.Home(t.r.step.Hash, testPartitions); to != testPartition {
			m.sent[to] = append(m.sent[to], string(e.AppendBody(nil)))
			continue
		}
		m.toldSaid = appendTold(m.toldSaid, e, starts)
		for _, do := range e.Added {
			m.do(string(do), starts)
		}
	}
}

// do does what a step that was added says.
func (m *model) do(what string, starts []uint32) {
	var n, at int
	if _, err := fmt.Sscanf(what, "admit %d %d", &n, &at); err == nil {
		if m.byID(testID(n)) != nil {
			return
		}
		if m.number >= 1023 {
			m.toldSaid = fmt.Appendf(m.toldSaid, "no room for r%d\n", n)
			return
		}
		a, msg := admitted(n, at)
		m.number++
		m.admit(m.make(a, msg, m.number), record.Failure{}, slices.Contains(starts, uint32(n)))
	} else if _, err := fmt.Sscanf(what, "cancel %d", &n); err == nil {
		m.cancelStep(testID(n))
		m.told = slices.DeleteFunc(m.told, func(t toldEndOf) bool { return t.silent })
	} else {
		m.doDelivery(what, starts)
	}
}

// cancelStep cancels the request of a step, which is silent about it.
func (m *model) cancelStep(id edda.ID) (r *modelRequest) {
	r = m.byID(id)
	if r == nil || r.step == nil || r.State.Ended() {
		return nil
	}
	if r.Fence != 0 {
		m.sayFence(Fenced, r, r.Fence)
		r.Fence = 0
	}
	f := record.Failure{Reason: edda.Cancelled, Message: "its saga was cancelled, or undone"}
	m.startOrWait(m.end(r, edda.StateCancelled, f, 0), false)
	m.told[len(m.told)-1].silent = true
	return r
}

func (m *model) stepCancelled(c *record.StepCancelled, o op) {
	m.spare(o)
	if n := c.Origin.Number; n != 0 {
		if n != m.received[c.Origin.From]+1 {
			return
		}
		m.received[c.Origin.From] = n
	}
	if m.cancelStep(c.ID) != nil {
		m.told[len(m.told)-1].silent = false
	}
}

// step makes a request one of a step, sometimes.
func (g *gen) step(a *record.Accepted, msg *edda.Message) {
	if a.GivenID || msg.IdempotencyKey != "" || a.Refused.Reason != "" || !g.chance(35) {
		return
	}
	a.Step = testStep(g.ids)
}

// ofStep says what a handler of a step may say beside.
func (g *gen) ofStep(c *record.Completed) {
	if r := g.m.find(c.Seq); r == nil || r.step == nil && !g.chance(5) {
		return
	}
	if g.chance(30) {
		c.Pending, c.Reply = true, nil
	}
	for range g.IntN(3) {
		switch {
		case g.chance(45):
			g.ofDelivery(c)
		case g.chance(70):
			c.Added = append(c.Added, fmt.Appendf(nil, "admit %d %d", g.ids, g.IntN(len(testAddresses))))
			if g.chance(50) {
				c.Starts = append(c.Starts, uint32(g.ids))
			}
			g.ids++
		default:
			c.Added = append(c.Added, fmt.Appendf(nil, "cancel %d", g.stepID()))
		}
	}
}

// stepID names a step that is open, mostly.
func (g *gen) stepID() int {
	var open []int
	for n := range g.ids {
		if r := g.m.byID(testID(n)); r != nil && r.step != nil && !r.State.Ended() {
			open = append(open, n)
		}
	}
	if len(open) == 0 || g.chance(10) {
		return g.IntN(g.ids + 1)
	}
	return pick(g, open...)
}

func (g *gen) stepCancelled() *record.StepCancelled {
	c := &record.StepCancelled{ID: testID(g.stepID())}
	if g.chance(70) {
		from := g.Uint64N(testPartitions)
		c.Origin = record.Origin{From: from, Number: max(1, g.m.received[from]+pick(g, uint64(1), 1, 1, 2, 0))}
	}
	return c
}

// foreseen is what Foresee says of a record before it is applied.
type foreseen struct {
	w    *world
	c    *record.Completed // nil for another record
	e    *record.StepEnded
	sent [testPartitions]uint64
	said int
}

func (w *world) foresee(rec []byte) (f foreseen) {
	w.tb.Helper()
	f.w, f.said = w, len(w.told.said)
	for to := range f.sent {
		f.sent[to] = w.box.Sent(uint64(to))
	}
	r, err := record.Parse(rec)
	if err != nil || r.Type != record.TypeCompleted {
		return f
	}
	var c record.Completed
	if c.Decode(r.Body) != nil {
		return f
	}
	f.c = &c
	if f.e, err = w.req.Foresee(&c); err != nil {
		w.tb.Fatalf("foresee: %v", err)
	}
	return f
}

// check compares it with what the record has sent, or told here: the end of a step, and
// nothing else, was foreseen.
func (f *foreseen) check() {
	f.w.tb.Helper()
	if f.c == nil {
		return
	}
	var got []string
	for to, sent := range f.sent {
		for _, e := range f.w.box.After(uint64(to), sent, 100) {
			got = append(got, fmt.Sprintf("%d: %s %q", to, e.Type, e.Body))
		}
	}
	told := f.w.told.said[f.said:]
	switch {
	case f.e != nil && fold.Home(f.e.Step.Hash, testPartitions) == testPartition:
		if want := appendTold(nil, f.e, f.c.Starts); len(got) > 0 || !bytes.HasPrefix(told, want) || bytes.Count(told, []byte("told ")) > 1 {
			f.w.tb.Fatalf("sent %q, told %q, foresaw that it tells %q", got, told, want)
		}
	case f.e != nil:
		want := []string{fmt.Sprintf("%d: %s %q", fold.Home(f.e.Step.Hash, testPartitions), record.TypeStepEnded, f.e.AppendBody(nil))}
		if !slices.Equal(got, want) {
			f.w.tb.Fatalf("sent %q, foresaw %q", got, want)
		}
	case (len(got) > 0 || bytes.HasPrefix(told, []byte("told "))) && len(f.c.Sends)+len(f.c.Appends) == 0:
		f.w.tb.Fatalf("sent %q, told %q, foresaw nothing", got, told)
	}
}
