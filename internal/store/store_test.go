package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func memory(partitions int) Options { return Options{FS: vfs.NewMem(), Partitions: partitions} }

func put(t testing.TB, table *PartitionTable, applied engine.Position, kv ...string) {
	t.Helper()
	var b Batch
	for i := 0; i < len(kv); i += 2 {
		b.Set([]byte(kv[i]), []byte(kv[i+1]))
	}
	if err := table.Commit(&b, applied); err != nil {
		t.Fatal(err)
	}
}

// contents returns the pairs of a table as "key=value".
func contents(t testing.TB, table Table) []string {
	t.Helper()
	var got []string
	for p, err := range table.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s=%s", p.Key, p.Value))
	}
	return got
}

func TestOpenValidatesOptions(t *testing.T) {
	for field, o := range map[string]Options{
		"Partitions":    {Partitions: MaxPartitions + 1},
		"CacheBytes":    {CacheBytes: -1},
		"MemTableBytes": {MemTableBytes: 1},
	} {
		if _, err := Open("db", o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("open with bad %s: got %v, want an error that names it", field, err)
		}
	}
}

func TestPartitionsAreApart(t *testing.T) {
	s := mustOpen(t, "db", memory(MaxPartitions))
	ps := []engine.Partition{0, 1, 255, 256, MaxPartitions - 1}
	for i, p := range ps {
		put(t, s.Partition(p), engine.Position(i+1), "\x00", "low", "k", fmt.Sprint(p), "\xff\xff\xff", "high")
	}
	var b Batch
	b.DeleteRange(nil, nil)
	if err := s.Partition(255).Commit(&b, 9); err != nil {
		t.Fatal(err)
	}
	for i, p := range ps {
		want, applied := []string{"\x00=low", fmt.Sprintf("k=%d", p), "\xff\xff\xff=high"}, engine.Position(i+1)
		if p == 255 {
			want, applied = nil, 9
		}
		if diff := cmp.Diff(want, contents(t, s.Partition(p))); diff != "" {
			t.Errorf("partition %d (-want +got):\n%s", p, diff)
		}
		if got := s.Partition(p).Applied(); got != applied {
			t.Errorf("applied of partition %d: got %d, want %d", p, got, applied)
		}
	}
}

func TestCommitRefuses(t *testing.T) {
	s := mustOpen(t, "db", memory(1))
	for name, table := range map[string]interface {
		Table
		Commit(*Batch, engine.Position) error
		Applied() engine.Position
	}{"store": s.Partition(0), "tree": NewTree()} {
		var b Batch
		b.Set([]byte("k"), nil)
		if err := table.Commit(&b, 5); err != nil {
			t.Fatal(err)
		}
		if err := table.Commit(&b, 4); err == nil {
			t.Errorf("%s: commit at a lower position: got no error", name)
		}
		b.Reset()
		b.Set([]byte("other"), nil)
		b.Set(nil, []byte("v"))
		if err := table.Commit(&b, 6); !errors.Is(err, errEmptyKey) {
			t.Errorf("%s: commit of an empty key: got %v, want %v", name, err, errEmptyKey)
		}
		if err := table.Commit(nil, 5); err != nil {
			t.Errorf("%s: commit of no batch at the same position: %v", name, err)
		}
		if got := contents(t, table); !cmp.Equal(got, []string{"k="}) || table.Applied() != 5 {
			t.Errorf("%s: got %q at %d, want only k at 5", name, got, table.Applied())
		}
		if v, found, err := table.Get([]byte("k")); v == nil || !found || err != nil {
			t.Errorf("%s: get of an empty value: got %v, %v, %v, want empty, not nil", name, v, found, err)
		}
	}
}

func TestFlushMakesDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, "a/b/db", Options{FS: mem})
	put(t, s.Partition(3), 10, "k", "v")
	if got, err := s.DurableApplied(3); got != 0 || err != nil {
		t.Errorf("durable before flush: got %d, %v, want 0", got, err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, s.Partition(3), 11, "k", "w")
	if got, err := s.DurableApplied(3); got != 10 || err != nil {
		t.Errorf("durable after flush: got %d, %v, want 10", got, err)
	}
	s = mustOpen(t, "a/b/db", Options{FS: mem.CrashClone(vfs.CrashCloneCfg{})})
	if got := s.Partition(3).Applied(); got != 10 {
		t.Errorf("applied after a crash: got %d, want 10", got)
	}
	if diff := cmp.Diff([]string{"k=v"}, contents(t, s.Partition(3))); diff != "" {
		t.Errorf("after a crash (-want +got):\n%s", diff)
	}
}

func TestFormatIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		stored  func(*Store)
		options Options
		text    string
	}{
		"version":      {func(s *Store) { s.db.Set(formatKey, wire.AppendUint(nil, fieldVersion, 7), pebble.NoSync) }, Options{}, "version 7"},
		"malformed":    {func(s *Store) { s.db.Set(formatKey, []byte{0xff}, pebble.NoSync) }, Options{}, "malformed"},
		"none":         {func(s *Store) { s.db.Delete(formatKey, pebble.NoSync); s.db.Set([]byte("kk"), nil, pebble.NoSync) }, Options{}, "no format"},
		"partitions":   {func(*Store) {}, Options{Partitions: 4}, "64 partitions"},
		"hash version": {func(*Store) {}, Options{HashVersion: 9}, "hash version 1"},
	} {
		mem := vfs.NewMem()
		s := mustOpen(t, "db", Options{FS: mem})
		c.stored(s)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		c.options.FS = mem
		s, err := Open("db", c.options)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %v that says %q", name, err, ErrFormat, c.text)
		}
		if err == nil {
			s.Close()
		}
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	for name, o := range map[string]Options{"memory": memory(1), "disk": {Partitions: 1}} {
		dir := t.TempDir()
		s := mustOpen(t, dir, o)
		if _, err := Open(dir, o); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: second open: got %v, want %v", name, err, ErrLocked)
		}
		put(t, s.Partition(0), 1, "k", "v")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := mustOpen(t, dir, o).Close(); err != nil {
			t.Errorf("%s: open after close: %v", name, err)
		}
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	for _, cause := range []error{syscall.EROFS, syscall.EACCES} {
		readOnly := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return &fs.PathError{Op: "open", Path: op.Path, Err: cause}
			}
			return nil
		})
		for _, dir := range []string{"new", "/"} {
			_, err := Open(dir, Options{FS: errorfs.Wrap(vfs.NewMem(), readOnly)})
			if !errors.Is(err, cause) || !strings.Contains(err.Error(), "cannot be written") || !strings.Contains(err.Error(), dir) {
				t.Errorf("open %q: got %v, want an error that names it and says that it cannot be written", dir, err)
			}
		}
	}
}

