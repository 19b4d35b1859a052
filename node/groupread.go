package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

// ReadGroup gives a member messages. See edda.GroupBackend. What comes with the first
// message in one batch is returned with it. A read that is cancelled loses nothing: what
// was on its way to it stays for the member's next one.
func (n *Node) ReadGroup(ctx context.Context, r edda.GroupRead) ([]edda.Delivery, error) {
	op := "read group " + r.String()
	if err := r.Validate(); err != nil {
		return nil, err
	}
	r = r.WithDefaults()
	until := time.Now().Add(r.Wait)
	for {
		svc, err := n.consumer(ctx, op, r.GroupRef)
		if err != nil {
			return nil, err
		}
		var got []edda.Delivery
		m, err := n.member(op, svc, r.Member)
		if err == nil {
			got, err = m.read(ctx, op, r.Max, until)
		}
		if !errors.Is(err, errMemberGone) {
			return got, err
		}
	}
}

// errMemberGone says that a member was about to go when a read came.
var errMemberGone = errors.New("the member was about to go")

// read returns messages for the member, up to most of them.
func (m *member) read(ctx context.Context, op string, most int, until time.Time) ([]edda.Delivery, error) {
	r := &groupRead{max: most, left: most, woken: make(chan struct{}, 1)}
	some, err := m.begin(r)
	if err == nil && !some {
		err = m.await(ctx, op, r, time.Until(until))
	}
	if err == nil {
		err = m.settle(ctx, op, r)
	}
	got, gone := m.finish(r, err == nil)
	if err == nil {
		err = gone
	}
	if err != nil {
		return nil, err
	}
	ds := make([]edda.Delivery, len(got))
	for i, a := range got {
		a.deliveryTo(&ds[i])
	}
	return ds, nil
}

// begin has the member be given what the read asks for. It reports whether something is
// there already.
func (m *member) begin(r *groupRead) (some bool, err error) {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	if m.gone != nil {
		return false, m.gone
	}
	m.w.heard()
	m.reads = append(m.reads, r)
	m.want += r.left
	m.resize()
	return len(m.reads) == 1 && len(m.arrived) > 0, nil
}

// await returns once something has come for the read, or its wait is over, or the error
// when nothing can come.
func (m *member) await(ctx context.Context, op string, r *groupRead, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case <-r.woken:
		case <-t.C:
			return nil
		case <-ctx.Done():
			return errReadGivenUp(ctx, op)
		case <-m.w.n.halt:
			return m.w.n.notRunning(op)
		}
		m.of.mu.Lock()
		some, gone := m.reads[0] == r && len(m.arrived) > 0, m.gone
		m.of.mu.Unlock()
		if some || gone != nil {
			return gone
		}
	}
}

func errReadGivenUp(ctx context.Context, op string) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.Timeout, Err: fmt.Errorf("the read was given up: %w", context.Cause(ctx))}
}

// settle has the member be granted nothing more for the read, and returns once what is
// on its way to it has arrived.
func (m *member) settle(ctx context.Context, op string, r *groupRead) error {
	n := m.w.n
	p := n.consumerHome(m.host().svc.addr)
	done := make(chan struct{})
	if !p.in.do(func() { // grants came in before it
		m.ask(r, 0)
		p.barrier(func() { close(done) })
	}) {
		return n.notRunning(op)
	}
	for arrived := false; !arrived; {
		select {
		case <-done:
			done = nil
		case <-r.woken:
		case <-ctx.Done():
			return errReadGivenUp(ctx, op)
		case <-n.halt:
			return n.notRunning(op)
		}
		m.of.mu.Lock()
		arrived = done == nil && (m.fetching == 0 || m.gone != nil)
		m.of.mu.Unlock()
	}
	return nil
}

// ask changes how many messages the read asks for still.
func (m *member) ask(r *groupRead, left int) {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	m.want += left - r.left
	r.left = left
	m.resize()
}

// finish ends the read, and hands out what has arrived for it, if it gets anything. The
// error is why the member is gone.
func (m *member) finish(r *groupRead, gets bool) (got []*Attempt, gone error) {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	m.w.heard()
	m.want, r.left = m.want-r.left, 0 // the partition may be about to say so, too
	m.reads = slices.DeleteFunc(m.reads, func(o *groupRead) bool { return o == r })
	if gets {
		got = m.handOut(r.max)
	}
	m.resize()
	if len(m.reads) > 0 && (len(m.arrived) > 0 || m.fetching == 0) {
		m.reads[0].wake()
	}
	return got, m.gone
}

// handOut makes leases of what has arrived, the first most of it. The caller holds of.mu.
func (m *member) handOut(most int) []*Attempt {
	got := slices.Clone(m.arrived[:min(most, len(m.arrived))])
	m.arrived = slices.Delete(m.arrived, 0, len(got))
	for _, a := range got {
		a.Taken()
		m.of.held[leaseOf(a)] = &hold{attempt: a, by: m}
		m.holds++
	}
	return got
}

// deliveryTo makes d what a member is given.
func (a *Attempt) deliveryTo(d *edda.Delivery) {
	d.Set(a.msg)
	d.ID, d.Shard, d.Offset = a.delivery.ID, a.delivery.Shard, a.delivery.Offset
	d.Lease, d.Attempt = leaseOf(a).String(), a.number
}
