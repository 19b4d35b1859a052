package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda/engine"
)

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
