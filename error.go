package edda

import (
	"errors"
	"fmt"
	"time"
)

// Code is the broad class of an error. The names are those of gRPC.
type Code string

// The codes.
const (
	CodeInvalidArgument    Code = "invalid_argument"
	CodeUnauthenticated    Code = "unauthenticated"
	CodePermissionDenied   Code = "permission_denied"
	CodeNotFound           Code = "not_found"
	CodeAlreadyExists      Code = "already_exists"
	CodeAborted            Code = "aborted"
	CodeFailedPrecondition Code = "failed_precondition"
	CodeResourceExhausted  Code = "resource_exhausted"
	CodeCanceled           Code = "canceled"
	CodeUnavailable        Code = "unavailable"
	CodeDeadlineExceeded   Code = "deadline_exceeded"
	CodeInternal           Code = "internal"
)

// Reason says exactly what was wrong. It fixes both the code and the HTTP
// status. Reasons are added, never changed or removed.
type Reason string

// The reasons. What each promises about the request is said beside it where it
// is not plain: "not stored" means that nothing happened and nothing will.
const (
	BadJSON             Reason = "BAD_JSON"
	BadSchema           Reason = "SCHEMA"        // the payload does not fit the method's schema; not stored
	BadName             Reason = "BAD_NAME"      // a name or key is malformed
	BadValue            Reason = "BAD_VALUE"     // a header, parameter or member is malformed
	UnknownField        Reason = "UNKNOWN_FIELD" // the node's own request body has a member it does not know
	WrongKind           Reason = "WRONG_KIND"    // an ordered service without a key, or the reverse; not stored
	BadMethod           Reason = "BAD_METHOD"
	BadMediaType        Reason = "BAD_MEDIA_TYPE"
	IdempotencyMismatch Reason = "IDEMPOTENCY_MISMATCH" // the key was used for another request; not stored
	NoCredentials       Reason = "NO_CREDENTIALS"
	NotAllowed          Reason = "NOT_ALLOWED"
	NoRoute             Reason = "NO_ROUTE"
	NoMethod            Reason = "NO_METHOD" // not stored
	NoRequest           Reason = "NO_REQUEST"
	NoDeadLetter        Reason = "NO_DEAD_LETTER"
	NoWorkerID          Reason = "NO_WORKER_ID" // no worker has the id
	NoSaga              Reason = "NO_SAGA"
	NoStep              Reason = "NO_STEP"
	NoStream            Reason = "NO_STREAM"
	NoShard             Reason = "NO_SHARD" // the stream lists its shards, and not this one
	NoGroup             Reason = "NO_GROUP"
	NoChannel           Reason = "NO_CHANNEL"
	RateLimited         Reason = "RATE_LIMITED"    // not stored
	Slow                Reason = "SLOW"            // a subscriber that takes too little; why its connection is closed
	NoMessage           Reason = "NO_MESSAGE"      // no message of the stream has the id
	NoEvent             Reason = "NO_EVENT"        // no event, and no command that has one, has the id
	ExpectedOffset      Reason = "EXPECTED_OFFSET" // the shard's last message is another one; not appended
	GroupFull           Reason = "GROUP_FULL"      // the group has as many members as it may
	UnknownService      Reason = "UNKNOWN_SERVICE" // managing a service that is not registered
	Exists              Reason = "EXISTS"
	SagaEnded           Reason = "SAGA_ENDED"  // the saga has ended or is being undone; nothing was changed
	SagaStepFailed      Reason = "STEP_FAILED" // a step failed; why its saga was undone
	Conflict            Reason = "CONFLICT"
	KindInUse           Reason = "KIND_IN_USE"
	Cycle               Reason = "CYCLE" // a handler calls a key that one of its callers holds; not stored
	ReplyExpired        Reason = "REPLY_EXPIRED"
	TooLarge            Reason = "TOO_LARGE"      // not stored
	Overloaded          Reason = "OVERLOADED"     // not stored
	KeyOverloaded       Reason = "KEY_OVERLOADED" // not stored
	Cancelled           Reason = "CANCELLED"
	Failed              Reason = "FAILED"          // the handler declared a final error
	Dead                Reason = "DEAD"            // retries are spent; there is a dead letter
	NoService           Reason = "NO_SERVICE"      // not stored
	Draining            Reason = "DRAINING"        // not stored
	NoWorker            Reason = "NO_WORKER"       // stored, and goes on when it can
	KeyStopped          Reason = "KEY_STOPPED"     // stored, and goes on when it can
	ServicePaused       Reason = "SERVICE_PAUSED"  // stored, and goes on when it can
	OutcomeUnknown      Reason = "OUTCOME_UNKNOWN" // may have been stored; repeat only with the same idempotency key
	Unavailable         Reason = "UNAVAILABLE"     // the node has stopped; not stored
	Timeout             Reason = "TIMEOUT"         // the caller's wait is over; the request goes on
	DeadlineExceeded    Reason = "DEADLINE"        // the request's own deadline has passed
	Panicked            Reason = "PANIC"           // a handler panicked; why an attempt failed
	NodeLost            Reason = "NODE_LOST"       // the node died during the attempt; why it failed
	WorkerLost          Reason = "WORKER_LOST"     // the worker went away during the attempt; why it failed
	NoAttempt           Reason = "NO_ATTEMPT"      // the worker has no such attempt
	BadFrame            Reason = "BAD_FRAME"       // a worker's frame is malformed, or out of turn
	Fenced              Reason = "FENCED"          // the attempt was given up; its outcome changes nothing
	Internal            Reason = "INTERNAL"        // a defect of Edda
)

