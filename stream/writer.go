package stream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

// WriterOptions say what a writer's messages have in common. The zero value works.
type WriterOptions struct {
	// Shard is the shard that is appended to; edda.DefaultShard when empty.
	Shard string
	// ReplyTo is the reply-to of messages that name none: a stream, and as its Key a
	// shard of it. In a message too, its namespace is the client's when it names none.
	ReplyTo edda.Address
	// Source is the source of messages that name none.
	Source string
	// Patience is how long an append is tried again that could not be made, or whose
	// outcome is unknown, because the node or the way to it was away or had too much to
	// do. Messages without an id are given one first, so that none is there twice. Zero
	// is no second try: the error says what is known.
	Patience time.Duration
}

// Writer appends to one shard of a stream. It is immutable and safe for concurrent use.
//
// What an append returns for is as durable as the acknowledgement says, in a stream that
// is created when there is none. Inside a handler, pass the handler's context: the
// messages are then causally linked to the one being handled. They are an effect outside
// of the handler's outcome; edda.Context.Append is for those inside.
type Writer struct {
	client *Client
	stream string
	o      WriterOptions
}

// Writer returns a writer to a stream.
func (c *Client) Writer(stream string, o WriterOptions) *Writer {
	return &Writer{client: c, stream: stream, o: o}
}

// Append appends messages in this order, all or none; without any it does nothing. The
// payloads must not be changed any more. A message with an id that the stream remembers
// is not appended again, and Appended.Replayed says so.
//
// Of the errors, OutcomeUnknown alone says that the messages may have been appended:
// repeat it only if they have ids. TooLarge and BadValue name the message.
func (w *Writer) Append(ctx context.Context, messages ...edda.StreamMessage) (*edda.AppendAck, error) {
	return w.append(ctx, edda.Append{Messages: messages})
}

// AppendAfter is Append that appends only if the shard's last message has the given
// offset; else the error is ExpectedOffset. Messages that were all appended before are
// answered like the first time all the same.
func (w *Writer) AppendAfter(ctx context.Context, last uint64, messages ...edda.StreamMessage) (*edda.AppendAck, error) {
	return w.append(ctx, edda.Append{Messages: messages, IfLast: &last})
}

// AppendFirst is AppendAfter for a shard that has no message.
func (w *Writer) AppendFirst(ctx context.Context, messages ...edda.StreamMessage) (*edda.AppendAck, error) {
	return w.append(ctx, edda.Append{Messages: messages, IfEmpty: true})
}

// AppendJSON appends one message whose payload is v as JSON, and returns where it is.
func (w *Writer) AppendJSON(ctx context.Context, m edda.StreamMessage, v any) (edda.Appended, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return edda.Appended{}, &edda.Error{Op: "append to " + w.stream, Reason: edda.BadJSON, Err: err}
	}
	m.Payload, m.ContentType = b, cmp.Or(m.ContentType, contentTypeJSON)
	ack, err := w.Append(ctx, m)
	if err != nil {
		return edda.Appended{}, err
	}
	return ack.Items[0], nil
}

func (w *Writer) append(ctx context.Context, a edda.Append) (*edda.AppendAck, error) {
	if len(a.Messages) == 0 {
		return &edda.AppendAck{}, nil
	}
	a.Namespace, a.Stream, a.Shard, a.Principal = w.client.namespace, w.stream, w.o.Shard, w.client.principal
	a.Messages = w.complete(ctx, a.Messages)
	if w.o.Patience <= 0 {
		return w.client.backend.Append(ctx, &a)
	}
	return w.insist(ctx, &a)
}

// complete returns copies of the messages, with what they have from the writer and from
// the handler that it is used in.
func (w *Writer) complete(ctx context.Context, messages []edda.StreamMessage) []edda.StreamMessage {
	messages = slices.Clone(messages)
	h, inHandler := edda.FromContext(ctx)
	for i := range messages {
		m := &messages[i]
		m.Source = cmp.Or(m.Source, w.o.Source)
		if m.ReplyTo = cmp.Or(m.ReplyTo, w.o.ReplyTo); m.ReplyTo.Name != "" {
			m.ReplyTo.Namespace = cmp.Or(m.ReplyTo.Namespace, w.client.namespace)
		}
		if w.o.Patience > 0 {
			m.ID = cmp.Or(m.ID, newID())
		}
		if inHandler {
			parent := h.Message()
			m.CausationID = parent.ID
			m.CorrelationID = cmp.Or(m.CorrelationID, parent.Correlation())
			m.TraceParent = cmp.Or(m.TraceParent, parent.TraceParent)
			m.TraceState = cmp.Or(m.TraceState, parent.TraceState)
		}
	}
	return messages
}

// insist appends, and tries again for as long as there is patience. The messages have
// ids, so what an earlier try appended is not appended again.
func (w *Writer) insist(ctx context.Context, a *edda.Append) (*edda.AppendAck, error) {
	patience, cancel := context.WithTimeout(ctx, w.o.Patience)
	defer cancel()
	unknown := false
	for failures := 1; ; failures++ {
		try := *a // which the backend may fill in
		try.Messages = slices.Clone(a.Messages)
		ack, err := w.client.backend.Append(ctx, &try)
		if err == nil || !passing(err) {
			return ack, err
		}
		unknown = unknown || edda.ReasonOf(err) == edda.OutcomeUnknown
		if pause(patience, failures) {
			continue
		}
		if unknown && edda.ReasonOf(err) != edda.OutcomeUnknown {
			// That the last try was refused says nothing of those before.
			err = &edda.Error{Op: "append to " + w.stream, Reason: edda.OutcomeUnknown,
				Err: fmt.Errorf("an earlier try may have been stored; the last of %d: %w", failures, err)}
		}
		return nil, err
	}
}

// newID makes an id that is unique, and cannot be guessed.
func newID() string { return rand.Text() }
