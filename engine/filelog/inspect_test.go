package filelog_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

func TestScan(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, filelog.Options{Partitions: 2})
	o := own(t, l, 1)
	put(l, 1, o.Epoch, 1, "a", "b")
	var got []engine.Entry
	next := uint64(0)
	for f, err := range filelog.Scan("data", mem) {
		if err != nil {
			t.Fatal(err)
		}
		if f.LSN != next || f.Segment != 1 || f.Known != f.LSN {
			t.Errorf("frame %+v, want it at %d", f, next)
		}
		next = f.LSN + uint64(aligned(f.Bytes))
		got = append(got, f.Entries...)
	}
	if next != l.Stats().LSN {
		t.Errorf("scanned up to %d, the log ends at %d", next, l.Stats().LSN)
	}
	if len(got) != 2 || len(got[0].Records) != 0 || got[0].Epoch != o.Epoch || len(got[1].Records) != 2 {
		t.Errorf("got %+v, want a change of owner and two records", got)
	}
	for range filelog.Scan("data", mem) {
		break
	}
	for _, err := range filelog.Scan("nothing", mem) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("scan of no directory: %v", err)
		}
	}
}

// TestInspectLive looks at a log from outside while it is written and trimmed:
// what is there is never taken for damage.
func TestInspectLive(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, tiny(edda.Fsync))
	o := own(t, l, 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		record := strings.Repeat("x", 300)
		for next := o.Next; ; next++ {
			select {
			case <-stop:
				return
			default:
			}
			if r := put(l, 0, o.Epoch, next, record); r.Outcome != engine.Durable {
				t.Errorf("append: %v", r.Err)
				return
			}
			if next%20 == 0 {
				if err := l.Trim(t.Context(), engine.Start{Partition: 0, Position: next - 10}); err != nil {
					t.Errorf("trim: %v", err)
					return
				}
			}
		}
	})
	for range 300 {
		r, err := filelog.Verify("data", mem)
		if err != nil || len(r.Damage) > 0 {
			t.Errorf("verify: %+v, %v", r, err)
			break
		}
		for _, err := range filelog.Scan("data", mem) {
			if err != nil {
				t.Errorf("scan: %v", err)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// TestOnDisk runs on the operating system's files.
func TestOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "log")
	var want []string
	for range 3 {
		l, err := filelog.Open(dir, filelog.Options{Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
		// The same directory by another name is the same directory.
		if _, err := filelog.Open(dir+"/../log", filelog.Options{}); !errors.Is(err, filelog.ErrInUse) {
			t.Errorf("second opener: %v", err)
		}
		o := own(t, l, 0)
		put(l, 0, o.Epoch, o.Next, "x")
		want = append(want, "x")
		if got := read(t, l, 0, 1); !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := filelog.Verify(dir, nil)
	if err != nil || r.Records != 3 || r.Torn != nil || len(r.Damage) > 0 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	readOnly := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpMkdirAll && op.Kind != errorfs.OpFileSync {
			return &os.PathError{Op: "open", Path: op.Path, Err: os.ErrPermission}
		}
		return nil
	})
	w := write(t, 3)
	_, err := filelog.Open("data", filelog.Options{FS: errorfs.Wrap(w.fs, readOnly)})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), `lock directory "data"`) {
		t.Errorf("open: %v", err)
	}
	if r, err := filelog.Verify("data", errorfs.Wrap(w.fs, readOnly)); err != nil || r.Records != 3 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// TestRecycling: a log that is trimmed as it is written keeps few files.
func TestRecycling(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, tiny(edda.Fsync))
	o := own(t, l, 0)
	for next := o.Next; next < 400; next++ {
		put(l, 0, o.Epoch, next, strings.Repeat("x", 400))
		if err := l.Trim(t.Context(), engine.Start{Partition: 0, Position: next}); err != nil {
			t.Fatal(err)
		}
	}
	s := l.Stats()
	if s.Segments > 2 || s.Recycled < 10 || s.Flushes != 400 || s.FlushP50 <= 0 {
		t.Errorf("stats %+v, want at most 2 segments and at least 10 recycled", s)
	}
	names, err := mem.List("data")
	if err != nil || len(names) > 8 {
		t.Errorf("files %v, %v", names, err)
	}
	for _, err := range l.Read(t.Context(), engine.Start{Partition: 0, Position: 1}) {
		if !errors.Is(err, engine.ErrTrimmed) {
			t.Errorf("read from below: %v", err)
		}
	}
}

// TestDamagedSnapshot: a state that is not what was written is not handed out.
func TestDamagedSnapshot(t *testing.T) {
	mem := vfs.NewMem()
	l := open(t, mem, tiny(edda.Fsync))
	if err := l.Snapshot(t.Context(), 2, 7, strings.NewReader("the state")); err != nil {
		t.Fatal(err)
	}
	at, r, err := l.Restore(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || at != 7 || string(b) != "the state" {
		t.Errorf("restored %q at %d, %v", b, at, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for _, offset := range []int64{0, 17, 24, 34, 42, 50} {
		spoil(t, mem, "snap-2", offset, flip, 1)
		if _, _, err := l.Restore(t.Context(), 2); err == nil || errors.Is(err, engine.ErrNoSnapshot) {
			t.Errorf("byte %d spoilt: restore: %v", offset, err)
		}
		spoil(t, mem, "snap-2", offset, flip, 1)
	}
}

// TestStartStop opens and closes while calls of every kind are under way.
func TestStartStop(t *testing.T) {
	mem := vfs.NewMem()
	for range 30 {
		l := open(t, mem, tiny(edda.OS))
		var wg sync.WaitGroup
		for p := range engine.Partition(3) {
			wg.Go(func() {
				for range 20 {
					o, err := l.Own(t.Context(), p)
					if err != nil {
						return
					}
					put(l, p, o[0].Epoch, o[0].Next, "x")
					_ = l.Trim(t.Context(), engine.Start{Partition: p, Position: o[0].Next})
					_ = l.Sync(t.Context())
					for range l.Read(t.Context(), engine.Start{Partition: p, Position: o[0].Next}) {
						continue
					}
				}
			})
		}
		for range 2 {
			wg.Go(func() { _ = l.Close() })
		}
		wg.Wait()
	}
}