// reasons is the one table of what each reason maps to.
var reasons = map[Reason]struct {
	code   Code
	status int
}{
	BadJSON:             {CodeInvalidArgument, 400},
	BadSchema:           {CodeInvalidArgument, 400},
	BadName:             {CodeInvalidArgument, 400},
	BadValue:            {CodeInvalidArgument, 400},
	UnknownField:        {CodeInvalidArgument, 400},
	WrongKind:           {CodeInvalidArgument, 400},
	BadMethod:           {CodeInvalidArgument, 405},
	BadMediaType:        {CodeInvalidArgument, 415},
	IdempotencyMismatch: {CodeInvalidArgument, 422},
	NoCredentials:       {CodeUnauthenticated, 401},
	NotAllowed:          {CodePermissionDenied, 403},
	NoRoute:             {CodeNotFound, 404},
	NoMethod:            {CodeNotFound, 404},
	NoRequest:           {CodeNotFound, 404},
	NoDeadLetter:        {CodeNotFound, 404},
	NoWorkerID:          {CodeNotFound, 404},
	NoSaga:              {CodeNotFound, 404},
	NoStep:              {CodeNotFound, 404},
	NoStream:            {CodeNotFound, 404},
	NoShard:             {CodeNotFound, 404},
	NoGroup:             {CodeNotFound, 404},
	NoChannel:           {CodeNotFound, 404},
	RateLimited:         {CodeResourceExhausted, 429},
	Slow:                {CodeResourceExhausted, 429},
	NoMessage:           {CodeNotFound, 404},
	NoEvent:             {CodeNotFound, 404},
	ExpectedOffset:      {CodeFailedPrecondition, 412},
	GroupFull:           {CodeResourceExhausted, 429},
	UnknownService:      {CodeNotFound, 404},
	Exists:              {CodeAlreadyExists, 409},
	Conflict:            {CodeAborted, 409},
	KindInUse:           {CodeFailedPrecondition, 409},
	SagaEnded:           {CodeFailedPrecondition, 409},
	SagaStepFailed:      {CodeAborted, 409},
	Cycle:               {CodeFailedPrecondition, 409},
	ReplyExpired:        {CodeNotFound, 410},
	TooLarge:            {CodeResourceExhausted, 413},
	Overloaded:          {CodeResourceExhausted, 429},
	KeyOverloaded:       {CodeResourceExhausted, 429},
	Cancelled:           {CodeCanceled, 499},
	Failed:              {CodeAborted, 500},
	Dead:                {CodeAborted, 500},
	Panicked:            {CodeAborted, 500},
	NodeLost:            {CodeUnavailable, 503},
	WorkerLost:          {CodeUnavailable, 503},
	NoAttempt:           {CodeNotFound, 404},
	BadFrame:            {CodeInvalidArgument, 400},
	Fenced:              {CodeAborted, 409},
	Internal:            {CodeInternal, 500},
	NoService:           {CodeUnavailable, 503},
	Draining:            {CodeUnavailable, 503},
	NoWorker:            {CodeUnavailable, 503},
	KeyStopped:          {CodeUnavailable, 503},
	ServicePaused:       {CodeUnavailable, 503},
	OutcomeUnknown:      {CodeUnavailable, 503},
	Unavailable:         {CodeUnavailable, 503},
	Timeout:             {CodeDeadlineExceeded, 504},
	DeadlineExceeded:    {CodeDeadlineExceeded, 504},
}

