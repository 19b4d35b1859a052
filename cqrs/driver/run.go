package driver

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
)

// Validate says what is wrong with the options.
func (o TxOptions) Validate() error {
	switch o.Isolation {
	case sql.LevelDefault, sql.LevelSerializable, sql.LevelRepeatableRead:
		return nil
	default:
		return fmt.Errorf("isolation %q: it must be %q or %q", o.Isolation, sql.LevelSerializable, sql.LevelRepeatableRead)
	}
}

var errInside = errors.New("a transaction cannot be begun by what runs in one: it would wait for that, or miss what it does; use the tx at hand")

type insideKey struct{}

// Outside is an error when ctx is that of a function that runs in a transaction, or has
// ended. Adapters ask it first, in Transact and Direct.
func Outside(ctx context.Context) error {
	if s, ok := ctx.Value(insideKey{}).(*state); ok && !s.ended.Load() {
		return errInside
	}
	return ctx.Err()
}

// Run runs f, and makes an error of its panic, and of an end of ctx that f does not name.
// After it, tx has ended. Adapters call it. What f has left behind fails it, as Check says.
func Run(ctx context.Context, tx *Tx, f func(ctx context.Context, tx *Tx) error) (err error) {
	life, end := context.WithCancel(context.WithValue(ctx, insideKey{}, tx.s))
	tx.s.life = life
	defer func() {
		tx.s.ended.Store(true)
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		err = Check(tx, err)
		end() // which closes rows too, some time
	}()
	if err := f(life, tx); err != nil {
		return WithCause(ctx, err)
	}
	return ctx.Err()
}

// Check returns the error of a function that was handed tx, and has returned. One that has left rows
// open, has tried to begin or end a transaction, or has passed over the end of it has failed, whatever
// it says. After open rows the Tx takes no further statement. Whoever runs several functions on one Tx
// calls it after each, so that the one to blame is known: else it would be the next, whose statement
// finds the connection busy.
func Check(tx *Tx, err error) error {
	left, refused := tx.s.watch.Left(), tx.s.refused
	tx.s.refused, tx.s.over = nil, tx.s.over || errors.Is(left, ErrOpenRows)
	if errors.Is(left, ErrRolledBack) && (err != nil || refused != nil) { // which say why, or should
		left = nil
	}
	switch {
	case err == nil:
		return cmp.Or(left, refused)
	case left == nil:
		return err
	}
	return fmt.Errorf("%w (and %w)", err, left)
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
