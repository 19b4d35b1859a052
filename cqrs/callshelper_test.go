package cqrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/node"
)

// partner is a third party: it notes what it is told, by the saga that tells it.
type partner struct {
	mu    sync.Mutex // guards what follows
	lines map[string][]string
}

// hear notes a call, or its undoing, once for each id.
func (p *partner) hear(what string, c *Called) {
	saga, call := c.ID[:strings.LastIndexByte(c.ID, '.')], c.ID[strings.LastIndexByte(c.ID, '.')+1:]
	line := what + " " + call
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lines == nil {
		p.lines = map[string][]string{}
	}
	if what == "undo" || !slices.Contains(p.lines[saga], line) { // undone twice is told apart
		p.lines[saga] = append(p.lines[saga], line)
	}
}

func (p *partner) heard(saga string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines[saga])
}

// flow is Create User: two calls to a partner, a profile, and a friend as a child command. What goes
// wrong in it is said by faults, by the name of the place.
type flow struct {
	*partner
	faults *faults
	short  string // the place whose timeout is short
	// What tests want to see or say, when not nil.
	onCall     func(what string, c *Called)
	onResult   func(call string) any
	onAfter    func(*Command)
	onValidate func(*Command) error
	onFriends  func() bool
	merge      Merge // of the first call; True when zero
}

// twice is a policy of two attempts.
var twice = edda.RetryPolicy{Max: 2, Delay: time.Millisecond}

// shortTimeout is the timeout of what is to run into it.
const shortTimeout = 50 * time.Millisecond

// timeout is that of a place.
func (f *flow) timeout(place string) time.Duration {
	if place == f.short {
		return shortTimeout
	}
	return time.Minute
}

func (f *flow) broadcaster() *Broadcaster {
	b := NewBroadcaster("Users")
	b.Command(CommandSpec{
		Type: "create.user", Event: "user.:user_uuid.created", Model: users,
		Calls: []Call{f.call("join"), f.call("mail")},
	})
	b.Command(CommandSpec{Type: "update.user", Event: "user.:user_uuid.updated", Model: users})
	b.Command(CommandSpec{Type: "create.friend", Event: "friend.:friend_uuid.created", Model: friends})
	b.Validator("*.user", func(ctx context.Context, c *Command) error {
		if f.onValidate != nil {
			return f.onValidate(c)
		}
		return f.faults.strike(ctx, "validator", c.ID)
	})
	b.Validator("create.friend", fine)
	limited := func(place string) Config { return Config{Timeout: f.timeout(place)} }
	after := limited("after")
	after.Lifecycle = After
	b.Hook("Users.isUnique", func(ctx context.Context, _ Querier, c *Command) (Data, error) {
		return Data{}, f.faults.strike(ctx, "before", c.ID)
	}, On("create.user", limited("before")))
	b.Hook("Users.addRef", func(ctx context.Context, _ Querier, c *Command) (Data, error) {
		if f.onAfter != nil {
			f.onAfter(c)
		}
		return Data{}, f.faults.strike(ctx, "after", c.ID)
	}, On("create.user", after))
	b.Projector("Users.profile", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
		if _, err := profiles(ctx, tx, e); err != nil {
			return Data{}, err
		}
		return Data{}, f.faults.strikeTx(ctx, tx, "projector", e.CommandID)
	}, nil, On("user.:user_uuid.created", limited("projector")))
	b.Processor("Users.friends", func(ctx context.Context, _ Querier, e *Event) (*Command, error) {
		if err := f.faults.strike(ctx, "processor", e.CommandID); err != nil {
			return nil, err
		}
		if f.onFriends != nil && !f.onFriends() {
			return nil, nil
		}
		d, err := friends.Stage(friend{ID: "friend of " + e.Key, User: e.Key})
		return &Command{Type: "create.friend", Data: d}, err
	}, On("user.:user_uuid.created", limited("processor")))
	b.Projector("Friends.log", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
		var one friend
		if err := e.Decode(&one); err != nil {
			return Data{}, err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO log (n, line) SELECT count(*), $1 FROM log", one.ID); err != nil {
			return Data{}, err
		}
		return Data{}, f.faults.strikeTx(ctx, tx, "child", mustID(one.User))
	}, nil, On("friend.*", limited("child")))
	return b
}

