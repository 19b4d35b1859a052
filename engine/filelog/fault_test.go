package filelog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

// fault fails the operations from number at on, n of them.
type fault struct {
	ops atomic.Int64
	at  atomic.Int64
	n   int64
}

func (f *fault) MaybeError(errorfs.Op) error {
	n, at := f.ops.Add(1), f.at.Load()
	if n >= at && n < at+f.n {
		return errorfs.ErrInjected
	}
	return nil
}

func (f *fault) String() string {
	return fmt.Sprintf("operations %d to %d", f.at.Load(), f.at.Load()+f.n-1)
}

func TestEveryOperationFails(t *testing.T) {
	for _, w := range writings() {
		for _, n := range []int64{1, 3, 1 << 40} {
			t.Run(fmt.Sprint(w.name, n), func(t *testing.T) {
				t.Parallel()
				rng := newRand(t)
				seed := rng.Uint64()
				for at := int64(1); ; at++ {
					f := &fault{n: n}
					f.at.Store(at)
					testFault(t, w, f, rand.New(rand.NewPCG(seed, 0)))
					if f.ops.Load() < at {
						t.Logf("%d operations", at)
						return
					}
				}
			})
		}
	}
}

// testFault runs a workload over a file system with a fault, then loses what was
// not synced, and opens what is left without the fault.
func testFault(t *testing.T, w writing, f *fault, rng *rand.Rand) {
	t.Helper()
	mem := newCrashable(t)
	opts := tiny(w.d)
	opts.FS = errorfs.Wrap(mem, f)
	m := newModel(opts.Partitions)
	for range 2 {
		l, err := w.open("data", opts)
		if err != nil {
			continue
		}
		for range 40 {
			// Errors are what is asked for; what counts is what the outcomes promise.
			if err := m.step(t.Context(), rng, l); err != nil {
				check(t, f, err)
			}
		}
		if err := l.Close(); err != nil {
			check(t, f, err)
		}
		m.flying.Wait()
		if _, err := l.Own(t.Context(), 0); !errors.Is(err, engine.ErrClosed) {
			t.Fatalf("%v: own after close: %v", f, err)
		}
	}
	opts.FS = nil
	lost := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := m.clone().verify(t.Context(), mem, opts, false); err != nil {
		t.Fatalf("%v: %v", f, err)
	}
	if err := m.verify(t.Context(), lost, opts, w.d == edda.OS); err != nil {
		t.Fatalf("%v, then loss of power: %v", f, err)
	}
}

// check fails the test unless the error says why.
func check(t *testing.T, f *fault, err error) {
	t.Helper()
	if !errors.Is(err, errorfs.ErrInjected) && !errors.Is(err, engine.ErrStopped) {
		t.Fatalf("%v: %v", f, err)
	}
}

// fullFS has no space for new segments while full is set.
type fullFS struct {
	vfs.FS
	full *atomic.Bool
}

func (f fullFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if f.full.Load() {
		return nil, syscall.ENOSPC
	}
	return f.FS.OpenReadWrite(name, c, o...)
}

func TestFullDisk(t *testing.T) {
	full := new(atomic.Bool)
	l := open(t, fullFS{vfs.NewMem(), full}, tiny(edda.Fsync))
	o := own(t, l, 1)
	full.Store(true)
	record := string(make([]byte, 400))
	var r engine.Result
	next := o.Next
	for {
		if r = put(l, 1, o.Epoch, next, record); r.Outcome != engine.Durable {
			break
		}
		next++
	}
	if next < 4 {
		t.Errorf("the space that was there took only %d records", next-1)
	}
	if r.Outcome != engine.Unavailable || !errors.Is(r.Err, syscall.ENOSPC) {
		t.Errorf("append on a full disk ended %v: %v", r.Outcome, r.Err)
	}
	if r := put(l, 1, o.Epoch, next, "later"); r.Outcome != engine.Fenced {
		t.Errorf("next append of the epoch ended %v, want fenced", r.Outcome)
	}
	full.Store(false)
	o = own(t, l, 1)
	if o.Next != next {
		t.Errorf("owned at %d, want %d", o.Next, next)
	}
	if r := put(l, 1, o.Epoch, next, record); r.Outcome != engine.Durable {
		t.Errorf("append once there is space ended %v: %v", r.Outcome, r.Err)
	}
	if got := read(t, l, 1, 1); len(got) != int(next) {
		t.Errorf("read %d records, want %d", len(got), next)
	}
}

// flushFault fails the flushes of the file that is written to next, once it is armed.
type flushFault struct {
	armed atomic.Bool
	path  atomic.Pointer[string]
}

func (f *flushFault) String() string { return "flushes" }

func (f *flushFault) MaybeError(op errorfs.Op) error {
	if !f.armed.Load() {
		return nil
	}
	switch op.Kind { //nolint:exhaustive // of many
	case errorfs.OpFileWriteAt: // spares, which others prepare meanwhile, are filled from the front
		f.path.CompareAndSwap(nil, &op.Path)
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		if path := f.path.Load(); path != nil && *path == op.Path {
			return errorfs.ErrInjected
		}
	}
	return nil
}

func TestFailedFlushStops(t *testing.T) {
	f := new(flushFault)
	mem := vfs.NewMem()
	l, err := filelog.Open("data", filelog.Options{FS: errorfs.Wrap(mem, f), Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	o := own(t, l, 0)
	put(l, 0, o.Epoch, 1, "kept")
	f.armed.Store(true) // the write passes, the flush fails
	if r := put(l, 0, o.Epoch, 2, "unknown"); r.Outcome != engine.Unknown || !errors.Is(r.Err, engine.ErrStopped) {
		t.Errorf("append with a failed flush ended %v: %v", r.Outcome, r.Err)
	}
	if r := put(l, 0, o.Epoch, 3, "later"); r.Outcome != engine.Unavailable || !errors.Is(r.Err, engine.ErrStopped) {
		t.Errorf("append after a failed flush ended %v: %v", r.Outcome, r.Err)
	}
	if _, err := l.Own(t.Context(), 0); !errors.Is(err, engine.ErrStopped) {
		t.Errorf("own after a failed flush: %v", err)
	}
	if got := read(t, l, 0, 1); len(got) != 1 || got[0] != "kept" {
		t.Errorf("read %q", got)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// doubtFS renames to the segment of that name, but says that it did not.
type doubtFS struct {
	vfs.FS
	name string
}

func (f doubtFS) Rename(from, to string) error {
	err := f.FS.Rename(from, to)
	if err == nil && f.PathBase(to) == f.name {
		return syscall.EIO
	}
	return err
}

// TestRenameInDoubt: once a segment's successor may exist, the segment takes no
// more, since its successor says where it ends.
func TestRenameInDoubt(t *testing.T) {
	mem := vfs.NewMem()
	opts := tiny(edda.Fsync)
	l := open(t, doubtFS{mem, segmentFile(2)}, opts)
	o := own(t, l, 0)
	if r := put(l, 0, o.Epoch, 1, "a"); r.Outcome != engine.Durable {
		t.Fatal(r.Err)
	}
	if r := put(l, 0, o.Epoch, 2, string(make([]byte, 3000))); r.Outcome != engine.Unavailable || !errors.Is(r.Err, syscall.EIO) {
		t.Fatalf("append that needs a segment ended %v: %v", r.Outcome, r.Err)
	}
	if _, err := l.Own(t.Context(), 0); !errors.Is(err, syscall.EIO) {
		t.Fatalf("own, which the old segment has room for: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, open(t, mem, opts), 0, 1); len(got) != 1 || got[0] != "a" {
		t.Errorf("read %q", got)
	}
}
