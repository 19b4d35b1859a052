package node

import (
	"context"
	"errors"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/sagaid"
)

// StartSaga starts a saga that was created. See edda.SagaBackend.
func (n *Node) StartSaga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	op := "start saga " + id
	ref, err := sagaid.Ref(namespace, id)
	if err != nil {
		return nil, err
	}
	return n.changeAndSee(ctx, op, ref, 1, true, func(p *partition, s *sagafold.Saga, part *sagaPart) ([]byte, error) {
		if part.starts = s.State == edda.SagaCreated; part.starts {
			part.slots = p.reserve(ref, s.Roots())
		}
		rec := record.SagaChanged{Namespace: s.Namespace, ID: s.ID, Starts: part.slots.indexes()}
		return rec.AppendTo(nil, record.TypeSagaStarted), nil
	})
}

// CancelSaga undoes a saga. See edda.SagaBackend.
func (n *Node) CancelSaga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	op := "cancel saga " + id
	ref, err := sagaid.Ref(namespace, id)
	if err != nil {
		return nil, err
	}
	return n.changeAndSee(ctx, op, ref, 0, true, func(_ *partition, s *sagafold.Saga, _ *sagaPart) ([]byte, error) {
		rec := record.SagaCancelled{Namespace: s.Namespace, ID: s.ID, Failure: record.Failure{Reason: edda.Cancelled, Message: "the saga was cancelled"}}
		return rec.AppendTo(nil), nil
	})
}

// changeAndSee changes a saga that there is, and returns what then is known of it;
// what it counts for is a number of bytes.
func (n *Node) changeAndSee(ctx context.Context, op string, ref sagafold.Ref, bytes int, steps bool,
	with func(p *partition, s *sagafold.Saga, part *sagaPart) ([]byte, error),
) (*edda.Saga, error) {
	var view *edda.Saga // of the partition's goroutine until the change is done, like answer
	var answer error
	c := &sagaChange{op: op, saga: ref, bytes: bytes}
	c.make = func(p *partition, part *sagaPart) ([]byte, error) {
		s, err := p.findSaga(op, ref)
		if err != nil {
			return nil, err
		}
		return with(p, s, part)
	}
	c.applied = func(e *sagafold.Effect) {
		switch e.Kind {
		case sagafold.Refused:
			answer = refused(op, e)
		case sagafold.Applied, sagafold.Unchanged:
			if e.Saga.Ref() == ref { // not another of its family
				view = e.Saga.View(steps)
			}
		default:
		}
	}
	if err := n.change(ctx, c); err != nil {
		return nil, err
	}
	if answer == nil && view == nil {
		answer = errInternal(op, errors.New("nothing became of the record"))
	}
	return view, answer
}
