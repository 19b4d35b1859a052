package edda

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// SagaState is where a saga stands.
type SagaState string

// The states of a saga.
const (
	// SagaCreated: stored, not started.
	SagaCreated SagaState = "created"
	// SagaRunning: steps run, or wait for others.
	SagaRunning SagaState = "running"
	// SagaSucceeded: every step has succeeded.
	SagaSucceeded SagaState = "succeeded"
	// SagaCompensating: a step has failed, or the saga was cancelled or is past its
	// deadline; what had succeeded is undone.
	SagaCompensating SagaState = "compensating"
	// SagaCompensated: whatever could be undone is.
	SagaCompensated SagaState = "compensated"
	// SagaCompensationFailed: a compensation has failed for good; a person has to
	// retry, skip or resolve it.
	SagaCompensationFailed SagaState = "compensation_failed"
	// SagaCancelled: it ended before anything of it was started.
	SagaCancelled SagaState = "cancelled"
)

// Ended reports whether nothing happens any more unless a person acts.
func (s SagaState) Ended() bool {
	switch s {
	case SagaSucceeded, SagaCompensated, SagaCompensationFailed, SagaCancelled:
		return true
	default:
		return false
	}
}

// StepState is where a step of a saga stands.
type StepState string

// The states of a step.
const (
	// StepWaiting: the saga has not started, or steps before this one have not succeeded.
	StepWaiting StepState = "waiting"
	// StepReady: it may start, and will in its turn.
	StepReady StepState = "ready"
	// StepRunning: its request was accepted, or it was left pending.
	StepRunning StepState = "running"
	// StepSucceeded: it has a result.
	StepSucceeded StepState = "succeeded"
	// StepFailed: it has an error.
	StepFailed StepState = "failed"
	// StepCompensating: it had succeeded, and is being undone.
	StepCompensating StepState = "compensating"
	// StepCompensated: it was undone, or a person has seen to that.
	StepCompensated StepState = "compensated"
	// StepNotCompensated: it had succeeded, and its saga was undone without it: it has
	// no compensation, or a person skipped that.
	StepNotCompensated StepState = "not_compensated"
	// StepSkipped: it was never started, because its saga failed or was cancelled before.
	StepSkipped StepState = "skipped"
	// StepCancelled: it was running, and was cancelled with its saga.
	StepCancelled StepState = "cancelled"
)

// CompensationState is where the undoing of a step stands.
type CompensationState string

// The states of a compensation.
const (
	// CompensationWaiting: nothing is to be undone, or not yet.
	CompensationWaiting CompensationState = "waiting"
	// CompensationRunning: its request was accepted.
	CompensationRunning CompensationState = "running"
	// CompensationSucceeded: the step is undone.
	CompensationSucceeded CompensationState = "succeeded"
	// CompensationFailed: it failed for good; a person has to act.
	CompensationFailed CompensationState = "failed"
	// CompensationSkipped: a person let the step stand as it is.
	CompensationSkipped CompensationState = "skipped"
	// CompensationResolved: a person has undone the step otherwise.
	CompensationResolved CompensationState = "resolved"
)

// OnFailure says what happens to steps that run when another one fails.
type OnFailure string

// The choices for steps that run when another one fails.
const (
	// WaitForSteps: they are waited for, and undone if they succeed. The default.
	WaitForSteps OnFailure = "wait"
	// CancelSteps: they are cancelled.
	CancelSteps OnFailure = "cancel"
)

// Limits of a saga.
const (
	// MaxSagaSteps is how many steps a saga has at most. In the request that brings them
	// those of nested sagas count too.
	MaxSagaSteps = 100_000
	// MaxSagaDepth is how deep sagas may be nested: a saga whose steps are requests has
	// the depth 1.
	MaxSagaDepth = 16
	// MaxSagaBytes bounds what one request creates or adds, encoded: 6 MiB.
	MaxSagaBytes = 6 << 20
	// MaxStepInputBytes bounds what a step is sent: its arguments with the results
	// that it depends on, 6 MiB. A step that would get more fails with TooLarge.
	MaxStepInputBytes = 6 << 20
	// MaxSagaContextBytes bounds a saga's correlation id and trace context together,
	// which the requests of all its steps have: 4 KiB.
	MaxSagaContextBytes = 4 << 10
	// MaxSagaHeldBytes bounds what a saga holds: its steps, encoded, and their results,
	// 128 MiB together. A step with a result for which there is no room fails with
	// TooLarge; a nested saga is undone then.
	MaxSagaHeldBytes = 128 << 20
)

