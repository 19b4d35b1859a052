package cqrs

import (
	"context"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/eventual"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/observe"
)

// handlerID is what a handler is called in the database.
func handlerID(broadcaster string, h *handler) string { return broadcaster + "/" + h.name }

// newLanes makes what runs the eventual handlers of broadcasters.
func (a *App) newLanes(broadcasters []string) *eventual.Lanes {
	var all []eventual.Handler
	for _, b := range broadcasters {
		for _, h := range a.table.eventual(b) {
			all = append(all, a.lateHandler(b, h))
		}
	}
	return eventual.New(eventual.Options{
		DB: a.db, TxOptions: a.txOptions(), Events: a.rows.stored, Logger: a.log, Stored: a.committed, Repeats: repeats,
		Within: a.within,
	}, all)
}

// within is the context of a transaction that is open for handlers.
func (a *App) within(ctx context.Context) context.Context { return context.WithValue(ctx, openTx{}, a) }

// lateHandler is a handler as its lane runs it.
func (a *App) lateHandler(broadcaster string, h *handler) eventual.Handler {
	r := eventual.Handler{
		ID: handlerID(broadcaster, h), Batch: h.batch != nil,
		Match: func(e *ledger.Event) *eventual.How {
			if e.Broadcaster != broadcaster {
				return nil
			}
			if m := a.table.later(broadcaster, h, e.Type); m != nil {
				return m.how
			}
			return nil
		},
		Handle: a.lateHandle,
	}
	switch {
	case h.kind == KindProcessor:
		r.Process = a.lateProcess
	case h.batch != nil:
		r.Handle = a.lateBatch
	}
	return r
}

// lateTask is how a handler runs on an event.
func lateTask(t eventual.Task) (*match, *Event) { return t.Config.(*match), (*Event)(t.Event) }

// lateHandle runs a handler on an event. It stores the events that a dispatcher derives, with what their
// strong handlers do.
func (a *App) lateHandle(ctx context.Context, tx *Tx, tasks []eventual.Task) (stored bool, err error) {
	m, e := lateTask(tasks[0])
	err = a.lateAttempt(ctx, m, e, func(ctx context.Context) error {
		if err := expects("expects_input", m.c.ExpectsInput, e.Object); err != nil {
			return err
		}
		if m.h.dispatch == nil {
			saved, err := tidy(tx, func() (Data, error) { return m.h.project(ctx, tx, e) })
			if err != nil {
				return err
			}
			return expects("expects_output", m.c.ExpectsOutput, saved.Object())
		}
		derived, err := tidy(tx, func() ([]*Derived, error) { return m.h.dispatch(ctx, tx, e) })
		if err != nil || len(derived) == 0 {
			return err
		}
		t := &tree{a: a, tx: tx}
		if err := t.derive(ctx, m, derived, e, 0); err != nil {
			return err
		}
		stored = true
		return a.rows.insertEvents(ctx, tx, t.events)
	})
	return stored, err
}

// lateBatch runs a handler of batches, in the longest time that any of the events allows.
func (a *App) lateBatch(ctx context.Context, tx *Tx, tasks []eventual.Task) (stored bool, err error) {
	events := make([]*Event, len(tasks))
	how, _ := lateTask(tasks[0])
	for i, t := range tasks {
		m, e := lateTask(t)
		if err := expects("expects_input", m.c.ExpectsInput, e.Object); err != nil {
			return false, err
		}
		if events[i] = e; m.c.Timeout > how.c.Timeout {
			how = m
		}
	}
	return false, a.lateAttempt(ctx, how, events[0], func(ctx context.Context) error {
		_, err := tidy(tx, func() (Data, error) { return Data{}, how.h.batch(ctx, tx, events) })
		return err
	})
}

// lateAttempt runs f once, as the handler, and takes its time. The event is for people: of a batch it is the
// first one.
func (a *App) lateAttempt(ctx context.Context, how *match, e *Event, f func(ctx context.Context) error) error {
	what := observe.What{Kind: string(how.h.kind), Broadcaster: e.Broadcaster, Name: how.h.name, Type: e.Type, Command: e.CommandID, Event: e.ID}
	return a.observed(ctx, what, func(ctx context.Context) error { return a.attempt(ctx, how, f) })
}

// lateProcess runs a processor on an event, and its command. Own says that the failure is the processor's
// own, whatever its reason.
func (a *App) lateProcess(ctx context.Context, t eventual.Task, command edda.ID) (own bool, err error) {
	m, e := lateTask(t)
	err = a.lateAttempt(ctx, m, e, func(ctx context.Context) error {
		if err := expects("expects_input", m.c.ExpectsInput, e.Object); err != nil {
			return err
		}
		c, err := m.h.process(ctx, a.db.Reader(), e)
		if err != nil || c == nil {
			own = err != nil
			return err
		}
		if err := c.checkDispatched(m.c); err != nil {
			return err
		}
		c.ID, c.derived = command, true
		c.causedBy(e)
		o, err := a.Do(ctx, c)
		if err != nil {
			return err
		}
		if o.Event == nil {
			return expects("expects_response", m.c.ExpectsResponse, "")
		}
		return expects("expects_response", m.c.ExpectsResponse, o.Event.Object)
	})
	return own, err
}
