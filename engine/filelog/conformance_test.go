package filelog_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/enginetest"
	"github.com/edda-io/edda/engine/filelog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	memory := func(*testing.T) (vfs.FS, string) { return vfs.NewMem(), "data" }
	for name, c := range map[string]struct {
		opts filelog.Options
		disk func(*testing.T) (vfs.FS, string)
	}{
		// Small to begin with, since a file system in memory is slow to fill.
		"fsync":        {filelog.Options{MinSegmentBytes: 32 << 10}, memory},
		"tinySegments": {filelog.Options{MinSegmentBytes: 1 << 10, MaxSegmentBytes: 8 << 10, Gather: -1}, memory},
		"os": {filelog.Options{MinSegmentBytes: 1 << 10, MaxSegmentBytes: 1 << 10, Gather: time.Millisecond,
			Durability: edda.OS}, memory},
		"direct": {filelog.Options{MinSegmentBytes: 32 << 10},
			func(t *testing.T) (vfs.FS, string) { t.Helper(); return vfs.Default, t.TempDir() }},
		"cached": {filelog.Options{MinSegmentBytes: 32 << 10},
			func(t *testing.T) (vfs.FS, string) { t.Helper(); return cachedFS{vfs.Default}, t.TempDir() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testConformance(t, c.opts, c.disk)
		})
	}
}

func testConformance(t *testing.T, opts filelog.Options, disk func(*testing.T) (vfs.FS, string)) {
	t.Helper()
	opts.Partitions = enginetest.Partitions
	if opts.Durability == "" {
		opts.Durability = edda.Fsync
	}
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		t.Helper()
		opts, dir := opts, ""
		opts.FS, dir = disk(t)
		start := func(t *testing.T) *filelog.Log {
			t.Helper()
			l, err := filelog.Open(dir, opts)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := start(t)
		return enginetest.Harness{
			Engine:        l,
			Durability:    opts.Durability,
			MaxBatchBytes: filelog.MaxBatchBytes,
			Reopen: func(t *testing.T) engine.Engine {
				t.Helper()
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = start(t)
				return l
			},
		}
	})
}
