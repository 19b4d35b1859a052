package wsgw

import (
	"context"
	"net/textproto"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/httpheader"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/internal/specjson"
)

// callOp is a call that is under way.
type callOp struct {
	c     *conn
	ref   string
	op    *op
	msg   *edda.Message // the node's, once it has begun
	to    edda.Address
	parts bool
	quiet bool // the reply stands for the ack too

	// guarded by the connection's mu
	id        edda.ID
	acked     bool
	passed    bool // the next call of its key may go
	cancelled bool
}

// call begins a call. Those of one key are handed to the node in the order in which they
// came: one goes when it is known that the one before it is stored, or refused.
func (c *conn) call(f *specjson.Frame, grant *auth.Grant) error {
	m, err := c.message(f, grant)
	if err != nil {
		return err
	}
	o := &callOp{c: c, ref: f.Ref, msg: m, to: m.To, parts: f.Parts, quiet: f.Quiet}
	o.op = &op{call: o}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.mayBegin(f, c.calls, c.g.opts.MaxCalls, "calls under way"); err != nil {
		return err
	}
	c.take(f.Ref, o.op)
	c.calls++
	c.g.metrics.calls.Inc()
	if o.to.Key != "" {
		if c.lanes == nil {
			c.lanes = map[edda.Address][]*callOp{}
		}
		before, busy := c.lanes[o.to]
		if busy {
			c.lanes[o.to] = append(before, o)
			return nil
		}
		c.lanes[o.to] = nil
	}
	c.start(o)
	return nil
}

// start hands a call to the node. The caller holds mu.
func (c *conn) start(o *callOp) {
	if !c.over {
		c.tasks.Go(o.run)
	}
}

// message makes the message of a call.
func (c *conn) message(f *specjson.Frame, grant *auth.Grant) (*edda.Message, error) {
	said := &f.Message
	m := &edda.Message{
		To:   edda.Address{Namespace: c.about.Namespace, Name: f.Service, Key: said.Key},
		Type: f.Method, Principal: grant.Principal, Headers: said.Headers, ContentType: said.ContentType,
		Payload: clone(said.Payload), CorrelationID: said.CorrelationID, IdempotencyKey: f.IdempotencyKey,
	}
	if err := checkIdempotencyKey(f.IdempotencyKey); err != nil {
		return nil, err
	}
	var err error
	if m.TraceParent, m.TraceState, err = traceOf(said); err != nil {
		return nil, err
	}
	now := time.Now()
	if f.Delay > 0 {
		m.Due = now.Add(f.Delay)
	}
	switch {
	case f.DeadlineAfter != 0:
		m.Deadline = now.Add(f.DeadlineAfter)
	case !f.DeadlineAt.IsZero():
		m.Deadline = f.DeadlineAt.UTC()
	}
	for _, t := range [...]time.Time{m.Due, m.Deadline} {
		if t.After(lastTime) {
			return nil, refusal(edda.BadValue, "delay and deadline must be before the year 2262")
		}
	}
	return m, nil
}

// traceOf returns the trace context of what a frame brings about.
func traceOf(said *edda.StreamMessage) (parent, state string, err error) {
	switch {
	case said.TraceParent == "":
		return "", "", nil
	case !httpio.ValidTraceParent(said.TraceParent):
		return "", "", refusal(edda.BadValue, "traceparent must be a W3C trace context")
	}
	parent, state = httpio.TraceContext([]string{said.TraceParent}, []string{said.TraceState})
	return parent, state, nil
}

// lastTime is the last that a record can hold, in whole years.
var lastTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// clone copies a payload, which is part of the frame, and the frame is used again.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

func checkIdempotencyKey(key string) error {
	ok := len(key) <= edda.MaxIdempotencyKeyBytes
	for i := range len(key) {
		ok = ok && key[i] >= ' ' && key[i] < 0x7f
	}
	if ok {
		return nil
	}
	return refusal(edda.BadValue, "idempotencyKey must be 1 to 255 characters of ASCII")
}

// run hands the call to the node and waits for what becomes of it.
func (o *callOp) run() {
	c := o.c
	var reply *edda.Reply
	var err error
	if o.parts {
		reply, err = o.runParts()
	} else {
		reply, err = c.g.calls.CallAcked(c.ctx, o.msg, o.durable)
	}
	if !c.waitForRoom() {
		o.end(nil)
		return
	}
	if err != nil {
		o.end(errorFrame(o.ref, c.g.told(err)))
		return
	}
	o.end(replyFrame(o.ref, reply, o.quiet))
}

