package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// TestCrashNumbers is TestCrashEverySync for producers that number what they append, and
// send it again from any point on that they like: it is there once, in order, also when
// retention has removed it or its id is forgotten.
func TestCrashNumbers(t *testing.T) {
	crashEverySync(t, either(1, 3), func() subject { return &numberLedger{sent: map[string]uint64{}} })
}

// TestFaultNumbers is TestFaultEveryOperation for them.
func TestFaultNumbers(t *testing.T) {
	faultEveryOperation(t, either(int64(31), 4), 1, func() subject { return &numberLedger{sent: map[string]uint64{}} })
}

// numbered is the stream that they append to.
const numbered = "numbered"

// numberedShard is that of a producer: several have one shard.
func numberedShard(producer string) string {
	if producer[len(producer)-1]%2 == 0 {
		return "eu"
	}
	return edda.DefaultShard
}

// numberLedger is what producers have been told.
type numberLedger struct {
	mu    sync.Mutex // guards what follows
	clock int
	acks  []numberAck
	sent  map[string]uint64 // the last number that each has sent
	lies  []error
}

// numberAck is that a producer heard that its messages up to a number are there.
type numberAck struct {
	at       int
	producer string
	number   uint64
}

func (l *numberLedger) String() string { return fmt.Sprintf("%d acknowledgements", len(l.acks)) }

func (l *numberLedger) host() ([]*edda.Service, run) { return nil, &numberRun{ledger: l} }

func (l *numberLedger) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock
}

func (l *numberLedger) rewind(moment int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.acks[:0]
	for _, a := range l.acks {
		if a.at <= moment {
			kept = append(kept, a)
		}
	}
	l.acks = kept
}

func (l *numberLedger) contradictions() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.lies...)
}

func (l *numberLedger) lief(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lies = append(l.lies, fmt.Errorf(format, args...))
}

func (l *numberLedger) sending(producer string, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[producer] = max(l.sent[producer], to)
}

func (l *numberLedger) acked(producer string, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	l.acks = append(l.acks, numberAck{l.clock, producer, to})
}

// at returns the last number of each producer that was acknowledged by a moment, and
// those that were sent by now.
func (l *numberLedger) at(moment int) (acked, sent map[string]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	acked, sent = map[string]uint64{}, maps.Clone(l.sent)
	for _, a := range l.acks {
		if a.at <= moment {
			acked[a.producer] = max(acked[a.producer], a.number)
		}
	}
	return acked, sent
}

// numberRun are the producers on one node.
type numberRun struct {
	ledger *numberLedger
	found  map[string]uint64
}

func (r *numberRun) work(n *node.Node, w *stopwatch, seed uint64, callers, requests int) {
	ctx, leave := r.ledger.bounded(w)
	defer leave()
	rng := newRand(seed, 400)
	// What refuses this refuses what comes after it too.
	_, _, err := n.SetStream(ctx, edda.StreamSpec{Name: numbered, Retention: edda.Retention{Count: uint64(10 + rng.IntN(100))}, Dedupe: time.Duration(1 + rng.IntN(int(20*time.Millisecond)))})
	if err != nil {
		return
	}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			p := numberer{ledger: r.ledger, node: n, rng: newRand(seed, uint64(i)+500), name: fmt.Sprintf("p%d", i)}
			acked, _ := r.ledger.at(r.ledger.now())
			p.last = acked[p.name]
			for range requests {
				ctx, leave := r.ledger.bounded(w)
				p.step(ctx)
				leave()
			}
		})
	}
	all.Wait()
}

// bounded returns a context that ends when nobody may be kept waiting any longer; that
// is noted as a lie.
func (l *numberLedger) bounded(w *stopwatch) (context.Context, func()) {
	ctx, cancel := w.timeout(callBound)
	return ctx, func() {
		if ctx.Err() != nil {
			l.lief("a producer waited for %v", callBound)
		}
		cancel()
	}
}

// numberer is a producer.
type numberer struct {
	ledger *numberLedger
	node   *node.Node
	rng    *rand.Rand
	name   string
	last   uint64 // that was acknowledged
}