// mustID reads the id of a command, which the tests give its user too.
func mustID(s string) edda.ID {
	id, err := edda.ParseID(s)
	if err != nil {
		panic(err)
	}
	return id
}

// call tells the partner. Its faults are before it is told, and once it was.
func (f *flow) call(name string) Call {
	merge := Merge{}
	if name == "join" {
		merge = cmp.Or(f.merge, Merge{True: true})
	}
	return Call{
		Name: name, Retry: twice, Timeout: f.timeout(name), Merge: merge,
		Do: func(ctx context.Context, c *Called) (any, error) {
			if err := f.faults.strike(ctx, name, c.Command); err != nil {
				return nil, err
			}
			f.hear("do", c)
			if f.onCall != nil {
				f.onCall("do", c)
			}
			if f.onResult != nil {
				return f.onResult(name), nil
			}
			return map[string]string{"ref": "R-" + name}, f.faults.strike(ctx, name+" told", c.Command)
		},
		Undo: func(ctx context.Context, c *Called) error {
			if err := f.faults.strike(ctx, "undo "+name, c.Command); err != nil {
				return err
			}
			f.hear("undo", c)
			if f.onCall != nil {
				f.onCall("undo", c)
			}
			return nil
		},
	}
}

// faults are what goes wrong, by command and place.
type faults struct {
	mu sync.Mutex // guards what follows
	by map[string]func(ctx context.Context, tx *Tx) error
}

func (f *faults) set(place string, id edda.ID, fault func(ctx context.Context, tx *Tx) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by = map[string]func(context.Context, *Tx) error{}
	}
	f.by[place+id.String()] = fault
}

func (f *faults) strike(ctx context.Context, place string, id edda.ID) error {
	return f.strikeTx(ctx, nil, place, id)
}

func (f *faults) strikeTx(ctx context.Context, tx *Tx, place string, id edda.ID) error {
	f.mu.Lock()
	fault := f.by[place+id.String()]
	f.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(ctx, tx)
}

// once is a fault that strikes the first time alone.
func once(fault func(ctx context.Context, tx *Tx) error) func(context.Context, *Tx) error {
	var o sync.Once
	return func(ctx context.Context, tx *Tx) (err error) {
		o.Do(func() { err = fault(ctx, tx) })
		return err
	}
}

// The faults that the tests have in all places.
func failing(context.Context, *Tx) error { return errors.New("it does not want to") }

func panicking(context.Context, *Tx) error { panic("it is broken") }

func hanging(ctx context.Context, _ *Tx) error {
	<-ctx.Done()
	return ctx.Err()
}

func sqlFailing(ctx context.Context, tx *Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO there_is_no_such_table VALUES (1)")
	return err
}

// host is an app with a node that hosts it, and the flow.
type host struct {
	*world
	flow *flow
	node *node.Node
	db   *faultyDB
}

// newHost starts an app on a node in memory.
func newHost(t *testing.T, db driver.DB) *host {
	t.Helper()
	f := &flow{partner: &partner{}, faults: &faults{}}
	faulty := &faultyDB{DB: db}
	return hostWith(t, faulty, f, node.Options{Durability: edda.Memory})
}

func hostWith(t *testing.T, db *faultyDB, f *flow, o node.Options) *host {
	t.Helper()
	a, err := New(db, Options{NoRelay: true, Logger: slog.New(slog.DiscardHandler)}, f.broadcaster())
	if err != nil {
		t.Fatal(err)
	}
	o.Partitions, o.Services, o.Logger = 1, a.Services(), slog.New(slog.DiscardHandler)
	n, err := node.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.WithoutCancel(t.Context())) })
	if err := a.Start(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	h := &host{world: &world{App: a, t: t}, flow: f, node: n, db: db}
	h.world.db = db.DB.(interface {
		driver.DB
		SQL() *sql.DB
	})
	h.exec("CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY, line TEXT NOT NULL)")
	h.exec("CREATE TABLE IF NOT EXISTS profiles (user_uuid TEXT PRIMARY KEY, email TEXT NOT NULL)")
	return h
}

