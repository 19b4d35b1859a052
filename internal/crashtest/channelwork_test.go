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

// The channels of the tests: handlers publish to the first two, which live in different
// partitions, and the third one comes and goes.
const (
	lasting  = "lasting"
	fleeting = "fleeting"
	crier    = "crier"
)

var farther = func() string {
	for i := 0; ; i++ {
		name := fmt.Sprint("farther", i)
		if partitionOf(edda.ChannelStream(name)) != partitionOf(edda.ChannelStream(lasting)) {
			return name
		}
	}
}()

// cried is what a handler publishes: N counts the requests of the key.
type cried struct {
	Of  string `json:"of"`
	Key string `json:"key"`
	N   int    `json:"n"`
}

// channelRun are channels on one node.
type channelRun struct {
	ledger *channelLedger
	found  *channelCheck
}

func (l *channelLedger) host() ([]*edda.Service, run) {
	s := edda.NewOrdered(crier)
	s.Retry = edda.RetryPolicy{Max: -1, Delay: 200 * time.Microsecond, MaxDelay: 2 * time.Millisecond}
	s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var q cry
		if err := json.Unmarshal(m.Payload, &q); err != nil {
			return nil, edda.Final("MALFORMED", "%v", err)
		}
		n, _, err := edda.Get[int](ctx, "n")
		if err != nil {
			return nil, err
		}
		said := edda.StreamMessage{Type: "cried", Payload: edda.JSON(cried{Of: q.Name, Key: ctx.Key(), N: n + 1})}
		if err := errors.Join(edda.Set(ctx, "n", n+1), ctx.Publish(lasting, said), ctx.Publish(farther, said)); err != nil {
			return nil, err
		}
		if ctx.Attempt() <= q.Fail {
			return nil, errors.New("fails, as it was told to")
		}
		return nil, nil
	})
	return []*edda.Service{s}, &channelRun{ledger: l}
}

// work has callers and handlers publish, while somebody changes the channels.
func (r *channelRun) work(n *node.Node, w *stopwatch, seed uint64, callers, requests int) {
	setter := &setter{ledger: r.ledger, node: n, watch: w, rng: newRand(seed, 99)}
	// What refuses this, as a broken disk does, refuses what comes after it too.
	if !setter.set(lasting) || !setter.set(farther) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range requests {
			setter.step()
		}
	})
	for i := range callers {
		p := speaker{ledger: r.ledger, node: n, watch: w, rng: newRand(seed, uint64(i)+200)}
		wg.Go(func() {
			for range requests {
				p.step()
			}
			p.late.Wait()
		})
	}
	wg.Wait()
}

// bounded returns a context that ends when nobody may be kept waiting any longer; that
// is noted as a lie.
func (l *channelLedger) bounded(w *stopwatch, what string) (context.Context, func()) {
	ctx, cancel := w.timeout(callBound)
	return ctx, func() {
		if ctx.Err() != nil {
			l.lief("%s: a caller waited for %v", what, callBound)
		}
		cancel()
	}
}

// setter changes channels.
type setter struct {
	ledger *channelLedger
	node   *node.Node
	watch  *stopwatch
	rng    *rand.Rand
}

func (s *setter) step() {
	switch s.rng.IntN(4) {
	case 0:
		s.set(lasting)
	case 1:
		s.remove(fleeting)
	default:
		s.set(fleeting)
	}
}

// begin notes a change before the node gets it.
func (s *setter) begin(channel string, version bool) *change {
	c := &change{channel: channel}
	s.ledger.tick(func(now int) {
		c.submitted = now
		if version {
			c.version = now
		}
		s.ledger.changes = append(s.ledger.changes, c)
	})
	return c
}

func (s *setter) set(channel string) bool {
	ctx, leave := s.ledger.bounded(s.watch, "set channel")
	defer leave()
	c := s.begin(channel, true)
	spec := edda.ChannelSpec{Name: channel, From: []edda.ChannelSource{{Stream: fmt.Sprint("v", c.version)}}, History: edda.History{Count: 1 << 20}}
	ch, _, err := s.node.SetChannel(ctx, spec)
	if err != nil {
		return false
	}
	if ch.From[0].Stream != spec.From[0].Stream {
		s.ledger.lief("channel %s was set to %+v, and is %+v", channel, spec, ch)
	}
	s.ledger.tick(func(now int) { c.answered = now })
	return true
}

func (s *setter) remove(channel string) {
	ctx, leave := s.ledger.bounded(s.watch, "delete channel")
	defer leave()
	c := s.begin(channel, false)
	if err := s.node.DeleteChannel(ctx, "", channel); err == nil || edda.ReasonOf(err) == edda.NoChannel {
		s.ledger.tick(func(now int) { c.answered = now })
	}
}

// speaker publishes, and sends requests to the crier.
type speaker struct {
	ledger *channelLedger
	node   *node.Node
	watch  *stopwatch
	rng    *rand.Rand
	late   sync.WaitGroup
}

func (p *speaker) step() {
	ctx, leave := p.ledger.bounded(p.watch, "publish")
	defer leave()
	if p.rng.IntN(3) == 0 {
		p.cry(ctx)
		return
	}
	s := &saying{channel: []string{lasting, farther, fleeting}[p.rng.IntN(3)], ids: p.rng.IntN(2) == 0}
	p.ledger.say(s, 1+p.rng.IntN(3))
	if s.ids && p.rng.IntN(3) == 0 {
		// The same from two sides at once.
		p.again(s)
		p.late.Go(func() {
			ctx, leave := p.ledger.bounded(p.watch, "publish")
			defer leave()
			p.publish(ctx, s)
		})
	}
	if p.rng.IntN(8) == 0 {
		// The publisher does not wait long enough.
		hurry, cancel := context.WithTimeout(ctx, time.Duration(p.rng.IntN(2000))*time.Microsecond)
		p.publish(hurry, s)
		cancel()
	} else {
		p.publish(ctx, s)
	}
	if s.ids && p.rng.IntN(3) == 0 {
		p.again(s)
		p.publish(ctx, s)
	}
}

func (p *speaker) again(s *saying) { p.ledger.tick(func(int) { s.asking++ }) }

func (p *speaker) publish(ctx context.Context, s *saying) {
	ack, err := p.node.Append(ctx, s.append())
	p.ledger.said(s, ack, err)
}

func (p *speaker) cry(ctx context.Context) {
	q := &cry{key: []string{"a", "b", "c"}[p.rng.IntN(3)]}
	if p.rng.IntN(4) == 0 {
		q.Fail = 1 + p.rng.IntN(2)
	}
	p.ledger.tick(func(now int) {
		q.Name, q.submitted = p.ledger.name(), now
		p.ledger.cries = append(p.ledger.cries, q)
	})
	if _, err := p.node.Client().Send(ctx, q.message()); err == nil {
		p.ledger.tick(func(now int) { q.acked = now })
	}
}

func (q *cry) message() *edda.Message {
	return &edda.Message{To: edda.Address{Name: crier, Key: q.key}, Type: "cry", IdempotencyKey: q.Name, Payload: edda.JSON(q)}
}
