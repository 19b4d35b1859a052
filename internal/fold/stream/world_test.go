package stream

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// world is a fold of streams with all that is around it.
type world struct {
	tree  *store.Tree
	env   *fold.Env
	box   *outbox.Machine
	m     *Machine
	fold  *fold.Fold
	feeds Feeds
	now   int64
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tree: store.NewTree(), now: 1_000_000_000}
	w.load(tb)
	return w
}

// load begins anew with what the table has.
func (w *world) load(tb testing.TB) {
	tb.Helper()
	w.env = &fold.Env{Table: w.tree, Partitions: 1}
	w.box = outbox.New(w.env)
	w.m = New(w.env, w.box)
	if w.feeds != nil {
		w.m.SetFeeds(w.feeds)
	}
	var err error
	if w.fold, err = fold.New(w.env, uint64(w.tree.Applied()), w.box, w.m); err != nil {
		tb.Fatal(err)
	}
}

func (w *world) checkpoint(tb testing.TB) {
	tb.Helper()
	var b store.Batch
	if err := w.fold.Checkpoint(&b); err != nil {
		tb.Fatal(err)
	}
	if err := w.tree.Commit(&b, engine.Position(w.env.Position)); err != nil {
		tb.Fatal(err)
	}
	w.fold.Committed()
}

// apply applies a record at the world's time and returns its effects.
func (w *world) apply(tb testing.TB, rec []byte) []Effect {
	tb.Helper()
	record.Stamp(rec, 0, w.now)
	if err := w.fold.Apply(w.env.Position+1, rec); err != nil {
		tb.Fatal(err)
	}
	return w.m.Effects()
}

func (w *world) append(tb testing.TB, a *record.StreamAppended) []Effect {
	tb.Helper()
	return w.apply(tb, a.AppendTo(nil))
}

// encoded returns a message as it is appended, without an id when that is empty.
func encoded(id, key, payload string) []byte {
	m := edda.StreamMessage{ID: id, Key: key, Payload: []byte(payload)}
	e := m.Envelope()
	b, err := e.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}
