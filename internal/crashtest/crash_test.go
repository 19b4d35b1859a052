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
	"github.com/edda-io/edda/internal/crashfs"
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
	moment  int  // of the subject: what was told before must hold
	until   int  // what was asked for later cannot be there
	percent int  // of what was not synced, that is kept
	weak    bool // the end may be missing
	unread  bool // the disk may have refused to read something once, which costs an attempt
	goesOn  bool // the next generation
	watch   *stopwatch
	at      string
}

// crasher copies a disk before every sync, and at random moments in between, and
// has each copy examined.
type crasher struct {
	t          *testing.T
	mem        *vfs.MemFS
	durability edda.Durability
	subject    subject
	watch      *stopwatch // stands still while an operation waits for an examination
	wg         sync.WaitGroup

	mu   sync.Mutex // guards what follows; held while the disk is copied
	rng  *rand.Rand
	n    int
	next *crash // goes on with the next generation
	weak bool   // the disk has lost something, and the subject does not know what
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
	enough := c.done || c.next != nil && c.t.Failed()
	if enough || c.rng.IntN(seldom(sync)) > 0 {
		c.mu.Unlock()
		return nil
	}
	c.n++
	if sync {
		c.syncs++
	}
	k := &crash{moment: c.subject.now(), percent: []int{0, 100, 1 + c.rng.IntN(99)}[c.n%3]}
	k.weak = c.weak || c.durability == edda.OS && k.percent < 100
	k.at = fmt.Sprintf("crash %d (before operation %d on %s), with %d%% of what was not synced", c.n, op.Kind, op.Path, k.percent)
	k.fs = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: k.percent, RNG: c.rng})
	k.until = c.subject.now()
	if c.next == nil || c.rng.IntN(c.n) == 0 {
		k, c.next = c.next, k
	}
	c.mu.Unlock()
	if k != nil {
		c.examine(k)
	}
	return nil
}

// seldom says that one operation in how many is preceded by a crash. The short suite takes
// half of the syncs, other ones each time.
func seldom(sync bool) int {
	if sync {
		return either(2, 1)
	}
	return either(40, 12)
}

// examining has room for the copies that are examined at a time, by all crashers: as
// many as there are cores, because more of them only wait for each other.
var examining = make(chan struct{}, runtime.GOMAXPROCS(0))

// examine opens a copy of the disk, in a goroutine of its own, and checks it.
func (c *crasher) examine(k *crash) {
	c.watch.hold()
	examining <- struct{}{}
	c.watch.release()
	c.wg.Go(func() {
		defer func() { <-examining }()
		k.examine(c.t, c.durability, c.subject)
	})
}

// examine opens what the crash has left and checks it.
func (k *crash) examine(t *testing.T, d edda.Durability, s subject) {
	t.Helper()
	o := small(k.fs, d)
	var r run
	o.Services, r = s.host()
	n, err := opened(t, o)
	if err != nil {
		t.Errorf("%s: %v", k.at, err)
		return
	}
	if err := r.check(context.Background(), n, k); err != nil {
		t.Errorf("%s: %v", k.at, err)
	}
	if err := stopped(t, n); err != nil {
		t.Errorf("%s: stop: %v", k.at, err)
	}
}

// TestCrashEverySync runs random requests, cuts the power at every sync and at
// moments in between, and opens what is left of the disk. What was acknowledged
// is there once, in order and with the outcome that was told. Then it goes on
// with one of the copies, several times.
//
// Durability os promises that for the death of the process alone; after a loss
// of power the end may be missing, of the whole log, and never half a request.
func TestCrashEverySync(t *testing.T) {
	crashEverySync(t, either(1, 7), func() subject { return &ledger{} })
}

// crashEverySync runs campaigns with a new subject each.
func crashEverySync(t *testing.T, campaigns int, newSubject func() subject) {
	t.Helper()
	for _, d := range []edda.Durability{edda.Fsync, edda.OS} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			seed := newSeed(t)
			recycled := 0
			// It is the machine that decides when there is a checkpoint, so that there may be
			// more campaigns.
			for i := 0; !t.Failed() && (i < campaigns || recycled == 0 && i < campaigns+4); i++ {
				recycled += campaign(t, d, newSubject(), seed+uint64(i))
			}
			if recycled == 0 && !t.Failed() {
				t.Error("the runs were too short to checkpoint, trim and recycle")
			}
		})
	}
}

// campaign crashes one disk after the other, and returns how often segments were
// trimmed and used again.
func campaign(t *testing.T, d edda.Durability, l subject, seed uint64) int {
	t.Helper()
	rng := newRand(seed, 0)
	last := &crash{fs: newDisk(t), percent: 100, goesOn: true}
	var crashes, syncs, rotated, recycled, tables int
	patient := false
	const generations = 4
	for g := range generations {
		c := &crasher{t: t, mem: last.fs, durability: d, subject: l, weak: last.weak, rng: newRand(seed, uint64(g)+1), watch: newStopwatch()}
		// One of two is patient, so that there is enough to trim.
		if g%2 == 0 {
			patient = rng.IntN(2) == 0
		} else {
			patient = !patient
		}
		c.generation(last, seed+uint64(g)<<32, patient)
		crashes += c.n
		syncs, rotated, recycled, tables = syncs+c.syncs, rotated+c.rotated, recycled+c.recycled, tables+c.tables
		last = c.next
		last.goesOn = true
		l.rewind(last.moment)
		if t.Failed() {
			t.Logf("in generation %d of seed %d", g, seed)
			return 0
		}
	}
	if err := l.contradictions(); err != nil {
		t.Error(err)
	}
	t.Logf("seed %d: %d generations, %v, %d crashes examined, %d of them at a sync; %d segments begun, %d recycled, %d tables written",
		seed, generations, l, crashes, syncs, rotated, recycled, tables)
	return min(recycled, tables)
}

// generation opens the disk, checks what a crash has left, works on, and ends.
func (c *crasher) generation(last *crash, seed uint64, patient bool) {
	last.watch = c.watch
	o := small(crashfs.Hooked(c.mem, &c.mu, c.before), c.durability)
	var r run
	o.Services, r = c.subject.host()
	n, err := openedBy(c.t, c.watch, o)
	if err != nil {
		c.t.Fatalf("%s: %v", last.at, err)
	}
	if err := r.check(context.Background(), n, last); err != nil {
		c.t.Errorf("%s: %v", last.at, err)
	}
	c.mu.Lock()
	r.learn()
	c.weak = false
	c.mu.Unlock()
	work := func() { r.work(n, c.watch, seed, 4, either(16, 25)) }
	if patient {
		work()
	}
	stop := make(chan struct{})
	if !patient {
		// The node stops while requests come in.
		go func() { defer close(stop); work() }()
		for range 200 {
			runtime.Gosched()
		}
	} else {
		close(stop)
	}
	if err := stoppedBy(c.t, c.watch, n); err != nil {
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
