package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// streamRun are streams on one node.
type streamRun struct {
	ledger  *streamLedger
	journal *streamJournal
	found   *streamCheck
}

func (l *streamLedger) host() ([]*edda.Service, run) {
	r := &streamRun{ledger: l, journal: newStreamJournal()}
	return r.journal.consumers(), r
}

// logRetention is what is kept of the logs.
const logRetention = 15

var readGroups = []edda.GroupRef{{Stream: orders, Group: polled}, {Stream: logs, Group: polled}}

// work has producers append while members read and somebody looks on.
func (r *streamRun) work(n *node.Node, w *stopwatch, seed uint64, callers, requests int) {
	ctx, over := context.WithCancel(context.Background())
	defer over()
	rng := newRand(seed, 99)
	retention := []edda.Retention{{Count: logRetention}, {Bytes: 1500}, {Age: 20 * time.Millisecond}}[rng.IntN(3)]
	// What refuses this, as a broken disk does, refuses what comes after it too.
	if _, _, err := n.SetStream(ctx, edda.StreamSpec{Name: logs, Retention: retention}); err != nil {
		return
	}
	for _, g := range readGroups {
		_, _, err := n.SetGroup(ctx, edda.GroupSpec{
			Stream: g.Stream, Name: g.Group, From: edda.FromStart, ProcessingTimeout: 40 * time.Millisecond, IdleTimeout: 100 * time.Millisecond,
			Retry: edda.RetryPolicy{Max: -1, Delay: 200 * time.Microsecond, MaxDelay: 2 * time.Millisecond},
		})
		if err == nil {
			r.ledger.tick(func(now int) { r.ledger.groups[g.String()] = now })
		}
	}
	var members, producers sync.WaitGroup
	for i := range callers {
		m := &reader{run: r, node: n, rng: newRand(seed, uint64(i)+300), group: readGroups[i%2], name: fmt.Sprintf("r%d", i)}
		members.Go(func() { m.readOn(ctx) })
		producers.Go(func() {
			p := producer{ledger: r.ledger, node: n, watch: w, rng: newRand(seed, uint64(i)+200)}
			for range requests {
				p.step()
			}
			p.late.Wait()
		})
	}
	members.Go(func() { r.lookOn(ctx, n) })
	producers.Wait()
	over()
	members.Wait()
	if err := r.journal.errors(); err != nil {
		r.ledger.lief("%w", err)
	}
}

// bounded returns a context that ends when nobody may be kept waiting any longer; that
// is noted as a lie.
func (l *streamLedger) bounded(w *stopwatch, what string) (context.Context, func()) {
	ctx, cancel := w.timeout(callBound)
	return ctx, func() {
		if ctx.Err() != nil {
			l.lief("%s: a caller waited for %v", what, callBound)
		}
		cancel()
	}
}

// producer appends to streams.
type producer struct {
	ledger *streamLedger
	node   *node.Node
	watch  *stopwatch
	rng    *rand.Rand
	own    []*note // that have ids and were acknowledged
	late   sync.WaitGroup
}

func (p *producer) step() {
	ctx, leave := p.ledger.bounded(p.watch, "append or trim")
	defer leave()
	if p.rng.IntN(8) == 0 {
		p.trim(ctx)
		return
	}
	o := p.random(ctx)
	p.ledger.submit(o)
	if o.repeatable() && p.rng.IntN(3) == 0 {
		// The same append from two sides at once.
		p.ledger.again(o)
		p.late.Go(func() {
			ctx, leave := p.ledger.bounded(p.watch, "append")
			defer leave()
			p.append(ctx, o)
		})
	}
	if p.rng.IntN(8) == 0 {
		// The producer does not wait long enough.
		hurry, cancel := context.WithTimeout(ctx, time.Duration(p.rng.IntN(2000))*time.Microsecond)
		p.append(hurry, o)
		cancel()
	} else if ack := p.append(ctx, o); ack != nil && o.repeatable() {
		p.own = append(p.own, o.notes...)
	}
	if o.repeatable() && p.rng.IntN(3) == 0 {
		p.ledger.again(o)
		p.append(ctx, o)
	}
}

