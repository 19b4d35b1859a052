package httpio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// Titles say what each reason means, in the same words each time. Its keys are
// the reasons that gateways answer with.
var Titles = map[edda.Reason]string{
	edda.BadJSON:             "The body is not JSON",
	edda.BadSchema:           "The body does not fit its schema",
	edda.BadName:             "A name, key or path is malformed",
	edda.BadValue:            "A header, parameter or member is malformed",
	edda.UnknownField:        "The body has an unknown member",
	edda.WrongKind:           "The service is of the other kind",
	edda.BadMethod:           "The route does not take this method",
	edda.BadMediaType:        "The body is of another media type",
	edda.IdempotencyMismatch: "The idempotency key was used for another request",
	edda.NoCredentials:       "Credentials are missing or not valid",
	edda.NotAllowed:          "Not allowed",
	edda.NoRoute:             "There is no such route",
	edda.NoMethod:            "The service has no such method",
	edda.NoRequest:           "There is no such request",
	edda.NoDeadLetter:        "There is no such dead letter",
	edda.NoWorkerID:          "There is no such worker",
	edda.NoSaga:              "There is no such saga",
	edda.NoStep:              "The saga has no such step",
	edda.NoStream:            "There is no such stream",
	edda.NoShard:             "The stream has no such shard",
	edda.NoGroup:             "There is no such group",
	edda.NoChannel:           "There is no such channel",
	edda.Slow:                "The subscriber takes too little",
	edda.NoMessage:           "There is no such message",
	edda.ExpectedOffset:      "The last offset of the shard is another one",
	edda.GroupFull:           "The group has all the members that it may have",
	edda.UnknownService:      "There is no such service",
	edda.Exists:              "It exists already",
	edda.Conflict:            "It conflicts with what holds",
	edda.KindInUse:           "The kind cannot change while there is unfinished work",
	edda.SagaEnded:           "The saga has ended, or is being undone",
	edda.Cycle:               "It would wait for itself",
	edda.ReplyExpired:        "The reply is not kept any more",
	edda.TooLarge:            "The body is too large",
	edda.RateLimited:         "There were too many requests",
	edda.Overloaded:          "The node has too much to do",
	edda.KeyOverloaded:       "Too many requests wait for the key",
	edda.Cancelled:           "The request was cancelled",
	edda.Failed:              "The handler declared an error",
	edda.Dead:                "All attempts failed",
	edda.NoService:           "The service is not registered",
	edda.Draining:            "The node is shutting down",
	edda.NoWorker:            "No worker is there; the request waits for one",
	edda.KeyStopped:          "The key is stopped; the request waits",
	edda.ServicePaused:       "The service is paused; the request waits",
	edda.OutcomeUnknown:      "The request may have been stored",
	edda.Unavailable:         "The node cannot do this now",
	edda.Timeout:             "The wait is over; the request goes on",
	edda.DeadlineExceeded:    "The deadline is over",
	edda.Internal:            "The node has a defect",
}

// Fail answers with a problem document (RFC 9457), and returns its status. Durability is
// that of what was stored, "" when it is not known.
func Fail(w http.ResponseWriter, r *http.Request, e *edda.Error, durability string) int {
	status := e.Reason.HTTPStatus()
	h := w.Header()
	h["Content-Type"] = typeProblem
	h["Cache-Control"] = NoStore
	switch status {
	case http.StatusUnauthorized:
		h["Www-Authenticate"] = []string{challenge(r)}
	case http.StatusRequestEntityTooLarge:
		if r.ProtoMajor == 1 {
			h["Connection"] = []string{"close"} // the rest of the body stays unread
		}
	case http.StatusPreconditionFailed:
		lastOffset(h, e)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if after := retryAfter(e); after > 0 {
			h["Retry-After"] = []string{strconv.FormatInt(after, 10)}
		}
	}
	outcomeHeaders(h, e, durability)
	b := AppendProblem(make([]byte, 0, 256), e)
	_, unread := errors.AsType[unreadError](e)
	if unread = unread && r.ProtoMajor == 2; unread {
		h["Content-Length"] = []string{strconv.Itoa(len(b))} // by which the sender knows that it has all
	}
	Write(w, r, status, b)
	if unread {
		awaitHangUp(w, r)
	}
	return status
}

