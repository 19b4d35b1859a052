package cqrs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// A saga is looked at while it has not ended, first soon and then every second: one that is
// being undone has failed, and the caller shall not wait until the last call is undone.
const (
	firstLook   = 100 * time.Millisecond
	slowestLook = time.Second
)

// callOut makes the calls of a command, and commits it, in a saga. It returns as soon as
// it is known whether the command was committed. When ctx ends before, the run is aborted,
// so that it is not committed behind the caller's back; if it was already, that is the
// outcome.
func (a *App) callOut(ctx context.Context, x *execution) (*Outcome, error) {
	if a.backend == nil {
		return nil, &edda.Error{Reason: edda.Unavailable, Err: errors.New("it has reversible calls, and the app was started without a node")}
	}
	ctx, leave := a.join(ctx, "")
	defer leave()
	for {
		if err := a.awaitUndone(ctx, x); err != nil {
			return nil, err
		}
		id := sagaID(x.command.ID, x.run)
		w := a.callers.add(ctx, id)
		out, err := a.create(ctx, x, w)
		a.callers.remove(id, w)
		if !errors.Is(err, errNextRun) {
			return out, err
		}
		x.run++
	}
}

// meetBegun is for a command that another Do may have begun, here or in a process that has died: its
// saga goes on by itself. What becomes of that comes first, because a before hook would else
// meet what it has stored, and refuse the command that has just been done.
func (a *App) meetBegun(ctx context.Context, x *execution) (*Outcome, error) {
	if a.backend == nil {
		return nil, nil
	}
	ctx, leave := a.join(ctx, "")
	defer leave()
	for {
		_, err := a.backend.Saga(ctx, a.o.Namespace, sagaID(x.command.ID, x.run))
		switch {
		case edda.ReasonOf(err) == edda.NoSaga:
			return nil, nil
		case ctx.Err() != nil:
			return a.giveUp(ctx, x, over(ctx))
		case err != nil:
			return a.giveUp(ctx, x, &edda.Error{Reason: edda.Unavailable, Err: err})
		}
		out, err := a.meet(ctx, x)
		if !errors.Is(err, errNextRun) {
			return out, err
		}
		x.run++
	}
}

// errNextRun: the run there was is over, and the next one may begin.
var errNextRun = errors.New("the next run")

// awaitUndone waits until the calls of the run before are undone, so that a third party is
// not asked for the same thing twice at a time.
func (a *App) awaitUndone(ctx context.Context, x *execution) error {
	if x.run <= 1 {
		return nil
	}
	id := sagaID(x.command.ID, x.run-1)
	s, err := a.backend.WaitSaga(ctx, a.o.Namespace, id)
	switch {
	case edda.ReasonOf(err) == edda.NoSaga:
		return nil
	case err != nil:
		return &edda.Error{Reason: edda.ReasonOf(err), Err: err}
	case !s.State.Ended():
		err := over(ctx)
		return &edda.Error{Reason: edda.ReasonOf(err), Err: fmt.Errorf("the calls of its run %d are being undone: %w", x.run-1, err)}
	}
	return nil
}

// create makes the saga of a run, and waits for what becomes of it.
func (a *App) create(ctx context.Context, x *execution, w *caller) (*Outcome, error) {
	spec, err := a.saga(ctx, x)
	if err != nil {
		return nil, &edda.Error{Reason: edda.Internal, Err: err}
	}
	_, err = a.backend.CreateSaga(ctx, spec)
	switch {
	case err == nil:
		return a.awaitCommit(ctx, x, w)
	case edda.ReasonOf(err) == edda.Exists:
		return a.meet(ctx, x)
	case ctx.Err() != nil:
		err = over(ctx)
	case edda.ReasonOf(err) == edda.OutcomeUnknown: // not any more, once the run is aborted
		err = &edda.Error{Reason: edda.Unavailable, Err: err}
	}
	return a.giveUp(ctx, x, err)
}

