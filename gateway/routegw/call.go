package routegw

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/lazyctx"
	"go.opentelemetry.io/otel/attribute"
)

// call calls the route's service, and answers with the reply.
func (x *exchange) call() error {
	rt := x.route
	m := &edda.Message{To: edda.Address{Namespace: rt.Namespace, Name: rt.Service}, Principal: x.grant.Principal}
	var err error
	if m.Type, err = rt.method.value(x); err != nil {
		return err
	}
	if m.To.Key, err = rt.key.value(x); err != nil {
		return err
	}
	c, err := x.content()
	if err != nil {
		return err
	}
	m.Headers, m.ContentType, m.Payload, m.IdempotencyKey = c.headers, c.contentType, c.payload, c.idempotencyKey
	m.TraceParent, m.TraceState = x.trace(attribute.String("edda.service", rt.Service), attribute.String("edda.method", m.Type))
	if rt.Async {
		return x.send(m)
	}
	ctx := lazyctx.WithTimeout(x.r.Context(), rt.Wait)
	reply, err := x.g.calls.Call(ctx, m)
	ctx.End()
	if err != nil {
		return err
	}
	x.id = reply.RequestID
	if x.status, err = httpio.ReplyHeaders(x.w.Header(), reply, x.g.durability); err != nil {
		return err
	}
	httpio.Write(x.w, x.r, x.status, reply.Payload)
	return nil
}

// send stores the request, and answers where its reply will be.
func (x *exchange) send(m *edda.Message) error {
	ack, err := x.g.calls.Send(x.r.Context(), m)
	if err != nil {
		return err
	}
	x.id = ack.ID
	if ack.Joined {
		x.w.Header()["Idempotency-Replayed"] = httpio.Yes
	}
	x.status = 202
	httpio.Accepted(x.w, x.r, ack, x.route.Namespace)
	return nil
}
