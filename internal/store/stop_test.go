package store

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

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