// create is the command of a new user, whose key is the command's id.
func (h *host) create(id edda.ID) *Command {
	return &Command{ID: id, Type: "create.user", Data: staged(h.t, users, user{ID: id.String(), Email: "ann@example.org"})}
}

// settled waits until the saga of a run has ended, and returns its state; "" when there is none.
func (h *host) settled(id edda.ID, run int) edda.SagaState {
	h.t.Helper()
	s, err := h.node.WaitSaga(h.t.Context(), edda.DefaultNamespace, sagaID(id, run))
	if edda.ReasonOf(err) == edda.NoSaga {
		return ""
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return s.State
}

// heard checks what the partner was told by a run, whose saga must have ended.
func (h *host) heard(id edda.ID, run int, want ...string) {
	h.t.Helper()
	h.settled(id, run)
	if got := h.flow.heard(sagaID(id, run)); !slices.Equal(got, want) {
		h.t.Errorf("run %d: the partner heard %q, want %q", run, got, want)
	}
}

// stored checks that a command is stored with all that belongs to it.
func (h *host) stored(id edda.ID) {
	h.t.Helper()
	h.holds(id, []string{"create.friend", "create.user"}, []string{"friend.", "user."})
}

// notStored checks that nothing of a command is stored but, perhaps, that it was aborted.
func (h *host) notStored(id edda.ID) {
	h.t.Helper()
	h.holds(id, nil, nil)
}

func (h *host) holds(id edda.ID, commands, events []string) {
	h.t.Helper()
	user := id.String()
	count := func(query string, args ...any) int {
		return len(h.strings(query, args...))
	}
	var profile, log int
	if events != nil {
		profile, log = 1, 1
	}
	for what, n := range map[string][2]int{
		"events":     {count("SELECT event_type FROM edda_events WHERE key = $1 OR key = $2", user, "friend of "+user), len(events)},
		"commands":   {count("SELECT command_type FROM edda_commands WHERE status = 'committed' AND (key = $1 OR key = $2)", user, "friend of "+user), len(commands)},
		"aggregates": {count("SELECT key FROM edda_aggregates WHERE key = $1 OR key = $2", user, "friend of "+user), len(events)},
		"profiles":   {count("SELECT user_uuid FROM profiles WHERE user_uuid = $1", user), profile},
		"log lines":  {count("SELECT line FROM log WHERE line = $1", "friend of "+user), log},
	} {
		if n[0] != n[1] {
			h.t.Errorf("there are %d %s of the command, want %d", n[0], what, n[1])
		}
	}
}

// faultyDB is a database whose commits may go wrong.
type faultyDB struct {
	driver.DB

	mu   sync.Mutex // guards next
	next commitFault
}

// commitFault is what goes wrong with a commit.
type commitFault func(ctx context.Context, commit func() error) error

// nextCommit has the next commit of a command go wrong, and no other.
func (d *faultyDB) nextCommit(f commitFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = f
}

// Transact implements driver.DB.
func (d *faultyDB) Transact(ctx context.Context, o driver.TxOptions, f func(ctx context.Context, tx *Tx) error) error {
	d.mu.Lock()
	fault := d.next
	d.next = nil
	d.mu.Unlock()
	if fault == nil {
		return d.DB.Transact(ctx, o, f)
	}
	return fault(ctx, func() error { return d.DB.Transact(ctx, o, f) })
}

var errRollback = errors.New("roll back")

// lostBefore is a commit that was not stored, and not answered; lostAfter one that was stored.
func lostBefore(context.Context, func() error) error {
	return fmt.Errorf("%w: the connection is gone", driver.ErrUnknown)
}

func lostAfter(_ context.Context, commit func() error) error {
	if err := commit(); err != nil {
		return err
	}
	return fmt.Errorf("%w: the connection is gone", driver.ErrUnknown)
}
