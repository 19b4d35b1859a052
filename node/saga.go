package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
)

var _ edda.SagaBackend = (*Node)(nil)

// sagaHome returns the partition of a saga.
func (n *Node) sagaHome(ref sagafold.Ref) *partition {
	return n.homeOf(sagafold.Hash(ref.Namespace, ref.ID))
}

// sagaChange is a record about a saga on its way in, and whoever waits for what
// becomes of it.
type sagaChange struct {
	op   string
	saga sagafold.Ref
	// bytes is about how large the record is, when it counts against the bounds of its
	// partition: it brings something in. Zero means that it does not count.
	bytes int
	// make makes the record, in the partition's goroutine. It may reserve slots, or
	// return nil when there is nothing to change; the error is the answer then.
	make func(p *partition, s *sagaPart) ([]byte, error)
	// applied is called there with each effect that the record has on sagas.
	applied func(e *sagafold.Effect)
	did     bool // what applied has to say, if it says no more

	done chan error // gets one
}

// size is what the change counts for.
func (c *sagaChange) size() (calls, bytes int) { return min(c.bytes, 1), c.bytes }

// change hands a change to its saga's partition, and returns once it is durable.
func (n *Node) change(ctx context.Context, c *sagaChange) error {
	if err := n.submitChange(c); err != nil {
		return err
	}
	return n.wait(ctx, c.op, c.done)
}

// submitChange hands a change to its saga's partition.
func (n *Node) submitChange(c *sagaChange) error {
	if n.draining.Load() {
		return n.notRunning(c.op)
	}
	if c.bytes > 0 && n.bytes.Load() > int64(n.opts.Limits.NodeBytes) {
		n.metrics.Refused.Add(1)
		return c.overloaded("the node has too many unfinished requests in memory")
	}
	c.done = make(chan error, 1)
	switch ok, closed := n.sagaHome(c.saga).in.change(c, &n.opts.Limits); {
	case closed:
		return n.notRunning(c.op)
	case !ok:
		n.metrics.Refused.Add(1)
		return c.overloaded("the partition has too many requests waiting to become durable")
	}
	return nil
}

func (c *sagaChange) overloaded(why string) *edda.Error {
	return &edda.Error{Op: c.op, Reason: edda.Overloaded, RetryAfter: time.Second, Err: errors.New(why)}
}

// finish answers whoever waits.
func (c *sagaChange) finish(err error) {
	select {
	case c.done <- err:
	default: // it was answered before
	}
}

// change proposes a change of a saga.
func (p *partition) change(c *sagaChange) {
	var rec []byte
	var err error
	s := &sagaPart{change: c}
	switch {
	case p.n.draining.Load():
		// Nobody would be there to hear that it is durable.
		err = p.n.notRunning(c.op)
	case c.bytes > 0 && p.outbox.Bytes() > p.n.opts.Limits.OutboxBytes:
		err = c.overloaded("the partition has too much on its way to others")
	default:
		rec, err = c.make(p, s)
	}
	if rec == nil {
		calls, bytes := c.size()
		p.in.settled(calls, bytes)
		c.finish(err)
		return
	}
	pr := proposal{saga: s}
	var early []ahead
	if s.away {
		early, pr.quiet = p.createdAhead(rec)
	}
	p.proposeAhead(rec, pr, early)
}

// findSaga returns a saga that there is.
func (p *partition) findSaga(op string, ref sagafold.Ref) (*sagafold.Saga, error) {
	s, err := p.sagas.Get(ref.Namespace, ref.ID, p.now())
	switch {
	case err != nil:
		return nil, errInternal(op, err)
	case s == nil:
		return nil, &edda.Error{Op: op, Reason: edda.NoSaga, Err: fmt.Errorf("there is no saga %q: it never was, or it is not kept any more", ref.ID)}
	}
	return s, nil
}

// refused is why the fold did not do what a record asked for.
func refused(op string, e *sagafold.Effect) *edda.Error {
	return &edda.Error{Op: op, Reason: e.Reason, Err: errors.New(e.Detail)}
}