// durable acknowledges the call. It is called by the node, which it must not hold up.
func (o *callOp) durable(a *edda.Ack) {
	c := o.c
	var b answer
	if !o.quiet {
		b = append(appendPlace(begin("ack", o.ref, 96), a.ID, a.Position), '}')
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refs[o.ref] != o.op {
		return // it has ended
	}
	o.id, o.acked = a.ID, true
	if !o.quiet {
		c.put(b)
	}
	c.pass(o)
	if o.cancelled && !c.over {
		c.tasks.Go(o.cancel)
	}
}

// pass lets the next call of the key go. The caller holds mu.
func (c *conn) pass(o *callOp) {
	if o.passed || o.to.Key == "" {
		return
	}
	o.passed = true
	if waiting := c.lanes[o.to]; len(waiting) > 0 {
		c.lanes[o.to] = waiting[1:]
		c.start(waiting[0])
		return
	}
	delete(c.lanes, o.to)
}

// end answers the call. It is the last thing that its goroutine does, which may as well
// write the answer.
func (o *callOp) end(a answer) {
	c := o.c
	c.mu.Lock()
	if a != nil {
		c.keep(a)
	}
	c.pass(o)
	c.free(o.ref, o.op)
	mine := !c.writing && len(c.out) > 0
	c.writing = c.writing || mine
	c.mu.Unlock()
	if mine {
		c.write()
	}
}

// cancelCall ends a call at once, as soon as it is known to be stored.
func (c *conn) cancelCall(ref string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.refs[ref]
	if o == nil || o.call == nil {
		return refusal(edda.NoRequest, "no call is under way with this ref")
	}
	if o.call.cancelled {
		return nil
	}
	o.call.cancelled = true
	if o.call.acked && !c.over {
		c.tasks.Go(o.call.cancel)
	}
	return nil
}

// cancel has the node end the request, whose outcome is then the call's.
func (o *callOp) cancel() {
	c := o.c
	c.mu.Lock()
	id := o.id
	c.mu.Unlock()
	_, _ = c.g.calls.Cancel(c.ctx, c.about.Namespace, id) // what came of it the call says
}

// runParts is a call whose reply comes in parts.
func (o *callOp) runParts() (*edda.Reply, error) {
	c := o.c
	ack, err := c.g.calls.Send(c.ctx, o.msg)
	if err != nil {
		return nil, err
	}
	o.durable(ack)
	for part, err := range c.g.calls.Parts(c.ctx, c.about.Namespace, ack.ID, edda.PartID{}) {
		if err != nil {
			return nil, err
		}
		if !c.waitForRoom() {
			return nil, context.Canceled
		}
		c.say(partFrame(o.ref, &part))
	}
	return c.g.calls.Wait(c.ctx, c.about.Namespace, ack.ID)
}

// appendPlace says which request it is, and where it is stored.
func appendPlace(b []byte, id edda.ID, position string) []byte {
	return appendText(appendText(b, "id", id.String()), "position", position)
}

func replyFrame(ref string, r *edda.Reply, placed bool) answer {
	b := begin("reply", ref, 160+len(r.ContentType)+len(r.Payload))
	if placed {
		b = appendPlace(b, r.RequestID, r.Position)
	}
	b = strconv.AppendInt(append(b, `,"status":`...), int64(r.EffectiveStatus()), 10)
	if hs := replyHeaders(r.Headers); len(hs) > 0 {
		v, _ := jsondata.Headers(hs).MarshalJSON() // it knows no error
		b = append(append(b, `,"headers":`...), v...)
	}
	b = appendText(b, "contentType", r.ContentType)
	b = strconv.AppendInt(append(b, `,"attempts":`...), int64(r.Attempts), 10)
	if r.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	return append(jsondata.AppendMember(b, r.ContentType, r.Payload), '}')
}

// replyHeaders are those that are the handler's to set.
func replyHeaders(all edda.Headers) edda.Headers {
	var hs edda.Headers
	for _, h := range all {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		if httpheader.IsToken(h.Name) && !httpheader.OwnOfReply(name) && !httpheader.NamedByConnection(all, name) {
			hs = append(hs, h)
		}
	}
	return hs
}

func partFrame(ref string, p *edda.Part) answer {
	b := begin("part", ref, 64+len(p.ContentType)+len(p.Payload))
	b = appendText(b, "number", p.ID().String())
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(p.Attempt), 10)
	if p.Reset {
		b = append(b, `,"reset":true`...)
	}
	b = appendText(b, "contentType", p.ContentType)
	return append(jsondata.AppendMember(b, p.ContentType, p.Payload), '}')
}
