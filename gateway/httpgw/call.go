package httpgw

import (
	"context"
	"errors"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/lazyctx"
)

// defaultWait is how long a call waits that does not say.
const defaultWait = 30 * time.Second

// callKey calls a method under a key.
func (g *Gateway) callKey(x *exchange) error {
	return g.call(x, edda.Address{Name: x.args[0], Key: x.args[1]}, x.args[2])
}

// callName calls a method without a key, or with the one in Edda-Key.
func (g *Gateway) callName(x *exchange) error {
	return g.call(x, edda.Address{Name: x.args[0]}, x.args[1])
}

func (g *Gateway) call(x *exchange, to edda.Address, method string) error {
	to.Namespace = x.namespace
	m := &edda.Message{To: to, Type: method, Principal: x.grant.Principal}
	p, err := reqhead.Call(x.r.Header, m)
	if err != nil {
		return err
	}
	g.traceCall(x, m)
	if m.Payload, err = httpio.Body(x.w, x.r, g.opts.MaxBody); err != nil {
		return err
	}
	x.waits = p.HasWait || !m.Due.IsZero()
	if (p.Parts || p.Events) && !p.Async {
		if !p.HasWait {
			p.Wait = defaultWait
		}
		return g.callParts(x, m, p)
	}
	if p.Async || p.HasWait && p.Wait == 0 {
		return g.send(x, m, p)
	}
	if !p.HasWait {
		p.Wait = defaultWait
	}
	ctx := lazyctx.WithTimeout(x.r.Context(), p.Wait)
	reply, err := g.calls.Call(ctx, m)
	ctx.End()
	if err != nil {
		return err
	}
	g.reply(x, reply)
	return nil
}

// send stores the request, then waits as long as it was asked to.
func (g *Gateway) send(x *exchange, m *edda.Message, p reqhead.Preferences) error {
	ack, err := g.calls.Send(x.r.Context(), m)
	if err != nil {
		return err
	}
	x.id = ack.ID
	if ack.Done || p.Wait > 0 {
		reply, err := g.await(x, ack, p.Wait)
		if err == nil {
			g.reply(x, reply)
			return nil
		}
		if ack.Done || edda.ReasonOf(err) != edda.Timeout {
			return err
		}
	}
	if p.Async {
		g.accepted(x, ack, p.Applied())
		return nil
	}
	return &edda.Error{
		Reason: edda.Timeout, RequestID: ack.ID, Position: ack.Position, Err: errors.New("the wait was 0 seconds"),
	}
}

// await returns the outcome of a request that was acknowledged: at once when it
// has ended, and then it is the outcome of an earlier request with the same
// idempotency key.
func (g *Gateway) await(x *exchange, ack *edda.Ack, wait time.Duration) (*edda.Reply, error) {
	ctx, cancel := x.r.Context(), func() {}
	if !ack.Done {
		ctx, cancel = context.WithTimeout(ctx, wait)
	}
	defer cancel()
	reply, err := g.calls.Wait(ctx, x.namespace, ack.ID)
	if err != nil {
		e, ok := errors.AsType[*edda.Error](err)
		if !ok {
			return nil, err
		}
		known := *e
		known.RequestID, known.Position = ack.ID, ack.Position
		known.Replayed = e.Replayed || ack.Done && ack.Joined
		return nil, &known
	}
	if ack.Done && ack.Joined && !reply.Replayed {
		replayed := *reply
		replayed.Replayed = true
		return &replayed, nil
	}
	return reply, nil
}

// reply answers with what the handler returned.
func (g *Gateway) reply(x *exchange, r *edda.Reply) {
	x.id = r.RequestID
	status, err := httpio.ReplyHeaders(x.w.Header(), r, g.durability)
	if err != nil {
		g.fail(x, err)
		return
	}
	x.write(status, r.Payload)
}