// SagaSpec is a saga to create: steps that depend on each other without a circle.
type SagaSpec struct {
	// Namespace is DefaultNamespace when empty. Steps run in it too.
	Namespace string
	// ID names the saga within its namespace, like a service. When empty the node makes
	// one.
	ID string
	// Name says what kind of saga it is, in lists and metrics: a name like a service's,
	// or empty.
	Name string
	// Start says that it starts at once.
	Start bool
	// Deadline is when a saga that has not ended is undone; never when zero.
	Deadline time.Time
	// DeadlineAfter is the same, counted from the saga's creation, so that a repeated
	// request says the same; for a saga that is a step that is when the step starts. At most
	// one of the two may be set; zero means none, and a century is the longest.
	DeadlineAfter time.Duration
	// OnFailure is WaitForSteps when empty.
	OnFailure OnFailure
	// Steps are in any order; a step may only depend on steps of the saga.
	Steps []StepSpec
	// IdempotencyKey makes a repeated request answer with the first one's saga. Its
	// scope is namespace and principal, and the ID when there is one.
	IdempotencyKey string
	// Principal is who creates it, and whose the steps' requests are; Anonymous when
	// empty.
	Principal Principal
	// CorrelationID is that of the steps' requests; the saga's id when empty.
	CorrelationID string
	// TraceParent and TraceState are the W3C trace context of all steps.
	TraceParent string
	TraceState  string
}

// StepSpec is a step of a saga: a request, and how it is undone.
type StepSpec struct {
	// ID names the step within its saga, like a service.
	ID string
	// Task is the request. It is zero for a step that is a saga itself.
	Task
	// After names the steps whose results it needs, in the order it gets them.
	After []string
	// AttemptTimeout is how long an attempt may take, a century at most. Zero means the
	// service's.
	AttemptTimeout time.Duration
	// Compensate undoes the step; nil when nothing does. It is sent the step's result
	// as its only dependency. A step that is a saga has none: its steps are undone.
	Compensate *Task
	// Saga makes the step a saga of its own. Its id is the saga's, a tilde and the step's;
	// of its fields only Name, Deadline, DeadlineAfter, OnFailure and Steps may be set. It
	// is created, and starts, when the step does, and succeeds, fails or is undone with it.
	// The step's result is an object with the results of the steps that no other depends
	// on, by their ids.
	Saga *SagaSpec
	// Queue makes the step a message on a stream: whoever takes it from there finishes the
	// step by another message. Of Task only Key, Method (the message's type) and Args
	// may be set then, and there is no AttemptTimeout.
	Queue *QueueSpec
}

// QueueSpec is a step that is a message. It is a CloudEvent with the extensions sagaid,
// stepid and completionkey, and StepInput as its data; the message that finishes the step
// has the same three. docs/sagas-queue.md has the whole of it.
type QueueSpec struct {
	// Stream is where the message is appended, Shard its shard; DefaultShard when empty.
	Stream string `json:"stream"`
	Shard  string `json:"shard,omitempty"`
	// Success is the stream whose message completes the step, its data being the result;
	// Failure the one whose message fails it. They are read in all shards. The three
	// streams must differ from each other.
	Success string `json:"success"`
	Failure string `json:"failure"`
}

// The headers of a step's message, and of the one that finishes it: extensions of a
// CloudEvent.
const (
	SagaIDHeader        = "ce-sagaid"
	StepIDHeader        = "ce-stepid"
	CompletionKeyHeader = "ce-completionkey"
)

// StepHeaders returns those headers that say which step of a saga a message is about, and
// carry the right to finish it; nil unless all three are there. Whatever answers a message
// gives them back.
func StepHeaders(h Headers) Headers {
	var out Headers
	for _, name := range [...]string{SagaIDHeader, StepIDHeader, CompletionKeyHeader} {
		value := h.Get(name)
		if value == "" {
			return nil
		}
		out.Add(name, value)
	}
	return out
}

