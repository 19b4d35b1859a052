package cqrs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/observe"
)

// callMethods adds what the saga of a command calls to the service of the app.
func (a *App) callMethods(s *edda.Service) {
	for name, handle := range map[string]edda.HandlerFunc{
		callMethod: a.handleCall, undoMethod: a.handleUndo, commitMethod: a.handleCommit,
	} {
		s.Add(edda.Method{Name: name, Handler: func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			// Who may call the service to ask it things may not commit what no validator has seen.
			if ctx.Step() == nil {
				return nil, edda.Final(string(edda.NotAllowed), "%s is for the sagas of commands, and this is no step of one", name)
			}
			if err := a.life.awaitStart(ctx); err != nil {
				return nil, err
			}
			if err := a.life.enterBeside(); err != nil {
				return nil, err
			}
			defer a.life.beside.Done()
			return handle(ctx, m)
		}})
	}
}

// stepRun is an attempt at a step of a command's saga.
type stepRun struct {
	a   *App
	ctx *edda.Context
	in  edda.StepInput
	x   *execution
}

// readStep reads what a step was sent. When this process does not know the command, another
// one may, so that is no final error.
func (a *App) readStep(ctx *edda.Context, m *edda.Message) (*stepRun, error) {
	r := &stepRun{a: a, ctx: ctx}
	arg, err := readArg(m, &r.in)
	if err != nil {
		return nil, err
	}
	r.x, err = a.readExecution(arg)
	return r, err
}

// readArg reads the input of a step, and returns its one argument.
func readArg(m *edda.Message, in *edda.StepInput) (json.RawMessage, error) {
	const whose = "it is for the sagas of commands"
	if err := json.Unmarshal(m.Payload, in); err != nil {
		return nil, edda.Final(string(edda.BadSchema), whose+": %v", err)
	}
	if len(in.Args) != 1 {
		return nil, edda.Final(string(edda.BadSchema), whose+", and takes one argument, not %d", len(in.Args))
	}
	return in.Args[0], nil
}

// handleCall makes a call.
func (a *App) handleCall(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	r, err := a.readStep(ctx, m)
	if err != nil {
		return nil, err
	}
	c, err := r.x.spec.call(r.in.StepID)
	if err != nil {
		return nil, err
	}
	inner, leave := a.join(observe.WithTraceParent(ctx, m.TraceParent), r.in.SagaID)
	defer leave()
	told := r.x.command.Data.raw
	res := &callResult{}
	failed, err := r.prepare(inner, c)
	if called := r.x.called(c); string(called.Data) != string(told) {
		res.Data = called.Data
	}
	if err == nil && failed == nil {
		res.Result, failed, err = r.call(inner, c)
	}
	if err != nil {
		return nil, err
	}
	if failed != nil {
		res.Error = &edda.StepError{Reason: edda.ReasonOf(failed), Message: failed.Error()}
	}
	return replyJSON(res)
}

// prepare takes the results of the calls before, and says why a call must not be made any
// more, as call does.
func (r *stepRun) prepare(ctx context.Context, c *Call) (failed, err error) {
	if err := r.a.takeResults(ctx, r.x, r.in.Dependencies); err != nil {
		return r.giveUp(err)
	}
	over, err := r.isOver(ctx)
	switch p := c.Retry.WithDefaults(); {
	case err != nil:
		return nil, err
	case over: // an attempt that was handed back is not counted, and may have made it
		return errGivenUp(r.x), nil
	case p.Max != -1 && r.ctx.Attempt() > p.Max:
		return callError(c, edda.Dead, errors.New("its last attempt was lost")), nil
	}
	return nil, nil
}

// isOver reports whether nobody wants the run any more: the caller, in this process, has
// left, or it was aborted.
func (r *stepRun) isOver(ctx context.Context) (bool, error) {
	if ctx.Err() != nil && r.ctx.Err() == nil {
		return true, nil
	}
	row, err := ledger.SelectCommand(ctx, r.a.db.Reader(), r.x.command.ID)
	if err != nil {
		return false, err
	}
	return row != nil && row.Run >= r.x.run, nil
}

