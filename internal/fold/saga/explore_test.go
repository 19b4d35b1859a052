package saga_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
)

// budget bounds what could be done for ever, or multiplies what is to be explored
// without showing anything new.
type budget struct {
	calls    int // that finish a step which has a handler
	pendings int // steps left pending
	adds     int
	retries  int
	cancels  int // kinds of cancelling: by a person, by the deadline
}

// node is a state that was reached, as what has led there.
type node struct {
	log  [][]byte
	path []string
	h    history
	d    distance
	left budget
	// stale are the outcomes of attempts that were fenced: they may come yet.
	stale []record.Completed
}

func (n *node) clone() *node {
	c := *n
	c.log, c.path, c.h, c.stale = slices.Clip(n.log), slices.Clip(n.path), slices.Clip(n.h), slices.Clip(n.stale)
	c.d = n.d.clone()
	return &c
}

// explorer tries every order of whatever can happen to one saga.
type explorer struct {
	tb      testing.TB
	how     memory
	reserve bool // slots for steps
	seen    map[string]bool
	most    int  // nodes
	blind   bool // nothing is judged for now
	nodes   int
	edges   int
}

// action is something that may happen.
type action struct {
	name string
	bad  bool // it makes the saga fail, or a compensation
	do   func(x *explorer, p *place, n *node)
}

// explore visits every state that a saga can come into.
func (x *explorer) explore(spec *edda.SagaSpec, left budget) {
	x.seen = map[string]bool{}
	p := newPlace(x.tb, x.how)
	n := &node{left: left}
	x.create(p, n, spec)
	x.visit(n, x.actions(p, n))
}

func (x *explorer) visit(n *node, actions []action) {
	x.nodes++
	if every := 12; x.nodes%every == 1 || long() && x.nodes%every == 7 {
		x.nothings(n)
	}
	for _, a := range actions {
		if x.nodes >= x.most {
			return
		}
		x.edges++
		p, next := x.replay(n), n.clone()
		next.path = append(next.path, a.name)
		a.do(x, p, next)
		after := x.actions(p, next)
		if key := x.key(p, next); !x.seen[key] {
			x.seen[key] = true
			x.visit(next, after)
		}
	}
}

// replay comes to a node's state again.
func (x *explorer) replay(n *node) *place {
	p := newPlace(x.tb, x.how)
	for _, rec := range n.log {
		p.apply(rec)
	}
	return p
}

// key is all that what happens next may depend on.
func (x *explorer) key(p *place, n *node) string {
	m := n.h.last()
	b, err := json.Marshal(m.sagas)
	if err != nil {
		x.tb.Fatal(err)
	}
	asked := map[string]bool{}
	for i := range n.h {
		for _, c := range n.h[i].cancelled {
			asked[c.String()] = true
		}
	}
	var dispatched []bool
	for _, r := range p.local() {
		dispatched = append(dispatched, r.Fence != 0)
	}
	b = fmt.Appendf(b, "%v %v %v %v %v %v %d", m.open, dispatched, m.away, m.doomed, asked, n.left, len(n.d.open))
	for _, e := range n.d.back[n.d.returned:] {
		b = fmt.Appendf(b, " %v", e.end)
	}
	p.checkpoint()
	for pair := range p.tree.Scan([]byte{'g'}, nil) {
		if strings.IndexByte("ghjklt", pair.Key[0]) >= 0 {
			b = fmt.Appendf(b, "\n%x %x", pair.Key, pair.Value)
		}
	}
	return string(b)
}

// apply applies a record and judges what it has brought about.
func (x *explorer) apply(p *place, n *node, w wish, rec []byte, reserved int) {
	x.tb.Helper()
	before := p.local()
	p.apply(stamped(rec, exploreTime))
	n.d.arrivals(p)
	n.log = append(n.log, rec)
	n.h = append(n.h, moment{wish: w, sight: p.sight(&n.d)})
	m := n.h.last()
	if x.blind {
		return
	}
	if err := n.h.judge(); err != nil {
		x.fail(n, err)
	}
	if w.kind != wishNothing && len(p.slots) != reserved && !slices.Contains(p.slots, "advance") {
		x.fail(n, fmt.Errorf("%d slots were reserved: %v", reserved, p.slots))
	}
	for _, r := range before {
		own := w.kind == wishEnd && w.saga == r.Step.Saga && p.names[r.ID] == name{saga: w.saga, step: w.step, undo: w.undo, run: w.run}
		if r.Fence != 0 && !own && !slices.Contains(m.open, p.names[r.ID]) {
			n.stale = append(n.stale, record.Completed{Seq: r.Seq, Fence: r.Fence, Reply: end{result: `"late"`}.reply()})
		}
	}
}

