package client

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// The numbers of fields in BatchRequest and BatchResponse of edda.proto.
const (
	reqSend   = 2
	reqCall   = 3
	reqForget = 4
	reqAppend = 5

	resAck      = 2
	resReply    = 3
	resError    = 4
	resAppended = 5
)

// appendRequest appends one request of a batch, whose body is encoded.
func appendRequest(b []byte, ref uint64, body []byte) []byte {
	b, mark := wire.Begin(b, 1)
	b = wire.AppendUint(b, 1, ref)
	b = append(b, body...)
	wire.End(b, mark)
	return b
}

func appendForget(b []byte, ref uint64) []byte {
	b, mark := wire.Begin(b, 1)
	b = wire.AppendUint(b, 1, ref)
	b = wire.AppendUint(b, reqForget, 1)
	wire.End(b, mark)
	return b
}

// appendMessage appends a message as a field.
func appendMessage(b []byte, field int, m *edda.Message) ([]byte, error) {
	b, mark := wire.Begin(b, field)
	b, err := m.AppendBinary(b)
	if err != nil {
		return nil, err
	}
	wire.End(b, mark)
	return b, nil
}

// requestOf names a request.
func requestOf(namespace string, id edda.ID) []byte {
	return wire.AppendBytes(wire.AppendString(nil, 1, rpcconn.Text(namespace)), 2, id[:])
}

// response is one answer of a batch, not yet decoded.
type response struct {
	ref    uint64
	kind   int
	bytes  []byte
	shared bool // the bytes are part of a batch that is large compared with them
}

func readBatchResponse(b []byte) (response, error) {
	var res response
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			res.ref = f.Uint
		case resAck, resReply, resError, resAppended:
			res.kind, res.bytes = f.Num, f.Bytes
		}
	}
	return res, r.Err()
}

// malformed is the error for an answer that cannot be read. The request may well
// have been stored.
func malformed(op string, err error) error {
	return &edda.Error{Op: op, Reason: edda.OutcomeUnknown, Err: fmt.Errorf("the node's answer cannot be read: %w", err)}
}

// errUnexpected: an answer to something else.
var errUnexpected = errors.New("it answers another question")

func unexpected(op string) error { return malformed(op, errUnexpected) }

func readAck(op string, b []byte) (*edda.Ack, error) {
	a := new(edda.Ack)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			copy(a.ID[:], f.Bytes)
		case 2:
			a.Position = string(f.Bytes)
		case 3:
			a.Durability = edda.Durability(f.Bytes)
		case 4:
			a.AcceptedAt = timeOf(f.Uint)
		case 5:
			a.Joined = f.Uint != 0
		case 6:
			a.Done = f.Uint != 0
		}
	}
	if err := r.Err(); err != nil {
		return nil, malformed(op, err)
	}
	return a, nil
}

// readResponse reads a reply. The caller owns its payload: where others share its
// memory, it gets a copy.
func readResponse(op string, b []byte, shared bool) (*edda.Reply, error) {
	reply := new(edda.Reply)
	var id edda.ID
	var position string
	var attempts int
	var replayed bool
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			if err := reply.UnmarshalBinary(f.Bytes); err != nil {
				return nil, malformed(op, err)
			}
		case 2:
			copy(id[:], f.Bytes)
		case 3:
			position = string(f.Bytes)
		case 4:
			attempts = int(f.Uint)
		case 5:
			replayed = f.Uint != 0
		}
	}
	if err := r.Err(); err != nil {
		return nil, malformed(op, err)
	}
	if shared {
		reply.Payload = append([]byte(nil), reply.Payload...)
	}
	reply.RequestID, reply.Position, reply.Attempts, reply.Replayed = id, position, attempts, replayed
	return reply, nil
}

func readRequest(op string, b []byte) (*edda.Request, error) {
	q := new(edda.Request)
	var reply edda.ReplyInfo
	var hasReply bool
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			copy(q.ID[:], f.Bytes)
		case 2:
			q.Namespace = string(f.Bytes)
		case 3:
			q.Service = string(f.Bytes)
		case 4:
			q.Key = string(f.Bytes)
		case 5:
			q.Method = string(f.Bytes)
		case 6:
			q.State = edda.State(f.Bytes)
		case 7:
			q.Attempts = int(f.Uint)
		case 8:
			q.Position = string(f.Bytes)
		case 9:
			q.Principal = edda.Principal(f.Bytes)
		case 10:
			q.CorrelationID = string(f.Bytes)
		case 11:
			copy(q.CausationID[:], f.Bytes)
		case 12:
			q.AcceptedAt = timeOf(f.Uint)
		case 13:
			q.StartedAt = timeOf(f.Uint)
		case 14:
			q.NextAttemptAt = timeOf(f.Uint)
		case 15:
			q.CompletedAt = timeOf(f.Uint)
		case 16:
			e, err := rpcconn.ReadError("", f.Bytes)
			if err != nil {
				return nil, malformed(op, err)
			}
			q.Error = &edda.RequestError{Code: e.Code(), Reason: e.Reason}
			if e.Err != nil {
				q.Error.Message = e.Err.Error()
			}
		case 17:
			reply.Status = int(f.Uint)
		case 18:
			reply.ContentType = string(f.Bytes)
		case 19:
			reply.Size = int(f.Uint)
		case 20:
			hasReply = f.Uint != 0
		}
	}
	if err := r.Err(); err != nil {
		return nil, malformed(op, err)
	}
	q.Namespace = cmp.Or(q.Namespace, edda.DefaultNamespace)
	if hasReply {
		q.Reply = &reply
	}
	return q, nil
}

// timeOf reads nanoseconds since the Unix epoch, zero for none.
func timeOf(ns uint64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns)).UTC()
}
