package cqrs

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/edda-io/edda"
)

// Codec makes of an event's data what the database keeps, and the data of that again: to
// encrypt personal data, and to redact it when its key is gone. Handlers, queries, the stream
// and channels have the data as it was; only the column data of edda_events has what Encode
// returned. The zero value keeps the data as it is. Both functions must be safe for concurrent
// use, and neither may change the event.
type Codec struct {
	// Encode is called when an event is stored, in the transaction of its command, which an
	// error fails.
	Encode func(ctx context.Context, e *Event) ([]byte, error)
	// Decode is called for each event that is read; e is without its data, and, when it is
	// about a list, without its items. It must return JSON. Who cannot decrypt any more returns
	// a stand-in: an error fails the query, and holds up relay and eventual handlers, until
	// there is none.
	Decode func(ctx context.Context, e *Event, stored []byte) (json.RawMessage, error)
}

func (c Codec) encode(ctx context.Context, e *Event) (stored []byte, err error) {
	if stored, err = c.Encode(ctx, e.copied()); err != nil {
		return nil, &edda.Error{Op: "encode event " + e.Type, Reason: failureReason(finalError{err}), Err: err}
	}
	return stored, nil
}

func (c Codec) decode(ctx context.Context, e *Event, stored []byte) (json.RawMessage, error) {
	data, err := c.Decode(ctx, e, stored)
	if err == nil && !json.Valid(data) {
		err = fmt.Errorf("what Codec.Decode returned is no JSON: %s", clip(data))
	}
	if err != nil {
		return nil, fmt.Errorf("decode event %s: %w", e.ID, err)
	}
	return data, nil
}
