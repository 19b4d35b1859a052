package cqrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// expectation is the version that an aggregate must have, 0 when it must not exist, or
// any one.
type expectation struct {
	Key     string
	Version uint64
	Any     bool
}

// versionError says that an aggregate has another version than was expected.
type versionError struct {
	Object, Key string
	Want, Has   uint64
}

// Error implements error.
func (e *versionError) Error() string {
	switch {
	case e.Has == 0:
		return fmt.Sprintf("%s %q: version %d was expected, but it does not exist", e.Object, e.Key, e.Want)
	case e.Want == 0:
		return fmt.Sprintf("%s %q: it exists already, with version %d", e.Object, e.Key, e.Has)
	default:
		return fmt.Sprintf("%s %q: version %d was expected, but it has %d", e.Object, e.Key, e.Want, e.Has)
	}
}

const selectVersionSQL = "SELECT version FROM edda_aggregates WHERE object = $1 AND key = $2"

// selectVersions returns the versions of aggregates in the order of keys, 0 where there
// is none.
func selectVersions(ctx context.Context, q Querier, object string, keys []string) ([]uint64, error) {
	versions := make([]uint64, len(keys))
	for i, key := range keys {
		v, err := selectVersion(ctx, q, object, key)
		if err != nil {
			return nil, err
		}
		versions[i] = v
	}
	return versions, nil
}

func selectVersion(ctx context.Context, q Querier, object, key string) (uint64, error) {
	var v int64
	err := q.QueryRowContext(ctx, selectVersionSQL, object, key).Scan(&v)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read the version of %s %q: %w", object, key, err)
	}
	return uint64(v), nil
}

const (
	insertVersionSQL = "INSERT INTO edda_aggregates (object, key, version) VALUES ($1, $2, 1)" +
		" ON CONFLICT (object, key) DO NOTHING RETURNING version"
	raiseVersionSQL = "UPDATE edda_aggregates SET version = version + 1" +
		" WHERE object = $1 AND key = $2 AND version = $3 RETURNING version"
	raiseAnyVersionSQL = "INSERT INTO edda_aggregates (object, key, version) VALUES ($1, $2, 1)" +
		" ON CONFLICT (object, key) DO UPDATE SET version = edda_aggregates.version + 1 RETURNING version"
)

// raiseVersions raises the version of each aggregate by one and returns the new ones, in
// the order of want. One that does not have the version that it must have is a
// *versionError; then the transaction must not commit.
func raiseVersions(ctx context.Context, tx *Tx, object string, want []expectation) ([]uint64, error) {
	raised := make([]uint64, len(want))
	for i, w := range want {
		v, err := raiseVersion(ctx, tx, object, w)
		if err != nil {
			return nil, err
		}
		raised[i] = v
	}
	return raised, nil
}

func raiseVersion(ctx context.Context, tx *Tx, object string, w expectation) (uint64, error) {
	var row *sql.Row
	switch {
	case w.Any:
		row = tx.QueryRowContext(ctx, raiseAnyVersionSQL, object, w.Key)
	case w.Version == 0:
		row = tx.QueryRowContext(ctx, insertVersionSQL, object, w.Key)
	default:
		row = tx.QueryRowContext(ctx, raiseVersionSQL, object, w.Key, int64(w.Version))
	}
	var v int64
	err := row.Scan(&v)
	if err == nil {
		return uint64(v), nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("raise the version of %s %q: %w", object, w.Key, err)
	}
	has, err := selectVersion(ctx, tx, object, w.Key)
	if err != nil {
		return 0, err
	}
	return 0, &versionError{Object: object, Key: w.Key, Want: w.Version, Has: has}
}
