package bench

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
)

// sqlCallers is how many callers the rows with several have.
const sqlCallers = 32

// The statements that one command, its event and its two projections are.
var byHand = []string{
	"INSERT INTO edda_commands (command_uuid, run, status, broadcaster, command_type, object, key, event_uuid, principal, reason, created_at)" +
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (command_uuid) DO NOTHING",
	"INSERT INTO edda_aggregates (object, key, version) VALUES ($1, $2, 1) ON CONFLICT (object, key) DO NOTHING",
	saveProfile, saveName,
	"INSERT INTO edda_events (event_uuid, command_uuid, causation_uuid, causation_hierarchy_level, correlation_uuid, correlation_type," +
		" correlation_pattern_raw, broadcaster, event_type, pattern_raw, object, key, primary_keys, data, metadata, version," +
		" version_app, chain_before, chain_saga, chain_after, chain_events, explain, live_mode, created_at)" +
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)",
}

// The statements of the two projections.
const (
	saveProfile = "INSERT INTO profiles (id, email, name) VALUES ($1, $2, $3)"
	saveName    = "INSERT INTO names (id, name) VALUES ($1, $2)"
)

// openSQLFloor readies a floor: the same statements written by hand, in one transaction.
// On SQLite, where there is one writer, callers wait for each other in the program, as
// they would in the database.
func openSQLFloor(open opensDatabase) opener {
	return func(ctx context.Context, e *env, _ int) (*driver, error) {
		db, err := open(ctx, e)
		if err != nil {
			return nil, err
		}
		pool := db.sql
		if db.Dialect().Name == "sqlite" {
			pool.SetMaxOpenConns(1)
		}
		var made atomic.Int64
		return &driver{
			op:    func(ctx context.Context, _ int) error { return commandByHand(ctx, pool, made.Add(1)) },
			close: db.close,
		}, nil
	}
}

// commandByHand is a command written by hand.
func commandByHand(ctx context.Context, db *sql.DB, n int64) error {
	u := newPerson(n)
	data, err := json.Marshal(u)
	if err != nil {
		return err
	}
	now := time.Now()
	command, event := edda.NewID(uint64(n), now).String(), edda.NewID(uint64(n), now).String()
	typ := "person." + u.ID + ".created"
	args := [][]any{
		{command, 1, "committed", peopleName, createPerson, personModel, u.ID, event, "", "", now.UnixMicro()},
		{personModel, u.ID},
		{u.ID, u.Email, u.Name},
		{u.ID, u.Name},
		{
			event, command, nil, 0, command, createPerson, createPerson, peopleName, typ, personCreated, personModel, u.ID,
			fmt.Sprintf(`{"id":%q}`, u.ID), data, `{"changes":[],"previous":{},"hooks":[]}`, 1, "", "[]", "[]", "[]",
			`["Profiles.save","Names.save"]`, nil, true, now.UnixMicro(),
		},
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	for i, statement := range byHand {
		if _, err := tx.ExecContext(ctx, statement, args[i]...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