// Told returns what the sender of a request is told of an error. A defect is for the
// log, with the route.
func Told(r *http.Request, err error, log *slog.Logger, route string) *edda.Error {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		e = &edda.Error{Reason: edda.Internal, Err: err}
	}
	if e.Reason.Code() != edda.CodeInternal {
		return e
	}
	log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelError, "request met a defect",
		slog.String("route", route), slog.String("requestId", e.RequestID.String()), slog.Any("error", err))
	told := *e
	told.Err = errors.New("the node's log says more")
	return &told
}

// challenge returns the value of WWW-Authenticate for a request that was refused.
func challenge(r *http.Request) string {
	if _, given := r.Header["Authorization"]; given {
		return `Bearer realm="edda", error="invalid_token"`
	}
	return `Bearer realm="edda"`
}

// outcomeHeaders says of a refusal or outcome what a reply's headers say.
func outcomeHeaders(h http.Header, e *edda.Error, durability string) {
	if !e.RequestID.IsZero() {
		h["Edda-Request-Id"] = []string{e.RequestID.String()}
	}
	if e.Replayed {
		h["Idempotency-Replayed"] = Yes
	}
	if e.Position == "" {
		return
	}
	h["Edda-Position"] = []string{e.Position}
	if durability != "" {
		h["Edda-Durability"] = []string{durability}
	}
	switch e.Reason {
	case edda.Failed, edda.Dead, edda.Cancelled, edda.DeadlineExceeded, edda.ReplyExpired:
		h["Edda-Attempts"] = []string{strconv.Itoa(e.Attempts)}
	}
}

// retryAfter returns the seconds after which the same request may be sent again,
// zero for reasons that do not invite to it: those that stored the request.
func retryAfter(e *edda.Error) int64 {
	switch e.Reason {
	case edda.Overloaded, edda.KeyOverloaded, edda.RateLimited, edda.GroupFull, edda.NoService, edda.Draining:
		return max(1, int64((e.RetryAfter+time.Second-1)/time.Second))
	case edda.Unavailable:
		return int64((e.RetryAfter + time.Second - 1) / time.Second)
	default:
		return 0
	}
}

// AppendProblem appends the document.
func AppendProblem(b []byte, e *edda.Error) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, ProblemType...)
	b = append(b, e.Reason...)
	b = append(b, `","title":`...)
	title := Titles[e.Reason]
	if title == "" {
		title = string(e.Reason)
	}
	b = jsondata.AppendString(b, title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(e.Reason.HTTPStatus()), 10)
	b = append(b, `,"code":"`...)
	b = append(b, e.Code()...)
	b = append(b, `","reason":"`...)
	b = append(b, e.Reason...)
	b = append(b, '"')
	if e.Err != nil {
		b = append(b, `,"detail":`...)
		b = jsondata.AppendString(b, e.Err.Error())
	}
	if !e.RequestID.IsZero() {
		b = append(b, `,"requestId":`...)
		b = jsondata.AppendString(b, e.RequestID.String())
	}
	return append(b, '}')
}

// ProblemType begins the URI of each problem type.
const ProblemType = "urn:edda:problem:"

// OffsetTag returns the ETag of a shard: its last offset.
func OffsetTag(offset uint64) string { return `"` + strconv.FormatUint(offset, 10) + `"` }

// lastOffset says in the header of a refusal what the shard's last offset is; an empty
// tag stands for a shard without messages.
func lastOffset(h http.Header, e *edda.Error) {
	last, ok := errors.AsType[*edda.OffsetError](e)
	switch {
	case !ok:
	case last.Empty:
		h["Etag"] = []string{`""`}
	default:
		h["Etag"] = []string{OffsetTag(last.Last)}
	}
}
