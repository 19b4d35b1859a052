// Signup is the command, the reversible call and the projection of the README.
package main

import (
	"context"
	"errors"
	"log"
	"net/mail"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/cqrs/sqlitedb"
	"github.com/edda-io/edda/node"
)

type User struct{ ID, Email string }

func main() {
	ctx := context.Background()
	db := must(sqlitedb.Open("signup.db", sqlitedb.Options{}))
	must(db.SQL().ExecContext(ctx, `CREATE TABLE IF NOT EXISTS profiles (id TEXT PRIMARY KEY, email TEXT UNIQUE)`))
	users, b := cqrs.NewModel(cqrs.ModelOptions[User]{Name: "User", Key: []string{"ID"}}), cqrs.NewBroadcaster("users")
	b.Command(cqrs.CommandSpec{Type: "create.user", Event: "user.:ID.created", Model: users, Calls: []cqrs.Call{{
		Name: "newsletter", // a third party. Whatever fails after it, the commit and a crash too, undoes it
		Do:   func(_ context.Context, c *cqrs.Called) (any, error) { return nil, tell("subscribe", c) },
		Undo: func(_ context.Context, c *cqrs.Called) error { return tell("forget", c) },
	}}})
	b.Validator("create.user", cqrs.Check(func(u *User) error {
		_, err := mail.ParseAddress(u.Email)
		return err
	}))
	b.Projector("Profile.save", cqrs.Projects(func(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, u *User) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO profiles (id, email) VALUES ($1, $2)", u.ID, u.Email)
		return err // the event and this row are stored together, or neither is
	}), nil, cqrs.On("user.*", cqrs.Config{}))
	app := must(cqrs.New(db, cqrs.Options{}, b))
	n := must(node.Open(ctx, node.Options{Dir: "signup-data", Services: app.Services()}))
	must(app, app.Start(ctx, n))
	for _, u := range []User{{"1", "ada@example.com"}, {"2", "ada@example.com"}} { // the second one is refused by the table
		if out, err := app.Do(ctx, &cqrs.Command{Type: "create.user", Data: must(users.Stage(u))}); err == nil {
			log.Println(out.Event.Type, "version", out.Event.Version) // user.1.created version 1
		} else if refused, ok := errors.AsType[*edda.Error](err); ok {
			log.Println(err)
			must(n.WaitSaga(ctx, "", refused.RequestID.String()+".1")) // until its call is undone: calls are a saga of the node
		}
	}
	must(app, errors.Join(app.Stop(ctx), n.Stop(ctx), db.Close()))
}

func tell(what string, c *cqrs.Called) error {
	log.Println("newsletter:", what, string(c.Data))
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
