package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// small are options under which everything happens soon: segments are rotated
// and recycled, checkpoints written, the log trimmed.
func small(fs vfs.FS, d edda.Durability) node.Options {
	return node.Options{
		Dir: "data", FS: fs, Durability: d, Partitions: 4, SegmentBytes: 8 << 10, CheckpointBytes: 10 << 10, Services: services(),
	}
}

// crash is a copy of a disk as a crash would have left it.
type crash struct {
	fs      *vfs.MemFS
	moment  int  // of the ledger: what was told before must hold
	percent int  // of what was not synced, that is kept
	weak    bool // the end may be missing
	at      string
}

// crasher copies a disk before every sync, and at random moments in between, and
// has each copy examined.
type crasher struct {
	t          *testing.T
	mem        *vfs.MemFS
	durability edda.Durability
	ledger     *ledger
	slots      chan struct{} // as many copies are examined at a time
	wg         sync.WaitGroup

	mu   sync.Mutex // guards what follows; held while the disk is copied
	rng  *rand.Rand
	n    int
	next *crash // goes on with the next generation
	weak bool   // the disk has lost something, and the ledger does not know what
	done bool

	syncs, rotated, recycled, tables int // what has happened to the disk
}

// before is called before every operation on the disk.
func (c *crasher) before(op errorfs.Op) error {
	sync := isSync(op.Kind)
	if !sync && op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	c.mu.Lock()
	switch {
	case op.Kind == errorfs.OpRename && strings.HasSuffix(op.Path, ".spare"):
		c.rotated++
	case op.Kind == errorfs.OpRename && strings.HasSuffix(op.Path, ".seg"):
		c.recycled++
	case op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst"):
		c.tables++
	}
	if c.done || !sync && c.rng.IntN(either(40, 12)) > 0 {
		c.mu.Unlock()
		return nil
	}
	c.n++
	if sync {
		c.syncs++
	}
	k := &crash{moment: c.ledger.now(), percent: []int{0, 100, 1 + c.rng.IntN(99)}[c.n%3]}
	k.weak = c.weak || c.durability == edda.OS && k.percent < 100
	k.at = fmt.Sprintf("crash %d (before operation %d on %s), with %d%% of what was not synced", c.n, op.Kind, op.Path, k.percent)
	k.fs = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: k.percent, RNG: c.rng})
	if c.next == nil || c.rng.IntN(c.n) == 0 {
		k, c.next = c.next, k
	}
	c.mu.Unlock()
	if k != nil {
		c.examine(k)
	}
	return nil
}

// examine opens a copy of the disk, in a goroutine of its own, and checks it.
func (c *crasher) examine(k *crash) {
	c.slots <- struct{}{}
	c.wg.Go(func() {
		defer func() { <-c.slots }()
		n, err := opened(c.t, small(k.fs, c.durability))
		if err != nil {
			c.t.Errorf("%s: %v", k.at, err)
			return
		}
		if err := k.check(c, n).run(context.Background()); err != nil {
			c.t.Errorf("%s: %v", k.at, err)
		}
		if err := stopped(c.t, n); err != nil {
			c.t.Errorf("%s: stop: %v", k.at, err)
		}
	})
}

func (k *crash) check(c *crasher, n *node.Node) *check {
	return &check{node: n, entries: c.ledger.at(k.moment), weak: k.weak}
}

// TestCrashEverySync runs random requests, cuts the power at every sync and at
// moments in between, and opens what is left of the disk. What was acknowledged
// is there once, in order and with the outcome that was told. Then it goes on
// with one of the copies, several times.
//
// Durability os promises that for the death of the process alone; after a loss
// of power the end may be missing, of the whole log, and never half a request.
func TestCrashEverySync(t *testing.T) {
	for _, d := range []edda.Durability{edda.Fsync, edda.OS} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			seed := newSeed(t)
			recycled := 0
			for i := range either(2, 25) {
				if !t.Failed() {
					recycled += campaign(t, d, seed+uint64(i))
				}
			}
			if recycled == 0 && !t.Failed() {
				t.Error("the runs were too short to checkpoint, trim and recycle")
			}
		})
	}
}

