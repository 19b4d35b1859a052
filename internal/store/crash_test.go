package store

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
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

// failNth fails one operation on the file system, or all from it on.
type failNth struct {
	n    int64
	all  bool
	read bool // count reads, not writes
	seen atomic.Int64
}

func (f *failNth) String() string { return "failNth" }

func (f *failNth) MaybeError(op errorfs.Op) error {
	if f.read != (op.Kind.ReadOrWrite() == errorfs.OpIsRead) {
		return nil
	}
	if n := f.seen.Add(1); n == f.n || f.all && n > f.n {
		return fmt.Errorf("%s: %w", op.Path, syscall.EIO)
	}
	return nil
}

// TestNthOperationFails fails each operation that the disk is asked for in turn:
// the store reports it or does without, the process goes on, and what is on disk
// is a state that was committed and holds all that was said to be durable.
func TestNthOperationFails(t *testing.T) {
	for name, mode := range map[string]struct{ all, read bool }{
		"one write": {}, "all writes after it": {all: true}, "one read": {read: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := int64(1); ; n++ {
				f := &failNth{n: n, all: mode.all, read: mode.read}
				if failing(t, f); t.Failed() {
					t.Fatalf("operation %d failed", n)
				}
				if f.seen.Load() < n {
					t.Logf("%d operations", f.seen.Load())
					break
				}
			}
		})
	}
}

// failing runs a workload on a file system that fails.
func failing(t *testing.T, f *failNth) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	h := newHistory()
	var durable engine.Position
	rng := rand.New(rand.NewPCG(1, 2))
	o := Options{FS: errorfs.Wrap(mem, f), Partitions: 1, MemTableBytes: MinMemTableBytes}
	calls := make(chan error, 2)
	o.OnStop = func(err error) { calls <- err }
	for range 2 {
		s, err := Open("db", o)
		if err != nil {
			break
		}
		if pos := s.Partition(0).Applied(); pos < h.tree.Applied() {
			h = restart(t, s.Partition(0))
		}
		err = failingWorkload(t, s, h, rng, &durable)
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
		if len(calls) > 1 || len(calls) == 1 && !errors.Is(<-calls, ErrStopped) {
			t.Errorf("stop was reported otherwise than once")
		}
		if err != nil {
			break
		}
	}
	// What counts is what is found after a crash, and after none.
	for _, fs := range []*vfs.MemFS{
		mem.CrashClone(vfs.CrashCloneCfg{}), mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}), mem,
	} {
		s, err := Open("db", Options{FS: fs, Partitions: 1})
		if err != nil {
			t.Errorf("open after the failure: %v", err)
			return
		}
		checkSurvivor(t, s, []*history{h})
		if got := s.Partition(0).Applied(); got < durable {
			t.Errorf("applied: got %d, durable was %d", got, durable)
		}
		put(t, s.Partition(0), s.Partition(0).Applied(), "again", "v")
		if err := errors.Join(s.Flush(t.Context()), s.Close()); err != nil {
			t.Errorf("use after the failure: %v", err)
		}
	}
}

func failingWorkload(t *testing.T, s *Store, h *history, rng *rand.Rand, durable *engine.Position) error {
	t.Helper()
	var b Batch
	for range 8 {
		randomBatch(&b, rng)
		if err := s.Partition(0).Commit(&b, h.next(t, &b)); err != nil {
			return err
		}
		if err := s.Flush(t.Context()); err != nil {
			return err
		}
		pos, err := s.DurableApplied(0)
		if err != nil {
			return err
		}
		*durable = max(*durable, pos)
		for _, err := range s.Partition(0).Scan(nil, nil) {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// TestDamage changes a byte of each table: reading it is an error that stops the
// store, and not a wrong answer.
func TestDamage(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, "db", Options{FS: mem})
	put(t, s.Partition(0), 1, "k", strings.Repeat("v", 1000))
	if err := errors.Join(s.Flush(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := mem.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := mem.OpenReadWrite("db/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{0xaa, 0x55}, 20); err != nil { // in the first block of data
			t.Fatal(err)
		}
		f.Close()
	}
	// The positions are read when the store is opened.
	if _, err := Open("db", Options{FS: mem}); !errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), ".sst") {
		t.Errorf("open of a damaged store: got %v, want %v that names the file", err, ErrStopped)
	}
}

// TestFullDisk fills the disk: commits end with an error instead of waiting for
// ever, and so does everything else.
func TestFullDisk(t *testing.T) {
	var full atomic.Bool
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove {
			return syscall.ENOSPC
		}
		return nil
	}))
	reported := make(chan error, 1)
	s := mustOpen(t, "db", Options{
		FS: disk, Partitions: 1, MemTableBytes: MinMemTableBytes, OnStop: func(err error) { reported <- err },
	})
	table := s.Partition(0)
	put(t, table, 1, "k", "v")
	full.Store(true)
	var b Batch
	b.Set([]byte("k"), make([]byte, 1000))
	var err error
	for pos := engine.Position(2); err == nil; pos++ {
		err = table.Commit(&b, pos)
	}
	_, _, getErr := table.Get([]byte("k"))
	_, durableErr := s.DurableApplied(0)
	for i, err := range []error{err, getErr, durableErr, s.Err(), s.Flush(t.Context()), <-reported} {
		if !errors.Is(err, ErrStopped) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("on a full disk, error %d: got %v, want %v: %v", i, err, ErrStopped, syscall.ENOSPC)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close of a stopped store: %v", err)
	}
}

