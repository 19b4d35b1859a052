package driver

import (
	"context"
	"database/sql"
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

// Run runs f, and makes an error of its panic. Adapters call it.
func Run(ctx context.Context, tx *Tx, f func(ctx context.Context, tx *Tx) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f(ctx, tx)
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