// awaitCommit waits until the commit of a run has ended, or the run has failed. Both may happen
// in this process, which knows it at once, or elsewhere, which the node tells.
func (a *App) awaitCommit(ctx context.Context, x *execution, w *caller) (*Outcome, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := a.life.enterBeside(); err != nil {
		return a.giveUp(ctx, x, err)
	}
	told := make(chan *verdict, 1)
	// It ends by itself when inner does: nobody waits for it here, because that takes a
	// turn of the node.
	go func() {
		defer a.life.beside.Done()
		told <- a.follow(inner, x)
	}()
	var got *verdict
	select {
	case got = <-w.verdicts:
	case got = <-told:
	case <-ctx.Done():
		return a.giveUp(ctx, x, over(ctx))
	}
	switch {
	case got.err == nil:
		return got.out, nil
	case !got.sure:
		return a.giveUp(ctx, x, got.err)
	}
	// Who repeats the command shall not find this run, of which the node may not have heard
	// yet that it failed. If the database cannot be asked, the undoing will do it.
	if _, err := a.abort(context.WithoutCancel(ctx), x.row(), got.err.Error()); err != nil {
		a.log.WarnContext(ctx, "run of a command is not aborted yet", "command", x.command.ID, "run", x.run, "error", err)
	}
	return nil, got.err
}

// follow waits until a saga has ended, or is being undone. The answer is not sure when
// that cannot be known.
func (a *App) follow(ctx context.Context, x *execution) *verdict {
	for every := firstLook; ; every = min(2*every, slowestLook) {
		slice, cancel := context.WithTimeout(ctx, every)
		s, err := a.backend.WaitSaga(slice, a.o.Namespace, sagaID(x.command.ID, x.run))
		cancel()
		switch {
		case err != nil:
			return &verdict{err: err}
		case s.State == edda.SagaSucceeded:
			out, err := a.sagaOutcome(ctx, s)
			return &verdict{out: out, err: err}
		case s.State.Ended(), s.State == edda.SagaCompensating:
			return sagaVerdict(x, s)
		case ctx.Err() != nil:
			return &verdict{err: over(ctx)}
		}
	}
}

// sagaOutcome is the outcome of a command whose saga has succeeded.
func (a *App) sagaOutcome(ctx context.Context, s *edda.Saga) (*Outcome, error) {
	var out Outcome
	if err := json.Unmarshal(s.Steps[len(s.Steps)-1].Result, &out); err != nil {
		return nil, fmt.Errorf("read the result of saga %s: %w", s.ID, err)
	}
	if out.Event != nil {
		return &out, nil
	}
	row, err := ledger.SelectCommand(ctx, a.db.Reader(), out.Command)
	if err == nil && row == nil {
		err = fmt.Errorf("the row of command %s is not there", out.Command)
	}
	if err != nil {
		return nil, err
	}
	stored, err := a.replay(ctx, row)
	if err == nil {
		stored.Replayed = false
	}
	return stored, err
}

// toStore is what the last step of a saga keeps of an outcome: not the event, if that is
// stored anyway.
func (o *Outcome) toStore() *Outcome {
	if o.Position == (Position{}) {
		return o
	}
	return &Outcome{Command: o.Command, Position: o.Position}
}

// sagaVerdict is why a saga is being undone. Somebody who has cancelled it may have come too
// late for the commit.
func sagaVerdict(x *execution, s *edda.Saga) *verdict {
	for i := range s.Steps {
		if st := &s.Steps[i]; st.State == edda.StepFailed && st.Error != nil {
			return &verdict{err: stepFailure(st.Error), sure: true}
		}
	}
	return &verdict{err: &edda.Error{Reason: s.Reason, Err: fmt.Errorf("its saga is %s", s.State)}}
}

// over is the error of a caller whose context has ended, or whose app.
func over(ctx context.Context) error {
	cause := context.Cause(ctx)
	if e, ok := errors.AsType[*edda.Error](cause); ok {
		return e
	}
	return &edda.Error{Reason: failureReason(ctx.Err()), Err: cause}
}