// giveUp ends the step of a call that was not made by this attempt: it fails, if this is the
// first. Otherwise the call has to be undone, so failed is returned.
func (r *stepRun) giveUp(why error) (failed, err error) {
	if r.ctx.Redelivered() {
		return why, nil
	}
	return nil, r.refuse(why, false)
}

// call makes a call. It returns its result, or why it failed, if it may have been made and
// has to be undone, or an error of the step.
func (r *stepRun) call(ctx context.Context, c *Call) (result json.RawMessage, failed, err error) {
	var v any
	on := observe.What{Kind: observe.Call, Broadcaster: r.x.of.broadcaster.name, Type: r.x.command.Type, Command: r.x.command.ID}
	err = r.a.limited(ctx, c, on, func(ctx context.Context) (err error) {
		v, err = c.Do(ctx, r.x.called(c))
		return err
	})
	if err == nil {
		result, failed = encodeResult(c, v)
		return result, failed, nil
	}
	final := !repeats(err)
	err = callError(c, "", err)
	switch p := c.Retry.WithDefaults(); {
	case final: // it was not made, says who should have made it
		failed, err = r.giveUp(err)
		return nil, failed, err
	case p.Max != -1 && r.ctx.Attempt() >= p.Max, ctx.Err() != nil && r.ctx.Err() == nil:
		return nil, err, nil
	}
	return nil, nil, err
}

// encodeResult writes what a call returned. No repetition mends what cannot be written.
func encodeResult(c *Call, v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil, callError(c, edda.BadJSON, fmt.Errorf("its result has no form in JSON: %w", err))
	case len(b) > maxResultBytes:
		return nil, callError(c, edda.TooLarge, fmt.Errorf("its result has %d bytes, at most %d are allowed", len(b), maxResultBytes))
	}
	return b, nil
}

// takeResults merges the results of the calls that were made into the command, one after
// the other. What was changed is validated again.
func (a *App) takeResults(ctx context.Context, x *execution, results []json.RawMessage) error {
	for i, raw := range results {
		c := &x.spec.Calls[i]
		result, err := c.readResult(raw)
		if err != nil {
			return err
		}
		if err := a.takeCall(ctx, x, c, result); err != nil {
			return err
		}
	}
	return nil
}

// readResult reads the result of a call's step. Its error is the call's.
func (c *Call) readResult(raw json.RawMessage) (json.RawMessage, error) {
	if c.Service != "" {
		return raw, nil
	}
	var r callResult
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, callError(c, edda.Internal, fmt.Errorf("read its result: %w", err))
	}
	if r.Error != nil {
		return nil, stepFailure(r.Error)
	}
	return r.Result, nil
}

// handleUndo undoes a call. A run is aborted first: so nothing is undone that was
// committed, or may be yet, whoever has cancelled the saga.
func (a *App) handleUndo(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	var in edda.StepInput
	arg, err := readArg(m, &in)
	if err != nil {
		return nil, err
	}
	var u undoArg
	if err := json.Unmarshal(arg, &u); err != nil {
		return nil, fmt.Errorf("read what is to be undone: %w", err)
	}
	of, ok := a.table.exact[u.Spec]
	if !ok {
		return nil, fmt.Errorf("no broadcaster has a command %q here", u.Spec)
	}
	c, err := of.spec.call(in.StepID)
	if err != nil {
		return nil, err
	}
	mine := u.row(of)
	there, err := a.abort(ctx, mine, "its calls are undone")
	switch {
	case err != nil:
		return nil, err
	case there.Status == ledger.Committed && there.Run == u.Run && sameTarget(there, mine) && sameWish(there, mine):
		return nil, edda.Final(string(edda.Conflict), "command %s was committed, so its calls stand", u.Command)
	}
	if err := u.setResult(in.Dependencies); err != nil {
		return nil, err
	}
	inner, leave := a.join(observe.WithTraceParent(ctx, m.TraceParent), "")
	defer leave()
	on := observe.What{Kind: observe.Undo, Broadcaster: of.broadcaster.name, Type: u.Type, Command: u.Command}
	return nil, a.limited(inner, c, on, func(ctx context.Context) error { return c.Undo(ctx, &u.Called) })
}