// step sends what comes next, and often some of what was there before, in one append.
func (p *numberer) step(ctx context.Context) {
	from := p.last + 1 - min(p.last, uint64(p.rng.IntN(6)))
	to := max(from, p.last+uint64(p.rng.IntN(4)))
	p.ledger.sending(p.name, to)
	if p.rng.IntN(6) == 0 {
		// It does not wait long enough.
		hurry, cancel := context.WithTimeout(ctx, time.Duration(p.rng.IntN(1500))*time.Microsecond)
		defer cancel()
		ctx = hurry
	}
	ack, err := p.node.Append(ctx, numberedAppend(p.name, from, to, p.rng.IntN(2) == 0))
	if err != nil {
		return
	}
	for i, it := range ack.Items {
		if n := from + uint64(i); n <= p.last && !it.Replayed {
			p.ledger.lief("%s: number %d was there and is appended again: %+v", p.name, n, it)
		}
	}
	if ack.Last.Number != max(p.last, to) && ack.Last.Number > p.ledgerSent() || ack.Last.Number < to {
		p.ledger.lief("%s: after number %d the last one is %+v", p.name, to, ack.Last)
	}
	p.last = max(p.last, ack.Last.Number)
	p.ledger.acked(p.name, p.last)
}

func (p *numberer) ledgerSent() uint64 {
	_, sent := p.ledger.at(0)
	return sent[p.name]
}

// numberedAppend has a message for each number.
func numberedAppend(producer string, from, to uint64, ids bool) *edda.Append {
	a := &edda.Append{Stream: numbered, Shard: numberedShard(producer), Producer: producer}
	for n := from; n <= to; n++ {
		m := edda.StreamMessage{Number: n, Source: producer, Payload: edda.JSON(n)}
		if ids {
			m.ID = fmt.Sprintf("%s-%d", producer, n)
		}
		a.Messages = append(a.Messages, m)
	}
	return a
}

// check looks at what there is, sends everything again, and looks once more.
func (r *numberRun) check(ctx context.Context, n *node.Node, k *crash) error {
	p := newPatience(ctx, k.watch, func(ctx context.Context) string { return viewRequests(ctx, n) })
	err := r.checkAll(p, n, k)
	return errors.Join(err, p.end())
}

func (r *numberRun) checkAll(ctx *patience, n *node.Node, k *crash) error {
	acked, sent := r.ledger.at(k.moment)
	r.found = map[string]uint64{}
	if err := r.inOrder(ctx, n, k.weak); err != nil {
		return err
	}
	for p, to := range sent {
		if to == 0 {
			continue
		}
		ctx.step()
		ack, err := n.Append(ctx, numberedAppend(p, 1, to, false))
		if err != nil {
			return fmt.Errorf("%s sends everything again: %w", p, err)
		}
		there := uint64(0)
		for i, it := range ack.Items {
			if it.Replayed {
				there = uint64(i) + 1
			}
		}
		if !k.weak && there < acked[p] || ack.Last.Number != to {
			return fmt.Errorf("%s: %d was acknowledged, its numbers up to %d were there, now the last one is %+v of %d", p, acked[p], there, ack.Last, to)
		}
		r.found[p] = to
	}
	if len(sent) == 0 {
		return nil
	}
	return r.inOrder(ctx, n, k.weak)
}

// inOrder checks that what is kept of each producer has numbers without a gap; with one,
// where the end of the log was lost.
func (r *numberRun) inOrder(ctx context.Context, n *node.Node, gaps bool) error {
	for _, shard := range []string{edda.DefaultShard, "eu"} {
		page, err := n.ReadStream(ctx, edda.Read{Stream: numbered, Shard: shard, Limit: edda.MaxReadLimit})
		if edda.ReasonOf(err) == edda.NoStream {
			return nil
		}
		if err != nil {
			return err
		}
		last := map[string]uint64{}
		for i := range page.Messages {
			m := &page.Messages[i]
			var number uint64
			if err := json.Unmarshal(m.Payload, &number); err != nil {
				return err
			}
			if before := last[m.Source]; before != 0 && (number <= before || !gaps && number != before+1) {
				return fmt.Errorf("message %d of shard %s is %s's number %d, that before it was %d", m.Offset, shard, m.Source, number, before)
			}
			last[m.Source] = number
		}
	}
	return nil
}

func (r *numberRun) learn() {
	for p, n := range r.found {
		r.ledger.acked(p, n)
	}
}
