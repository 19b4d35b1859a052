package memlog

import (
	"errors"
	"fmt"

	"github.com/edda-io/edda/engine"
)

// Fault is a way for an append to end other than Durable, for tests of what
// stands on an engine.
type Fault uint8

// The faults.
const (
	// UnknownWritten: the append ends Unknown, and the records are in the log.
	UnknownWritten Fault = iota + 1
	// UnknownLost: the append ends Unknown, and the records are not in the log.
	UnknownLost
	// Unavailable: the append ends Unavailable.
	Unavailable
)

// ErrInjected is the error of an append that ended by an injected fault.
var ErrInjected = errors.New("injected fault")

// Inject makes the next appends to p that would have been Durable end by the
// faults instead, one each and in order. As the contract says, what follows such
// an append under its epoch is Fenced, and uses up no fault; Own clears that.
func (l *Log) Inject(p engine.Partition, faults ...Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := &l.parts[p]
	part.faults = append(part.faults, faults...)
}

// result is how an append ends by the fault, and whether its records are kept.
func (f Fault) result(p engine.Partition) (r engine.Result, keep bool) {
	err := fmt.Errorf("append to partition %d: %w", p, ErrInjected)
	switch f {
	case UnknownWritten:
		return engine.Result{Outcome: engine.Unknown, Err: err}, true
	case UnknownLost:
		return engine.Result{Outcome: engine.Unknown, Err: err}, false
	case Unavailable:
		return engine.Result{Outcome: engine.Unavailable, Err: err}, false
	default:
		panic(fmt.Sprintf("memlog: fault %d does not exist", f))
	}
}
