package bench

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/node"
)

// The broadcaster of the rows: one command, one event, two strong projections.
const (
	peopleName    = "people"
	createPerson  = "create.person"
	personModel   = "Person"
	personCreated = "person.:id.created"
)

type person struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
	About string `json:"about"`
}

// about makes a person's data as large as the other payloads.
var about = strings.Repeat("a", payloadBytes-100)

// newPerson returns one that there was not before.
func newPerson(n int64) person {
	id := strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.FormatInt(n, 36)
	return person{ID: id, Email: id + "@example.com", Name: "Person " + id, About: about}
}

var people = cqrs.NewModel(cqrs.ModelOptions[person]{Name: personModel, Key: []string{"id"}})

// newPeople returns the broadcaster.
func newPeople() *cqrs.Broadcaster {
	b := cqrs.NewBroadcaster(peopleName)
	b.Command(cqrs.CommandSpec{Type: createPerson, Event: personCreated, Model: people})
	b.Validator(createPerson, cqrs.Check(func(p *person) error {
		if !strings.Contains(p.Email, "@") {
			return errors.New("an email address has an @")
		}
		return nil
	}))
	b.Projector("Profiles.save", cqrs.Projects(func(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, p *person) error {
		_, err := tx.ExecContext(ctx, saveProfile, p.ID, p.Email, p.Name)
		return err
	}), nil, cqrs.On(personCreated, cqrs.Config{Priority: 1}))
	b.Projector("Names.save", cqrs.Projects(func(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, p *person) error {
		_, err := tx.ExecContext(ctx, saveName, p.ID, p.Name)
		return err
	}), nil, cqrs.On(personCreated, cqrs.Config{Priority: 2}))
	return b
}

// hosted is an app on a node.
type hosted struct {
	app  *cqrs.App
	node *node.Node
	stop func() error
}

// hostApp starts a node and an app of the broadcaster over the database, which stop closes
// too.
func hostApp(ctx context.Context, e *env, db *database, o cqrs.Options, b *cqrs.Broadcaster) (*hosted, error) {
	app, err := cqrs.New(db, o, b)
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	dir, remove, err := e.subdir()
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	n, err := node.Open(ctx, node.Options{Dir: dir, Durability: e.Durability, Services: app.Services()})
	if err != nil {
		remove()
		return nil, errors.Join(err, db.close())
	}
	h := &hosted{app: app, node: n, stop: func() error {
		defer remove()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return errors.Join(app.Stop(ctx), n.Stop(ctx), db.close())
	}}
	if err := app.Start(ctx, n); err != nil {
		return nil, errors.Join(err, h.stop())
	}
	return h, nil
}

// openCQRS readies the rows cqrs: commands run by App.Do. Neither relay nor eventual
// handlers run beside it: those have rows of their own.
func openCQRS(open opensDatabase) opener {
	return func(ctx context.Context, e *env, _ int) (*driver, error) {
		h, err := openPeople(ctx, e, open)
		if err != nil {
			return nil, err
		}
		var made atomic.Int64
		return &driver{close: h.stop, op: func(ctx context.Context, _ int) error {
			data, err := people.Stage(newPerson(made.Add(1)))
			if err != nil {
				return err
			}
			_, err = h.app.Do(ctx, &cqrs.Command{Type: createPerson, Data: data, Expect: cqrs.NewAggregate()})
			return err
		}}, nil
	}
}

// openCQRSService readies the rows cqrs-service: the same commands, sent to the ordered
// service of the broadcaster.
func openCQRSService(open opensDatabase) opener {
	return func(ctx context.Context, e *env, _ int) (*driver, error) {
		h, err := openPeople(ctx, e, open)
		if err != nil {
			return nil, err
		}
		var made atomic.Int64
		return &driver{close: h.stop, op: func(ctx context.Context, _ int) error {
			p := newPerson(made.Add(1))
			body, err := json.Marshal(p)
			if err != nil {
				return err
			}
			_, err = h.node.Call(ctx, &edda.Message{
				To: edda.Address{Name: peopleName, Key: p.ID}, Type: createPerson, ContentType: "application/json", Payload: body,
			})
			return err
		}}, nil
	}
}

func openPeople(ctx context.Context, e *env, open opensDatabase) (*hosted, error) {
	db, err := open(ctx, e)
	if err != nil {
		return nil, err
	}
	return hostApp(ctx, e, db, cqrs.Options{NoRelay: true}, newPeople())
}
