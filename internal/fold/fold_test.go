package fold

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// Partitions own ranges of equal size, in order.
func TestHome(t *testing.T) {
	for _, c := range []struct{ hash, n, want uint64 }{
		{0, 1, 0}, {math.MaxUint64, 1, 0}, {0, 64, 0}, {math.MaxUint64, 64, 63}, {1<<58 - 1, 64, 0}, {1 << 58, 64, 1},
		{1<<63 - 1, 2, 0}, {1 << 63, 2, 1}, {math.MaxUint64, 1 << 16, 1<<16 - 1},
	} {
		if got := Home(c.hash, c.n); got != c.want {
			t.Errorf("hash %#x is at home in partition %d of %d, want %d", c.hash, got, c.n, c.want)
		}
	}
}

func TestRowsSort(t *testing.T) {
	rows := [][]byte{RowNumber('a', 0), RowNumber('a', 1), RowNumber('a', 256), RowNumber('a', math.MaxUint64), RowEnd('a'), Row('b', []byte("x"), []byte{0})}
	if !slices.IsSortedFunc(rows, slices.Compare) {
		t.Errorf("rows are not in order: %x", rows)
	}
}

func owned(epoch uint64, time int64) []byte {
	b := (&record.Owned{Epoch: epoch, Node: "n"}).AppendTo(nil)
	record.Stamp(b, 0, time)
	return b
}

func newFold(t *testing.T, tree *store.Tree) (*Fold, *Env) {
	t.Helper()
	env := &Env{Table: tree, Partitions: 4}
	f, err := New(env, uint64(tree.Applied()))
	if err != nil {
		t.Fatal(err)
	}
	return f, env
}

// Position, epoch and time outlive the memory; so do fields of a later release.
func TestMetaIsKept(t *testing.T) {
	tree := store.NewTree()
	f, env := newFold(t, tree)
	if err := errors.Join(f.Apply(1, owned(7, 100)), f.Apply(2, owned(8, 50))); err != nil {
		t.Fatal(err)
	}
	if *env != (Env{Table: tree, Partitions: 4, Position: 2, Time: 100, Epoch: 8, RowsVersion: RowsAtFirst}) {
		t.Errorf("after two records: %+v", env)
	}
	later := wire.AppendString(nil, 99, "later")
	f.unknown = later
	env.RowsVersion = RowsVersion // a machine has written such
	for range 2 {
		var b store.Batch
		if err := f.Checkpoint(&b); err != nil {
			t.Fatal(err)
		}
		if err := tree.Commit(&b, 2); err != nil {
			t.Fatal(err)
		}
		f.Committed()
		if f, env = newFold(t, tree); env.Epoch != 8 || env.Time != 100 || env.Position != 2 || env.RowsVersion != RowsVersion || string(f.unknown) != string(later) {
			t.Errorf("reloaded: %+v with %x", env, f.unknown)
		}
	}
	if err := f.Apply(2, owned(9, 1)); err == nil {
		t.Error("a record is applied twice")
	}
	if err := f.Apply(3, owned(9, 1)); err != nil {
		t.Error(err)
	}
}

// A record that no machine of this partition takes is not passed over.
func TestRecordWithoutAMachine(t *testing.T) {
	f, _ := newFold(t, store.NewTree())
	err := f.Apply(1, (&record.Due{Seq: 1}).AppendTo(nil))
	if err == nil || !strings.Contains(err.Error(), "no machine takes due records") {
		t.Errorf("got %v", err)
	}
}