// Task is what a step, or its compensation, asks of a service.
type Task struct {
	// Service is called; Key is empty for a balanced one.
	Service string
	Key     string
	Method  string
	// Args are JSON values.
	Args []json.RawMessage
	// Retry is used instead of the service's policy, unless it is zero.
	Retry RetryPolicy
}

// StepInput is what a step's service is sent, as JSON.
type StepInput struct {
	Args []json.RawMessage `json:"args"`
	// Dependencies are the results of the steps that it comes after, in the order in
	// which it names them; for a compensation the result of the step that it undoes.
	Dependencies []json.RawMessage `json:"dependencies"`
	SagaID       string            `json:"sagaId"`
	StepID       string            `json:"stepId"`
	// CompletionKey is the right to finish the step, for whoever has no credentials. It
	// is empty for a compensation.
	CompletionKey string `json:"completionKey,omitempty"`
}

// StepRef says of which saga a request is a step.
type StepRef struct {
	// SagaID is the saga's, in the namespace of the request.
	SagaID string
	// Undo says that the request is the step's compensation.
	Undo bool
}

// ErrPending is what a handler returns to leave its saga's step running until
// somebody completes it, or fails it; an error that wraps it does too. State changes,
// sends and added steps are kept, as with a reply. Outside a saga, and in a
// compensation, the attempt has failed.
var ErrPending = errors.New("the step is completed later")

// SagaAck acknowledges a saga: it is stored as durably as Durability says.
type SagaAck struct {
	ID         string
	State      SagaState
	Durability Durability
	// Joined says that the idempotency key was used before, for this saga.
	Joined bool
}