// TestStall holds the disk up: commits wait, and go on when the disk does.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
				<-release
			}
			return nil
		}))
		s := mustOpen(t, "db", Options{FS: disk, Partitions: 1, MemTableBytes: MinMemTableBytes})
		committed := 0
		done := make(chan error, 1)
		go func() {
			var b Batch
			b.Set([]byte("k"), make([]byte, 1000))
			for committed < 2000 {
				if err := s.Partition(0).Commit(&b, engine.Position(committed)); err != nil {
					done <- err
					return
				}
				committed++
			}
			done <- nil
		}()
		synctest.Wait()
		if size := s.db.Metrics().MemTable.Size; committed == 2000 || size > (stallMemTables+1)*MinMemTableBytes {
			t.Errorf("while the disk stands still: got %d commits and %d bytes in memory", committed, size)
		}
		close(release)
		if err := <-done; err != nil || committed != 2000 {
			t.Errorf("when it goes on: got %d commits, %v", committed, err)
		}
	})
}

// TestStoppedStoreIsQuiet counts what a stopped store still tries in ten seconds,
// and how long closing it takes.
func TestStoppedStoreIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return syscall.ENOSPC
			}
			return nil
		}))
		retries := 0
		s := mustOpen(t, "db", Options{FS: disk, Partitions: 1})
		s.stop.paused = func() { retries++ }
		put(t, s.Partition(0), 1, "k", "v")
		full.Store(true)
		if err := s.Flush(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("flush: got %v, want %v", err, ErrStopped)
		}
		time.Sleep(10 * time.Second)
		before := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(before); took > 0 {
			t.Errorf("close took %v", took)
		}
		if most := int(10 * time.Second / stopRetry); retries < 2 || retries > 2*most {
			t.Errorf("retries: got %d, want up to %d", retries, most)
		}
	})
}

// countingFS counts the files that are open.
type countingFS struct {
	vfs.FS
	open *atomic.Int64
}

type countedFile struct {
	vfs.File
	open *atomic.Int64
}

func (f countedFile) Close() error {
	f.open.Add(-1)
	return f.File.Close()
}

func (f countingFS) count(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	f.open.Add(1)
	return countedFile{file, f.open}, nil
}

func (f countingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.count(f.FS.Create(name, c))
}

func (f countingFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.count(f.FS.OpenReadWrite(name, c, o...))
}

// TestStoppedStoreClosesItsFiles closes a store whose disk has failed.
func TestStoppedStoreClosesItsFiles(t *testing.T) {
	var broken atomic.Bool
	open := new(atomic.Int64)
	fs := countingFS{errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			return syscall.ENOSPC
		}
		return nil
	})), open}
	s, err := Open("db", Options{FS: fs, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Set([]byte("k"), []byte("v"))
	if err := s.Partition(0).Commit(&b, 1); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	if err := s.Flush(t.Context()); !errors.Is(err, ErrStopped) {
		t.Fatalf("flush on a full disk: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d files are open after close", n)
	}
	if _, err := Open("db", Options{FS: fs, Partitions: 1}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("open on a full disk: %v", err)
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d files are open after an open that failed", n)
	}
}
