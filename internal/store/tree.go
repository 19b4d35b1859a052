package store

import (
	"bytes"
	"iter"
	"slices"
	"sync"

	"github.com/google/btree"

	"github.com/edda-io/edda/engine"
)

// Tree is a table in memory, for tests of what stands on one: simple, and strict
// about who owns which bytes. Unlike a PartitionTable it never fails. It is safe
// for concurrent use.
type Tree struct {
	mu      sync.Mutex // guards all below
	pairs   *btree.BTreeG[Pair]
	applied engine.Position
}

var _ Table = (*Tree)(nil)

// NewTree returns an empty table.
func NewTree() *Tree {
	return &Tree{pairs: btree.NewG(16, func(a, b Pair) bool { return bytes.Compare(a.Key, b.Key) < 0 })}
}

// Applied returns the position that the last commit named, 0 when there was none.
func (t *Tree) Applied() engine.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.applied
}

// Get implements Table.
func (t *Tree) Get(key []byte) (value []byte, found bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pair, found := t.pairs.Get(Pair{Key: key})
	if !found {
		return nil, false, nil
	}
	return append([]byte{}, pair.Value...), true, nil
}

// Scan implements Table. All pairs share their memory, so that who keeps one
// beyond its time will notice.
func (t *Tree) Scan(from, to []byte) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		t.mu.Lock()
		pairs := t.pairs.Clone()
		t.mu.Unlock()
		var shared []byte
		pairs.AscendGreaterOrEqual(Pair{Key: from}, func(p Pair) bool {
			if len(to) > 0 && bytes.Compare(p.Key, to) >= 0 {
				return false
			}
			shared = append(append(shared[:0], p.Key...), p.Value...)
			n := len(p.Key)
			return yield(Pair{Key: shared[:n:n], Value: shared[n:]}, nil)
		})
	}
}

// Commit applies the batch, which may be nil, and sets the applied position,
// which must not be lower than the one before.
func (t *Tree) Commit(b *Batch, applied engine.Position) error {
	if b == nil {
		b = &Batch{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := checkCommit(b, t.applied, applied); err != nil {
		return err
	}
	for _, o := range b.ops {
		key, value := slices.Clone(b.key(o)), make([]byte, len(b.value(o))+o.size)
		b.joined(value, o)
		switch o.kind {
		case opSet:
			t.pairs.ReplaceOrInsert(Pair{key, value})
		case opDelete:
			t.pairs.Delete(Pair{Key: key})
		case opDeleteRange:
			t.deleteRange(key, value)
		}
	}
	t.applied = applied
	return nil
}

func (t *Tree) deleteRange(from, to []byte) {
	var doomed []Pair
	t.pairs.AscendGreaterOrEqual(Pair{Key: from}, func(p Pair) bool {
		if len(to) > 0 && bytes.Compare(p.Key, to) >= 0 {
			return false
		}
		doomed = append(doomed, p)
		return true
	})
	for _, p := range doomed {
		t.pairs.Delete(p)
	}
}
