package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/edda-io/edda/cqrs/driver"
)

// Expectation is the version that an aggregate must have, 0 when it must not exist, or
// any one.
type Expectation struct {
	Key     string
	Version uint64
	Any     bool
}

// VersionError says that an aggregate has another version than was expected.
type VersionError struct {
	Object, Key string
	Want, Has   uint64
}

// Error implements error.
func (e *VersionError) Error() string {
	switch {
	case e.Has == 0:
		return fmt.Sprintf("%s %q: version %d was expected, but it does not exist", e.Object, e.Key, e.Want)
	case e.Want == 0:
		return fmt.Sprintf("%s %q: it exists already, with version %d", e.Object, e.Key, e.Has)
	default:
		return fmt.Sprintf("%s %q: version %d was expected, but it has %d", e.Object, e.Key, e.Want, e.Has)
	}
}

// SelectVersions returns the versions of aggregates in the order of keys, 0 where there
// is none.
func SelectVersions(ctx context.Context, q driver.Querier, object string, keys []string) ([]uint64, error) {
	versions := make([]uint64, len(keys))
	for from := 0; from < len(keys); {
		n := portion(len(keys) - from)
		if err := selectSomeVersions(ctx, q, object, keys[from:from+n], versions[from:]); err != nil {
			return nil, fmt.Errorf("read versions of %s: %w", object, err)
		}
		from += n
	}
	return versions, nil
}

func selectSomeVersions(ctx context.Context, q driver.Querier, object string, keys []string, versions []uint64) error {
	args := make([]any, 0, 1+len(keys))
	args = append(args, object)
	for _, key := range keys {
		args = append(args, key)
	}
	found, err := queryVersions(ctx, q, "SELECT key, version FROM edda_aggregates WHERE object = $1 AND key IN "+tuples(1, len(keys), 1), args...)
	for i, key := range keys {
		versions[i] = found[key]
	}
	return err
}

// queryVersions runs a query for keys and versions.
func queryVersions(ctx context.Context, q driver.Querier, statement string, args ...any) (versions map[string]uint64, err error) {
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	versions = make(map[string]uint64)
	for rows.Next() {
		var (
			key     string
			version int64
		)
		if err := rows.Scan(&key, &version); err != nil {
			return nil, err
		}
		versions[key] = uint64(version)
	}
	return versions, rows.Err()
}

// The statements that raise versions, by what is expected of them.
const (
	insertVersions = "INSERT INTO edda_aggregates (object, key, version) VALUES "
	ifNew          = " ON CONFLICT (object, key) DO NOTHING"
	returning      = " RETURNING key, version"
	ifAny          = " ON CONFLICT (object, key) DO UPDATE SET version = edda_aggregates.version + 1"
)

// RaiseVersions raises the version of each aggregate by one and returns the new ones, in
// the order of want, in which each is there once. One that does not have the version that
// it must have is a *VersionError; then the transaction must not commit.
func RaiseVersions(ctx context.Context, tx *driver.Tx, object string, want []Expectation) ([]uint64, error) {
	raised := make([]uint64, len(want))
	for from := 0; from < len(want); {
		// A run of those of the same kind takes one statement.
		kind := want[from].kind()
		until := from + 1
		for until < len(want) && want[until].kind() == kind {
			until++
		}
		until = from + portion(until-from)
		if err := raiseSome(ctx, tx, object, want[from:until], raised[from:]); err != nil {
			return nil, err
		}
		from = until
	}
	return raised, nil
}

func raiseSome(ctx context.Context, tx *driver.Tx, object string, want []Expectation, raised []uint64) error {
	statement, args := want[0].kind().statement(object, want)
	found, err := runRaise(ctx, tx, statement, args, want)
	if err != nil {
		return fmt.Errorf("raise versions of %s: %w", object, err)
	}
	for i, w := range want {
		if raised[i] = found[w.Key]; raised[i] == 0 {
			has, err := SelectVersions(ctx, tx, object, []string{w.Key})
			if err != nil {
				return err
			}
			return &VersionError{Object: object, Key: w.Key, Want: w.Version, Has: has[0]}
		}
	}
	return nil
}

// runRaise runs the statement and returns the versions of those that it has raised.
func runRaise(ctx context.Context, tx *driver.Tx, statement string, args []any, want []Expectation) (map[string]uint64, error) {
	if len(want) > 1 || want[0].Any {
		return queryVersions(ctx, tx, statement+returning, args...)
	}
	// The version of the one is known then, and a statement that returns nothing costs less.
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, err
	}
	return map[string]uint64{want[0].Key: want[0].Version + 1}, nil
}

// expectationKind is what an expectation expects.
type expectationKind int

const (
	wantAny expectationKind = iota
	wantNew
	wantExact
)

func (w Expectation) kind() expectationKind {
	switch {
	case w.Any:
		return wantAny
	case w.Version == 0:
		return wantNew
	default:
		return wantExact
	}
}

// statement raises the versions of those that are as expected.
func (k expectationKind) statement(object string, want []Expectation) (statement string, args []any) {
	if k == wantExact {
		args = append(args, object)
		for _, w := range want {
			args = append(args, w.Key, int64(w.Version))
		}
		// The types are what PostgreSQL must be told.
		values := strings.Replace(tuples(len(want), 2, 1), "$2,$3", "CAST($2 AS text),CAST($3 AS bigint)", 1)
		return "UPDATE edda_aggregates SET version = version + 1 WHERE object = $1 AND (key, version) IN (VALUES " + values + ")", args
	}
	for _, w := range want {
		args = append(args, object, w.Key, 1)
	}
	if statement = insertVersions + tuples(len(want), 3, 0); k == wantNew {
		return statement + ifNew, args
	}
	return statement + ifAny, args
}
