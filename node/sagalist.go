package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/sagaid"
)

// Sagas returns a page of sagas without their steps. See edda.SagaBackend.
func (n *Node) Sagas(ctx context.Context, f edda.SagaFilter, limit int, after string) ([]edda.Saga, string, error) {
	const op = "list sagas"
	limit, _, err := parsePage(op, Page{Limit: limit})
	if err != nil {
		return nil, "", err
	}
	before, err := parseSagaCursor(op, after)
	if err != nil {
		return nil, "", err
	}
	lists, err := n.sagaLists(op, &f, before)
	if err != nil {
		return nil, "", err
	}
	chunk := max(2*limit/len(lists), minSagaChunk)
	var items []edda.Saga
	for {
		next, err := latest(ctx, lists, chunk)
		switch {
		case err != nil:
			return nil, "", err
		case next == nil:
			return items, "", nil
		case len(items) == limit:
			return items, sagaCursor(before), nil
		}
		before = cursorOf(&next.sagas[0])
		items = append(items, next.sagas[0])
		next.sagas = next.sagas[1:]
	}
}

// minSagaChunk is how many sagas of a partition are read at a time at least.
const minSagaChunk = 8

// sagaList is the sagas of one partition that a filter chooses, the latest first.
type sagaList struct {
	p      *partition
	op     string
	filter *edda.SagaFilter
	before sagafold.Cursor // where the list goes on
	sagas  []edda.Saga     // read, and not taken yet
	over   bool
}

// sagaLists returns the list of each partition that may have sagas which the filter
// chooses.
func (n *Node) sagaLists(op string, f *edda.SagaFilter, before sagafold.Cursor) ([]*sagaList, error) {
	f.Namespace = cmp.Or(f.Namespace, edda.DefaultNamespace)
	if err := edda.CheckName("namespace", f.Namespace); err != nil {
		return nil, err
	}
	if f.State != "" && !slices.Contains(sagaStates, f.State) {
		return nil, &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("there is no state %q; use one of %v", f.State, sagaStates)}
	}
	if f.ID == "" {
		all := make([]*sagaList, len(n.parts))
		for i, p := range n.parts {
			all[i] = &sagaList{p: p, op: op, filter: f, before: before}
		}
		return all, nil
	}
	ref, err := sagaid.Ref(f.Namespace, f.ID)
	if err != nil {
		return nil, err
	}
	return []*sagaList{{p: n.sagaHome(ref), op: op, filter: f, before: before}}, nil
}

// sagaStates are those that there are.
var sagaStates = []edda.SagaState{
	edda.SagaCreated, edda.SagaRunning, edda.SagaSucceeded, edda.SagaCompensating, edda.SagaCompensated, edda.SagaCompensationFailed, edda.SagaCancelled,
}

// read reads more when all that was read is taken. A list that then is empty is over.
func (l *sagaList) read(ctx context.Context, chunk int) error {
	if l.over || len(l.sagas) > 0 {
		return nil
	}
	var failed error
	if err := l.p.n.inPartition(ctx, l.p, l.op, func() {
		var found []*sagafold.Saga
		found, failed = l.p.sagas.List(l.filter, l.before, chunk, l.p.now())
		l.sagas = make([]edda.Saga, 0, len(found))
		for _, s := range found {
			l.sagas = append(l.sagas, *s.View(false))
		}
	}); err != nil {
		return err
	}
	if failed != nil {
		return errInternal(l.op, failed)
	}
	if l.over = len(l.sagas) < chunk; len(l.sagas) > 0 {
		l.before = cursorOf(&l.sagas[len(l.sagas)-1])
	}
	return nil
}

// latest returns the list that begins with the latest saga; nil when all are over.
func latest(ctx context.Context, lists []*sagaList, chunk int) (*sagaList, error) {
	var first *sagaList
	for _, l := range lists {
		if err := l.read(ctx, chunk); err != nil {
			return nil, err
		}
		if len(l.sagas) > 0 && (first == nil || later(&l.sagas[0], &first.sagas[0])) {
			first = l
		}
	}
	return first, nil
}

// later reports whether one saga comes before another in a list.
func later(a, b *edda.Saga) bool {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID)) < 0
}

func cursorOf(s *edda.Saga) sagafold.Cursor {
	return sagafold.Cursor{Created: s.CreatedAt.UnixNano(), ID: s.ID}
}

// sagaCursor shows where a list goes on.
func sagaCursor(c sagafold.Cursor) string { return strconv.FormatInt(c.Created, 36) + "." + c.ID }

func parseSagaCursor(op, s string) (c sagafold.Cursor, err error) {
	if s == "" {
		return c, nil
	}
	created, id, _ := strings.Cut(s, ".")
	c.ID = id
	if c.Created, err = strconv.ParseInt(created, 36, 64); err != nil || c.ID == "" {
		return c, &edda.Error{Op: op, Reason: edda.BadValue, Err: errors.New("after is not a cursor that a list ended with")}
	}
	return c, nil
}
