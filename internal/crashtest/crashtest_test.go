// Package crashtest proves what a node promises when things go wrong: the disk
// loses what was not synced or fails, the process is killed, the load is too
// much. It consists of tests alone, and its subject is the whole node: log, fold,
// store, outbox and handlers together, reached through the public API; for
// processes it is the real binary.
//
// Every test takes its random choices from one seed, which it prints;
// -crash.seed or EDDA_SEED repeats them. (What the scheduler does is not
// repeated.) EDDA_LONG=1 runs everything at full length.
package crashtest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda/node"
)

var seedFlag = flag.Uint64("crash.seed", 0, "seed of the random choices; 0 means EDDA_SEED, or another one each time")

// long says that everything runs at full length.
func long() bool { return os.Getenv("EDDA_LONG") != "" }

// either returns short in a normal run, and full at full length.
func either[T any](short, full T) T {
	if long() {
		return full
	}
	return short
}

// newSeed returns the seed of a test, and prints it.
func newSeed(t *testing.T) uint64 {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed, _ = strconv.ParseUint(os.Getenv("EDDA_SEED"), 10, 64)
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -crash.seed=%d", seed)
	return seed
}

// newRand returns one of the independent sequences of a seed.
func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// newDisk returns a file system that can be crashed, whose root is synced.
func newDisk(t *testing.T) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	d, err := mem.OpenDir("/")
	if err == nil {
		err = d.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// hooked calls before with every operation on a file system; an error is what
// the operation then ends with.
func hooked(fs vfs.FS, before func(errorfs.Op) error) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(before))
}

func isSync(k errorfs.OpKind) bool {
	return k == errorfs.OpFileSync || k == errorfs.OpFileSyncData || k == errorfs.OpFileSyncTo
}

// stopBound is how long a node may take to open or to stop before that counts
// as a hang.
const stopBound = 2 * callBound

// within fails the test, with the stacks of all goroutines, when f takes so long
// by the stopwatch that it must be taken for a hang.
func within(t *testing.T, w *stopwatch, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	hang, over := w.timeout(stopBound)
	defer over()
	select {
	case <-done:
	case <-hang.Done():
		panic(fmt.Sprintf("%s: %s hangs\n%s", t.Name(), what, stacks()))
	}
}

// stopped stops a node and returns its error.
func stopped(t *testing.T, n *node.Node) (err error) {
	t.Helper()
	return stoppedBy(t, nil, n)
}

func stoppedBy(t *testing.T, w *stopwatch, n *node.Node) (err error) {
	t.Helper()
	within(t, w, "stop", func() {
		ctx, cancel := w.timeout(stopBound / 2)
		defer cancel()
		err = n.Stop(ctx)
	})
	return err
}

// opened opens a node, or returns why it does not open.
func opened(t *testing.T, o node.Options) (n *node.Node, err error) {
	t.Helper()
	return openedBy(t, nil, o)
}

func openedBy(t *testing.T, w *stopwatch, o node.Options) (n *node.Node, err error) {
	t.Helper()
	within(t, w, "open", func() {
		ctx, cancel := w.timeout(stopBound / 2)
		defer cancel()
		n, err = node.Open(ctx, o)
	})
	return n, err
}

// mustOpen opens a node that has no reason not to open, and stops it in the end.
func mustOpen(t *testing.T, o node.Options) *node.Node {
	t.Helper()
	n, err := opened(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stopped(t, n) })
	return n
}
