package cqrs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// handlerKey names a row of edda_handlers of an app.
type handlerKey struct {
	broadcaster, name string
}

func (k handlerKey) compare(o handlerKey) int {
	return cmp.Or(cmp.Compare(k.broadcaster, o.broadcaster), cmp.Compare(k.name, o.name))
}

// handlerRow is what is kept of a handler, for people who look into the database.
type handlerRow struct {
	kind   Kind
	routes string // JSON
}

// writeHandlers brings the rows of edda_handlers to the app's routing table, and touches none
// that is as it should be.
func writeHandlers(ctx context.Context, tx *Tx, app string, infos []HandlerInfo, now time.Time) error {
	there, err := selectHandlers(ctx, tx, app)
	if err != nil {
		return fmt.Errorf("read the routing table: %w", err)
	}
	for _, h := range infos {
		routes, err := json.Marshal(h.Routes)
		if err != nil {
			return err
		}
		key, row := handlerKey{h.Broadcaster, h.Handler}, handlerRow{h.Kind, string(routes)}
		was, is := there[key]
		delete(there, key)
		if is && was == row {
			continue
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO edda_handlers (app, broadcaster, name, kind, routes, updated_at) VALUES ($1, $2, $3, $4, $5, $6)"+
			" ON CONFLICT (app, broadcaster, name) DO UPDATE SET kind = $4, routes = $5, updated_at = $6",
			app, key.broadcaster, key.name, string(row.kind), row.routes, now.UnixMicro())
		if err != nil {
			return fmt.Errorf("write the routes of %s: %w", h.Handler, err)
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

// selectHandlers reads the rows of an app, with routes as they are written here.
func selectHandlers(ctx context.Context, q Querier, app string) (map[handlerKey]handlerRow, error) {
	rows, err := q.QueryContext(ctx, "SELECT broadcaster, name, kind, routes FROM edda_handlers WHERE app = $1", app)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	all := map[handlerKey]handlerRow{}
	for rows.Next() {
		var (
			key    handlerKey
			row    handlerRow
			routes []byte
		)
		if err := rows.Scan(&key.broadcaster, &key.name, &row.kind, &routes); err != nil {
			return nil, err
		}
		row.routes = rewritten(routes)
		all[key] = row
	}
	return all, rows.Err()
}

// rewritten is JSON of routes as it is written here: a database may have put it otherwise. It is
// "" for what an app of another version has written.
func rewritten(routes []byte) string {
	var infos []RouteInfo
	if json.Unmarshal(routes, &infos) != nil {
		return ""
	}
	b, err := json.Marshal(infos)
	if err != nil {
		return ""
	}
	return string(b)
}
