package node

import (
	"context"
	"sync/atomic"
)

// tally counts what comes and goes, such as goroutines, and tells when there are none. A
// WaitGroup would not do: it must not count up from zero while somebody waits.
type tally struct {
	n    atomic.Int64
	zero chan struct{} // one signal that n may be zero
}

func newTally() *tally { return &tally{zero: make(chan struct{}, 1)} }

// add counts what done ends.
func (t *tally) add() { t.n.Add(1) }

// Go runs f in a goroutine that is counted.
func (t *tally) Go(f func()) {
	t.add()
	go func() {
		defer t.done()
		f()
	}()
}

func (t *tally) done() {
	if t.n.Add(-1) > 0 {
		return
	}
	select {
	case t.zero <- struct{}{}:
	default:
	}
}

// wait returns when there are none, or with the context's error.
func (t *tally) wait(ctx context.Context) error {
	for t.n.Load() > 0 {
		select {
		case <-t.zero:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
