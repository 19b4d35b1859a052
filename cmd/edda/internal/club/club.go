// Package club is the app of package cqrs that the demo shows: a club, whose members join by
// a command. It keeps its tables in SQLite, and tells a newsletter, which stands for a third
// party, of who joins:
//
//	members/KEY     join.club {"email":"ada@example.com"}   the command
//	club            find {"email":"ada@example.com"}        {"id":"ada"}, from the projection
//	newsletter/KEY  readers                                 ["ada"]
package club

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

// Name is the app's: its events come to the stream club.events, and its service is
// cqrs.club.
const Name = "club"

// closeTimeout bounds how long commands may take that run when the club closes.
const closeTimeout = time.Second

// Club is one process of the app. It is safe for concurrent use.
type Club struct {
	db  *sqlitedb.DB
	app *cqrs.App
}

// Open opens the database in a directory that is there. Newsletter is the key of the
// newsletter that members are told to. The caller hands Services to a node, then calls
// Start, and Close in any case.
func Open(ctx context.Context, dir, newsletter string, log *slog.Logger) (*Club, error) {
	db, err := sqlitedb.Open(filepath.Join(dir, "club.db"), sqlitedb.Options{})
	if err != nil {
		return nil, err
	}
	if err := makeTables(ctx, db.SQL()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	app, err := cqrs.New(db, cqrs.Options{Name: Name, Logger: log}, members(newsletter))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Club{db: db, app: app}, nil
}

// Services are what a node must host for the club.
func (c *Club) Services() []*edda.Service {
	return append(c.app.Services(), views(c.db.SQL()), newsletters())
}

// Start begins to take commands. It is called once.
func (c *Club) Start(ctx context.Context, backend cqrs.Backend) error {
	return c.app.Start(ctx, backend)
}

// Close ends the app, while its node still runs, and closes the database. Commands that run
// have a second.
func (c *Club) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(c.app.Stop(ctx), c.db.Close())
}
