package cqrs

import (
	"context"
	"errors"
	"sync"

	"github.com/edda-io/edda"
)

// lifecycle is an app's way from New to Stop. It ends what runs beside the commands, and
// waits for both.
type lifecycle struct {
	started  chan struct{} // closed by start
	stopping chan struct{} // closed by the first stop
	done     chan struct{} // closed when no command runs any more
	ctx      context.Context
	end      context.CancelFunc // ends what runs beside the commands
	beside   sync.WaitGroup

	mu      sync.RWMutex // guards what follows; commands enter under its read lock
	state   state
	running sync.WaitGroup
	over    bool // nothing may begin beside the commands any more
}

type state uint8

const (
	stateNew state = iota
	stateStarted
	stateStopped
)

func newLifecycle() *lifecycle {
	l := &lifecycle{started: make(chan struct{}), stopping: make(chan struct{}), done: make(chan struct{})}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// start lets commands in, once run has started what runs beside them.
func (l *lifecycle) start(op string, run func(ctx context.Context, wg *sync.WaitGroup)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.state {
	case stateStarted:
		return &edda.Error{Op: op, Reason: edda.Conflict, Err: errors.New("it was started already")}
	case stateStopped:
		return &edda.Error{Op: op, Reason: edda.Conflict, Err: errors.New("it was stopped, make another one")}
	case stateNew:
	}
	run(l.ctx, &l.beside)
	l.state = stateStarted
	close(l.started)
	return nil
}

// enter lets a command in; who may leave does so exactly once.
func (l *lifecycle) enter(op string) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch l.state {
	case stateNew:
		return &edda.Error{Op: op, Reason: edda.Unavailable, Err: errors.New("the app is not started")}
	case stateStopped:
		return errStopped(op)
	case stateStarted:
	}
	l.running.Add(1)
	return nil
}

func (l *lifecycle) leave() { l.running.Done() }

// enterBeside lets something in that commands may wait for: until the last of them has
// left, if the app was started. Who gets in calls beside.Done exactly once, soon after ctx
// has ended.
func (l *lifecycle) enterBeside() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	select {
	case <-l.started:
	default:
		return errStopped("")
	}
	if l.over {
		return errStopped("")
	}
	l.beside.Add(1)
	return nil
}

func errStopped(op string) error {
	return &edda.Error{Op: op, Reason: edda.Unavailable, Err: errors.New("the app was stopped")}
}

// awaitStart returns once commands may enter, or never will.
func (l *lifecycle) awaitStart(ctx context.Context) error {
	select {
	case <-l.started:
		return nil
	default:
	}
	select {
	case <-l.started:
		return nil
	case <-l.stopping:
		return nil // enter says so
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lifecycle) stop(ctx context.Context) error {
	l.mu.Lock()
	if l.state != stateStopped {
		l.state = stateStopped
		close(l.stopping)
		// The goroutine ends with the last command, for which every stop waits.
		go func() {
			l.running.Wait()
			close(l.done)
		}()
	}
	l.mu.Unlock()
	var err error
	select {
	case <-l.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.end()
	l.beside.Wait()
	return err
}
