package stream

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// Fields of a later release stay in the rows.
func TestRowsKeepUnknownFields(t *testing.T) {
	w := newWorld(t)
	w.set(t, edda.StreamSpec{Name: "orders", Shards: []string{"eu"}, Dedupe: time.Hour})
	w.append(t, appending("orders", "eu", "a"))
	w.checkpoint(t)
	later := wire.AppendString(wire.AppendUint(nil, 1000, 1), 1001, "later")
	keys := [][]byte{streamRow(w.stream("orders").Ref()), shardRow(w.stream("orders").Serial, 0)}
	b := w.batch(t)
	for _, key := range keys {
		v, _, _ := w.tree.Get(key)
		b.Set(key, append(v, later...))
	}
	if err := w.tree.Commit(b, w.tree.Applied()); err != nil {
		t.Fatal(err)
	}
	w.load(t)
	w.set(t, edda.StreamSpec{Name: "orders"})
	w.append(t, appending("orders", "eu", "b"))
	w.checkpoint(t)
	for _, key := range keys {
		if v, _, _ := w.tree.Get(key); !bytes.HasSuffix(v, later) {
			t.Errorf("row %q is %x", key, v)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	good := newWorld(t)
	good.append(t, appending("orders", "eu", "a"))
	good.checkpoint(t)
	s := good.stream("orders")
	stream, _, _ := good.tree.Get(streamRow(s.Ref()))
	shard, _, _ := good.tree.Get(shardRow(s.Serial, 0))
	for _, c := range []struct {
		name       string
		key, value []byte
	}{
		{"stream without a name", []byte("ushop\x00"), stream},
		{"stream without a zero byte", []byte("ushop"), stream},
		{"malformed stream", []byte("ushop\x00x"), []byte{0xff}},
		{"stream without a number", []byte("ushop\x00x"), nil},
		{"two with one number", []byte("ushop\x00x"), stream},
		{"short key of a shard", []byte("U123"), shard},
		{"shard of no stream", shardRow(5, 0), shard},
		{"shard without an earlier one", shardRow(s.Serial, 2), shard},
		{"malformed shard", shardRow(s.Serial, 1), []byte{0xff}},
		{"shard without a name", shardRow(s.Serial, 1), wire.AppendUint(nil, sEnd, 1)},
		{"shard that ends before it begins", shardRow(s.Serial, 1), wire.AppendUint(slices.Clone(shard), sFirst, 9)},
	} {
		w := newWorld(t)
		w.append(t, appending("orders", "eu", "a"))
		w.checkpoint(t)
		b := &store.Batch{}
		b.Set(c.key, c.value)
		if err := w.tree.Commit(b, w.tree.Applied()); err != nil {
			t.Fatal(err)
		}
		env := &fold.Env{Table: w.tree, Partitions: testPartitions}
		box := outbox.New(env)
		if _, err := fold.New(env, uint64(w.tree.Applied()), box, New(env, box)); err == nil {
			t.Errorf("%s: loaded", c.name)
		}
	}
}

// A shard that a release before this one wrote does not say when it lost its last message:
// at the latest when the first one that it has came.
func TestShardsOfEarlierReleases(t *testing.T) {
	full := &Shard{Name: "eu", First: 2, End: 3, firstAt: 7, LastAt: 9}
	for want, sh := range map[int64]*Shard{7: full, 9: {Name: "eu", First: 3, End: 3, LastAt: 9}, 0: {Name: "eu", End: 3, firstAt: 7, LastAt: 9}, 5: {Name: "eu", First: 2, End: 3, firstAt: 7, LastAt: 9, goneAt: 5}} {
		row := sh.row()
		if sh.goneAt == 0 && sh.First > 0 {
			row = row[:len(row)-len(wire.AppendFixed(nil, sGoneAt, 0))]
		}
		got, err := readShard(row)
		if err != nil || got.goneAt != want {
			t.Errorf("got %+v, %v, want %d", got, err, want)
		}
	}
}

// Damaged rows of messages and ids are errors where they are read.
func TestDamagedRows(t *testing.T) {
	w := newWorld(t)
	w.put(t, "orders", "a", "b")
	w.checkpoint(t)
	s := w.stream("orders")
	sh := s.Shard(edda.DefaultShard)
	b := &store.Batch{}
	b.Set(messageRow(s.Serial, 0, 0), []byte("short"))
	b.Set(idRow(s.Serial, []byte("a")), []byte("short"))
	b.Set(forgetRow(1, s.Serial, nil)[:12], nil)
	if err := w.tree.Commit(b, w.tree.Applied()); err != nil {
		t.Fatal(err)
	}
	v := w.m.View(s, sh)
	if _, _, err := v.Read(w.tree, 0, 10, 1<<20); err == nil {
		t.Error("a short row of a message is read")
	}
	if _, err := v.OffsetAt(w.tree, 5); err == nil {
		t.Error("a short row of a message has a time")
	}
	if err := w.m.fill(sh, 0); err == nil {
		t.Error("a short row of a message has a mark")
	}
	if _, _, err := w.m.Find(s, "a"); err == nil {
		t.Error("a short row of an id is read")
	}
	if err := w.fold.Checkpoint(&store.Batch{}); err == nil {
		t.Error("a short key of a forgotten id is removed")
	}
}
