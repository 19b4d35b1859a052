package filelog

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
)

// The defaults of Options.
const (
	DefaultPartitions      = 64
	DefaultMinSegmentBytes = 1 << 20
	DefaultMaxSegmentBytes = 64 << 20
	DefaultGather          = 100 * time.Microsecond
)

// Options are the settings of a log. The zero value is usable.
type Options struct {
	// FS is the file system. Default: that of the operating system.
	FS vfs.FS
	// Durability is what Durable promises: edda.Fsync (the default) or edda.OS.
	// edda.Memory is refused; the engine for it is memlog.
	Durability edda.Durability
	// Partitions is the number of partitions, at most 65,536. It is fixed when the
	// log is created; zero means DefaultPartitions for a new log and whatever it
	// has for an old one. Another number than the log has is an error.
	Partitions int
	// MinSegmentBytes and MaxSegmentBytes bound the bytes of frames that a new
	// segment has room for: the first has the least, each further one twice as
	// much as the one before. Defaults: 1 MiB and 64 MiB, and whatever they are is
	// rounded up to 512. A batch larger than that gets a segment of its own size.
	MinSegmentBytes, MaxSegmentBytes int64
	// Gather is how long the writer waits at most, after a flush, for the callers
	// it just released to come back before it flushes again; it waits only while
	// they do come. Zero means DefaultGather, a negative value not at all.
	Gather time.Duration
	// Coming, when not nil, says that Append is about to be called: the writer then
	// waits for it, for a fraction of a flush. It is called often, by the writer's
	// goroutine, and must not block.
	Coming func() bool
	// Logger gets what an operator should know: a torn tail that was cut, a
	// segment that could not be prepared. Default: nothing is logged.
	Logger *slog.Logger
}

// withDefaults checks the options and fills in the defaults, except Partitions.
func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.Durability = cmp.Or(o.Durability, edda.Fsync)
	o.MaxSegmentBytes = cmp.Or(o.MaxSegmentBytes, max(DefaultMaxSegmentBytes, o.MinSegmentBytes))
	o.MinSegmentBytes = cmp.Or(o.MinSegmentBytes, min(DefaultMinSegmentBytes, o.MaxSegmentBytes))
	o.Gather = cmp.Or(o.Gather, DefaultGather)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Durability == edda.Memory:
		return o, fmt.Errorf("durability %q keeps nothing in files: use memlog", edda.Memory)
	case o.Durability != edda.Fsync && o.Durability != edda.OS:
		return o, fmt.Errorf("durability %q is neither %q nor %q", o.Durability, edda.Fsync, edda.OS)
	case o.Partitions < 0 || o.Partitions > maxPartitions:
		return o, fmt.Errorf("partitions %d is not between 1 and %d", o.Partitions, maxPartitions)
	case o.MinSegmentBytes < 1 || o.MaxSegmentBytes < o.MinSegmentBytes || o.MaxSegmentBytes > 1<<31:
		return o, fmt.Errorf("segment bytes from %d to %d are not within 1 and %d, in order",
			o.MinSegmentBytes, o.MaxSegmentBytes, int64(1)<<31)
	}
	return o, nil
}
