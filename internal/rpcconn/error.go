package rpcconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// ReadError reads an encoded Error. What was being done is op; the node's own
// words for it are left out.
func ReadError(op string, b []byte) (*edda.Error, error) {
	e := &edda.Error{Op: op}
	var message string
	var last *edda.OffsetError
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			e.Reason = edda.Reason(f.Bytes)
		case 2:
			message = string(f.Bytes)
		case 3:
			if len(f.Bytes) == len(e.RequestID) {
				copy(e.RequestID[:], f.Bytes)
			}
		case 4:
			e.RetryAfter = time.Duration(f.Uint)
		case 5:
			e.Position = string(f.Bytes)
		case 6:
			e.Attempts = int(f.Uint)
		case 7:
			e.Replayed = f.Uint != 0
		case 8:
			var err error
			if last, err = readLastOffset(f.Bytes); err != nil {
				return nil, fmt.Errorf("error: %w", err)
			}
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("error: %w", err)
	}
	if e.Reason == "" {
		e.Reason = edda.Internal
	}
	if message = strings.TrimPrefix(message, op+": "); message != "" {
		e.Err = errors.New(message)
	}
	if last != nil {
		e.Err = last
	}
	return e, nil
}

// readLastOffset reads what the last message of a shard is.
func readLastOffset(b []byte) (*edda.OffsetError, error) {
	last := &edda.OffsetError{}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			last.Empty = f.Uint != 0
		case 2:
			last.Last = f.Uint
		}
	}
	return last, r.Err()
}

// errorType is the name of Error among the details of a status.
const errorType = "/edda.v1.Error"

// FromStatus returns what the node said of a call that failed, or that there is no
// node to talk to and will be none, and false for any other error: then the
// connection broke, or there was none, or the context ended.
func FromStatus(op string, err error) (*edda.Error, bool) {
	if e, ok := errors.AsType[*edda.Error](err); ok { // of Conn
		mine := *e
		mine.Op = op
		return &mine, true
	}
	st, ok := status.FromError(err)
	if !ok || errors.Is(err, io.EOF) {
		return nil, false
	}
	for _, d := range st.Proto().GetDetails() {
		if !strings.HasSuffix(d.GetTypeUrl(), errorType) {
			continue
		}
		if e, err := ReadError(op, d.GetValue()); err == nil {
			return e, true
		}
	}
	var reason edda.Reason
	switch st.Code() {
	case codes.Unauthenticated:
		reason = edda.NoCredentials
	case codes.PermissionDenied:
		reason = edda.NotAllowed
	case codes.InvalidArgument:
		reason = edda.BadValue
	case codes.Unimplemented:
		return &edda.Error{Op: op, Reason: edda.NoRoute, Err: fmt.Errorf("what answers there does not speak the protocol edda.v1: %s", st.Message())}, true
	default:
		return nil, false
	}
	return &edda.Error{Op: op, Reason: reason, Err: errors.New(st.Message())}, true
}

// Why is the text of an error that does not come from the node.
func Why(err error) error {
	switch st, ok := status.FromError(err); {
	case errors.Is(err, io.EOF):
		return errors.New("the node ended the conversation")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case ok:
		return errors.New(st.Message())
	default:
		return err
	}
}