// campaign crashes one disk after the other, and returns how often segments were
// trimmed and used again.
func campaign(t *testing.T, d edda.Durability, seed uint64) int {
	t.Helper()
	rng := newRand(seed, 0)
	l := &ledger{}
	last := &crash{fs: newDisk(t), percent: 100}
	var crashes, syncs, rotated, recycled, tables int
	const generations = 4
	for g := range generations {
		c := &crasher{t: t, mem: last.fs, durability: d, ledger: l, weak: last.weak, rng: newRand(seed, uint64(g)+1), slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
		c.generation(last, seed+uint64(g)<<32, rng.IntN(2) == 0)
		crashes += c.n
		syncs, rotated, recycled, tables = syncs+c.syncs, rotated+c.rotated, recycled+c.recycled, tables+c.tables
		last = c.next
		l.rewind(last.moment)
		if t.Failed() {
			t.Logf("in generation %d of seed %d", g, seed)
			return 0
		}
	}
	if err := l.contradictions(); err != nil {
		t.Error(err)
	}
	t.Logf("seed %d: %d generations, %d requests, %d crashes examined, %d of them at a sync; %d segments begun, %d recycled, %d tables written",
		seed, generations, len(l.entries), crashes, syncs, rotated, recycled, tables)
	return min(recycled, tables)
}

// generation opens the disk, checks what a crash has left, works on, and ends.
func (c *crasher) generation(last *crash, seed uint64, patient bool) {
	n, err := opened(c.t, small(hooked(c.mem, c.before), c.durability))
	if err != nil {
		c.t.Fatalf("%s: %v", last.at, err)
	}
	found := last.check(c, n)
	if err := found.run(context.Background()); err != nil {
		c.t.Errorf("%s: %v", last.at, err)
	}
	c.mu.Lock()
	found.learn(c.ledger)
	c.weak = false
	c.mu.Unlock()
	w := workload{seed: seed, callers: 4, requests: either(16, 25), ledger: c.ledger}
	if patient {
		w.run(n.Client())
	}
	stop := make(chan struct{})
	if !patient {
		// The node stops while requests come in.
		go func() { defer close(stop); w.run(n.Client()) }()
		for range 200 {
			runtime.Gosched()
		}
	} else {
		close(stop)
	}
	if err := stopped(c.t, n); err != nil {
		c.t.Errorf("stop: %v", err)
	}
	<-stop
	c.wg.Wait()
	c.mu.Lock()
	c.done = true
	c.mu.Unlock()
}

// TestCrashKeepsANewDirectory cuts the power right after the first request, when
// the directory itself, and those above it, have just been made.
func TestCrashKeepsANewDirectory(t *testing.T) {
	mem := newDisk(t)
	o := small(mem, edda.Fsync)
	o.Dir = "not/there/yet"
	m := &edda.Message{To: edda.Address{Name: accounts, Key: "a"}, Type: "do", Payload: edda.JSON(task{Name: "t"})}
	a, err := mustOpen(t, o).Client().Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	if _, err := mustOpen(t, o).Client().Wait(t.Context(), a.ID); err != nil {
		t.Errorf("acknowledged, then the power was cut: %v", err)
	}
}

// TestCrashStoreIsNeverAheadOfTheLog makes the store write what it was given long
// before it is told to, in durability os, where the log is not synced by itself.
func TestCrashStoreIsNeverAheadOfTheLog(t *testing.T) {
	mem := newDisk(t)
	o := small(mem, edda.OS)
	n := mustOpen(t, o)
	seed := newSeed(t)
	w := workload{seed: seed, callers: 4, requests: either(100, 1000), ledger: &ledger{}}
	worked := make(chan struct{})
	go func() { defer close(worked); w.run(n.Client()) }()
	rng := newRand(seed, 1)
	for working, i := true, 0; working; i++ {
		select {
		case <-worked:
			working = false
		default:
		}
		clone := small(mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(50), RNG: rng}), edda.OS)
		c, err := opened(t, clone)
		if err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		if err := stopped(t, c); err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
	}
}
