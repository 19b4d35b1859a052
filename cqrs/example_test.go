package cqrs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

// User is what commands and events are about.
type User struct {
	ID    string `json:"user_uuid"`
	Email string `json:"email"`
}

// A command, the rule that it must keep, and a table for reading that is right as soon as
// the command has succeeded.
func ExampleApp_Do() {
	dir, err := os.MkdirTemp("", "cqrs")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := createUsers(context.Background(), dir); err != nil {
		fmt.Println(err)
	}
	// Output:
	// SCHEMA do create.user: validator of create.user: "ann" is no e-mail address
	// user.1.created 1 [Users.isUnique] [Profiles.save]
	// FAILED do create.user: hook Users.isUnique: the e-mail address is taken
}

func createUsers(ctx context.Context, dir string) error {
	db, err := sqlitedb.Open(filepath.Join(dir, "users.db"), sqlitedb.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.SQL().ExecContext(ctx, "CREATE TABLE profiles (user_uuid TEXT PRIMARY KEY, email TEXT NOT NULL)"); err != nil {
		return err
	}

	users := cqrs.NewModel(cqrs.ModelOptions[User]{Name: "User", Key: []string{"user_uuid"}})
	b := cqrs.NewBroadcaster("users")
	b.Command(cqrs.CommandSpec{Type: "create.user", Event: "user.:user_uuid.created", Model: users})
	b.Validator("create.user", cqrs.Check(func(u *User) error {
		if !strings.Contains(u.Email, "@") {
			return fmt.Errorf("%q is no e-mail address", u.Email)
		}
		return nil
	}))
	b.Hook("Users.isUnique", func(ctx context.Context, q cqrs.Querier, c *cqrs.Command) (cqrs.Data, error) {
		var u User
		var n int
		if err := c.Data.Decode(&u); err != nil {
			return cqrs.Data{}, err
		}
		err := q.QueryRowContext(ctx, "SELECT count(*) FROM profiles WHERE email = $1", u.Email).Scan(&n)
		if err == nil && n > 0 {
			err = errors.New("the e-mail address is taken")
		}
		return cqrs.Data{}, err
	}, cqrs.On("create.user", cqrs.Config{}))
	b.Projector("Profiles.save", cqrs.Projects(func(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, u *User) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO profiles (user_uuid, email) VALUES ($1, $2)", u.ID, u.Email)
		return err
	}), nil, cqrs.On("user.*", cqrs.Config{}))

	app, err := cqrs.New(db, cqrs.Options{NoRelay: true}, b)
	if err != nil {
		return err
	}
	if err := app.Start(ctx, nil); err != nil { // a node in the place of nil relays the events
		return err
	}
	defer app.Stop(ctx)

	for _, u := range []User{{"1", "ann"}, {"1", "ann@example.com"}, {"2", "ann@example.com"}} {
		data, err := users.Stage(u)
		if err != nil {
			return err
		}
		out, err := app.Do(ctx, &cqrs.Command{Type: "create.user", Data: data, Expect: cqrs.NewAggregate()})
		if err != nil {
			fmt.Println(edda.ReasonOf(err), err)
			continue
		}
		fmt.Println(out.Event.Type, out.Event.Version, out.Event.Before, out.Event.Chain)
	}
	return nil
}
