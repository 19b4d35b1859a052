package cqrs

import (
	"context"
	"slices"

	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// later is what a command without a transaction stores in one of its own, at the end.
type later struct {
	rows     []*ledger.Command
	versions []raised
}

// raised are aggregates whose versions are to be raised by one.
type raised struct {
	object string
	want   []ledger.Expectation
}

// store writes it all, with the events.
func (l *later) store(ctx context.Context, tx *Tx, to eventRows, events []*Event) error {
	for _, r := range l.rows {
		there, err := ledger.InsertCommand(ctx, tx, r)
		if err != nil {
			return err
		}
		if there != nil {
			return &thereError{there}
		}
	}
	for _, r := range l.versions {
		if _, err := ledger.RaiseVersions(ctx, tx, r.object, r.want); err != nil {
			return err
		}
	}
	return to.insertEvents(ctx, tx, events)
}

// begin writes the row of a command. It fails with thereError when another one is there.
func (t *tree) begin(ctx context.Context, x *execution, e *Event) error {
	r := x.row()
	if t.unsaved == 0 {
		r.EventID = e.ID
	}
	there, err := t.write(ctx, r)
	if err == nil && there != nil {
		err = &thereError{there}
	}
	return err
}

func (t *tree) write(ctx context.Context, r *ledger.Command) (there *ledger.Command, err error) {
	if t.later == nil {
		return ledger.InsertCommand(ctx, t.tx, r)
	}
	for _, other := range t.later.rows {
		if other.ID == r.ID {
			return other, nil
		}
	}
	there, err = ledger.SelectCommand(ctx, t.tx, r.ID)
	if err != nil || there != nil && (there.Status != ledger.Aborted || there.Run != r.Run-1) {
		return there, err
	}
	t.later.rows = append(t.later.rows, r)
	return nil, nil
}

// raise returns the next versions of aggregates, in the order of want, which is that of their
// keys.
func (t *tree) raise(ctx context.Context, object string, want []ledger.Expectation) ([]uint64, error) {
	if t.later == nil && t.unsaved == 0 {
		return ledger.RaiseVersions(ctx, t.tx, object, want)
	}
	keys := make([]string, len(want))
	for i, w := range want {
		keys[i] = w.Key
	}
	versions, err := ledger.SelectVersions(ctx, t.tx, object, keys)
	if err != nil {
		return nil, err
	}
	exact := make([]ledger.Expectation, len(want))
	for i, w := range want {
		has := max(versions[i], t.later.version(object, w.Key))
		if !w.Any && w.Version != has {
			return nil, &ledger.VersionError{Object: object, Key: w.Key, Want: w.Version, Has: has}
		}
		exact[i] = ledger.Expectation{Key: w.Key, Version: has}
		versions[i] = has + 1
	}
	if t.unsaved == 0 {
		t.later.versions = append(t.later.versions, raised{object, exact})
	}
	return versions, nil
}

// version is that to which an aggregate will be raised; 0 if it will not be.
func (l *later) version(object, key string) uint64 {
	if l == nil {
		return 0
	}
	for _, r := range slices.Backward(l.versions) {
		for _, w := range r.want {
			if r.object == object && w.Key == key {
				return w.Version + 1
			}
		}
	}
	return 0
}

// savepoint runs f. What it collected is forgotten when it fails, and what it did in SQL is undone,
// if there is a transaction.
func (t *tree) savepoint(ctx context.Context, f func() error) (err error) {
	events := len(t.events)
	undo := func() { t.events = t.events[:events] }
	if l := t.later; l != nil {
		rows, versions := len(l.rows), len(l.versions)
		undo = func() { t.events, l.rows, l.versions = t.events[:events], l.rows[:rows], l.versions[:versions] }
	}
	failed := true
	defer func() {
		if failed { // by a panic too
			undo()
		}
	}()
	if t.later == nil {
		err = t.tx.Savepoint(ctx, f)
	} else {
		err = f()
	}
	failed = err != nil
	return err
}
