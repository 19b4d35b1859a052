package service

import (
	"fmt"
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

type world struct {
	*Machine
	t    *testing.T
	tree *store.Tree
	box  *outbox.Machine
	pos  engine.Position
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, tree: store.NewTree()}
	w.load()
	return w
}

func (w *world) load() {
	w.t.Helper()
	env := &fold.Env{Table: w.tree, Partitions: 4}
	w.box = outbox.New(env)
	w.Machine = New(env, w.box)
	if err := w.Load(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reload() {
	w.t.Helper()
	var b store.Batch
	if err := w.Checkpoint(&b); err != nil {
		w.t.Fatal(err)
	}
	w.pos++
	if err := w.tree.Commit(&b, w.pos); err != nil {
		w.t.Fatal(err)
	}
	w.Committed()
	w.load()
}

func (w *world) set(name string, kind edda.Kind, methods ...string) {
	s := record.ServiceSet{Address: edda.Address{Namespace: "default", Name: name}, Kind: kind, Methods: methods}
	w.apply(record.TypeServiceSet, s.AppendTo(nil))
}

func (w *world) change(t record.Type, name string, paused bool, o record.Origin) {
	c := record.ServiceChanged{Address: edda.Address{Namespace: "default", Name: name}, Paused: paused, Origin: o}
	w.apply(t, c.AppendTo(nil, t))
}

func (w *world) apply(t record.Type, rec []byte) {
	w.t.Helper()
	if err := w.Apply(record.Record{Type: t, Body: rec[record.HeaderBytes:]}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) want(want string) {
	w.t.Helper()
	for _, when := range []string{"in memory", "reloaded"} {
		got := ""
		for _, s := range w.Services() {
			got += fmt.Sprintf("%s:%s %s%v", s.Address.Namespace, s.Address.Name, s.Kind, s.Methods)
			if s.Paused {
				got += " paused"
			}
			got += "; "
		}
		if got != want {
			w.t.Errorf("%s:\n%s\nwant\n%s", when, got, want)
		}
		w.reload()
	}
}

func TestServices(t *testing.T) {
	w := newWorld(t)
	w.want("")
	w.set("users", edda.Ordered, "login")
	w.set("echo", edda.Balanced)
	w.want("default:echo balanced[]; default:users ordered[login]; ")
	w.change(record.TypeServicePaused, "users", true, record.Origin{})
	w.want("default:echo balanced[]; default:users ordered[login] paused; ")
	w.set("users", edda.Ordered, "login", "logout") // changed, it stays paused
	w.want("default:echo balanced[]; default:users ordered[login logout] paused; ")
	w.change(record.TypeServiceRemoved, "users", false, record.Origin{})
	w.set("users", edda.Ordered) // new, it is not
	w.want("default:echo balanced[]; default:users ordered[]; ")
	w.change(record.TypeServicePaused, "users", true, record.Origin{})
	w.change(record.TypeServicePaused, "users", false, record.Origin{})
	w.change(record.TypeServiceRemoved, "echo", false, record.Origin{})
	w.change(record.TypeServicePaused, "echo", true, record.Origin{}) // too late
	w.want("default:users ordered[]; ")
	w.change(record.TypeServiceRemoved, "users", false, record.Origin{})
	w.want("")
	for p := range w.tree.Scan(nil, nil) {
		t.Errorf("row %q is left", p.Key)
	}
}

// A pause that another partition asks for comes once.
func TestPauseFromAnotherPartition(t *testing.T) {
	w := newWorld(t)
	w.set("users", edda.Ordered)
	from2 := record.Origin{From: 2, Number: 1}
	w.change(record.TypeServicePaused, "users", true, from2)
	w.change(record.TypeServicePaused, "users", false, record.Origin{})
	w.Changed()
	w.change(record.TypeServicePaused, "users", true, from2)
	if w.Changed() || w.box.Received(2) != 1 {
		t.Errorf("a repeated record changed something; received %d", w.box.Received(2))
	}
	w.want("default:users ordered[]; ")
}

// The default namespace has one name in the table, however a record writes it.
func TestDefaultNamespace(t *testing.T) {
	w := newWorld(t)
	s := record.ServiceSet{Address: edda.Address{Name: "users"}, Kind: edda.Ordered}
	w.apply(record.TypeServiceSet, s.AppendTo(nil))
	w.want("default:users ordered[]; ")
	w.change(record.TypeServicePaused, "users", true, record.Origin{})
	w.want("default:users ordered[] paused; ")
}

// Fields that a later release has written outlive the table.
func TestServiceKeepsUnknownFields(t *testing.T) {
	w := newWorld(t)
	s := record.ServiceSet{Address: edda.Address{Namespace: "default", Name: "users"}, Kind: edda.Ordered}
	rec := wire.AppendString(s.AppendTo(nil), 99, "later")
	w.apply(record.TypeServiceSet, rec)
	w.reload()
	w.change(record.TypeServicePaused, "users", true, record.Origin{})
	w.reload()
	got, _, err := w.tree.Get(row(rowService, s.Address))
	if err != nil || !slices.Equal(got, rec[record.HeaderBytes:]) {
		t.Errorf("row is %x, %v, want %x", got, err, rec[record.HeaderBytes:])
	}
}

func TestChangedSaysSoOnce(t *testing.T) {
	w := newWorld(t)
	if !w.Changed() || w.Changed() {
		t.Error("what was loaded counts as changed, once")
	}
	w.set("users", edda.Ordered)
	if !w.Changed() || w.Changed() {
		t.Error("a registration counts as changed, once")
	}
}
