package store

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edda-io/edda/engine"
)

var seed = flag.Uint64("store.seed", 0, "seed of the crash tests; 0 takes another one each time")

func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -store.seed=%d", n)
	return rand.New(rand.NewPCG(n, n))
}

// randomBatch fills b with a few changes of keys k00 to k49.
func randomBatch(b *Batch, rng *rand.Rand) {
	key := func() []byte { return fmt.Appendf(nil, "k%02d", rng.IntN(50)) }
	b.Reset()
	for range 1 + rng.IntN(8) {
		switch rng.IntN(10) {
		case 0:
			b.DeleteRange(key(), key())
		case 1, 2:
			b.Delete(key())
		default:
			b.Set(key(), fmt.Appendf(nil, "%d%s", rng.IntN(1000), strings.Repeat(".", rng.IntN(1500))))
		}
	}
}

// history knows what the table of one partition held at each commit.
type history struct {
	tree *Tree
	at   map[engine.Position][]string
}

func newHistory() *history {
	return &history{NewTree(), map[engine.Position][]string{0: nil}}
}

// next commits the batch to the history, at the next position.
func (h *history) next(t *testing.T, b *Batch) engine.Position {
	t.Helper()
	pos := h.tree.Applied() + 1
	if err := h.tree.Commit(b, pos); err != nil {
		t.Fatal(err)
	}
	h.at[pos] = contents(t, h.tree)
	return pos
}

// TestCrash crashes a store again and again, with unsynced data kept, lost and
// torn, and demands that each table is as it was at one of its commits.
func TestCrash(t *testing.T) {
	rng := newRand(t)
	const partitions = 3
	for range 40 {
		mem := vfs.NewCrashableMem()
		var hs [partitions]*history
		promised := make([]engine.Position, partitions)
		for p := range hs {
			hs[p] = newHistory()
		}
		for range 4 {
			c := &cutter{mem: mem, rng: rng, durable: make([]engine.Position, partitions)}
			o := Options{FS: errorfs.Wrap(mem, c), Partitions: partitions, MemTableBytes: MinMemTableBytes}
			s, err := Open("db", o)
			if err != nil {
				t.Fatal(err)
			}
			checkSurvivor(t, s, hs[:])
			for p, want := range promised {
				if got := s.Partition(engine.Partition(p)).Applied(); got < want {
					t.Fatalf("partition %d: applied after a crash: got %d, durable was %d", p, got, want)
				}
			}
			// What was lost is committed anew, but otherwise.
			for p := range hs {
				hs[p] = restart(t, s.Partition(engine.Partition(p)))
			}
			workload(t, s, hs[:], c)
			crashed, durable := c.end()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			mem, promised = crashed, durable
		}
	}
}

// cutter crashes a file system at a sync, before or while it is done, or at the
// end of a workload.
type cutter struct {
	mem *vfs.MemFS

	mu      sync.Mutex // guards all below: the store has goroutines
	rng     *rand.Rand
	on      bool
	durable []engine.Position // what was durable at some time, by partition
	crashed *vfs.MemFS
	then    []engine.Position // what durable was when it crashed
}

func (c *cutter) String() string { return "cutter" }

func (c *cutter) MaybeError(op errorfs.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename, errorfs.OpRemove:
		if c.on && c.rng.IntN(6) == 0 {
			c.cut()
		}
	}
	return nil
}

func (c *cutter) cut() {
	percent := []int{0, 50, 100}[c.rng.IntN(3)]
	c.crashed = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng})
	c.then = slices.Clone(c.durable)
}

// end returns what a crash left, and what was durable at that time.
func (c *cutter) end() (*vfs.MemFS, []engine.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crashed == nil || c.rng.IntN(3) == 0 {
		c.cut()
	}
	c.on = false
	return c.crashed, c.then
}

// restart begins a history with what the table holds.
func restart(t *testing.T, table *PartitionTable) *history {
	t.Helper()
	h := newHistory()
	var b Batch
	for p, err := range table.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		b.Set(p.Key, p.Value)
	}
	if err := h.tree.Commit(&b, table.Applied()); err != nil {
		t.Fatal(err)
	}
	h.at = map[engine.Position][]string{table.Applied(): contents(t, h.tree)}
	return h
}

// workload commits at random, flushes now and then, and tells what is durable.
func workload(t *testing.T, s *Store, hs []*history, c *cutter) {
	t.Helper()
	c.mu.Lock()
	c.on = true
	rng := rand.New(rand.NewPCG(c.rng.Uint64(), 0)) // the cutter's is used by others
	c.mu.Unlock()
	var b Batch
	for range rng.IntN(200) {
		p := engine.Partition(rng.IntN(len(hs)))
		randomBatch(&b, rng)
		if err := s.Partition(p).Commit(&b, hs[p].next(t, &b)); err != nil {
			t.Fatal(err)
		}
		switch rng.IntN(60) {
		case 0:
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			fallthrough
		case 1:
			durable, err := s.DurableApplied(p)
			if err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			c.durable[p] = durable
			c.mu.Unlock()
		case 2:
			if _, err := s.db.AsyncFlush(); err != nil { // a crash may fall into it
				t.Fatal(err)
			}
		}
	}
}

