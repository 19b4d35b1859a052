package httpgw

import (
	"net/http"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/node"
)

// deadLetter is a dead letter's document.
type deadLetter struct {
	ID          edda.ID          `json:"id"`
	Service     string           `json:"service"`
	Key         string           `json:"key,omitempty"`
	Method      string           `json:"method"`
	Reason      edda.Reason      `json:"reason"`
	Detail      string           `json:"detail,omitempty"`
	Attempts    int              `json:"attempts"`
	DiedAt      time.Time        `json:"diedAt"`
	Headers     jsondata.Headers `json:"headers,omitempty"`
	ContentType string           `json:"contentType,omitempty"`
	jsondata.Data
}

func documentOf(d *edda.DeadLetter) deadLetter {
	return deadLetter{
		ID: d.ID, Service: d.Service, Key: d.Key, Method: d.Method, Reason: d.Reason, Detail: d.Detail,
		Attempts: d.Attempts, DiedAt: d.DiedAt.UTC(), Headers: jsondata.Headers(d.Headers),
		ContentType: d.ContentType, Data: jsondata.Encode(d.ContentType, d.Payload),
	}
}

func (g *Gateway) listDeadLetters(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	ds, next, err := g.node.DeadLetters(x.r.Context(), node.DeadLetterFilter{
		Namespace: x.namespace, Service: q.Get("service"), Key: q.Get("key"), Reason: edda.Reason(q.Get("reason")),
	}, node.Page(p))
	if err != nil {
		return err
	}
	items := make([]deadLetter, len(ds))
	for i := range ds {
		items[i] = documentOf(&ds[i])
	}
	return page(x, items, next)
}

func (g *Gateway) getDeadLetter(x *exchange) error {
	id, err := x.requestID(edda.NoDeadLetter)
	if err != nil {
		return err
	}
	d, err := g.node.DeadLetter(x.r.Context(), x.namespace, id)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, documentOf(d))
}

// retryDeadLetter answers 202: the request goes on under its id, as the last of
// its key.
func (g *Gateway) retryDeadLetter(x *exchange) error {
	id, err := x.requestID(edda.NoDeadLetter)
	if err != nil {
		return err
	}
	if err := g.noBody(x); err != nil {
		return err
	}
	r, err := g.node.RetryDeadLetter(x.r.Context(), x.namespace, id)
	if err != nil {
		return err
	}
	x.w.Header()["Location"] = []string{x.requestPath(r.ID.String())}
	return x.request(http.StatusAccepted, r)
}

func (g *Gateway) dropDeadLetter(x *exchange) error {
	id, err := x.requestID(edda.NoDeadLetter)
	if err != nil {
		return err
	}
	if err := g.node.DropDeadLetter(x.r.Context(), x.namespace, id); err != nil {
		return err
	}
	return x.noContent()
}
