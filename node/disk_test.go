package node_test

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// disk is a file system that outlives the nodes that are opened on it.
type disk struct{ fs *vfs.MemFS }

func newDisk() *disk { return &disk{vfs.NewCrashableMem()} }

// open opens a node on the disk, which the caller stops.
func (d *disk) open(t *testing.T, o node.Options, services ...*edda.Service) *node.Node {
	t.Helper()
	o.Dir, o.FS, o.Durability = "data", d.fs, edda.Fsync
	o.SegmentBytes = 1 << 20
	return open(t, node.WithoutGather(o), services...)
}

// crash is the disk as a power failure leaves it now: with what was synced.
func (d *disk) crash() *disk {
	return &disk{d.fs.CrashClone(vfs.CrashCloneCfg{})}
}

// randFor returns chance that is the same each time the test runs.
func randFor(t *testing.T) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(1, 2))
}