// repeatable reports whether all messages have ids.
func (o *post) repeatable() bool {
	for _, n := range o.notes {
		if n.id == "" {
			return false
		}
	}
	return true
}

func (o *post) message() *edda.Append {
	a := &edda.Append{Stream: o.stream, Shard: o.shard, IfLast: o.after}
	for _, n := range o.notes {
		m := edda.StreamMessage{ID: n.id, Key: n.key, Type: "note", Payload: edda.JSON(n)}
		if n.reply {
			m.ReplyTo = edda.Address{Name: replies}
		}
		a.Messages = append(a.Messages, m)
	}
	return a
}

// append appends and notes the answer.
func (p *producer) append(ctx context.Context, o *post) *edda.AppendAck {
	ack, err := p.node.Append(ctx, o.message())
	p.ledger.answered(o, ack, err)
	if err != nil {
		return nil
	}
	return ack
}

// random makes up an append.
func (p *producer) random(ctx context.Context) *post {
	rng := p.rng
	o := &post{stream: orders, shard: []string{edda.DefaultShard, edda.DefaultShard, "eu"}[rng.IntN(3)]}
	if rng.IntN(3) == 0 {
		o.stream = logs
	}
	many := 1
	if rng.IntN(3) == 0 {
		many = 2 + rng.IntN(4)
	}
	ids := rng.IntN(2) == 0
	for range many {
		n := &note{key: []string{"", "a", "b", "c"}[rng.IntN(4)], reply: rng.IntN(3) == 0}
		switch rng.IntN(8) {
		case 0:
			n.Fail = 1 + rng.IntN(2)
		case 1:
			n.Final = true
		}
		if ids {
			n.id = fmt.Sprintf("i%x", rng.Uint64())
		}
		o.notes = append(o.notes, n)
	}
	if old := p.old(o.stream); old != nil && ids && rng.IntN(4) == 0 {
		// One of the batch was appended before, maybe in another shard.
		o.notes = append(o.notes, old)
	}
	if rng.IntN(4) == 0 {
		if st, err := p.node.Stream(ctx, "", o.stream); err == nil && st.Offsets[o.shard].End > 0 {
			last := st.Offsets[o.shard].End - 1
			o.after = &last
		}
	}
	return o
}

func (p *producer) old(stream string) *note {
	if len(p.own) == 0 {
		return nil
	}
	if n := p.own[p.rng.IntN(len(p.own))]; n.stream == stream {
		return n
	}
	return nil
}

// trim removes what is old from the logs.
func (p *producer) trim(ctx context.Context) {
	st, err := p.node.Stream(ctx, "", logs)
	if err != nil {
		return
	}
	o := st.Offsets[edda.DefaultShard]
	if o.End == o.First {
		return
	}
	before := o.First + p.rng.Uint64N(o.End-o.First)
	if st, err = p.node.TrimStream(ctx, "", logs, "", edda.FromOffset(before)); err != nil {
		return
	}
	if got := st.Offsets[edda.DefaultShard].First; got < before {
		p.ledger.lief("the logs were trimmed before %d, and begin at %d", before, got)
	}
	p.ledger.tick(func(now int) {
		p.ledger.marks = append(p.ledger.marks, mark{"trim " + logs, edda.DefaultShard, before, now})
	})
}

// lookOn reads what can be seen, until the work is over.
func (r *streamRun) lookOn(ctx context.Context, n *node.Node) {
	next := uint64(0)
	for ctx.Err() == nil {
		page, err := n.ReadStream(ctx, edda.Read{Stream: away, From: edda.FromOffset(next), Limit: 20, Wait: time.Millisecond})
		if err == nil {
			for i := range page.Messages {
				var e effect
				if err := json.Unmarshal(page.Messages[i].Payload, &e); err != nil {
					r.ledger.lief("effect %d: %v", page.Messages[i].Offset, err)
				}
				r.ledger.saw(e.Of)
			}
			next = page.Next
		}
		for _, s := range []string{orders, logs, away} {
			r.lookAt(ctx, n, s)
		}
	}
}

