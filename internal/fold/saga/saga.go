// Package saga is the machine of sagas: steps that depend on each other, each of
// which is a request, and is undone by another one when the saga fails.
//
// The machine decides which steps are ready, makes their requests through Requests,
// and is told of their ends through StepEnded, within the application of the record
// that brought the end about. Everything is guarded: what comes late, twice or for
// nobody changes nothing. docs/design/0008-sagas.md says how it works.
//
// A saga that is a step of another has the id of that saga, a tilde and the id of the
// step. It lives in the same partition and changes in the same records.
package saga

import (
	"cmp"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// Ref names a saga.
type Ref struct{ Namespace, ID string }

// key is how a saga is named in rows: no name has a zero byte.
func (r Ref) key() []byte {
	return append(append(append(make([]byte, 0, len(r.Namespace)+len(r.ID)+16), r.Namespace...), 0), r.ID...)
}

// compare orders sagas like their keys.
func (r Ref) compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Namespace, other.Namespace), cmp.Compare(r.ID, other.ID))
}

// root returns the saga that a nested one belongs to, however deep.
func (r Ref) root() Ref {
	r.ID, _, _ = strings.Cut(r.ID, nested)
	return r
}

func parseKey(key string) Ref {
	ns, id, _ := strings.Cut(key, "\x00")
	return Ref{Namespace: ns, ID: id}
}

// nested separates the id of a saga from that of the step which is a saga itself.
const nested = "~"

// Depth returns how deep a saga is nested: 1 for one that is no step of another.
func Depth(id string) int { return 1 + strings.Count(id, nested) }

// Hash returns the address hash that a saga lives at, with all sagas that its steps
// are.
func Hash(namespace, id string) uint64 {
	root, _, _ := strings.Cut(id, nested)
	return edda.Address{Namespace: namespace, Name: "edda.saga", Key: root}.Hash()
}

// Saga is one saga. It belongs to the machine; the node reads it in the partition's
// goroutine.
type Saga struct {
	Namespace string
	ID        string
	Name      string
	State     edda.SagaState
	// Reason is why it is undone. Detail says more.
	Reason    edda.Reason
	Detail    string
	OnFailure edda.OnFailure
	Principal edda.Principal
	// Correlation is that of the steps' requests; the saga's id when empty.
	Correlation string
	TraceParent string
	TraceState  string
	// Times are in Unix nanoseconds, zero when they do not apply.
	CreatedAt int64
	StartedAt int64
	EndedAt   int64
	Deadline  int64

	hash        uint64
	secret      [secretBytes]byte
	keep        time.Duration // after its end
	idempotency string        // the key, "" without one
	fingerprint string

	steps []step
	index map[string]uint32 // of the steps by id, once somebody needs it
	// count and succeeded count the steps, and those that have succeeded, undone since
	// or not.
	count, succeeded int
	running          int // steps
	undoing          int // compensations that run
	undoFailed       int // compensations that have failed
	held             int // bytes of steps and results
	underWay         int // bytes of what steps that run were sent, of those not pending
	// ready are the steps that may start, or be undone, and were not yet: in the order
	// in which they became so, but those left over from earlier records by index.
	ready []uint32

	cancelling bool // steps that run were cancelled
	begun      bool // undoing has begun: no step runs any more
	armed      bool // the deadline still matters
	unadvanced bool // ready is not empty, for want of room in a record

	queued  bool // there is something to go on with in the record being applied
	dirty   bool // changed since the last checkpoint
	touched bool // used since then
	dropped bool // removed since then
	stored  stored
	unknown []byte // fields of a later release, from the row
}

// Ref returns the saga's name.
func (s *Saga) Ref() Ref { return Ref{Namespace: s.Namespace, ID: s.ID} }

// Nested reports whether the saga is a step of another one.
func (s *Saga) Nested() bool { return strings.Contains(s.ID, nested) }

// parent returns the saga that a nested one is a step of, and the step's id.
func (s *Saga) parent() (ref Ref, step string) {
	at := strings.LastIndex(s.ID, nested)
	return Ref{Namespace: s.Namespace, ID: s.ID[:at]}, s.ID[at+1:]
}

// childID returns the id of the saga that a step is.
func (s *Saga) childID(i int) string { return s.ID + nested + s.steps[i].id }

// keepUntil is until when an ended saga is kept; zero is for ever, or as long as the
// saga that it is a step of.
func (s *Saga) keepUntil() int64 {
	if !s.State.Ended() || s.State == edda.SagaCompensationFailed || s.Nested() {
		return 0
	}
	return s.EndedAt + int64(s.keep)
}

// expired reports whether the saga is kept no longer.
func (s *Saga) expired(now int64) bool {
	until := s.keepUntil()
	return until != 0 && until <= now
}

