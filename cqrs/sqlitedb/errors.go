package sqlitedb

import (
	"errors"

	"modernc.org/sqlite"
)

// Result codes of SQLite, without their extensions.
const (
	codeBusy       = 5
	codeLocked     = 6
	codeFull       = 13
	codeConstraint = 19
)

// code is the result code in an error, 0 when it has none.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// busy reports whether another process was in the way.
func busy(err error) bool { c := code(err); return c == codeBusy || c == codeLocked }
