package eddahttp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

// maxStreamEvent bounds one event of a stream: an append of edda.MaxAppendBytes in which
// every byte is escaped.
const maxStreamEvent = 6*edda.MaxAppendBytes + 1<<20

// mostSilence is how long a stream of events may be silent until its connection is given
// up: a node says something every 15 s.
const mostSilence = 45 * time.Second

// errSilent: a connection is open, and dead.
var errSilent = fmt.Errorf("nothing was heard for %v", mostSilence)

// heard reads a body that is not silent for long. The time between two calls does not
// count.
type heard struct {
	io.Reader
	alarm *time.Timer
}

func (h *heard) Read(b []byte) (int, error) {
	h.alarm.Reset(mostSilence)
	defer h.alarm.Stop()
	return h.Reader.Read(b)
}

// TailStream yields the messages of a shard as they come, without an end: from
// edda.FromEnd unless the read says otherwise, of which shard and from alone count. The
// error that ends it is the last pair: NoStream when the stream was deleted, Draining
// when the node stops, Unavailable when the connection broke or went silent. Whoever goes on reads from
// one past the last offset.
func (c *Client) TailStream(ctx context.Context, r edda.Read) iter.Seq2[edda.StreamMessage, error] {
	x := exchange{
		op: "tail stream " + r.Stream, method: http.MethodGet, path: c.Path("streams", r.Stream),
		query: places(r.Shard, r.From), header: http.Header{"Accept": {eventStream}},
	}
	return func(yield func(edda.StreamMessage, error) bool) {
		ctx, giveUp := context.WithCancelCause(ctx)
		defer giveUp(nil)
		res, err := c.send(ctx, x)
		if err != nil {
			yield(edda.StreamMessage{}, err)
			return
		}
		if res.status != http.StatusOK || res.header.Get("Content-Type") != eventStream {
			whole, err := c.whole(x, res)
			if err == nil {
				err = c.refusal(x.op, whole)
			}
			yield(edda.StreamMessage{}, err)
			return
		}
		defer func() { _ = res.body.Close() }() // it is given up, or broken
		alarm := time.AfterFunc(mostSilence, func() { giveUp(errSilent) })
		defer alarm.Stop()
		c.tail(ctx, x.op, &heard{res.body, alarm}, yield)
	}
}

// tail yields a message for each event.
func (c *Client) tail(ctx context.Context, op string, body io.Reader, yield func(edda.StreamMessage, error) bool) {
	s := bufio.NewScanner(body)
	s.Buffer(nil, maxStreamEvent)
	for event, data := range events(s) {
		m, err := c.tailed(op, event, data)
		if !yield(m, err) || err != nil {
			return
		}
	}
	err := s.Err()
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		err = errSilent
	case err == nil:
		err = io.ErrUnexpectedEOF
	}
	yield(edda.StreamMessage{}, &edda.Error{
		Op: op, Reason: edda.Unavailable, Err: fmt.Errorf("the connection to %s broke: %w", c.base, interrupted(err)),
	})
}

// tailed reads an event, which may be the one that says why there are no more.
func (c *Client) tailed(op, event, data string) (edda.StreamMessage, error) {
	if event == streamjson.EndEvent {
		if e, _ := decodeProblem(op, []byte(data)); e != nil {
			return edda.StreamMessage{}, e
		}
		return edda.StreamMessage{}, fmt.Errorf("%s: %s broke off without a reason", op, c.base)
	}
	var item streamjson.Item
	if err := json.Unmarshal([]byte(data), &item); err != nil {
		return edda.StreamMessage{}, fmt.Errorf("%s: %s sent something else than a message: %w", op, c.base, err)
	}
	return item.Message(c.namespace)
}
