package wsgw

import (
	"context"
	"strconv"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/specjson"
)

// Bounds of appends that travel together.
const (
	maxTogether      = 256
	maxTogetherBytes = 256 << 10
)

// appendOp is a message that is being appended or published.
type appendOp struct {
	ref string
	op  *op
	to  target
	msg edda.StreamMessage
	by  edda.Principal
}

// target is where messages go that may be appended together.
type target struct{ stream, channel, shard string }

// append has a message appended, after those that came before it over the connection.
func (c *conn) append(f *specjson.Frame, grant *auth.Grant) error {
	o := &appendOp{ref: f.Ref, to: target{f.Stream, f.Channel, f.Shard}, msg: f.Message, by: grant.Principal}
	o.msg.Payload, o.msg.Principal = clone(o.msg.Payload), grant.Principal
	var err error
	if o.msg.TraceParent, o.msg.TraceState, err = traceOf(&f.Message); err != nil {
		return err
	}
	o.op = &op{add: o}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.mayBegin(f, c.appends, c.g.opts.MaxCalls, "appends under way"); err != nil {
		return err
	}
	c.take(f.Ref, o.op)
	c.appends++
	c.queue = append(c.queue, o)
	if !c.adding && !c.over {
		c.adding = true
		c.tasks.Go(c.add)
	}
	return nil
}

// add appends what waits, in order. What goes to the same place travels together.
func (c *conn) add() {
	for {
		c.mu.Lock()
		n := together(c.queue)
		ops := c.queue[:n:n]
		c.queue = c.queue[n:]
		if n == 0 || c.over {
			c.adding, c.queue = false, nil
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		ack, err := c.addThese(ops)
		if err != nil && n > 1 && mayBeOne(err) {
			for i := range ops {
				ack, err := c.addThese(ops[i : i+1])
				c.added(ops[i:i+1], ack, err)
			}
			continue
		}
		c.added(ops, ack, err)
	}
}

// together returns how many of the first appends may be one.
func together(queue []*appendOp) int {
	bytes := 0
	for i, o := range queue {
		bytes += len(o.msg.Payload)
		if i > 0 && (o.to != queue[0].to || o.by != queue[0].by || bytes > maxTogetherBytes) || i == maxTogether {
			return i
		}
	}
	return len(queue)
}

// mayBeOne reports whether an error of several messages, of which none was appended, may be
// about one of them.
func mayBeOne(err error) bool {
	r := edda.ReasonOf(err)
	return r == edda.TooLarge || r.Code() == edda.CodeInvalidArgument
}

func (c *conn) addThese(ops []*appendOp) (*edda.AppendAck, error) {
	first := ops[0]
	a := &edda.Append{
		Namespace: c.about.Namespace, Stream: first.to.stream, Channel: first.to.channel, Shard: first.to.shard, Principal: first.by,
		Messages: make([]edda.StreamMessage, len(ops)),
	}
	for i, o := range ops {
		a.Messages[i] = o.msg
	}
	return c.g.streams.Append(c.ctx, a)
}

// added answers appends.
func (c *conn) added(ops []*appendOp, ack *edda.AppendAck, err error) {
	if !c.waitForRoom() {
		ack, err = nil, context.Canceled
	}
	var why *edda.Error
	if err != nil {
		why = c.toldOf(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, o := range ops {
		switch {
		case why != nil:
			c.put(errorFrame(o.ref, why))
		case o.to.channel != "":
			c.put(publishedFrame(o.ref, &ack.Items[i], ack.Position))
		default:
			c.put(appendedFrame(o.ref, &ack.Items[i], ack.Position))
		}
		c.free(o.ref, o.op)
	}
}

// toldOf is what the client is told of an error; one about the end of the connection is
// told to nobody.
func (c *conn) toldOf(err error) *edda.Error {
	if c.ctx.Err() != nil {
		return refusal(edda.Cancelled, "the connection ends")
	}
	return c.g.told(err)
}

func appendedFrame(ref string, it *edda.Appended, position string) answer {
	b := appendText(begin("ack", ref, 128), "id", it.ID)
	b = appendText(b, "shard", it.Shard)
	b = strconv.AppendUint(append(b, `,"offset":`...), it.Offset, 10)
	return finishAck(b, it, position)
}

func publishedFrame(ref string, it *edda.Appended, position string) answer {
	return finishAck(appendText(begin("ack", ref, 96), "id", it.ID), it, position)
}

func finishAck(b answer, it *edda.Appended, position string) answer {
	b = appendText(b, "position", position)
	if it.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	return append(b, '}')
}
