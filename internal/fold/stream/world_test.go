package stream

import (
	"cmp"
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// outcomes stands in for the request machine: its records are completed ones, of which
// it hands on the appends.
type outcomes struct{ m *Machine }

func (outcomes) Types() []record.Type          { return []record.Type{record.TypeCompleted} }
func (outcomes) Checkpoint(*store.Batch) error { return nil }
func (outcomes) Committed()                    {}
func (outcomes) Load() error                   { return nil }

func (o outcomes) Apply(r record.Record) error {
	var c record.Completed
	err := c.Decode(r.Body)
	for i := range c.Appends {
		if err == nil {
			err = o.m.Send(&c.Appends[i])
		}
	}
	return err
}

// logged is a record that was applied.
type logged struct {
	rec     []byte
	effects []Effect // without pointers that change with a reload
}

// world is a fold of streams with all that is around it.
type world struct {
	tree  *store.Tree
	env   *fold.Env
	box   *outbox.Machine
	m     *Machine
	fold  *fold.Fold
	feeds Feeds
	marks int // Machine.headMarks, if not zero
	bytes int // Machine.rowBytes
	now   int64
	since []logged // records since the last checkpoint
}

// testPartitions are how many there are; the world is the one that "orders" lives in.
const testPartitions = 4

var testHome = fold.Home(edda.StreamHash(edda.DefaultNamespace, "orders"), testPartitions)

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tree: store.NewTree(), now: 1_800_000_000_000_000_000, bytes: 1} // a row for each message
	w.load(tb)
	return w
}

// load begins anew with what the table has.
func (w *world) load(tb testing.TB) {
	tb.Helper()
	w.env = &fold.Env{Table: w.tree, Partition: testHome, Partitions: testPartitions}
	w.box = outbox.New(w.env)
	w.m = New(w.env, w.box)
	w.m.headMarks, w.m.rowBytes = cmp.Or(w.marks, w.m.headMarks), w.bytes
	if w.feeds != nil {
		w.m.SetFeeds(w.feeds)
	}
	var err error
	if w.fold, err = fold.New(w.env, uint64(w.tree.Applied()), w.box, w.m, outcomes{w.m}); err != nil {
		tb.Fatal(err)
	}
}

func (w *world) checkpoint(tb testing.TB) {
	tb.Helper()
	b := w.batch(tb)
	if err := w.tree.Commit(b, engine.Position(w.env.Position)); err != nil {
		tb.Fatal(err)
	}
	w.fold.Committed()
	w.since = nil
	if got := w.m.Bytes(); got != 0 {
		tb.Fatalf("after a checkpoint %d bytes are in memory", got)
	}
}

func (w *world) batch(tb testing.TB) *store.Batch {
	tb.Helper()
	var b store.Batch
	if err := w.fold.Checkpoint(&b); err != nil {
		tb.Fatal(err)
	}
	return &b
}

// crash loses what is in memory, perhaps in the middle of a checkpoint, and applies the
// records since the last one again, which must bring about what they brought about.
func (w *world) crash(tb testing.TB) {
	tb.Helper()
	since := w.since
	w.since = nil
	w.load(tb)
	for _, l := range since {
		if got, want := plain(w.applyAt(tb, l.rec)), l.effects; !slices.EqualFunc(got, want, sameEffect) {
			tb.Fatalf("a record that is applied again brings about\n%+v, the first time it was\n%+v", got, want)
		}
	}
}

// apply applies a record at the world's time and returns its effects.
func (w *world) apply(tb testing.TB, rec []byte) []Effect {
	tb.Helper()
	record.Stamp(rec, 0, w.now)
	return w.applyAt(tb, rec)
}

func (w *world) applyAt(tb testing.TB, rec []byte) []Effect {
	tb.Helper()
	if err := w.fold.Apply(w.env.Position+1, rec); err != nil {
		tb.Fatal(err)
	}
	e := w.m.Effects()
	w.since = append(w.since, logged{rec, plain(e)})
	return e
}

// plain copies effects without what changes with a reload.
func plain(effects []Effect) []Effect {
	out := slices.Clone(effects)
	for i := range out {
		e := &out[i]
		e.Items = slices.Clone(e.Items)
		if e.Stream != nil {
			e.Detail += " of " + e.Stream.Spec.Name
		}
		if e.Shard != nil {
			e.Detail += " in " + e.Shard.Name
		}
		e.Stream, e.Shard = nil, nil
	}
	return out
}

func sameEffect(a, b Effect) bool {
	return a.Kind == b.Kind && a.First == b.First && a.N == b.N && a.Reason == b.Reason && a.Detail == b.Detail && a.Last == b.Last && slices.Equal(a.Items, b.Items)
}

// set creates or changes a stream of the default namespace.
func (w *world) set(tb testing.TB, spec edda.StreamSpec) []Effect {
	tb.Helper()
	spec.Namespace = edda.DefaultNamespace
	return w.apply(tb, (&record.StreamSet{StreamSpec: spec}).AppendTo(nil))
}

func (w *world) append(tb testing.TB, a *record.StreamAppended) []Effect {
	tb.Helper()
	return w.apply(tb, a.AppendTo(nil))
}

// put appends messages with these ids to the default shard of a stream; "" is a message
// without one.
func (w *world) put(tb testing.TB, stream string, ids ...string) []Effect {
	tb.Helper()
	return w.append(tb, appending(stream, "", ids...))
}

func (w *world) remove(tb testing.TB, stream string) []Effect {
	tb.Helper()
	return w.apply(tb, (&record.StreamRemoved{Namespace: edda.DefaultNamespace, Name: stream}).AppendTo(nil))
}

func (w *world) trim(tb testing.TB, t record.StreamTrimmed) []Effect {
	tb.Helper()
	t.Namespace = edda.DefaultNamespace
	return w.apply(tb, t.AppendTo(nil))
}

func (w *world) stream(name string) *Stream { return w.m.Stream(edda.DefaultNamespace, name) }

// read returns all that there is of a shard.
func (w *world) read(tb testing.TB, s *Stream, shard string) []Entry {
	tb.Helper()
	v := w.m.View(s, s.Shard(shard))
	entries, next, err := v.Read(w.tree, 0, 1<<30, 1<<30)
	if err != nil || next != v.End {
		tb.Fatalf("read %d messages, next is %d of %d, %v", len(entries), next, v.End, err)
	}
	return entries
}

func appending(stream, shard string, ids ...string) *record.StreamAppended {
	if shard == "" {
		shard = edda.DefaultShard
	}
	a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: stream, Shard: shard}
	for _, id := range ids {
		a.Messages = append(a.Messages, encoded(id, "", "payload of "+id))
	}
	return a
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