// Code returns the code that the reason fixes, CodeInternal for an unknown one.
func (r Reason) Code() Code {
	if e, ok := reasons[r]; ok {
		return e.code
	}
	return CodeInternal
}

// HTTPStatus returns the HTTP status that the reason fixes, 500 for an unknown one.
func (r Reason) HTTPStatus() int {
	if e, ok := reasons[r]; ok {
		return e.status
	}
	return 500
}

// Error is the one error that crosses Edda's packages. Branch on its Reason or
// Code, never on its text.
type Error struct {
	// Op is what was being done, in lower case: "call users/42".
	Op string
	// Reason says exactly what was wrong.
	Reason Reason
	// Key is the key concerned, if one was.
	Key string
	// RequestID is set once an id was assigned.
	RequestID ID
	// Position is set exactly when the request is stored.
	Position string
	// Attempts is how often a handler was started, with outcomes (Failed, Dead,
	// Cancelled, DeadlineExceeded).
	Attempts int
	// Replayed says that this is the stored outcome of an earlier request with the
	// same idempotency key.
	Replayed bool
	// RetryAfter is when trying again makes sense; zero when that is not known.
	RetryAfter time.Duration
	// Err is why.
	Err error
}

// Code returns the code that the reason fixes.
func (e *Error) Code() Code { return e.Reason.Code() }

// Error returns what was being done, then why.
func (e *Error) Error() string {
	why := string(e.Reason)
	if e.Err != nil {
		why = e.Err.Error()
	}
	if e.Op == "" {
		return why
	}
	return e.Op + ": " + why
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error of the same reason whose other fields
// are unset, so that errors.Is(err, &Error{Reason: Timeout}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && *t == Error{Reason: e.Reason}
}

// ReasonOf returns the reason of the first *Error in err's chain, Internal when
// there is none, and "" when err is nil.
func ReasonOf(err error) Reason {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return Internal
}

// HandlerError is what a handler returns to say more than "it did not work".
type HandlerError struct {
	// Reason is the handler's own short word, such as NO_FUNDS. It may be empty.
	Reason string
	// Message is for people.
	Message string
	// Final says that trying again is pointless: the request is failed and there
	// is no dead letter. Otherwise this was one attempt.
	Final bool
	// RetryAfter, when not zero, takes the place of the retry policy's delay.
	RetryAfter time.Duration
}

// Error returns reason and message.
func (e *HandlerError) Error() string {
	if e.Reason == "" {
		return e.Message
	}
	return e.Reason + ": " + e.Message
}

// Final returns an error that ends a request as failed, without a retry. Reason
// is the service's own short word; the rest is as for fmt.Sprintf.
func Final(reason, format string, args ...any) error {
	return &HandlerError{Reason: reason, Message: fmt.Sprintf(format, args...), Final: true}
}

// Retry returns an error that ends the attempt and asks for the next one after
// the given delay, whatever the service's policy says of delays.
func Retry(after time.Duration, format string, args ...any) error {
	return &HandlerError{Message: fmt.Sprintf(format, args...), RetryAfter: after}
}
