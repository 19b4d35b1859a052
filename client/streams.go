package client

import (
	"context"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// streamService is the name of the service of streams and groups.
const streamService = "/edda.v1.StreamService/"

// longWait is how long the node waits for messages, until it is asked again.
const longWait = 10 * time.Minute

// SetStream creates a stream, or changes one. See edda.StreamBackend. When the connection
// broke before the answer, created may be false of a stream that this call has created.
func (c *Conn) SetStream(ctx context.Context, s edda.StreamSpec) (st *edda.Stream, created bool, err error) {
	op := "set stream " + s.Name
	if err := s.Validate(); err != nil {
		return nil, false, err
	}
	b, _, err := c.tell(ctx, op, streamService+"SetStream", appendStreamSpec(nil, 1, &s), true)
	if err != nil {
		return nil, false, err
	}
	view, created, err := readSet(op, b)
	if err != nil {
		return nil, false, err
	}
	st, err = c.wholeAfter(ctx, op, view)
	return st, created, err
}

// Stream returns what is known of a stream. See edda.StreamBackend.
func (c *Conn) Stream(ctx context.Context, namespace, name string) (*edda.Stream, error) {
	op := "look up stream " + name
	if err := checkStream(namespace, name); err != nil {
		return nil, err
	}
	s, more, err := c.streamPage(ctx, op, namespace, name, "")
	if err != nil {
		return nil, err
	}
	return c.whole(ctx, op, s, more)
}

// checkStream checks what names a stream, as the node does.
func checkStream(namespace, name string) error {
	return (&edda.Read{Namespace: namespace, Stream: name}).Validate()
}

// streamPage asks for a stream with its shards after one, as many as the node gives. More
// is the last of them when there are others, else empty.
func (c *Conn) streamPage(ctx context.Context, op, namespace, name, after string) (s *edda.Stream, more string, err error) {
	req := wire.AppendString(streamRef(namespace, name), 3, after)
	b, err := c.ask(ctx, op, streamService+"GetStream", edda.ID{}, req)
	if err != nil {
		return nil, "", err
	}
	return readStream(op, b)
}

// whole completes the shards of a stream.
func (c *Conn) whole(ctx context.Context, op string, s *edda.Stream, more string) (*edda.Stream, error) {
	for more != "" {
		page, again, err := c.streamPage(ctx, op, s.Namespace, s.Name, more)
		if err != nil {
			return nil, err
		}
		for name, o := range s.Offsets {
			if _, newer := page.Offsets[name]; !newer {
				page.Offsets[name] = o
			}
		}
		s, more = page, again
	}
	return s, nil
}

// wholeAfter is whole for what is answered to a change, which was made in any case.
func (c *Conn) wholeAfter(ctx context.Context, op string, answer []byte) (*edda.Stream, error) {
	s, more, err := readStream(op, answer)
	if err != nil {
		return nil, err
	}
	if s, err = c.whole(ctx, op, s, more); err != nil {
		return nil, unknownTo(op, err)
	}
	return s, nil
}

// Streams returns a page of streams. See edda.StreamBackend.
func (c *Conn) Streams(ctx context.Context, namespace string, limit int, after string) ([]edda.Stream, string, error) {
	const op = "list streams"
	if err := checkLimit(op, limit); err != nil {
		return nil, "", err
	}
	b, err := c.ask(ctx, op, streamService+"ListStreams", edda.ID{}, listRequest(namespace, limit, after))
	if err != nil {
		return nil, "", err
	}
	var page []edda.Stream
	next := ""
	err = eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			s, more, err := readStream(op, f.Bytes)
			if err == nil {
				s, err = c.whole(ctx, op, s, more)
			}
			if err != nil {
				return err
			}
			page = append(page, *s)
		case 2:
			next = string(f.Bytes)
		}
		return nil
	})
	return page, next, err
}

// DeleteStream removes a stream. See edda.StreamBackend. When the connection breaks before
// the answer the error is OutcomeUnknown: a second time might remove one that was created
// since.
func (c *Conn) DeleteStream(ctx context.Context, namespace, name string) error {
	if err := checkStream(namespace, name); err != nil {
		return err
	}
	_, _, err := c.tell(ctx, "delete stream "+name, streamService+"DeleteStream", streamRef(namespace, name), false)
	return err
}

// TrimStream removes messages. See edda.StreamBackend.
func (c *Conn) TrimStream(ctx context.Context, namespace, stream, shard string, before edda.From) (*edda.Stream, error) {
	op := "trim stream " + stream
	if err := (&edda.Read{Namespace: namespace, Stream: stream, Shard: shard}).Validate(); err != nil {
		return nil, err
	}
	req := wire.AppendString(streamRef(namespace, stream), 3, shard)
	req = wire.AppendString(req, 4, rpcconn.Text(string(before)))
	b, _, err := c.tell(ctx, op, streamService+"TrimStream", req, true)
	if err != nil {
		return nil, err
	}
	return c.wholeAfter(ctx, op, b)
}

// ReadStream returns messages that are there, or the first to come. See
// edda.StreamBackend. What comes while the connection is broken is not missed.
func (c *Conn) ReadStream(ctx context.Context, r edda.Read) (*edda.StreamPage, error) {
	op := "read stream " + r.Stream
	if err := r.Validate(); err != nil {
		return nil, err
	}
	left := r.Wait
	if r.Wait = 0; left > 0 && !fixed(r.From) {
		// The place is where it is now, whatever comes until the node is asked again.
		page, err := c.readPage(ctx, op, &r)
		if err != nil || len(page.Messages) > 0 {
			return page, err
		}
		r.From = edda.FromOffset(page.Next)
	}
	until := time.Now().Add(left)
	for {
		r.Wait = min(max(left, 0), longWait)
		page, err := c.readPage(ctx, op, &r)
		if err != nil || len(page.Messages) > 0 {
			return page, err
		}
		if left = time.Until(until); left <= 0 || r.Wait < longWait {
			return page, nil
		}
	}
}

// fixed reports whether a place is the same whenever it is asked for.
func fixed(from edda.From) bool {
	p, err := from.Parse()
	return from == "" || err == nil && (p.Kind == edda.AtStart || p.Kind == edda.AtOffset)
}

func (c *Conn) readPage(ctx context.Context, op string, r *edda.Read) (*edda.StreamPage, error) {
	b, err := c.ask(ctx, op, streamService+"ReadStream", edda.ID{}, wire.AppendUint(readRequestOf(r), 7, uint64(r.Wait)))
	if err != nil {
		return nil, err
	}
	return readPage(op, b)
}

// AwaitMessage returns the message with an id. See edda.StreamBackend.
func (c *Conn) AwaitMessage(ctx context.Context, namespace, stream, id string, wait time.Duration) (*edda.StreamMessage, error) {
	op := "await a message of stream " + stream
	if err := (&edda.Read{Namespace: namespace, Stream: stream, Wait: wait}).Validate(); err != nil {
		return nil, err
	}
	if err := edda.CheckMessageID(id); err != nil {
		return nil, err
	}
	until := time.Now().Add(wait)
	for {
		once := min(max(wait, 0), longWait)
		req := wire.AppendString(streamRef(namespace, stream), 3, id)
		b, err := c.ask(ctx, op, streamService+"AwaitMessage", edda.ID{}, wire.AppendUint(req, 4, uint64(once)))
		if err == nil {
			return readAwaited(op, b)
		}
		if wait = time.Until(until); edda.ReasonOf(err) != edda.NoMessage || once < longWait || wait <= 0 {
			return nil, err
		}
	}
}
