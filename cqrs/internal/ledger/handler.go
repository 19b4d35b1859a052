package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/edda-io/edda/cqrs/driver"
)

// Handler is a row of edda_handlers, for people who look into the database.
type Handler struct {
	Broadcaster, Name string
	Kind              string
	Routes            []byte // JSON
}

// handlerKey names a row of an app.
type handlerKey struct {
	broadcaster, name string
}

func (k handlerKey) compare(o handlerKey) int {
	return cmp.Or(cmp.Compare(k.broadcaster, o.broadcaster), cmp.Compare(k.name, o.name))
}

// WriteHandlers brings the rows of an app to these, and touches none that is as it should be.
func WriteHandlers(ctx context.Context, tx *driver.Tx, app string, all []Handler, now time.Time) error {
	there, err := selectHandlers(ctx, tx, app)
	if err != nil {
		return fmt.Errorf("read the routing table: %w", err)
	}
	for i := range all {
		row := &all[i]
		key := handlerKey{row.Broadcaster, row.Name}
		was := there[key]
		delete(there, key)
		if was != nil && was.Kind == row.Kind && equalJSON(was.Routes, row.Routes) {
			continue
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO edda_handlers (app, broadcaster, name, kind, routes, updated_at) VALUES ($1, $2, $3, $4, $5, $6)"+
			" ON CONFLICT (app, broadcaster, name) DO UPDATE SET kind = $4, routes = $5, updated_at = $6",
			app, row.Broadcaster, row.Name, row.Kind, string(row.Routes), now.UnixMicro())
		if err != nil {
			return fmt.Errorf("write the routes of %s: %w", row.Name, err)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(there), handlerKey.compare) {
		_, err := tx.ExecContext(ctx, "DELETE FROM edda_handlers WHERE app = $1 AND broadcaster = $2 AND name = $3", app, key.broadcaster, key.name)
		if err != nil {
			return fmt.Errorf("remove the routes of %s: %w", key.name, err)
		}
	}
	return nil
}

// selectHandlers reads the rows of an app.
func selectHandlers(ctx context.Context, q driver.Querier, app string) (map[handlerKey]*Handler, error) {
	rows, err := q.QueryContext(ctx, "SELECT broadcaster, name, kind, routes FROM edda_handlers WHERE app = $1", app)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	all := map[handlerKey]*Handler{}
	for rows.Next() {
		var row Handler
		if err := rows.Scan(&row.Broadcaster, &row.Name, &row.Kind, &row.Routes); err != nil {
			return nil, err
		}
		all[handlerKey{row.Broadcaster, row.Name}] = &row
	}
	return all, rows.Err()
}

// equalJSON reports whether two texts say the same: a database may write JSON in its own way.
func equalJSON(a, b []byte) bool {
	var v, w any
	return json.Unmarshal(a, &v) == nil && json.Unmarshal(b, &w) == nil && reflect.DeepEqual(v, w)
}
