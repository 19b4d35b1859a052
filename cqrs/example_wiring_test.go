package cqrs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

// Routes may stand in a settings file, in the form that spool-broadcast has. Match says what they lead to.
func ExampleWiring() {
	type user struct {
		ID string `json:"user_uuid"`
	}
	users := cqrs.NewModel(cqrs.ModelOptions[user]{Name: "User", Key: []string{"user_uuid"}})
	b := cqrs.NewBroadcaster("Accounts")
	b.Command(cqrs.CommandSpec{Type: "create.user", Event: "user.:user_uuid.created", Model: users})
	b.Validator("*", func(context.Context, *cqrs.Command) error { return nil })
	b.Hook("Users.isUnique", func(context.Context, cqrs.Querier, *cqrs.Command) (cqrs.Data, error) { return cqrs.Data{}, nil })
	b.Projector("Profiles.save", func(context.Context, *cqrs.Tx, *cqrs.Event) (cqrs.Data, error) { return cqrs.Data{}, nil }, nil)

	var wiring cqrs.Wiring
	err := json.Unmarshal([]byte(`{
		"hooks": {"Users": {"broadcasters": {"Accounts": {
			"create.user": {"isUnique": {"lifecycle": "before", "config": {"expects_input": "User"}}}
		}}}},
		"projectors": {"Profiles": {"broadcasters": {"Accounts": {
			"user.*":                  {"save": {"consistency": "eventual"}},
			"user.:user_uuid.created": {"save": {"consistency": "strong", "config": {"priority": 1}}}
		}}}}
	}`), &wiring)
	if err != nil {
		panic(err)
	}

	dir, err := os.MkdirTemp("", "edda")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := sqlitedb.Open(filepath.Join(dir, "app.db"), sqlitedb.Options{})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	app, err := cqrs.New(db, cqrs.Options{Wiring: &wiring}, b)
	if err != nil {
		panic(err)
	}
	for _, h := range app.Match("create.user").Handlers {
		fmt.Println(h.When, h.Handler, "as", h.Pattern, "and not", h.Others)
	}
	// Output:
	// before Users.isUnique as create.user and not []
	// strong Profiles.save as user.:user_uuid.created and not [user.*]
}
