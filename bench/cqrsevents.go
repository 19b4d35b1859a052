package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	sqldriver "github.com/edda-io/edda/cqrs/driver"
)

// The rows of events: many people, and a projector that counts their events.
const (
	maxEvents = 300_000
	// manyPeople make a projector write nearly as often as there are events in its batches,
	// fewPeople let it fold them in memory.
	manyPeople = 10_000
	fewPeople  = 100
	countNames = "Counts.add"
	// eventsAtOnce are in one INSERT; more would take longer, because the driver of SQLite
	// looks for each parameter among all of them.
	eventsAtOnce  = 50
	eventsColumns = 9
)

// counts is a projector that folds in memory, and writes what came of a batch at once.
func counts(ctx context.Context, tx *cqrs.Tx, events []*cqrs.Event) error {
	n := make(map[string]int64, len(events))
	for _, e := range events {
		var p person
		if err := e.Decode(&p); err != nil {
			return err
		}
		n[p.ID]++
	}
	const atOnce = 100
	insert, args := strings.Builder{}, make([]any, 0, 2*atOnce)
	flush := func() error {
		if len(args) == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO "+tx.Table("counts")+" (id, n) VALUES "+insert.String()+
			" ON CONFLICT (id) DO UPDATE SET n = "+tx.Table("counts")+".n + excluded.n", args...)
		insert.Reset()
		args = args[:0]
		return err
	}
	for id, k := range n {
		if len(args) > 0 {
			insert.WriteByte(',')
		}
		fmt.Fprintf(&insert, "($%d, $%d)", len(args)+1, len(args)+2)
		if args = append(args, id, k); len(args) == cap(args) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// waiting is a database with events that nobody has seen yet.
type waiting struct {
	*database
	events int
	last   edda.ID
	at     cqrs.Position // of the last
}

// openEvents makes one.
func openEvents(ctx context.Context, e *env, open opensDatabase, people int) (*waiting, error) {
	db, err := open(ctx, e)
	if err != nil {
		return nil, err
	}
	w := &waiting{database: db, events: min(e.Completed, maxEvents)}
	err = db.Transact(ctx, sqldriver.TxOptions{}, func(ctx context.Context, tx *cqrs.Tx) (err error) {
		for from := 0; from < w.events && err == nil; from += eventsAtOnce {
			w.last, err = insertPeople(ctx, tx, db.Dialect().Name, from, people)
		}
		return err
	})
	if err == nil { // which PostgreSQL would do a little later
		_, err = db.sql.ExecContext(ctx, "ANALYZE")
	}
	if err == nil {
		err = db.sql.QueryRowContext(ctx, "SELECT tx, seq FROM edda_events ORDER BY tx DESC, seq DESC LIMIT 1").Scan(&w.at.Tx, &w.at.Seq)
	}
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	return w, nil
}

// insertPeople stores events as commands would have, and returns the id of the last.
func insertPeople(ctx context.Context, tx *cqrs.Tx, dialect string, from, people int) (edda.ID, error) {
	var statement strings.Builder
	statement.WriteString("INSERT INTO edda_events (causation_hierarchy_level, correlation_type, correlation_pattern_raw, broadcaster," +
		" pattern_raw, object, version_app, chain_before, chain_saga, chain_after, chain_events, live_mode, metadata," +
		" event_uuid, command_uuid, correlation_uuid, event_type, key, primary_keys, data, version, created_at) VALUES ")
	live := map[bool]string{true: "1", false: "true"}[dialect == "sqlite"]
	args := make([]any, 0, eventsAtOnce*eventsColumns)
	var id edda.ID
	for i := from; i < from+eventsAtOnce; i++ {
		if i > from {
			statement.WriteByte(',')
		}
		now := time.Now()
		id = edda.NewID(uint64(i), now)
		key := fmt.Sprintf("p%d", i%people)
		fmt.Fprintf(&statement, "(0, '%s', '%s', '%s', '%s', '%s', '', '[]', '[]', '[]', '[]', %s, '{}'", createPerson, createPerson, peopleName,
			personCreated, personModel, live)
		args = append(args, id.String(), id.String(), id.String(), "person."+key+".created", key, fmt.Sprintf(`{"id":%q}`, key),
			fmt.Appendf(nil, `{"id":%q,"email":"%s@example.com","name":"Person %s","about":%q}`, key, key, key, about),
			i/people+1, now.UnixMicro())
		for j := range eventsColumns {
			fmt.Fprintf(&statement, ", $%d", (i-from)*eventsColumns+j+1)
		}
		statement.WriteByte(')')
	}
	_, err := tx.ExecContext(ctx, statement.String(), args...)
	return id, err
}

// measureEvents measures how fast events that wait reach the stream and, meanwhile, an
// eventual projector.
func measureEvents(open opensDatabase) func(context.Context, *env, *spec) (Result, error) {
	return func(ctx context.Context, e *env, _ *spec) (r Result, err error) {
		w, err := openEvents(ctx, e, open, manyPeople)
		if err != nil {
			return r, err
		}
		begin := time.Now()
		h, err := hostApp(ctx, e, w.database, cqrs.Options{}, countingPeople())
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, h.stop()) }()
		if err := h.app.Wait(ctx, peopleName+"/"+countNames, w.at); err != nil {
			return r, err
		}
		projected := time.Since(begin)
		if _, err := h.node.AwaitMessage(ctx, "", h.app.EventStream(), w.last.String(), time.Minute); err != nil {
			return r, err
		}
		relayed := time.Since(begin)
		r.all(w.events, max(projected, relayed))
		return r, nil
	}
}

// measureRebuild measures how fast a projection is made anew from its events.
func measureRebuild(open opensDatabase) func(context.Context, *env, *spec) (Result, error) {
	return func(ctx context.Context, e *env, _ *spec) (r Result, err error) {
		w, err := openEvents(ctx, e, open, fewPeople)
		if err != nil {
			return r, err
		}
		h, err := hostApp(ctx, e, w.database, cqrs.Options{}, countingPeople())
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, h.stop()) }()
		if err := h.app.Wait(ctx, peopleName+"/"+countNames, w.at); err != nil {
			return r, err
		}
		begin := time.Now()
		if _, err := h.app.Rebuild(ctx, peopleName+"/"+countNames, cqrs.RebuildOptions{}); err != nil {
			return r, err
		}
		r.all(w.events, time.Since(begin))
		return r, nil
	}
}

// countingPeople is the broadcaster with the projector that counts.
func countingPeople() *cqrs.Broadcaster {
	b := newPeople()
	b.BatchProjector(countNames, counts, []cqrs.Table{"counts"}, cqrs.On(personCreated, cqrs.Config{Consistency: cqrs.Eventual}))
	return b
}

// all sets the figures of something that was done with all events at once.
func (r *Result) all(events int, took time.Duration) {
	r.Value = float64(events) / took.Seconds()
	r.P50Micros, r.P99Micros = float64(took.Microseconds()), float64(took.Microseconds())
}
