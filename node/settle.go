package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// Ack says that messages were handled. See edda.GroupBackend. A lease that has ended, is
// not known, or is of another group is stale; what is no lease at all is BadValue, and
// then nothing is done.
func (n *Node) Ack(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	return n.settleLeases(ctx, "acknowledge messages of group "+s.String(), s, func(a *Attempt) {
		c := record.Completed{Seq: a.seq, Fence: a.fence}
		a.rec = c.AppendTo(make([]byte, 0, record.AppendedBytes))
	})
}

// Reject says that handling messages failed. See edda.GroupBackend; leases are as for
// Ack. For is at most an hour.
func (n *Node) Reject(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	why := clipText(cmp.Or(s.Error, "a member rejected the message"))
	return n.settleLeases(ctx, "reject messages of group "+s.String(), s, func(a *Attempt) {
		a.failure, a.after = record.Failure{Reason: edda.Failed, Message: why}, s.For
	})
}

// maxLeaseFor is for how long a lease may be extended, and a message put off.
const maxLeaseFor = maxRetryAfter

// leasesOf returns the consumer and the leases that s names.
func (n *Node) leasesOf(ctx context.Context, op string, s *edda.Settle) (*service, []lease, error) {
	if err := s.Validate(); err != nil {
		return nil, nil, err
	}
	*s = s.WithDefaults()
	if s.For > maxLeaseFor {
		return nil, nil, &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("for is %v, at most %v are allowed", s.For, maxLeaseFor)}
	}
	leases, err := parseLeases(op, s.Leases)
	if err != nil {
		return nil, nil, err
	}
	svc, err := n.consumer(ctx, op, s.GroupRef)
	return svc, leases, err
}

// settleLeases ends the attempts that leases are of, with what end notes in each, and
// returns once that is durable.
func (n *Node) settleLeases(ctx context.Context, op string, s edda.Settle, end func(*Attempt)) (*edda.Settled, error) {
	svc, leases, err := n.leasesOf(ctx, op, &s)
	if err != nil {
		return nil, err
	}
	w := &settling{stale: make([]bool, len(leases)), left: len(leases), done: make(chan error, 1)}
	for i, a := range svc.readers.end(leases) {
		if a == nil || !a.conclude(end, func(counted bool, err error) { w.told(i, counted, err) }) {
			w.told(i, false, nil)
		}
	}
	if err := n.wait(ctx, op, w.done); err != nil {
		return nil, err
	}
	return settled(&s, w.stale), nil
}

// settling waits for what becomes of leases.
type settling struct {
	done chan error // gets one

	mu    sync.Mutex // guards what follows, until done
	stale []bool     // of each lease
	left  int        // leases that nothing is known of
	err   error
}

// told notes what has become of a lease.
func (w *settling) told(i int, counted bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale[i] = !counted
	w.err = cmp.Or(w.err, err)
	if w.left--; w.left == 0 {
		w.done <- w.err
	}
}

func settled(s *edda.Settle, stale []bool) *edda.Settled {
	out := &edda.Settled{}
	for i, l := range s.Leases {
		if stale[i] {
			out.Stale = append(out.Stale, l)
		} else {
			out.Done++
		}
	}
	return out
}

// end takes what leases are of from the members that have it: nil for one that nobody
// has, or that stands twice.
func (r *readers) end(leases []lease) []*Attempt {
	attempts := make([]*Attempt, len(leases))
	r.mu.Lock()
	defer r.mu.Unlock()
	var by []*member
	for i, l := range leases {
		h := r.held[l]
		if h == nil {
			continue
		}
		attempts[i] = h.attempt
		h.by.settled(l)
		if !slices.Contains(by, h.by) {
			by = append(by, h.by)
		}
	}
	for _, m := range by {
		m.w.heard()
		m.resize()
	}
	return attempts
}

// Extend keeps leases from ending. See edda.GroupBackend; leases are as for Ack. For is
// at most an hour, from now on.
func (n *Node) Extend(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	op := "extend leases of group " + s.String()
	svc, leases, err := n.leasesOf(ctx, op, &s)
	if err != nil {
		return nil, err
	}
	attempts := svc.readers.seen(leases)
	stale := make([]bool, len(leases))
	err = n.inPartition(ctx, n.consumerHome(svc.addr), op, func() {
		for i, a := range attempts {
			stale[i] = a == nil || !a.extend(s.For)
		}
	})
	if err != nil {
		return nil, err
	}
	return settled(&s, stale), nil
}

// seen returns what leases are of, nil for those that nobody has.
func (r *readers) seen(leases []lease) []*Attempt {
	attempts := make([]*Attempt, len(leases))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, l := range leases {
		if h := r.held[l]; h != nil {
			attempts[i] = h.attempt
			h.by.w.heard()
		}
	}
	return attempts
}

// extend gives a running attempt a timeout from now on: the given one, or that of its
// service when it is zero. It is called in the partition's goroutine, and false when the
// attempt is over.
func (a *Attempt) extend(timeout time.Duration) bool {
	l := liveOf(a.req)
	if l == nil || l.attempt != a || l.closing || a.over || a.settled.Load() {
		return false
	}
	a.limit = cmp.Or(timeout, attemptTimeoutOf(a.req, a.svc.view()))
	a.renew(a.req.Deadline, time.Now())
	a.p.schedule(a.req)
	return true
}