// fail says what is wrong, and how it came to that.
func (x *explorer) fail(n *node, err error) {
	x.tb.Helper()
	var b strings.Builder
	for i := range n.h {
		m := &n.h[i]
		fmt.Fprintf(&b, "%3d %s %s/%s undo %t run %d %+v %s%s\n      answers %v made %v cancelled %v\n", i+1, m.wish.kind, m.wish.saga, m.wish.step, m.wish.undo, m.wish.run, m.wish.end, m.wish.action, m.wish.reason, m.answers, names(m.made), m.cancelled)
		for _, s := range m.sagas {
			if i < len(n.h)-5 {
				break // the path tells
			}
			fmt.Fprintf(&b, "      %s %s %s:", s.ID, s.State, s.Reason)
			for j := range s.Steps {
				fmt.Fprintf(&b, " %s%v %s;", s.Steps[j].ID, s.Steps[j].After, describe(&s.Steps[j]))
			}
			b.WriteByte('\n')
		}
	}
	x.tb.Fatalf("%v\nmemory %s, slots reserved: %t, onFailure %s\npath %s\n%s", err, x.how, x.reserve, n.h[0].wish.spec.OnFailure, strings.Join(n.path, ", "), b.String())
}

func names(ms []made) (out []name) {
	for i := range ms {
		out = append(out, ms[i].name)
	}
	return out
}

// create creates the saga.
func (x *explorer) create(p *place, n *node, spec *edda.SagaSpec) {
	c := record.NewSagaCreated(spec)
	c.Secret, c.Fingerprint, c.Keep = exploreSecret, fingerprint(spec), 1
	if x.reserve && c.Start {
		for _, s := range saga.Roots(c) {
			if s.Address.Key == "" {
				c.Starts = append(c.Starts, s.Index)
			}
		}
	}
	x.apply(p, n, wish{kind: wishCreate, saga: spec.ID, spec: spec}, c.AppendTo(nil), len(c.Starts))
}

// starts returns the steps that slots are reserved for when a step ends.
func (x *explorer) starts(p *place, id string, index uint32) (out []uint32) {
	if !x.reserve {
		return nil
	}
	for _, s := range p.sagas.Starts(saga.Ref{Namespace: exploreNamespace, ID: id}, index, nil) {
		if s.Address.Key == "" {
			out = append(out, s.Index)
		}
	}
	return out
}

// startsOf is starts for a request that ends; a compensation makes no step ready.
func (x *explorer) startsOf(p *place, step *record.Step) []uint32 {
	if step.Undo {
		return nil
	}
	return x.starts(p, step.Saga, step.Index)
}

// endLocal ends a request here: it is dispatched, if it was not, and completed.
func (x *explorer) endLocal(p *place, n *node, who name, e end, added []edda.StepSpec) {
	find := func() *request.Request {
		for _, r := range p.local() {
			if p.names[r.ID] == who {
				return r
			}
		}
		x.fail(n, fmt.Errorf("the request of %s is not open", who))
		return nil
	}
	r := find()
	if r.Fence == 0 {
		x.apply(p, n, wish{kind: wishNothing}, (&record.Dispatched{Seq: r.Seq}).AppendTo(nil), 1)
		r = find()
	}
	c := record.Completed{Seq: r.Seq, Fence: r.Fence, Pending: e.pending, Starts: x.startsOf(p, r.Step)}
	switch {
	case e.pending:
	case e.ok() || e.status != 0:
		c.Reply = e.reply()
	default:
		c.Failure = record.Failure{Reason: e.reason, Message: "no"}
	}
	if len(added) > 0 {
		c.Added = record.EncodeSteps(added)
	}
	if len(added) > 0 && added[0].ID == who.step && p.view(who.saga).State == edda.SagaRunning {
		e, added = end{reason: edda.Exists}, nil // that fails the step
	}
	x.apply(p, n, wish{kind: wishEnd, saga: who.saga, step: who.step, undo: who.undo, run: who.run, end: e, steps: added}, c.AppendTo(nil), len(c.Starts))
}

// returnBack delivers the next end from the other partition, or the last one again.
func (x *explorer) returnBack(p *place, n *node, again bool) {
	i := n.d.returned
	if again {
		i--
	} else {
		n.d.returned++
	}
	b := n.d.back[i]
	rec := record.AppendDelivery(nil, record.TypeStepEnded, b.body, record.Origin{From: 1 - exploreHome, Number: uint64(i + 1)})
	var ended record.StepEnded
	if err := ended.Decode(rec[record.HeaderBytes:]); err != nil {
		x.tb.Fatal(err)
	}
	starts := x.startsOf(p, &ended.Step)
	if len(starts) > 0 {
		rec = record.AppendStepStarts(rec, starts)
	}
	x.apply(p, n, wish{kind: wishEnd, saga: b.saga, step: b.step, undo: b.undo, run: b.run, end: b.end}, rec, len(starts))
}

// finish completes or fails a step by call.
func (x *explorer) finish(p *place, n *node, id, step string, e end) {
	f := record.StepFinished{Namespace: exploreNamespace, ID: id, Step: step}
	if e.ok() {
		f.Result = []byte(e.result)
	} else {
		f.Error = &edda.StepError{Reason: e.reason, Message: "by call"}
	}
	if s, err := p.sagas.Get(exploreNamespace, id, exploreTime); err == nil && s != nil {
		if i, ok := s.StepIndex(step); ok {
			f.Starts = x.starts(p, id, uint32(i))
		}
	}
	x.apply(p, n, wish{kind: wishFinish, saga: id, step: step, end: e}, f.AppendTo(nil), len(f.Starts))
}

// long says that all is to be explored, however long it takes.
func long() bool { return os.Getenv("EDDA_LONG") != "" }
