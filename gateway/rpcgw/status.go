package rpcgw

import (
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// statusCodes are the gRPC codes by their names.
var statusCodes = map[edda.Code]codes.Code{
	edda.CodeInvalidArgument:    codes.InvalidArgument,
	edda.CodeUnauthenticated:    codes.Unauthenticated,
	edda.CodePermissionDenied:   codes.PermissionDenied,
	edda.CodeNotFound:           codes.NotFound,
	edda.CodeAlreadyExists:      codes.AlreadyExists,
	edda.CodeAborted:            codes.Aborted,
	edda.CodeFailedPrecondition: codes.FailedPrecondition,
	edda.CodeResourceExhausted:  codes.ResourceExhausted,
	edda.CodeCanceled:           codes.Canceled,
	edda.CodeUnavailable:        codes.Unavailable,
	edda.CodeDeadlineExceeded:   codes.DeadlineExceeded,
	edda.CodeInternal:           codes.Internal,
}

// statusOf turns an error into a gRPC status with the Error as its detail. What is
// a status already, or nil, stays as it is.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*edda.Error](err); ok {
		s := status.New(statusCodes[e.Code()], printable(err.Error()))
		if with, bad := s.WithDetails(errorOf(err)); bad == nil {
			s = with
		}
		return s.Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, printable(err.Error()))
}

// errorOf describes an error to the other side.
func errorOf(err error) *eddav1.Error {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		return &eddav1.Error{Reason: string(edda.Internal), Message: printable(err.Error())}
	}
	out := &eddav1.Error{
		Reason: string(e.Reason), Message: printable(e.Error()), RetryAfter: int64(e.RetryAfter), Position: e.Position,
		Attempts: uint32(e.Attempts), Replayed: e.Replayed,
	}
	if e.Err != nil {
		out.Message = printable(e.Err.Error())
	}
	if !e.RequestID.IsZero() {
		out.RequestId = e.RequestID[:]
	}
	if last, ok := errors.AsType[*edda.OffsetError](err); ok {
		out.LastOffset = &eddav1.LastOffset{Empty: last.Empty, Offset: last.Last}
	}
	return out
}

// printable makes a text fit for protobuf, which takes nothing but UTF-8.
func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
