package crashtest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/store"
)

// fault fails one operation on a disk, or every one from it on.
type fault struct {
	first   int64
	forever bool
	ops     atomic.Int64
	op      atomic.Pointer[errorfs.Op] // that failed first
}

func (f *fault) before(op errorfs.Op) error {
	n := f.ops.Add(1)
	if n < f.first || n > f.first && !f.forever {
		return nil
	}
	if n == f.first {
		f.op.Store(&op)
	}
	return errorfs.ErrInjected
}

func (f *fault) String() string {
	s := fmt.Sprintf("operation %d", f.first)
	if op := f.op.Load(); op != nil {
		s += fmt.Sprintf(" (%d on %s)", op.Kind, op.Path)
	}
	if f.forever {
		s += " and all after it"
	}
	return s
}

// TestFaultEveryOperation fails the Nth operation on the disk, for every N of a
// short workload, of the log and of the store. The node stops or goes on, and
// ends; what was acknowledged is on the disk, also when the power is lost then;
// and nothing is there that was refused.
func TestFaultEveryOperation(t *testing.T) {
	faultEveryOperation(t, either(int64(7), 1), either(uint64(1), 2), func() subject { return &ledger{} })
}

// faultEveryOperation fails every stepth operation, under a number of seeds.
func faultEveryOperation(t *testing.T, step int64, seeds uint64, newSubject func() subject) {
	t.Helper()
	for _, d := range []edda.Durability{edda.Fsync, edda.OS} {
		for _, forever := range []bool{false, true} {
			name := fmt.Sprintf("%s/once", d)
			if forever {
				name = fmt.Sprintf("%s/forever", d)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				seed := newSeed(t)
				for i := range seeds {
					faults(t, d, forever, step, seed+i, newSubject)
				}
			})
		}
	}
}

// faults fails one operation after the other.
func faults(t *testing.T, d edda.Durability, forever bool, step int64, seed uint64, newSubject func() subject) {
	t.Helper()
	rng := newRand(seed, 0)
	runs, stops := 0, 0
	for n := 1 + rng.Int64N(step); !t.Failed(); n += step {
		f := &fault{first: n, forever: forever}
		runs++
		if injure(t, d, f, newSubject(), seed) {
			stops++
		}
		if ops := f.ops.Load(); ops < n {
			t.Logf("seed %d: failed %d of about %d operations, %d of which stopped the node", seed, runs, ops, stops)
			return
		}
	}
}

// injure runs a workload on a disk with a fault, and reports whether the node
// stopped or did not open.
func injure(t *testing.T, d edda.Durability, f *fault, l subject, seed uint64) (stops bool) {
	t.Helper()
	mem := newDisk(t)
	o := small(hooked(mem, f.before), d)
	o.CheckpointBytes = 3 << 10
	var r run
	o.Services, r = l.host()
	n, err := opened(t, o)
	if err == nil {
		within(t, nil, f.String()+": the workload", func() { r.work(n, nil, seed, 2, either(7, 14)) })
		err = stopped(t, n)
	}
	honest := errors.Is(err, errorfs.ErrInjected) || errors.Is(err, engine.ErrStopped) || errors.Is(err, store.ErrStopped)
	if err != nil && !honest {
		t.Errorf("%v: the node ends with an error that does not say why: %v", f, err)
	}
	if err := l.contradictions(); err != nil {
		t.Errorf("%v: %v", f, err)
	}
	lost := mem.CrashClone(vfs.CrashCloneCfg{})
	end := l.now()
	for _, left := range []*crash{
		{fs: mem, at: fmt.Sprintf("%v failed, then nothing more", f)},
		{fs: lost, weak: d == edda.OS, at: fmt.Sprintf("%v failed, then the loss of power", f)},
	} {
		left.moment, left.until, left.unread = end, end, true
		left.examine(t, d, l)
	}
	return err != nil
}