// step is one step of a saga. There are many: it is kept small.
type step struct {
	id     string
	spec   []byte   // as it was encoded, of which the rest is read when it is needed
	deps   []uint32 // the steps it depends on, in the order it names them
	next   []uint32 // the steps that depend on it
	result []byte   // JSON, nil without one
	err    *edda.StepError
	undo   *undoing // nil before it is undone
	// startedAt and endedAt are in Unix nanoseconds.
	startedAt, endedAt int64
	// waits counts dependencies that have not succeeded; once undoing has begun, steps
	// that depend on this one and are not settled.
	waits    uint32
	base     uint32 // the place in steps at which those it was added with begin
	attempts uint32
	sent     uint32 // bytes of what it was sent, while its request is under way
	state    stepState
	flags    flags
}

// undoing is where the undoing of a step stands, and what is rarely needed.
type undoing struct {
	state              undoState
	run                uint64
	attempts           uint32
	startedAt, endedAt int64
	err                *edda.StepError
	unknown            []byte // fields of a later release, from the step's row
}

// flags of a step.
type flags uint8

const (
	compensated flags = 1 << iota // it has a compensation
	isSaga                        // it is a saga
	byID                          // it names its dependencies by id
	pending                       // it runs without a handler
	cancelAsked                   // its request elsewhere was cancelled
	dirtyStep                     // changed since the last checkpoint
	isQueue                       // it is a message on a stream
)

func (st *step) is(f flags) bool { return st.flags&f != 0 }

// asks reports whether the step, or what undoes it, is a request.
func (st *step) asks(undo bool) bool { return !st.is(isSaga) && (undo || !st.is(isQueue)) }

// settled reports whether nothing is left to be done about the step before those that
// it depends on are undone.
func (st *step) settled() bool {
	return st.state != stepSucceeded && st.state != stepCompensating
}

// hasSucceeded reports whether the step has succeeded, undone since or not.
func (st *step) hasSucceeded() bool {
	switch st.state {
	case stepSucceeded, stepCompensating, stepCompensated, stepNotCompensated:
		return true
	default:
		return false
	}
}

// stepState is an edda.StepState as it stands in rows.
type stepState uint8

const (
	stepWaiting stepState = iota + 1
	stepReady
	stepRunning
	stepSucceeded
	stepFailed
	stepCompensating
	stepCompensated
	stepNotCompensated
	stepSkipped
	stepCancelled
)

var stepStates = [...]edda.StepState{
	stepWaiting: edda.StepWaiting, stepReady: edda.StepReady, stepRunning: edda.StepRunning, stepSucceeded: edda.StepSucceeded,
	stepFailed: edda.StepFailed, stepCompensating: edda.StepCompensating, stepCompensated: edda.StepCompensated,
	stepNotCompensated: edda.StepNotCompensated, stepSkipped: edda.StepSkipped, stepCancelled: edda.StepCancelled,
}

// undoState is an edda.CompensationState as it stands in rows; zero is waiting.
type undoState uint8

const (
	undoWaiting undoState = iota
	undoRunning
	undoSucceeded
	undoFailed
	undoSkipped
	undoResolved
)

var undoStates = [...]edda.CompensationState{
	undoWaiting: edda.CompensationWaiting, undoRunning: edda.CompensationRunning, undoSucceeded: edda.CompensationSucceeded,
	undoFailed: edda.CompensationFailed, undoSkipped: edda.CompensationSkipped, undoResolved: edda.CompensationResolved,
}

// EffectKind says what has to happen.
type EffectKind uint8

// The kinds of effects. Created, Joined, Refused, Applied and Unchanged answer the
// record that was applied, unless Saga is a nested one that another was answered for.
const (
	// Created: Saga is new; it may be a step that has just started.
	Created EffectKind = iota + 1
	// Joined: the idempotency key was used before, for Saga.
	Joined
	// Refused: nothing was changed, for Reason; Saga may be nil.
	Refused
	// Applied: Saga was changed by the record; Step is the one that was meant, if any.
	Applied
	// Unchanged: what the record asked for does not apply to Saga as it is.
	Unchanged
	// Ended: nothing happens in Saga any more unless a person acts.
	Ended
	// Advance: Saga has more ready steps than the record had room for.
	Advance
	// Arm: Saga has a deadline.
	Arm
	// Spare: the slot that was reserved for Step was not needed; Saga may be nil.
	Spare
	// StepEnded: Step has ended with StepState, or its compensation with Undone.
	StepEnded
)

// Effect is something that has to happen outside, now that the record that brought
// it about is durable.
type Effect struct {
	Kind   EffectKind
	Saga   *Saga
	Step   int
	Reason edda.Reason
	Detail string
	// StepState and Undone are set with StepEnded, one of them.
	StepState edda.StepState
	Undone    edda.CompensationState
}

// Start is a step that may start soon, or be undone.
type Start struct {
	Index   uint32
	Address edda.Address
	Method  string
	// Hash is where its request will live.
	Hash uint64
}

// Cursor is a place in a list of sagas, the latest first. The zero Cursor is before
// them all.
type Cursor struct {
	Created int64 // Unix nanoseconds
	ID      string
}

// CursorOf returns the place of a saga.
func CursorOf(s *Saga) Cursor { return Cursor{Created: s.CreatedAt, ID: s.ID} }

// Compare is negative when c comes before other.
func (c Cursor) Compare(other Cursor) int {
	return cmp.Or(cmp.Compare(other.Created, c.Created), cmp.Compare(c.ID, other.ID))
}
