package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// Defaults of CallerOptions.
const (
	// DefaultCallTimeout is how long a call waits for its reply.
	DefaultCallTimeout = 3 * time.Second
	// DefaultKeepReplies is how long replies are kept in a stream that a caller creates.
	DefaultKeepReplies = time.Hour
)

// CallerOptions say how a caller calls. The zero value works.
type CallerOptions struct {
	// Shard is the shard that is appended to; edda.DefaultShard when empty.
	Shard string
	// ReplyTo is the stream that replies come to, and as its Key a shard of it. When its
	// name is empty it is that of the stream that is called, with ".replies" after it.
	// Any number of callers share one. It is created when there is none, to keep what
	// comes for KeepReplies.
	ReplyTo     edda.Address
	KeepReplies time.Duration
	// Timeout is how long a call waits for its reply. Zero means DefaultCallTimeout.
	Timeout time.Duration
	// Source is the source of messages that name none.
	Source string
}

// Caller calls whoever consumes a stream: it appends messages, and waits for the answers
// in another stream, by their ids. It is safe for concurrent use, by any number of calls
// at a time; a call leaves nothing behind when it ends.
type Caller struct {
	writer  *Writer
	replies edda.Address
	o       CallerOptions

	mu    sync.Mutex            // guards what follows
	calls map[string][]*waiting // by the id of the message
	ready bool                  // there is a stream for the replies
}

// waiting is a call that waits for its reply.
type waiting struct{ cancel context.CancelCauseFunc }

// Caller returns a caller of whoever consumes the stream. It asks for nothing until it
// is used.
func (c *Client) Caller(stream string, o CallerOptions) *Caller {
	o.Timeout = cmp.Or(o.Timeout, DefaultCallTimeout)
	o.KeepReplies = cmp.Or(o.KeepReplies, DefaultKeepReplies)
	o.ReplyTo.Name = cmp.Or(o.ReplyTo.Name, stream+edda.RepliesSuffix)
	o.ReplyTo.Namespace = cmp.Or(o.ReplyTo.Namespace, c.namespace)
	return &Caller{
		writer: c.Writer(stream, WriterOptions{Shard: o.Shard, ReplyTo: o.ReplyTo, Source: o.Source, Patience: o.Timeout}),
		o:      o, replies: o.ReplyTo, calls: map[string][]*waiting{},
	}
}

// Call appends a message and returns the answer to it. An id is made when it has none;
// with the id of an earlier call the message is not appended again, and the answer to
// that one is returned, also when it came long ago.
//
// The errors are those of [Writer.Append], and: Timeout when there was no answer in time,
// though the message may be, or still be, handled, whose answer [Caller.Await] waits for;
// Cancelled after [Caller.Cancel]; and what an answer says that is an error, with its
// reason, or Failed and the handler's own word in the *edda.HandlerError that it wraps.
func (c *Caller) Call(ctx context.Context, m edda.StreamMessage) (*edda.StreamMessage, error) {
	m.ID = cmp.Or(m.ID, newID())
	return c.await(ctx, m.ID, func(ctx context.Context) error {
		_, err := c.writer.Append(ctx, m)
		return err
	})
}

// Await returns the answer to the message with the id, which somebody has appended, or
// will. It waits for as long as a call does, and has its errors.
func (c *Caller) Await(ctx context.Context, id string) (*edda.StreamMessage, error) {
	return c.await(ctx, id, func(context.Context) error { return nil })
}

// Cancel ends the calls that wait for the answer to the message with the id, with the
// reason Cancelled, and reports whether there were any. The message is handled all the
// same.
func (c *Caller) Cancel(id string) bool {
	c.mu.Lock()
	ended := c.calls[id]
	delete(c.calls, id)
	c.mu.Unlock()
	for _, w := range ended {
		w.cancel(errCancelled)
	}
	return len(ended) > 0
}

// CancelAll is Cancel for all calls that wait now, and returns their number.
func (c *Caller) CancelAll() int {
	c.mu.Lock()
	ended := c.calls
	c.calls = map[string][]*waiting{}
	c.mu.Unlock()
	n := 0
	for _, ws := range ended {
		for _, w := range ws {
			w.cancel(errCancelled)
			n++
		}
	}
	return n
}

// Call calls a stream's consumers with a message of the type, whose payload is in as
// JSON, and decodes the reply into Out. The errors are those of [Caller.Call], and BadJSON
// for what cannot be encoded or decoded.
func Call[Out any](ctx context.Context, c *Caller, messageType string, in any) (Out, error) {
	var out Out
	b, err := json.Marshal(in)
	if err != nil {
		return out, &edda.Error{Op: "call " + c.writer.stream, Reason: edda.BadJSON, Err: err}
	}
	r, err := c.Call(ctx, edda.StreamMessage{Type: messageType, ContentType: contentTypeJSON, Payload: b})
	if err != nil {
		return out, err
	}
	return Decode[Out](r)
}

