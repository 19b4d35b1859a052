package httpgw

import (
	"net/http"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/node"
)

// listRequests finds the requests that have not succeeded, or those with an
// idempotency key.
func (g *Gateway) listRequests(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	f := node.RequestFilter{
		Namespace: x.namespace, Service: q.Get("service"), Key: q.Get("key"), State: edda.State(q.Get("state")),
		IdempotencyKey: q.Get("idempotencyKey"),
	}
	switch {
	case f.IdempotencyKey != "" && f.Service != "":
		f.Principal = x.grant.Principal // idempotency keys are everybody's own
		err = x.grant.CheckCall(f.Namespace, f.Service)
	case f.IdempotencyKey == "":
		err = x.grant.CheckManage()
	}
	if err != nil {
		return err
	}
	switch f.State {
	case "", edda.Accepted, edda.Dispatched, edda.Taken, edda.Retrying, edda.StateDead:
	default:
		return refuse(edda.BadValue, "state must be accepted, dispatched, taken, retrying or dead")
	}
	rs, next, err := g.node.Requests(x.r.Context(), f, node.Page(p))
	if err != nil {
		return err
	}
	for i := range rs {
		inUTC(&rs[i])
	}
	return page(x, rs, next)
}

// inUTC puts the times of a request into UTC.
func inUTC(r *edda.Request) {
	r.AcceptedAt, r.CompletedAt = r.AcceptedAt.UTC(), r.CompletedAt.UTC()
	r.StartedAt, r.NextAttemptAt = r.StartedAt.UTC(), r.NextAttemptAt.UTC()
}

// requestID reads the path's id. Ids are opaque: what cannot be one names
// nothing.
func (x *exchange) requestID(reason edda.Reason) (edda.ID, error) {
	id, err := edda.ParseID(x.args[0])
	if err != nil {
		return id, refuse(reason, "nothing has this id")
	}
	return id, nil
}

// ownRequest returns the id of the path's request, which must be one that the
// principal may see. Who may see all need not be asked which one it is.
func (g *Gateway) ownRequest(x *exchange) (edda.ID, error) {
	id, err := x.requestID(edda.NoRequest)
	if err != nil || x.grant.Manage {
		return id, err
	}
	r, err := g.calls.Request(x.r.Context(), x.namespace, id)
	if err != nil {
		return id, err
	}
	return id, x.grant.CheckRequest(r)
}

// request returns the path's request, once it has ended or the wait is over.
func (g *Gateway) request(x *exchange) (*edda.Request, error) {
	id, err := g.ownRequest(x)
	if err != nil {
		return nil, err
	}
	q, err := x.query()
	if err != nil {
		return nil, err
	}
	wait, err := x.waitOf(q)
	if err != nil {
		return nil, err
	}
	var r *edda.Request
	if wait > 0 {
		r, err = g.node.WaitRequest(x.r.Context(), x.namespace, id, wait)
	} else {
		r, err = g.calls.Request(x.r.Context(), x.namespace, id)
	}
	return r, err
}

func (g *Gateway) getRequest(x *exchange) error {
	r, err := g.request(x)
	if err != nil {
		return err
	}
	return x.request(http.StatusOK, r)
}

// request answers with a request.
func (x *exchange) request(status int, r *edda.Request) error {
	doc := *r
	inUTC(&doc)
	return x.json(status, &doc)
}

// getReply answers as the call would have been answered.
func (g *Gateway) getReply(x *exchange) error {
	r, err := g.request(x)
	if err != nil {
		return err
	}
	if !r.State.Ended() {
		g.accepted(x, &edda.Ack{
			ID: r.ID, Position: r.Position, Durability: edda.Durability(g.durability), AcceptedAt: r.AcceptedAt,
		}, "")
		return nil
	}
	reply, err := g.calls.Wait(x.r.Context(), x.namespace, r.ID)
	if err != nil {
		return err
	}
	g.reply(x, reply)
	return nil
}

func (g *Gateway) cancelRequest(x *exchange) error {
	id, err := g.ownRequest(x)
	if err != nil {
		return err
	}
	if err := g.noBody(x); err != nil {
		return err
	}
	r, err := g.calls.Cancel(x.r.Context(), x.namespace, id)
	if err != nil {
		return err
	}
	return x.request(http.StatusOK, r)
}