func TestOpenLeavesNoFilesBehind(t *testing.T) {
	dir := t.TempDir()
	for range 10 {
		s := mustOpen(t, dir, Options{})
		put(t, s.Partition(0), 1, "k", "v")
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) > 1 {
		t.Errorf("logs after ten restarts: got %q, %v, want at most one", logs, err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) > 25 {
		t.Errorf("files after ten restarts: got %d, %v: %v", len(all), err, all)
	}
}

func TestScanSeesItsBeginning(t *testing.T) {
	s := mustOpen(t, "db", memory(1))
	table := s.Partition(0)
	put(t, table, 1, "a", "1", "b", "1", "c", "1")
	var got []string
	for p, err := range table.Scan([]byte("a"), []byte("c")) {
		if err != nil {
			t.Fatal(err)
		}
		put(t, table, table.Applied()+1, "a", "2", "b", "2", "bb", "2")
		got = append(got, string(p.Key)+string(p.Value))
	}
	if diff := cmp.Diff([]string{"a1", "b1"}, got); diff != "" {
		t.Errorf("scan (-want +got):\n%s", diff)
	}
	for range table.Scan(nil, nil) {
		break
	}
	for p := range table.Scan([]byte("c"), []byte("a")) {
		t.Errorf("scan of an empty range: got %q", p.Key)
	}
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, "db", memory(1))
	table := s.Partition(0)
	put(t, table, 1, "a", "1", "b", "1")

	// A scan that has begun goes on while the store closes, and sees no operation
	// begin any more.
	closing := make(chan error, 1)
	pairs := 0
	for _, err := range table.Scan(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if pairs++; pairs == 1 {
			go func() { closing <- s.Close() }()
			<-s.stop.closing
		}
	}
	if err := <-closing; err != nil || pairs != 2 {
		t.Errorf("close during a scan: got %d pairs, %v, want 2", pairs, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	_, _, getErr := table.Get([]byte("a"))
	_, durableErr := s.DurableApplied(0)
	errs := map[string]error{
		"get": getErr, "durable": durableErr, "commit": table.Commit(nil, 2),
		"flush": s.Flush(context.Background()), "err": s.Err(),
	}
	for _, err := range table.Scan(nil, nil) {
		errs["scan"] = err
	}
	for name, err := range errs {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after close: got %v, want %v", name, err, ErrClosed)
		}
	}
}

func TestFlushWaitsNoLongerThanItsContext(t *testing.T) {
	s := mustOpen(t, "db", memory(1))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	s.db.AsyncFlush()
	for range 100 { // the flush may be faster
		if err := s.Flush(ctx); errors.Is(err, cause) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("flush under an ended context: got no error in 100 calls")
}

func TestConcurrentUse(t *testing.T) {
	s := mustOpen(t, "db", Options{FS: vfs.NewMem(), Partitions: 8, MemTableBytes: MinMemTableBytes})
	var wg sync.WaitGroup
	half := make(chan struct{}) // closed when one writer is half done
	value := bytes.Repeat([]byte("v"), 500)
	for p := range engine.Partition(8) {
		table := s.Partition(p)
		wg.Go(func() {
			var b Batch
			for i := range 300 {
				if p == 0 && i == 150 {
					close(half)
				}
				b.Reset()
				b.Set(fmt.Appendf(nil, "%03d", i%100), value)
				b.DeleteRange(fmt.Appendf(nil, "%03d", (i+50)%100), fmt.Appendf(nil, "%03d", (i+60)%100))
				if err := table.Commit(&b, engine.Position(i)); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for i := range 100 {
				if _, _, err := table.Get(fmt.Appendf(nil, "%03d", i)); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				for p, err := range table.Scan(nil, nil) {
					if err != nil && !errors.Is(err, ErrClosed) || err == nil && len(p.Value) != 500 {
						t.Errorf("scan: got %q, %v", p.Value, err)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := s.Flush(t.Context()); err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			for p := range engine.Partition(8) {
				durable, err := s.DurableApplied(p)
				if err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				if applied := s.Partition(p).Applied(); durable > applied {
					t.Errorf("durable is %d, applied %d", durable, applied)
				}
			}
		}
	})
	wg.Go(func() {
		<-half
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
}

func BenchmarkOpenEmpty(b *testing.B) {
	for b.Loop() {
		s, err := Open(filepath.Join(b.TempDir(), "db"), Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

func benchTable(b *testing.B) *PartitionTable {
	b.Helper()
	s := mustOpen(b, b.TempDir(), Options{})
	table := s.Partition(7)
	var batch Batch
	value := bytes.Repeat([]byte("v"), 256)
	for i := range 100_000 {
		batch.Set(fmt.Appendf(nil, "key/%09d", i), value)
		if batch.Len() == 1000 {
			if err := table.Commit(&batch, engine.Position(i)); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	if err := s.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := s.db.Compact(b.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return table
}

func BenchmarkGetHit(b *testing.B)  { benchGet(b, "key/%09d", true) }
func BenchmarkGetMiss(b *testing.B) { benchGet(b, "key/%09d.", false) }

func benchGet(b *testing.B, format string, want bool) {
	b.Helper()
	table := benchTable(b)
	keys := make([][]byte, 1024)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, format, i*97%100_000)
	}
	for i := 0; b.Loop(); i++ {
		if _, found, err := table.Get(keys[i%len(keys)]); found != want || err != nil {
			b.Fatal(found, err)
		}
	}
}

func BenchmarkCommit1000(b *testing.B) {
	table := benchTable(b)
	var batch Batch
	value := bytes.Repeat([]byte("v"), 256)
	key := []byte("key/\x00\x00\x00\x00")
	for i := 0; b.Loop(); i++ {
		batch.Reset()
		for j := range 1000 {
			binary.BigEndian.PutUint32(key[4:], uint32(i*1000+j)*2654435761)
			batch.Set(key, value)
		}
		if err := table.Commit(&batch, 1<<20+engine.Position(i)); err != nil {
			b.Fatal(err)
		}
	}
}
