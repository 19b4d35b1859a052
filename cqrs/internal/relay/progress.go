package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// progress is a row of edda_relays: how far the events of a database have come on the way to
// a stream.
type progress struct {
	Name string
	// Producer names who numbers the messages: this row, which is a part of this database.
	Producer string
	// Position is that of the last event that is known to be in the stream, and Number how many
	// there are up to it.
	Position ledger.Position
	Number   uint64
	// StreamAt is when the stream was created that they are in, in microseconds since 1970: by
	// that it is told from the stream of that name at another node.
	StreamAt int64
	// Memory says that this stream is in the memory of a node alone, as the node has said.
	Memory bool
}

// readyProgress returns the row, which it makes for the stream when there is none.
func readyProgress(ctx context.Context, db driver.DB, name string, streamAt int64, memory bool) (*progress, error) {
	r, err := selectProgress(ctx, db.Reader(), name)
	if err != nil || r != nil {
		return r, err
	}
	now := time.Now()
	err = db.Direct(ctx, func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO edda_relays (name, producer, tx, seq, number, stream_at, in_memory, updated_at)"+
			" VALUES ($1, $2, 0, 0, 0, $3, $4, $5) ON CONFLICT (name) DO NOTHING", name, edda.NewID(0, now).String(), streamAt, memory, now.UnixMicro())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("write the row of relay %s: %w", name, err)
	}
	if r, err = selectProgress(ctx, db.Reader(), name); err == nil && r == nil {
		err = fmt.Errorf("the row of relay %s is gone", name)
	}
	return r, err
}

// selectProgress returns a relay's row; nil when there is none.
func selectProgress(ctx context.Context, q driver.Querier, name string) (*progress, error) {
	r := progress{Name: name}
	var number int64
	err := q.QueryRowContext(ctx, "SELECT producer, tx, seq, number, stream_at, in_memory FROM edda_relays WHERE name = $1", name).
		Scan(&r.Producer, &r.Position.Tx, &r.Position.Seq, &number, &r.StreamAt, &r.Memory)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the row of relay %s: %w", name, err)
	}
	r.Number = uint64(number)
	return &r, nil
}

// moveProgress notes how far the relay has come, unless another process has noted more, or the
// producer or the stream is another one.
func moveProgress(ctx context.Context, db driver.DB, r *progress) error {
	err := db.Direct(ctx, func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE edda_relays SET tx = $3, seq = $4, number = $5, updated_at = $6, in_memory = $8"+
			" WHERE name = $1 AND producer = $2 AND stream_at = $7 AND number < $5",
			r.Name, r.Producer, r.Position.Tx, r.Position.Seq, int64(r.Number), time.Now().UnixMicro(), r.StreamAt, r.Memory)
		return err
	})
	if err != nil {
		return fmt.Errorf("note the place of relay %s: %w", r.Name, err)
	}
	return nil
}

// resetProgress has another stream begin with the first event, as another producer's, unless the row was
// changed.
func resetProgress(ctx context.Context, db driver.DB, r *progress, streamAt int64) error {
	now := time.Now()
	err := db.Direct(ctx, func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE edda_relays SET producer = $3, tx = 0, seq = 0, number = 0, stream_at = $4, updated_at = $5"+
			" WHERE name = $1 AND producer = $2", r.Name, r.Producer, edda.NewID(0, now).String(), streamAt, now.UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("begin anew with relay %s: %w", r.Name, err)
	}
	return nil
}

// lag returns how many events there are after a place, settled or not, and when the first
// of them was made; at most lagMost are counted.
func lag(ctx context.Context, q driver.Querier, after ledger.Position) (events int, since time.Time, err error) {
	err = q.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM edda_events WHERE (tx, seq) > ($1, $2) LIMIT $3) AS behind",
		after.Tx, after.Seq, lagMost).Scan(&events)
	if err != nil || events == 0 {
		return 0, time.Time{}, err
	}
	var at int64
	err = q.QueryRowContext(ctx, "SELECT created_at FROM edda_events WHERE (tx, seq) > ($1, $2) ORDER BY tx, seq LIMIT 1",
		after.Tx, after.Seq).Scan(&at)
	return events, time.UnixMicro(at), err
}

// lagMost is how many events are counted at most.
const lagMost = 1_000_000
