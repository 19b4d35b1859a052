// Package ledger is the SQL of the tables edda_*: commands, the versions of aggregates, events, the
// places of handlers, and the events that those have parked. Package relay has that of edda_relays.
//
// A function writes within a transaction of the caller's, so what it does is stored or not with
// everything else there, and may be run again with it; reads take any Querier. Nothing is kept
// between calls: all of it is safe for concurrent use, as far as the transactions are.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// Statuses of commands.
const (
	Committed = "committed"
	Aborted   = "aborted"
)

// Command is a row of edda_commands: the one truth about what became of a command.
type Command struct {
	ID          edda.ID
	Run         int    // counts from 1; the one after an aborted run is the next
	Status      string // committed or aborted
	Broadcaster string
	Type        string
	Object      string
	Key         string
	EventID     edda.ID // zero when no event was saved
	Principal   edda.Principal
	Reason      string // why it was aborted
	CreatedAt   time.Time
	Fingerprint []byte // of what was asked for; empty when that is not compared
}

const commandColumns = "command_uuid, run, status, broadcaster, command_type, object, key, event_uuid, principal, reason, created_at, fingerprint"

func (r *Command) values() []any {
	return []any{
		r.ID.String(), r.Run, r.Status, r.Broadcaster, r.Type, r.Object, r.Key,
		nullID(r.EventID), string(r.Principal), KeptText(r.Reason), r.CreatedAt.UnixMicro(), nullBytes(r.Fingerprint),
	}
}

const insertCommandSQL = "INSERT INTO edda_commands (" + commandColumns + ")" +
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (command_uuid) DO NOTHING"

const nextRunSQL = "UPDATE edda_commands SET run = $2, status = $3, broadcaster = $4, command_type = $5, object = $6," +
	" key = $7, event_uuid = $8, principal = $9, reason = $10, created_at = $11, fingerprint = $12" +
	" WHERE command_uuid = $1 AND status = 'aborted' AND run = $2 - 1"

// InsertCommand writes the row of a run of a command: inserts it for the first run, and
// puts it in place of the aborted one for a later run. When another row is there, it is
// returned, and nothing is changed. It must be the first statement of its transaction,
// so that whoever wants to abort the command waits for that.
func InsertCommand(ctx context.Context, tx *driver.Tx, r *Command) (there *Command, err error) {
	statement := insertCommandSQL
	if r.Run > 1 {
		statement = nextRunSQL
	}
	return writeCommand(ctx, tx, statement, r)
}

// AbortCommand notes that a run of a command was aborted, so that its transaction cannot
// commit any more, or returns the row that is there instead.
func AbortCommand(ctx context.Context, tx *driver.Tx, r *Command) (there *Command, err error) {
	aborted := *r
	aborted.Status, aborted.EventID = Aborted, edda.ID{}
	return InsertCommand(ctx, tx, &aborted)
}

func writeCommand(ctx context.Context, tx *driver.Tx, statement string, r *Command) (there *Command, err error) {
	result, err := tx.ExecContext(ctx, statement, r.values()...)
	if err != nil {
		return nil, fmt.Errorf("write the row of command %s: %w", r.ID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return nil, err
	}
	there, err = SelectCommand(ctx, tx, r.ID)
	if err == nil && there == nil {
		err = fmt.Errorf("command %s: run %d was to follow an aborted one, but it has never run", r.ID, r.Run)
	}
	return there, err
}

const selectCommandSQL = "SELECT " + commandColumns + " FROM edda_commands WHERE command_uuid = $1"

// SelectCommand returns the row of a command, nil when there is none.
func SelectCommand(ctx context.Context, q driver.Querier, id edda.ID) (*Command, error) {
	var (
		r         Command
		principal string
		createdAt int64
	)
	err := q.QueryRowContext(ctx, selectCommandSQL, id.String()).Scan(
		scanID{&r.ID}, &r.Run, &r.Status, &r.Broadcaster, &r.Type, &r.Object, &r.Key, scanID{&r.EventID}, &principal, &r.Reason, &createdAt, &r.Fingerprint)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the row of command %s: %w", id, err)
	}
	r.Principal, r.CreatedAt = edda.Principal(principal), time.UnixMicro(createdAt).UTC()
	return &r, nil
}

// maxKeptText bounds the text that is kept of an error.
const maxKeptText = 2000

// KeptText is the text of an error as any database takes it: PostgreSQL refuses what is not UTF-8,
// and NUL.
func KeptText(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= maxKeptText {
		return s
	}
	end := maxKeptText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// nullID is an id as a parameter, NULL when it is zero.
func nullID(id edda.ID) any {
	if id.IsZero() {
		return nil
	}
	return id.String()
}

// nullBytes are bytes as a parameter, NULL when there are none.
func nullBytes(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// scanID reads an id, zero from NULL.
type scanID struct{ id *edda.ID }

// Scan implements sql.Scanner.
func (s scanID) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*s.id = edda.ID{}
		return nil
	case string:
		return s.id.UnmarshalText([]byte(v))
	case []byte:
		return s.id.UnmarshalText(v)
	default:
		return fmt.Errorf("an id cannot be read from %T", src)
	}
}

// portion is how many of n rows one statement takes: so there are few different statements,
// which connections keep prepared.
func portion(n int) int {
	switch {
	case n >= 100:
		return 100
	case n >= 10:
		return 10
	default:
		return n
	}
}

// tuples is SQL for n tuples of size parameters, the first of which is $(before+1).
func tuples(n, size, before int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for j := range size {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(before + i*size + j + 1))
		}
		b.WriteByte(')')
	}
	return b.String()
}