// row is the row of the run that is undone.
func (u *undoArg) row(of *command) *ledger.Command {
	return &ledger.Command{
		ID: u.Command, Run: u.Run, Broadcaster: of.broadcaster.name, Type: u.Type, Object: u.Object, Key: u.Key,
		Principal: u.Principal, CreatedAt: now(), Fingerprint: u.Fingerprint,
	}
}

// setResult takes what the step that is undone left behind.
func (u *undoArg) setResult(deps []json.RawMessage) error {
	if len(deps) == 0 {
		return nil
	}
	var r callResult
	if err := json.Unmarshal(deps[0], &r); err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	u.Result = r.Result
	if r.Data != nil {
		u.Data = r.Data
	}
	return nil
}

// handleCommit ends a command with calls: after hooks and transaction. The first attempt
// commits. Another one means that the first was lost, so it looks what became of it, and
// sees to it that nothing will any more.
func (a *App) handleCommit(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
	r, err := a.readStep(ctx, m)
	if err != nil {
		return nil, err
	}
	var out *Outcome
	if ctx.Redelivered() {
		out, err = a.recoverCommit(ctx, r.x)
	} else {
		out, err = r.commit(observe.WithTraceParent(ctx, m.TraceParent))
	}
	switch {
	case err == nil:
		a.callers.tell(r.in.SagaID, &verdict{out: out})
		return replyJSON(out.toStore())
	case edda.ReasonOf(err) == edda.OutcomeUnknown:
		return nil, err // the next attempt looks
	}
	return nil, r.refuse(err, true)
}

func (r *stepRun) commit(ctx context.Context) (*Outcome, error) {
	ctx, leave := r.a.join(ctx, r.in.SagaID)
	defer leave()
	if err := r.a.takeResults(ctx, r.x, r.in.Dependencies); err != nil {
		return nil, err
	}
	return r.a.finish(ctx, r.x)
}

// refuse fails the step for good, and tells who waits for the command in this process.
// Sure says that nothing comes of the run any more; of an attempt at a call that is not
// so: it may be one that was given up, while another goes on.
func (r *stepRun) refuse(err error, sure bool) error {
	r.a.callers.tell(r.in.SagaID, &verdict{err: err, sure: sure})
	return edda.Final(string(reasonOf(err)), "%s", err)
}

// limited runs a function of a call under its timeout, and makes an error of its panic.
func (a *App) limited(ctx context.Context, c *Call, on observe.What, f func(ctx context.Context) error) error {
	on.Name = c.Name
	return a.observed(ctx, on, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeoutCause(ctx, c.timeout(), tooLongError{c.timeout()})
		defer cancel()
		defer func() {
			if v := recover(); v != nil {
				err = a.panicked(ctx, on.Kind, c.Name, v)
			}
		}()
		if err = f(ctx); err == nil {
			return nil // though it may have taken too long: the call was made
		}
		if tooLong, ok := errors.AsType[tooLongError](context.Cause(ctx)); ok {
			return &edda.Error{Reason: edda.Timeout, Err: errors.Join(tooLong, err)}
		}
		return err
	})
}

// callError is the error of a call; its reason is err's own when none is given.
func callError(c *Call, reason edda.Reason, err error) error {
	return &edda.Error{Op: "call " + c.Name, Reason: cmp.Or(reason, reasonOf(err)), Err: err}
}

// errGivenUp is why a run that was aborted makes no further calls.
func errGivenUp(x *execution) error {
	return &edda.Error{Reason: edda.Cancelled, Err: fmt.Errorf("run %d of command %s was aborted", x.run, x.command.ID)}
}

func replyJSON(v any) (*edda.Reply, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &edda.Reply{ContentType: "application/json", Payload: b}, nil
}