func (r *streamRun) lookAt(ctx context.Context, n *node.Node, stream string) {
	st, err := n.Stream(ctx, "", stream)
	if err != nil {
		return
	}
	for shard, o := range st.Offsets {
		r.ledger.mark("first "+stream, shard, o.First)
		r.ledger.mark("end "+stream, shard, o.End)
	}
	gs, err := n.Groups(ctx, "", stream)
	if err != nil {
		return
	}
	for i := range gs {
		for shard, at := range gs[i].Cursor {
			r.ledger.mark("cursor "+gs[i].Service(), shard, at)
		}
	}
}

// reader is a member that reads.
type reader struct {
	run   *streamRun
	node  *node.Node
	rng   *rand.Rand
	group edda.GroupRef
	name  string
}

// readOn reads until the context ends.
func (m *reader) readOn(ctx context.Context) {
	for ctx.Err() == nil {
		began := m.run.ledger.now()
		read, cancel := ctx, func() {}
		if m.rng.IntN(8) == 0 {
			read, cancel = context.WithTimeout(ctx, time.Duration(m.rng.IntN(2000))*time.Microsecond)
		}
		ds, err := m.node.ReadGroup(read, edda.GroupRead{GroupRef: m.group, Member: m.name, Max: 1 + m.rng.IntN(4), Wait: 3 * time.Millisecond})
		cancel()
		if err != nil {
			if _, ok := errors.AsType[*edda.Error](err); !ok {
				m.run.ledger.lief("read of %v: %v", m.group, err)
			}
			if ctx.Err() == nil && edda.ReasonOf(err) != edda.Timeout && edda.ReasonOf(err) != edda.Cancelled {
				pause(ctx, time.Millisecond)
			}
			continue
		}
		m.deal(ctx, ds, began)
	}
}

// deal does with messages what members do.
func (m *reader) deal(ctx context.Context, ds []edda.Delivery, began int) {
	names := make([]string, len(ds))
	for i := range ds {
		var n note
		if err := json.Unmarshal(ds[i].Payload, &n); err != nil {
			m.run.ledger.lief("%v: message %d: %v", m.group, ds[i].Offset, err)
		}
		names[i] = n.Name
		if m.run.ledger.doneBefore(m.group.String(), n.Name, began) {
			m.run.ledger.lief("%v: %s was acknowledged, and came again", m.group, n.Name)
		}
		m.run.journal.read(m.group.String(), &ds[i], n.Name)
	}
	for len(ds) > 0 {
		some := 1 + m.rng.IntN(len(ds))
		m.settle(ctx, ds[:some], names[:some])
		ds, names = ds[some:], names[some:]
	}
}

func (m *reader) settle(ctx context.Context, ds []edda.Delivery, names []string) {
	s := edda.Settle{GroupRef: m.group}
	for i := range ds {
		s.Leases = append(s.Leases, ds[i].Lease)
	}
	switch m.rng.IntN(8) {
	case 0:
		return // it is forgotten, and its leases end
	case 1:
		s.Error, s.For = "rejected, as it was told to", time.Duration(m.rng.IntN(2))*time.Millisecond
		_, _ = m.node.Reject(ctx, s)
		return
	case 2:
		s.For = 50 * time.Millisecond
		_, _ = m.node.Extend(ctx, s)
	}
	s.Error, s.For = "", 0
	m.run.ledger.start(m.group.String(), names...)
	got, err := m.node.Ack(ctx, s)
	if err != nil {
		return
	}
	stale := map[string]bool{}
	for _, l := range got.Stale {
		stale[l] = true
	}
	for i := range ds {
		if !stale[ds[i].Lease] {
			m.run.ledger.ended(m.group.String(), names[i])
		}
	}
}