// meet is for a run whose saga there is already: another Do has begun it, here or
// elsewhere, which may have died. While it goes on, what becomes of it is the outcome here
// too. When it came to nothing it is aborted, and the next run may begin.
func (a *App) meet(ctx context.Context, x *execution) (*Outcome, error) {
	s, err := a.backend.Saga(ctx, a.o.Namespace, sagaID(x.command.ID, x.run))
	if err != nil && edda.ReasonOf(err) != edda.NoSaga {
		return nil, &edda.Error{Reason: edda.OutcomeUnknown, Err: fmt.Errorf("another caller has begun it: %w", err)}
	}
	if err == nil {
		if err := a.sameSaga(s, x); err != nil {
			return nil, err
		}
	}
	if err == nil && !s.State.Ended() && s.State != edda.SagaCompensating {
		got := a.follow(ctx, x)
		switch {
		case got.err == nil:
			got.out.Replayed = true
			return got.out, nil
		case ctx.Err() != nil:
			return nil, &edda.Error{Reason: edda.OutcomeUnknown, Err: fmt.Errorf("another caller's run of it goes on: %w", context.Cause(ctx))}
		case got.sure && !nobodys(got.err):
			return nil, got.err
		}
	}
	there, err := a.settle(ctx, x, "its saga has ended")
	if err != nil {
		return nil, &edda.Error{Reason: edda.OutcomeUnknown, Err: err}
	}
	err = sameCommand(there, x)
	switch {
	case err != nil:
		return nil, err
	case there.Status == ledger.Committed:
		return a.replay(ctx, there)
	}
	x.run = there.Run
	return nil, errNextRun
}

// sameSaga refuses a command under whose id there is a saga of another one, which may have no row yet.
func (a *App) sameSaga(s *edda.Saga, x *execution) error {
	if len(s.Steps) == 0 {
		return nil
	}
	last := &s.Steps[len(s.Steps)-1]
	if last.ID != commitStep || len(last.Args) != 1 {
		return nil
	}
	theirs, err := a.readExecution(last.Args[0])
	if err != nil { // another release's: its row will tell
		return nil //nolint:nilerror // see above
	}
	return sameCommand(theirs.row(), x)
}

// nobodys reports whether a run failed because nobody waited for it, or who ran it died.
func nobodys(err error) bool {
	switch edda.ReasonOf(err) {
	case edda.WorkerLost, edda.Cancelled, edda.Timeout:
		return true
	default:
		return false
	}
}

// stepFailure is the error of a step of a command's saga: its message begins with the
// reason, if it is one of edda's, as refuse writes it.
func stepFailure(e *edda.StepError) error {
	reason, text := e.Reason, e.Message
	if word, rest, ok := strings.Cut(text, ": "); ok && e.Reason == edda.Failed {
		if r := edda.Reason(word); r == edda.Internal || r.Code() != edda.CodeInternal {
			reason, text = r, rest
		}
	}
	return &edda.Error{Reason: reason, Err: errors.New(text)}
}

// callers are who waits in this process for the commits of sagas.
type callers struct {
	mu   sync.Mutex // guards what follows
	byID map[string]*caller
}

// caller waits for the commit of a saga.
type caller struct {
	ctx      context.Context // the caller's
	verdicts chan *verdict   // has room for one
}

// verdict is what became of a command.
type verdict struct {
	out *Outcome
	err error
	// sure says that an error will not become a success any more.
	sure bool
}

func (c *callers) add(ctx context.Context, id string) *caller {
	w := &caller{ctx: ctx, verdicts: make(chan *verdict, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[string]*caller{}
	}
	if c.byID[id] == nil { // else the same command twice at a time
		c.byID[id] = w
	}
	return w
}

func (c *callers) remove(id string, w *caller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[id] == w {
		delete(c.byID, id)
	}
}

// join returns a context that ends with ctx, with the app, and with that of who waits in
// this process for the saga.
func (a *App) join(ctx context.Context, saga string) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(a.life.ctx, func() { cancel(errStopped("")) })
	forget := func() bool { return true }
	if w := a.callers.of(saga); w != nil {
		forget = context.AfterFunc(w.ctx, func() { cancel(context.Cause(w.ctx)) })
	}
	return inner, func() {
		stop()
		forget()
		cancel(nil)
	}
}

func (c *callers) of(id string) *caller {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// tell tells who waits in this process for the saga, once.
func (c *callers) tell(id string, got *verdict) {
	w := c.of(id)
	if w == nil {
		return
	}
	select {
	case w.verdicts <- got:
	default:
	}
}
