package node

import (
	"context"
	"slices"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/sagaid"
)

// sagaWaiter is somebody who waits for a saga's end.
type sagaWaiter struct {
	ended chan *edda.Saga // gets one, which others get too
}

// Saga returns what is known of a saga. See edda.SagaBackend.
func (n *Node) Saga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	ref, err := sagaid.Ref(namespace, id)
	if err != nil {
		return nil, err
	}
	return n.lookAtSaga(ctx, "look up saga "+id, ref, nil)
}

// WaitSaga returns what is known of a saga once it has ended, or when ctx ends. See
// edda.SagaBackend.
func (n *Node) WaitSaga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	op := "wait for saga " + id
	ref, err := sagaid.Ref(namespace, id)
	if err != nil {
		return nil, err
	}
	w := &sagaWaiter{ended: make(chan *edda.Saga, 1)}
	always := context.WithoutCancel(ctx) // a look takes no longer than the partition's round
	v, err := n.lookAtSaga(always, op, ref, w)
	if err != nil || v != nil {
		return v, err
	}
	select {
	case v = <-w.ended:
		return ownView(v), nil
	case <-n.halt:
		return nil, n.notRunning(op)
	case <-ctx.Done():
	}
	p := n.sagaHome(ref)
	if err := n.inPartition(always, p, op, func() { p.forgetWaiter(ref, w) }); err != nil {
		return nil, err
	}
	select {
	case v = <-w.ended: // it came at the same time
		return ownView(v), nil
	default:
		return n.lookAtSaga(always, op, ref, nil)
	}
}

// lookAtSaga returns what is known of a saga. When there is a waiter and the saga has
// not ended, the waiter is told of its end, and nothing is returned.
func (n *Node) lookAtSaga(ctx context.Context, op string, ref sagafold.Ref, w *sagaWaiter) (*edda.Saga, error) {
	p := n.sagaHome(ref)
	var v *edda.Saga
	var failed error
	err := n.inPartition(ctx, p, op, func() {
		s, err := p.findSaga(op, ref)
		switch {
		case err != nil:
			failed = err
		case w == nil || s.State.Ended():
			v = s.View(true)
		default:
			p.sagaWaiters[ref] = append(p.sagaWaiters[ref], w)
		}
	})
	if err == nil {
		err = failed
	}
	return v, err
}

// wakeWaiters tells those who wait for a saga that it has ended.
func (p *partition) wakeWaiters(ref sagafold.Ref, s *sagafold.Saga) {
	waiters := p.sagaWaiters[ref]
	if len(waiters) == 0 {
		return
	}
	delete(p.sagaWaiters, ref)
	v := s.View(true)
	for _, w := range waiters {
		w.ended <- v
	}
}

// ownView returns a view that others have too as one's own. It is not the partition
// that copies it, which has more to do.
func ownView(v *edda.Saga) *edda.Saga {
	own := *v
	own.Steps = slices.Clone(v.Steps)
	for i := range own.Steps {
		st := &own.Steps[i]
		st.After = slices.Clone(st.After)
		if st.Error != nil {
			st.Error = new(*st.Error)
		}
		if st.Compensation != nil {
			st.Compensation = new(*st.Compensation)
		}
	}
	return &own
}

func (p *partition) forgetWaiter(ref sagafold.Ref, w *sagaWaiter) {
	left := slices.DeleteFunc(p.sagaWaiters[ref], func(other *sagaWaiter) bool { return other == w })
	if len(left) == 0 {
		delete(p.sagaWaiters, ref)
	} else {
		p.sagaWaiters[ref] = left
	}
}
