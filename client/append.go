package client

import (
	"context"
	"errors"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// Append makes messages durable. See edda.StreamBackend. The node takes the principal
// from the token. An append whose messages all have ids, or numbers, is sent again when the
// connection breaks; what it then finds is Replayed, also where it comes from the first
// try. Any other one is OutcomeUnknown then: give messages ids, or look what there is.
func (c *Conn) Append(ctx context.Context, a *edda.Append) (*edda.AppendAck, error) {
	op := "append to " + a.Stream
	if a.Channel != "" {
		op = "publish to " + a.Channel
	}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	body := bodies.Get().(*[]byte)
	var err error
	if *body, err = rpcconn.AppendAppend((*body)[:0], reqAppend, a); err != nil {
		return nil, &edda.Error{Op: op, Reason: edda.Internal, Err: err}
	}
	if len(*body) > rpcconn.MaxSendBytes-1024 { // else the node says it
		return nil, a.CheckSize(len(*body))
	}
	keyed := a.Producer != "" || !slices.ContainsFunc(a.Messages, func(m edda.StreamMessage) bool { return m.ID == "" })
	out := c.submit(ctx, body, call{keyed: keyed, same: sameIDs})
	switch {
	case out.err != nil:
		return nil, opError(op, out.err)
	case out.kind == resAppended:
		return readAppendAck(op, out.bytes)
	case out.kind != resError:
		return nil, unexpected(op)
	}
	e, err := rpcconn.ReadError(op, out.bytes)
	if err != nil {
		return nil, malformed(op, err)
	}
	return nil, e
}

// opError says what was being done when an error of the lane came.
func opError(op string, err error) error {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		return err
	}
	mine := *e
	mine.Op = op
	return &mine
}

func readAppendAck(op string, b []byte) (*edda.AppendAck, error) {
	a := new(edda.AppendAck)
	shard := "" // of the item before: in nearly all acknowledgements there is one
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			item, err := readAppended(f.Bytes, shard)
			if err != nil {
				return nil, malformed(op, err)
			}
			a.Items, shard = append(a.Items, item), item.Shard
		case 2:
			a.Position = string(f.Bytes)
		case 3:
			a.Durability = edda.Durability(f.Bytes)
		case 4:
			if err := readNumbered(f.Bytes, &a.Last); err != nil {
				return nil, malformed(op, err)
			}
		}
	}
	if err := r.Err(); err != nil {
		return nil, malformed(op, err)
	}
	return a, nil
}

func readNumbered(b []byte, n *edda.Numbered) error {
	r := wire.NewReader(b)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case 1:
			n.Number = f.Uint
		case 2:
			n.Offset = f.Uint
		case 3:
			n.ID = string(f.Bytes)
		}
	}
	return r.Err()
}

func readAppended(b []byte, shard string) (a edda.Appended, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			a.ID = string(f.Bytes)
		case 2:
			if a.Shard = shard; string(f.Bytes) != shard {
				a.Shard = string(f.Bytes)
			}
		case 3:
			a.Offset = f.Uint
		case 4:
			a.Replayed = f.Uint != 0
		case 5:
			a.Unknown = f.Uint != 0
		}
	}
	return a, r.Err()
}