// Reasons why the context of a call ends.
var (
	errCancelled = errors.New("the call was cancelled")
	errTimeout   = errors.New("the timeout of the call is over")
)

// await waits for an answer, after it has done what comes first.
func (c *Caller) await(ctx context.Context, id string, first func(context.Context) error) (*edda.StreamMessage, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &waiting{cancel}
	c.enter(id, w)
	defer c.leave(id, w)
	ctx, stop := context.WithTimeoutCause(ctx, c.o.Timeout, errTimeout)
	defer stop()
	deadline, _ := ctx.Deadline()

	err := c.prepare(ctx)
	if err == nil {
		err = first(ctx)
	}
	if err != nil && passing(err) && !errors.Is(context.Cause(ctx), errCancelled) {
		return nil, err // it says what is known of the message
	}
	var m *edda.StreamMessage
	if err == nil {
		m, err = c.answer(ctx, id, deadline)
	}
	switch {
	case err == nil && m.Type == TypeError:
		return nil, errorOf("call "+c.writer.stream, m)
	case err == nil:
		return m, nil
	case ctx.Err() != nil:
		return nil, c.ended(ctx, id, err)
	default:
		return nil, err
	}
}

// answer returns the message with the id that comes to the stream of replies.
func (c *Caller) answer(ctx context.Context, id string, deadline time.Time) (*edda.StreamMessage, error) {
	for failures := 1; ; failures++ {
		m, err := c.writer.client.backend.AwaitMessage(ctx, c.replies.Namespace, c.replies.Name, id, max(time.Until(deadline), 0))
		switch {
		case err == nil:
			m.Stream = c.replies.Name
			return m, nil
		case edda.ReasonOf(err) == edda.NoMessage && !time.Now().Before(deadline):
			<-ctx.Done() // at this very moment
			return nil, err
		case edda.ReasonOf(err) == edda.NoStream:
			if err := c.prepareAgain(ctx); err != nil {
				return nil, err
			}
		case !passing(err) || !pause(ctx, failures):
			return nil, err
		}
	}
}

// ended is the error of a call whose context has ended.
func (c *Caller) ended(ctx context.Context, id string, last error) error {
	cause := context.Cause(ctx)
	e := &edda.Error{Op: fmt.Sprintf("call %s, message %s", c.writer.stream, id), Reason: edda.Timeout}
	switch {
	case errors.Is(cause, errCancelled):
		e.Reason, e.Err = edda.Cancelled, cause
	case passing(last):
		e.Err = fmt.Errorf("no reply came to %s within %v: %w", c.replies, c.o.Timeout, last)
	case errors.Is(cause, errTimeout):
		e.Err = fmt.Errorf("no reply came to %s within %v; the message may be handled yet", c.replies, c.o.Timeout)
	default:
		e.Err = fmt.Errorf("no reply came to %s: %w", c.replies, cause)
	}
	return e
}

// prepare sees to it that there is a stream for the replies.
func (c *Caller) prepare(ctx context.Context) error {
	c.mu.Lock()
	ready := c.ready
	c.mu.Unlock()
	if ready {
		return nil
	}
	if err := edda.CheckName("stream", c.writer.stream); err != nil { // else it would be the name of the replies'
		return err
	}
	b := c.writer.client.backend
	_, err := b.Stream(ctx, c.replies.Namespace, c.replies.Name)
	if edda.ReasonOf(err) == edda.NoStream {
		_, _, err = b.SetStream(ctx, edda.StreamSpec{
			Namespace: c.replies.Namespace, Name: c.replies.Name, Retention: edda.Retention{Age: c.o.KeepReplies},
		})
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = true
	return nil
}

// prepareAgain is prepare after the stream for the replies was deleted.
func (c *Caller) prepareAgain(ctx context.Context) error {
	c.mu.Lock()
	c.ready = false
	c.mu.Unlock()
	return c.prepare(ctx)
}

func (c *Caller) enter(id string, w *waiting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[id] = append(c.calls[id], w)
}

func (c *Caller) leave(id string, w *waiting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.calls[id]
	for i, other := range left {
		if other == w {
			left = append(left[:i:i], left[i+1:]...)
			break
		}
	}
	if c.calls[id] = left; len(left) == 0 {
		delete(c.calls, id)
	}
}
