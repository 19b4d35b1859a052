package filelog_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

// cachedFS is the real file system to the log, but for direct writes.
type cachedFS struct{ vfs.FS }

// onDisk makes a new directory of the real file system the current one.
func onDisk(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
}

// needDirect skips the test, for all to see, where there are no direct writes.
func needDirect(t *testing.T, l *filelog.Log) {
	t.Helper()
	if !l.Stats().Direct {
		t.Skipf("NOT TESTED HERE: no direct writes in %s on %s; it takes Linux and a disk with sectors of 512 bytes",
			filepath.Dir(t.TempDir()), runtime.GOOS)
	}
}

// TestDirect writes frames of all sizes directly, over several segments.
func TestDirect(t *testing.T) {
	onDisk(t)
	opts := filelog.Options{Partitions: 1, MinSegmentBytes: 64 << 10, MaxSegmentBytes: 256 << 10}
	l := open(t, vfs.Default, opts)
	needDirect(t, l)
	o := own(t, l, 0)
	var want []string
	for i, n := range []int{1, 450, 480, 500, 512, 4000, 60 << 10, 100 << 10, 1, 9 << 20, 1, 20 << 20, 3} {
		want = append(want, strings.Repeat(string(rune('a'+i)), n))
		if r := put(l, 0, o.Epoch, o.Next+engine.Position(i), want[i]); r.Outcome != engine.Durable {
			t.Fatal(r.Err)
		}
		// Through the page cache, while the log goes on.
		if got := read(t, l, 0, engine.Position(i+1)); len(got) != 1 || got[0] != want[i] {
			t.Fatalf("record %d of %d bytes is not what was written", i, n)
		}
	}
	if s := l.Stats(); s.Segments < 4 || !s.Direct {
		t.Errorf("stats %+v, want at least 4 segments, and direct writes still", s)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := checkAligned(nil); err != nil {
		t.Error(err)
	}
	if r, err := filelog.Verify("data", nil); err != nil || r.Torn != nil || len(r.Damage) > 0 || r.Records != len(want) {
		t.Errorf("verify: %+v, %v", r, err)
	}
	if got := read(t, open(t, vfs.Default, opts), 0, 1); !slices.Equal(got, want) {
		t.Error("the log opened again does not hold what was written")
	}
}

// TestNotDirect: nothing else than fsync durability on the real file system
// writes past the cache.
func TestNotDirect(t *testing.T) {
	onDisk(t)
	for _, c := range []struct {
		fs vfs.FS
		d  edda.Durability
	}{{vfs.Default, edda.OS}, {cachedFS{vfs.Default}, edda.Fsync}, {vfs.NewMem(), edda.Fsync}} {
		l := open(t, c.fs, tiny(c.d))
		o := own(t, l, 0)
		if r := put(l, 0, o.Epoch, o.Next, "x"); r.Outcome != engine.Durable || l.Stats().Direct {
			t.Errorf("append in %s durability on %T: %v, stats %+v", c.d, c.fs, r, l.Stats())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTakingTurns works on one directory with direct writes, through the cache,
// and in os durability: it is the same log.
func TestTakingTurns(t *testing.T) {
	onDisk(t)
	rng := newRand(t)
	m := newModel(tiny(edda.Fsync).Partitions)
	for round := range 9 {
		opts := tiny([]edda.Durability{edda.Fsync, edda.Fsync, edda.OS}[round%3])
		opts.FS = []vfs.FS{vfs.Default, cachedFS{vfs.Default}, vfs.Default}[round%3]
		l, err := filelog.Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			if err := m.step(t.Context(), rng, l); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		m.flying.Wait()
	}
	if err := m.verify(t.Context(), vfs.Default, tiny(edda.Fsync), false); err != nil {
		t.Fatal(err)
	}
}

// TestReadWhileWriting reads ahead of the writer all the time, so that the page
// cache knows every page before it is written, in segments old and new. What is
// durable is there all the same.
func TestReadWhileWriting(t *testing.T) {
	onDisk(t)
	l := open(t, vfs.Default, filelog.Options{Partitions: 1, MinSegmentBytes: 32 << 10, MaxSegmentBytes: 64 << 10})
	needDirect(t, l)
	o := own(t, l, 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// It reads whole files, so also what was not written yet.
				if r, err := filelog.Verify("data", nil); err != nil || len(r.Damage) > 0 {
					t.Errorf("verify: %+v, %v", r, err)
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for next := o.Next; next < 1500; next++ {
		text := fmt.Sprint(next, strings.Repeat("x", rng.IntN(3000)))
		if r := put(l, 0, o.Epoch, next, text); r.Outcome != engine.Durable {
			t.Fatal(r.Err)
		}
		if got := read(t, l, 0, next); len(got) != 1 || got[0] != text {
			t.Fatalf("record %d is not there once it is durable", next)
		}
		if next%20 == 0 {
			if err := l.Trim(t.Context(), engine.Start{Partition: 0, Position: next - 10}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := l.Stats(); s.Recycled < 10 || !s.Direct {
		t.Errorf("stats %+v, want at least 10 segments recycled, and direct writes still", s)
	}
}