// checkSurvivor demands that each table is as it was at a commit of its history.
func checkSurvivor(t *testing.T, s *Store, hs []*history) {
	t.Helper()
	for p, h := range hs {
		table := s.Partition(engine.Partition(p))
		want, ok := h.at[table.Applied()]
		if !ok {
			t.Fatalf("partition %d: applied position %d was never committed", p, table.Applied())
		}
		if diff := cmp.Diff(want, contents(t, table)); diff != "" {
			t.Fatalf("partition %d is not what it was at %d (-want +got):\n%s", p, table.Applied(), diff)
		}
	}
}

// TestSameAsTree runs random scripts on a store and on a tree.
func TestSameAsTree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		o := memory(2)
		o.MemTableBytes = MinMemTableBytes
		s, err := Open("db", o)
		if err != nil {
			r.Fatal(err)
		}
		defer func() { s.Close() }()
		tree := NewTree()
		key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xff}), 1, 3)
		bound := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xff}), 0, 3)
		value := rapid.SliceOfN(rapid.Byte(), 0, 8)
		r.Repeat(map[string]func(*rapid.T){
			"commit": func(r *rapid.T) {
				var b, whole Batch // the same, but for values that are joined in b alone
				for range rapid.IntRange(0, 6).Draw(r, "changes") {
					switch rapid.IntRange(0, 5).Draw(r, "kind") {
					case 0:
						k := key.Draw(r, "key")
						b.Delete(k)
						whole.Delete(k)
					case 1:
						from, to := bound.Draw(r, "from"), bound.Draw(r, "to")
						b.DeleteRange(from, to)
						whole.DeleteRange(from, to)
					case 2:
						k, head, tail := key.Draw(r, "key"), value.Draw(r, "head"), value.Draw(r, "tail")
						b.SetJoined(k, head, tail)
						whole.Set(k, slices.Concat(head, tail))
					default:
						k, v := key.Draw(r, "key"), value.Draw(r, "value")
						b.Set(k, v)
						whole.Set(k, v)
					}
				}
				pos := tree.Applied() + engine.Position(rapid.IntRange(0, 3).Draw(r, "records"))
				if b.Size() != whole.Size() || b.Len() != whole.Len() {
					r.Fatalf("%d changes of %d bytes, want %d of %d", b.Len(), b.Size(), whole.Len(), whole.Size())
				}
				one, other := &b, &whole
				if rapid.Bool().Draw(r, "joined in the tree") {
					one, other = other, one
				}
				if err := errors.Join(tree.Commit(other, pos), s.Partition(1).Commit(one, pos)); err != nil {
					r.Fatal(err)
				}
			},
			"flush": func(r *rapid.T) {
				if err := s.Flush(t.Context()); err != nil {
					r.Fatal(err)
				}
				if got, err := s.DurableApplied(1); got != tree.Applied() || err != nil {
					r.Fatalf("durable after flush: got %d, %v, want %d", got, err, tree.Applied())
				}
			},
			"reopen": func(r *rapid.T) {
				if err := errors.Join(s.Flush(t.Context()), s.Close()); err != nil {
					r.Fatal(err)
				}
				if s, err = Open("db", o); err != nil {
					r.Fatal(err)
				}
			},
			"get": func(r *rapid.T) {
				k := bound.Draw(r, "key")
				got, found, err := s.Partition(1).Get(k)
				want, wantFound, _ := tree.Get(k)
				if string(got) != string(want) || found != wantFound || err != nil {
					r.Fatalf("get %q: got %q, %v, %v, want %q, %v", k, got, found, err, want, wantFound)
				}
			},
			"": func(r *rapid.T) {
				from, to := bound.Draw(r, "from"), bound.Draw(r, "to")
				if diff := cmp.Diff(dump(tree, from, to), dump(s.Partition(1), from, to)); diff != "" {
					r.Fatalf("scan %q to %q (-tree +store):\n%s", from, to, diff)
				}
				if got, want := s.Partition(1).Applied(), tree.Applied(); got != want {
					r.Fatalf("applied: got %d, want %d", got, want)
				}
				for pair := range s.Partition(0).Scan(nil, nil) {
					r.Fatalf("the other partition holds %q", pair.Key)
				}
			},
		})
	})
}

func dump(table Table, from, to []byte) []string {
	var got []string
	for p, err := range table.Scan(from, to) {
		got = append(got, fmt.Sprintf("%q=%q %v", p.Key, p.Value, err))
	}
	return got
}
