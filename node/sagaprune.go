package node

import (
	"context"
	"strings"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/sagaid"
)

// PruneSagas removes ended sagas. See edda.SagaBackend.
func (n *Node) PruneSagas(ctx context.Context, f edda.SagaFilter) (removed int, err error) {
	const op = "prune sagas"
	lists, err := n.sagaLists(op, &f, sagafold.Cursor{})
	if err != nil {
		return 0, err
	}
	for _, l := range lists {
		for !l.over {
			if err := l.read(ctx, pruneChunk); err != nil {
				return removed, err
			}
			n, err := n.removeSagas(ctx, l)
			if removed += n; err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

// pruneChunk is how many sagas are removed at a time: others have their turn in
// between.
const pruneChunk = 100

// removeSagas removes what was read of a list, as far as it may go.
func (n *Node) removeSagas(ctx context.Context, l *sagaList) (removed int, err error) {
	var changes []*sagaChange
	for _, s := range l.sagas {
		if !s.State.Ended() || strings.Contains(s.ID, sagaid.Family) || s.State == edda.SagaCompensationFailed && l.filter.State == "" && l.filter.ID == "" {
			continue
		}
		rec := record.SagaChanged{Namespace: s.Namespace, ID: s.ID}
		c := &sagaChange{op: l.op, saga: sagafold.Ref{Namespace: s.Namespace, ID: s.ID}}
		c.make = func(*partition, *sagaPart) ([]byte, error) { return rec.AppendTo(nil, record.TypeSagaRemoved), nil }
		c.applied = func(e *sagafold.Effect) { c.did = c.did || e.Kind == sagafold.Applied }
		changes = append(changes, c)
	}
	l.sagas = nil
	for i, c := range changes {
		if err = n.submitChange(c); err != nil {
			changes = changes[:i]
			break
		}
	}
	for _, c := range changes {
		if e := n.wait(ctx, c.op, c.done); e != nil {
			return removed, e
		}
		if c.did {
			removed++
		}
	}
	return removed, err
}