// Saga is what is known of a saga.
type Saga struct {
	ID        string    `json:"id"`
	Namespace string    `json:"-"`
	Name      string    `json:"name,omitempty"`
	State     SagaState `json:"state"`
	// Reason is why it is undone: SagaStepFailed, Cancelled, DeadlineExceeded, or TooLarge for
	// a nested one whose result is. Detail says more.
	Reason    Reason    `json:"reason,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	OnFailure OnFailure `json:"onFailure"`
	Principal Principal `json:"principal"`
	// CorrelationID is that of its steps' requests.
	CorrelationID string    `json:"correlationId"`
	CreatedAt     time.Time `json:"createdAt"`
	StartedAt     time.Time `json:"startedAt,omitzero"`
	EndedAt       time.Time `json:"endedAt,omitzero"`
	Deadline      time.Time `json:"deadline,omitzero"`
	// StepCount counts the steps, SucceededCount those of them that have succeeded, undone
	// since or not. Steps holds them in the order they were added, and is nil in a list.
	StepCount      int    `json:"stepCount"`
	SucceededCount int    `json:"succeededCount"`
	Steps          []Step `json:"steps,omitempty"`
}

// Step is what is known of a step.
type Step struct {
	ID      string            `json:"id"`
	Service string            `json:"service,omitempty"`
	Method  string            `json:"method,omitempty"`
	Key     string            `json:"key,omitempty"`
	State   StepState         `json:"state"`
	Args    []json.RawMessage `json:"args,omitempty"`
	After   []string          `json:"after,omitempty"`
	// SagaID is the saga that the step is, when it is one.
	SagaID string `json:"sagaId,omitempty"`
	// Queue is where its message goes, when it is one.
	Queue *QueueSpec `json:"queue,omitempty"`
	// Pending says that it runs without a handler, until somebody finishes it.
	Pending bool `json:"pending,omitempty"`
	// Attempts counts those of its request, once that has ended.
	Attempts     int             `json:"attempts"`
	Result       json.RawMessage `json:"result,omitempty"`
	Error        *StepError      `json:"error,omitempty"`
	StartedAt    time.Time       `json:"startedAt,omitzero"`
	EndedAt      time.Time       `json:"endedAt,omitzero"`
	Compensation *Compensation   `json:"compensation,omitempty"`
}

// Compensation is what is known of how a step is undone.
type Compensation struct {
	Service   string            `json:"service,omitempty"`
	Method    string            `json:"method,omitempty"`
	Key       string            `json:"key,omitempty"`
	Args      []json.RawMessage `json:"args,omitempty"`
	State     CompensationState `json:"state"`
	Attempts  int               `json:"attempts"`
	Error     *StepError        `json:"error,omitempty"`
	StartedAt time.Time         `json:"startedAt,omitzero"`
	EndedAt   time.Time         `json:"endedAt,omitzero"`
}

// StepError is why a step, or its compensation, failed.
type StepError struct {
	// Reason is why the request did not succeed; Failed for a reply with a status of 400
	// or above and for a step that was failed by call.
	Reason Reason `json:"reason"`
	// Message is for people: the handler's error, or the beginning of its reply.
	Message string `json:"message,omitempty"`
	// Status is that of the reply; zero without one.
	Status int `json:"status,omitempty"`
}

// StepResult finishes a step.
type StepResult struct {
	// Result is a JSON value; nil is null. It does not count when Error is set.
	Result json.RawMessage
	// Error fails the step.
	Error *StepError
	// CompletionKey, when not empty, must be the step's.
	CompletionKey string
}

// StepAnswer says what became of an attempt to finish a step.
type StepAnswer struct {
	// Applied says that this is what finished it. Otherwise nothing was changed.
	Applied bool `json:"applied"`
	// State is the step's.
	State StepState `json:"state"`
}

// CompensationAction is what a person does about a compensation that failed.
type CompensationAction string

// What a person can do about a compensation that failed.
const (
	// RetryCompensation: it runs again, with its attempts counted anew.
	RetryCompensation CompensationAction = "retry"
	// SkipCompensation: the step stands as it is.
	SkipCompensation CompensationAction = "skip"
	// ResolveCompensation: the step was undone otherwise.
	ResolveCompensation CompensationAction = "resolve"
)

// SagaFilter chooses sagas of a namespace. Empty fields choose all.
type SagaFilter struct {
	Namespace string
	// ID chooses one saga alone. Who names it means it, also when it has a failed
	// compensation.
	ID    string
	Name  string
	State SagaState
	// Principal is who created them.
	Principal Principal
	// Since and Until bound when they were created: not before the one, before the other.
	Since, Until time.Time
}

// SagaBackend keeps sagas. The node is one, in process; so is a connection to a
// node elsewhere. All methods are safe for concurrent use, and return *Error: NoSaga
// for an id that names none. A spec belongs to the backend from the call on.
type SagaBackend interface {
	// CreateSaga makes a saga durable. Beside the errors of a malformed one (BadSchema,
	// Exists for a step id used twice, Cycle, WrongKind, NoMethod) it returns Exists when
	// the id is taken and IdempotencyMismatch when the key was used for another saga.
	CreateSaga(ctx context.Context, s *SagaSpec) (*SagaAck, error)
	// Saga returns what is known of a saga.
	Saga(ctx context.Context, namespace, id string) (*Saga, error)
	// WaitSaga returns what is known of a saga once it has ended, or when ctx ends.
	WaitSaga(ctx context.Context, namespace, id string) (*Saga, error)
	// Sagas returns a page of sagas without their steps, the latest first, and the cursor of
	// the next page, "" at the end. Limit is 1 to 1,000; zero means 100.
	Sagas(ctx context.Context, f SagaFilter, limit int, after string) ([]Saga, string, error)
	// StartSaga starts a saga that was created; one that has started stays as it is.
	StartSaga(ctx context.Context, namespace, id string) (*Saga, error)
	// CancelSaga undoes a saga; one that has ended, or is being undone, stays as it is.
	CancelSaga(ctx context.Context, namespace, id string) (*Saga, error)
	// AddSteps adds steps to a saga, all or none, which may depend on any of its steps and
	// on each other, and returns the saga without its steps. SagaEnded when it has ended or
	// is being undone.
	AddSteps(ctx context.Context, namespace, id string, steps []StepSpec) (*Saga, error)
	// FinishStep completes or fails a running step. Of any other step the state is
	// returned, and nothing changes. NoStep when there is none, NotAllowed when the
	// completion key is wrong.
	FinishStep(ctx context.Context, namespace, id, step string, r StepResult) (*StepAnswer, error)
	// Compensate acts on a compensation that has failed; any other stays as it is.
	Compensate(ctx context.Context, namespace, id, step string, a CompensationAction) (*Saga, error)
	// PruneSagas removes ended sagas which the filter chooses and returns their number.
	// Those with a failed compensation go only when the filter names their state or id.
	PruneSagas(ctx context.Context, f SagaFilter) (int, error)
}
