package httpgw

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/specjson"
	"go.opentelemetry.io/otel/attribute"
)

// createSaga answers with the saga as it is once it is stored; 200 where the
// idempotency key was used for it before.
func (g *Gateway) createSaga(x *exchange) error {
	var headers edda.SagaSpec
	if err := reqhead.Saga(x.r.Header, &headers); err != nil {
		return err
	}
	if parent, state := g.trace(x, attribute.String("edda.namespace", x.namespace)); parent != "" {
		headers.TraceParent, headers.TraceState = parent, state
	}
	b, err := g.jsonBody(x)
	if err != nil {
		return err
	}
	s, err := specjson.Saga(b)
	if err != nil {
		return err
	}
	if err := x.grant.CheckSteps(x.namespace, s.Steps); err != nil {
		return err
	}
	s.Namespace, s.Principal = x.namespace, x.grant.Principal
	s.IdempotencyKey, s.CorrelationID = headers.IdempotencyKey, headers.CorrelationID
	s.TraceParent, s.TraceState = headers.TraceParent, headers.TraceState
	ack, err := g.sagas.CreateSaga(x.r.Context(), s)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h["Location"] = []string{x.sagaPath(ack.ID)}
	made, err := g.sagas.Saga(x.r.Context(), x.namespace, ack.ID)
	if err != nil {
		return &edda.Error{
			Reason: edda.OutcomeUnknown, Err: fmt.Errorf("saga %s is stored, but cannot be shown: %w", ack.ID, err),
		}
	}
	h["Edda-Durability"] = []string{string(ack.Durability)}
	if ack.Joined {
		h["Idempotency-Replayed"] = httpio.Yes
		return x.saga(http.StatusOK, made)
	}
	return x.saga(http.StatusCreated, made)
}

func (g *Gateway) getSaga(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	wait, err := x.waitOf(q)
	if err != nil {
		return err
	}
	id := x.args[0]
	if wait == 0 {
		s, err := g.sagas.Saga(x.r.Context(), x.namespace, id)
		if err == nil {
			err = x.grant.CheckSaga(s)
		}
		if err != nil {
			return err
		}
		return x.saga(http.StatusOK, s)
	}
	if err := g.ownSaga(x); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), wait)
	defer cancel()
	s, err := g.sagas.WaitSaga(ctx, x.namespace, id)
	if err != nil {
		return err
	}
	return x.saga(http.StatusOK, s)
}

// ownSaga returns NOT_ALLOWED unless the path's saga is one that the principal may
// see and act on. Who may act on all need not be asked which one it is.
func (g *Gateway) ownSaga(x *exchange) error {
	if x.grant.Manage {
		return nil
	}
	s, err := g.sagaAlone(x)
	if err != nil {
		return err
	}
	return x.grant.CheckSaga(s)
}

// sagaAlone returns the path's saga without its steps, which may be many.
func (g *Gateway) sagaAlone(x *exchange) (*edda.Saga, error) {
	found, _, err := g.sagas.Sagas(x.r.Context(), edda.SagaFilter{Namespace: x.namespace, ID: x.args[0]}, 1, "")
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return g.sagas.Saga(x.r.Context(), x.namespace, x.args[0]) // which says so
	}
	return &found[0], nil
}

func (g *Gateway) listSagas(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	f, err := reqhead.Sagas(x.namespace, q)
	if err != nil {
		return err
	}
	f.Principal = edda.Principal(q.Get("principal"))
	if f, err = x.grant.VisibleSagas(f); err != nil {
		return err
	}
	items, next, err := g.sagas.Sagas(x.r.Context(), f, p.Limit, p.After)
	if err != nil {
		return err
	}
	for i := range items {
		sagaInUTC(&items[i])
	}
	return page(x, items, next)
}

func (g *Gateway) startSaga(x *exchange) error { return g.changeSaga(x, g.sagas.StartSaga) }

func (g *Gateway) cancelSaga(x *exchange) error { return g.changeSaga(x, g.sagas.CancelSaga) }

// changeSaga changes a saga and answers with what it is then.
func (g *Gateway) changeSaga(x *exchange, change func(ctx context.Context, namespace, id string) (*edda.Saga, error)) error {
	if err := g.noBody(x); err != nil {
		return err
	}
	if err := g.ownSaga(x); err != nil {
		return err
	}
	s, err := change(x.r.Context(), x.namespace, x.args[0])
	if err != nil {
		return err
	}
	return x.saga(http.StatusOK, s)
}

// pruneSagas removes the sagas that the query chooses.
func (g *Gateway) pruneSagas(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	f, err := reqhead.EndedSagas(x.namespace, q)
	if err != nil {
		return err
	}
	if err := g.noBody(x); err != nil {
		return err
	}
	n, err := g.sagas.PruneSagas(x.r.Context(), f)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, pruned{Removed: n})
}

// pruned says how many sagas were removed.
type pruned struct {
	Removed int `json:"removed"`
}

// removeSaga removes one saga that has ended.
func (g *Gateway) removeSaga(x *exchange) error {
	id := x.args[0]
	n, err := g.sagas.PruneSagas(x.r.Context(), edda.SagaFilter{Namespace: x.namespace, ID: id})
	if err != nil {
		return err
	}
	if n > 0 {
		return x.noContent()
	}
	s, err := g.sagas.Saga(x.r.Context(), x.namespace, id)
	if err != nil {
		return err
	}
	if whole, _, nested := strings.Cut(id, "~"); nested && s.State.Ended() {
		return refuse(edda.Conflict, "the saga is a step, and is removed with saga "+whole)
	}
	return refuse(edda.Conflict, "the saga is "+string(s.State)+": only one that has ended can be removed")
}

// checkSagaID checks the id of a saga. That of one which is a step has several
// parts.
func checkSagaID(id string) error {
	for part := range strings.SplitSeq(id, "~") {
		if err := edda.CheckName("saga id", part); err != nil {
			return err
		}
	}
	return nil
}
