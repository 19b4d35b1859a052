package channel

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// outcomes stands in for the request machine: its records are completed ones, of which
// it hands on the appends.
type outcomes struct{ streams *stream.Machine }

func (outcomes) Types() []record.Type          { return []record.Type{record.TypeCompleted} }
func (outcomes) Checkpoint(*store.Batch) error { return nil }
func (outcomes) Committed()                    {}
func (outcomes) Load() error                   { return nil }

func (o outcomes) Apply(r record.Record) error {
	var c record.Completed
	err := c.Decode(r.Body)
	for i := range c.Appends {
		if err == nil {
			err = o.streams.Send(&c.Appends[i])
		}
	}
	return err
}

// logged is a record that was applied, and what it has brought about.
type logged struct {
	rec  []byte
	said string
}

// world is a fold of channels and streams.
type world struct {
	tree    *store.Tree
	env     *fold.Env
	box     *outbox.Machine
	streams *stream.Machine
	m       *Machine
	fold    *fold.Fold
	now     int64
	since   []logged // records since the last checkpoint
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{tree: store.NewTree(), now: 1_800_000_000_000_000_000}
	w.load(tb)
	return w
}

// testPartitions are how many there are; the world is the one of the channel "floor".
const testPartitions = 4

var testHome = home("floor")

func home(channel string) uint64 {
	return fold.Home(edda.StreamHash(edda.DefaultNamespace, edda.ChannelStream(channel)), testPartitions)
}

// load begins anew with what the table has.
func (w *world) load(tb testing.TB) {
	tb.Helper()
	w.env = &fold.Env{Table: w.tree, Partition: testHome, Partitions: testPartitions}
	w.box = outbox.New(w.env)
	w.streams = stream.New(w.env, w.box)
	w.m = New(w.env, w.streams)
	var err error
	if w.fold, err = fold.New(w.env, uint64(w.tree.Applied()), w.box, w.streams, outcomes{w.streams}, w.m); err != nil {
		tb.Fatal(err)
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

func (w *world) checkpoint(tb testing.TB) {
	tb.Helper()
	if err := w.tree.Commit(w.batch(tb), engine.Position(w.env.Position)); err != nil {
		tb.Fatal(err)
	}
	w.fold.Committed()
	w.since = nil
}

// crash loses what is in memory, and applies the records since the last checkpoint
// again, which must bring about what they brought about.
func (w *world) crash(tb testing.TB) {
	tb.Helper()
	since := w.since
	w.since = nil
	w.load(tb)
	for _, l := range since {
		if got := w.applyAt(tb, l.rec); got != l.said {
			tb.Fatalf("a record that is applied again brings about\n%s, the first time it was\n%s", got, l.said)
		}
	}
}

// apply applies a record at the world's time, and returns what it brings about as text:
// first of channels, then of streams.
func (w *world) apply(tb testing.TB, rec []byte) string {
	tb.Helper()
	record.Stamp(rec, 0, w.now)
	return w.applyAt(tb, rec)
}

func (w *world) applyAt(tb testing.TB, rec []byte) string {
	tb.Helper()
	if err := w.fold.Apply(w.env.Position+1, rec); err != nil {
		tb.Fatal(err)
	}
	said := strings.Join(slices.Concat(channelEffects(w.m.Effects()), streamEffects(w.streams.Effects())), ", ")
	w.since = append(w.since, logged{rec, said})
	return said
}

func channelEffects(effects []Effect) (said []string) {
	for i := range effects {
		switch e := &effects[i]; {
		case e.Kind == Refused:
			said = append(said, fmt.Sprintf("refused %s: %s", e.Reason, e.Detail))
		case e.Kind == Removed:
			said = append(said, fmt.Sprintf("removed %s %t", e.Channel.Spec.Name, e.Channel.Removed()))
		case e.Created:
			said = append(said, "created "+e.Channel.Spec.Name)
		default:
			said = append(said, "changed "+e.Channel.Spec.Name)
		}
	}
	return said
}

func streamEffects(effects []stream.Effect) (said []string) {
	kinds := map[stream.EffectKind]string{
		stream.Created: "created", stream.Changed: "changed", stream.Removed: "removed", stream.Appended: "appended", stream.Answered: "answered",
		stream.Refused: "refused", stream.Trimmed: "trimmed", stream.Dropped: "dropped",
	}
	for i := range effects {
		e := &effects[i]
		text := "stream " + kinds[e.Kind]
		if e.Stream != nil {
			text += " " + e.Stream.Spec.Name
		}
		switch e.Kind {
		case stream.Appended:
			text += fmt.Sprintf(" %d+%d", e.First, e.N)
		case stream.Answered:
			text += fmt.Sprintf(" %+v", e.Items)
		case stream.Refused, stream.Dropped:
			text += fmt.Sprintf(" %s: %s", e.Reason, e.Detail)
		}
		said = append(said, text)
	}
	return said
}

func (w *world) set(tb testing.TB, spec edda.ChannelSpec) string {
	tb.Helper()
	return w.apply(tb, (&record.ChannelSet{ChannelSpec: spec}).AppendTo(nil))
}

func (w *world) remove(tb testing.TB, name string) string {
	tb.Helper()
	return w.apply(tb, (&record.ChannelRemoved{Namespace: edda.DefaultNamespace, Name: name}).AppendTo(nil))
}

// published is a record that publishes messages with these ids; "" is a message without
// one.
func published(channel string, ids ...string) *record.StreamAppended {
	a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: edda.ChannelStream(channel), Shard: edda.DefaultShard}
	for _, id := range ids {
		m := edda.StreamMessage{ID: id, Payload: []byte("payload of " + id)}
		a.Messages = append(a.Messages, m.AppendEnvelope(nil, edda.ID{1}, edda.Anonymous))
	}
	return a
}

func (w *world) publish(tb testing.TB, channel string, ids ...string) string {
	tb.Helper()
	return w.apply(tb, published(channel, ids...).AppendTo(nil))
}

// state is all that is known of channels and their streams, as text.
func (w *world) state(tb testing.TB) string {
	tb.Helper()
	var b strings.Builder
	for c := range w.m.From("", "") {
		fmt.Fprintf(&b, "%+v created %d\n", c.Spec, c.CreatedAt)
	}
	for s := range w.streams.All() {
		fmt.Fprintf(&b, "%+v number %d created %d\n", s.Spec, s.Serial, s.CreatedAt)
		for _, sh := range s.Shards() {
			v := w.streams.View(s, sh)
			entries, _, err := v.Read(w.tree, 0, 1<<30, 1<<30)
			if err != nil {
				tb.Fatal(err)
			}
			fmt.Fprintf(&b, "  %s %d %d %d: %v\n", sh.Name, sh.First, sh.End, sh.LastAt, entries)
		}
	}
	return b.String()
}
