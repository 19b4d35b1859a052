package club

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
)

// Member is who has joined.
type Member struct {
	ID    string `json:"id"`
	Email string `json:"email"`
}

// members is what the command leads to: the newsletter is told, then event and row are stored
// together, or neither is and the newsletter forgets it. The domains are counted afterwards.
func members(newsletter string) *cqrs.Broadcaster {
	model := cqrs.NewModel(cqrs.ModelOptions[Member]{Name: "Member", Key: []string{"id"}})
	b := cqrs.NewBroadcaster("members")
	b.Command(cqrs.CommandSpec{Type: "join.club", Event: "member.:id.joined", Model: model, Calls: []cqrs.Call{
		{Name: "newsletter", Service: "newsletter/" + newsletter, Method: "subscribe", UndoMethod: "forget"},
	}})
	b.Validator("join.club", cqrs.Check(func(m *Member) error {
		_, err := mail.ParseAddress(m.Email)
		return err
	}))
	b.Projector("Members.save", cqrs.Projects(save), []cqrs.Table{"members"}, cqrs.On("member.:id.joined", cqrs.Config{}))
	b.Projector("Domains.count", cqrs.Projects(count), []cqrs.Table{"domains"}, cqrs.On("member.:id.joined", cqrs.Config{Consistency: cqrs.Eventual}))
	return b
}

func save(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, m *Member) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+tx.Table("members")+" (id, email) VALUES ($1, $2)", m.ID, m.Email)
	return err
}

func count(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, m *Member) error {
	_, domain, _ := strings.Cut(m.Email, "@")
	_, err := tx.ExecContext(ctx, "INSERT INTO "+tx.Table("domains")+" (domain, members) VALUES ($1, 1) ON CONFLICT (domain) DO UPDATE SET members = members + 1", domain)
	return err
}

// makeTables makes the club's own tables. Those of package cqrs make themselves.
func makeTables(ctx context.Context, db *sql.DB) error {
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS members (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE)",
		"CREATE TABLE IF NOT EXISTS domains (domain TEXT PRIMARY KEY, members INTEGER NOT NULL)",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the tables of the club: %w", err)
		}
	}
	return nil
}

// views reads the tables, as any program may.
func views(db *sql.DB) *edda.Service {
	type question struct {
		Email string `json:"email"`
	}
	type found struct {
		ID string `json:"id"`
	}
	s := edda.NewBalanced("club")
	edda.Handle(s, "find", func(ctx *edda.Context, q question) (*edda.Reply, error) {
		var f found
		err := db.QueryRowContext(ctx, "SELECT id FROM members WHERE email = $1", q.Email).Scan(&f.ID)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return &edda.Reply{Status: http.StatusNotFound, ContentType: "text/plain; charset=utf-8", Payload: []byte("no member has this email")}, nil
		case err != nil:
			return nil, err
		}
		return &edda.Reply{ContentType: "application/json", Payload: edda.JSON(f)}, nil
	})
	return s
}
