package filelog_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine/filelog"
)

// hookFS calls a function before every sync of a file or directory.
type hookFS struct {
	vfs.FS
	hook func()
}

func (h hookFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return hookFile{f, h.hook}, nil
}

func (h hookFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return h.wrap(h.FS.Create(name, c))
}

func (h hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return h.wrap(h.FS.OpenReadWrite(name, c, o...))
}

func (h hookFS) OpenDir(name string) (vfs.File, error) { return h.wrap(h.FS.OpenDir(name)) }

func (h hookFS) Unwrap() vfs.FS { return h.FS }

type hookFile struct {
	vfs.File
	hook func()
}

func (f hookFile) Sync() error     { f.hook(); return f.File.Sync() }
func (f hookFile) SyncData() error { f.hook(); return f.File.SyncData() }

// crash is a copy of the disk, and what had been promised when it was made.
type crash struct {
	at, percent int
	fs          *vfs.MemFS
	promised    *model // acknowledged before the copy was made
	after       *model // submitted before the copy was complete
}

// crasher copies the disk at every sync.
type crasher struct {
	mu      sync.Mutex // guards what follows; syncs come from several goroutines
	mem     *vfs.MemFS
	model   *model
	rng     *rand.Rand
	syncs   int
	crashes []crash
}

func (c *crasher) copy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncs++
	percents := []int{0, 100, 1 + c.rng.IntN(99)}
	percent := percents[c.syncs%3]
	promised := c.model.clone()
	fs := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng})
	c.crashes = append(c.crashes, crash{c.syncs, percent, fs, promised, c.model.clone()})
}

// newCrashable returns a file system whose root is synced.
func newCrashable(t *testing.T) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	if err := mem.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := mem.OpenDir("/")
	if err == nil {
		err = d.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// writing is a way in which frames get to the disk.
type writing struct {
	name string
	d    edda.Durability
	open func(dir string, opts filelog.Options) (*filelog.Log, error)
}

func writings() []writing {
	return []writing{
		{"fsync", edda.Fsync, filelog.Open},
		{"direct", edda.Fsync, filelog.OpenEmulated},
		{"os", edda.OS, filelog.Open},
	}
}

func TestCrash(t *testing.T) {
	for _, w := range writings() {
		for i := range 8 {
			t.Run(fmt.Sprint(w.name, i), func(t *testing.T) {
				t.Parallel()
				testCrash(t, w)
			})
		}
	}
}

// testCrash runs a random workload through a few openings, copies the disk at
// every sync, and opens each of the copies.
func testCrash(t *testing.T, w writing) {
	t.Helper()
	rng := newRand(t)
	mem := newCrashable(t)
	opts := tiny(w.d)
	m := newModel(opts.Partitions)
	c := &crasher{mem: mem, model: m, rng: rand.New(rand.NewPCG(rng.Uint64(), 1))}
	opts.FS = hookFS{mem, c.copy}
	for range 3 {
		l, err := w.open("data", opts)
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
	opts.FS = nil
	for _, k := range c.crashes {
		// Records submitted while the copy was made may be in it.
		for i, p := range k.promised.parts {
			p.submitted = k.after.parts[i].submitted
		}
		os := w.d == edda.OS && k.percent < 100
		if err := k.promised.verify(t.Context(), k.fs, opts, os); err != nil {
			t.Fatalf("crash at sync %d of %d, %d%% of the unsynced data kept: %v", k.at, len(c.crashes), k.percent, err)
		}
	}
	t.Logf("%d crashes", len(c.crashes))
}
