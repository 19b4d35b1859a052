package cqrs

import (
	"bytes"
	"crypto/sha256"
	"strconv"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/rawjson"
)

// fingerprintBytes is how much of the hash is kept: enough to tell commands with one id apart.
const fingerprintBytes = 16

// fingerprint tells the command from others that are sent under its id; nil when it cannot be
// compared. It is made of what the caller wants to be stored, before model, hooks and calls have made
// something else of that, and not of who asks, from where, when and on which version: whoever repeats
// a command may do that from elsewhere, and finds another version.
//
// The type, the object and the key are columns of their own.
func (c *Command) fingerprint() []byte {
	if c.derived || len(c.Data.given) == 0 {
		return nil
	}
	b := strconv.AppendBool(nil, c.DoNotSave)
	b = strconv.AppendQuote(b, c.EventType)
	sum := sha256.Sum256(rawjson.AppendPlain(b, c.Data.given))
	return sum[:fingerprintBytes]
}

// sameCommand refuses a command whose id another one had.
func sameCommand(r *ledger.Command, x *execution) error {
	mine := x.row()
	switch {
	case !sameTarget(r, mine):
		return &edda.Error{Reason: edda.IdempotencyMismatch, Err: idTakenError{row: r}}
	case !sameWish(r, mine):
		return &edda.Error{Reason: edda.IdempotencyMismatch, Err: idTakenError{row: r, wish: true}}
	}
	return nil
}

// sameTarget reports whether two rows are of commands of one type about the same aggregate.
func sameTarget(a, b *ledger.Command) bool {
	return a.Broadcaster == b.Broadcaster && a.Type == b.Type && a.Object == b.Object && a.Key == b.Key
}

// sameWish reports whether two rows may be of commands that want the same.
func sameWish(a, b *ledger.Command) bool {
	return len(a.Fingerprint) == 0 || len(b.Fingerprint) == 0 || bytes.Equal(a.Fingerprint, b.Fingerprint)
}

// idTakenError says whose an id is.
type idTakenError struct {
	row  *ledger.Command
	wish bool // type and aggregate are the same
}

// Error implements error.
func (e idTakenError) Error() string {
	s := "the id " + e.row.ID.String() + " is that of a command " + e.row.Type + " of " + e.row.Object + " " + e.row.Key
	if e.wish {
		s += " with other data"
	}
	return s + ": another command needs an id of its own"
}
