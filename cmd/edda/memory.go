package main

import (
	"os"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
)

// headroomBytes is how much garbage may gather before a collection, beside what
// Go allows by itself. A node's own memory is small, a few megabytes, and would be
// collected many times a second under load. The size is a guess that keeps a
// loaded node below 300 MB; others were not compared.
const headroomBytes = 32 << 20

// headroom lets garbage gather while little memory is in use; a heap of more than
// headroomBytes has room enough by Go's own rule. It is memory that nobody touches,
// so that it counts for the collector and takes no room. Who sets GOGC or GOMEMLIMIT
// decides alone.
type headroom struct {
	ballast atomic.Pointer[[headroomBytes]byte]
}

// keepHeadroom makes it, and looks after each collection whether it is still of
// use.
func keepHeadroom() *headroom {
	h := &headroom{}
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		h.ballast.Store(new([headroomBytes]byte))
		h.watch()
	}
	return h
}

// watch calls adjust after the next collection.
func (h *headroom) watch() {
	type sentinel struct{ _ *byte } // not so small that it shares a block
	runtime.AddCleanup(new(sentinel), (*headroom).collected, h)
}

func (h *headroom) collected() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	h.adjust(int(sample[0].Value.Uint64() + sample[1].Value.Uint64()))
	h.watch()
}

// adjust drops the ballast when so many bytes are in use, it included, that it is not
// needed, and takes it again when there are few.
func (h *headroom) adjust(used int) {
	switch has := h.ballast.Load() != nil; {
	case has && used > 2*headroomBytes:
		h.ballast.Store(nil)
	case !has && used < headroomBytes/2:
		h.ballast.Store(new([headroomBytes]byte))
	}
}
