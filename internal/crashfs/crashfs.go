// Package crashfs copies a file system in memory while it is in use, for tests that cut the
// power at any moment.
package crashfs

import (
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Hooked returns mem with before called ahead of every operation; an error is what the
// operation then ends with. Before may copy mem while it holds mu.
//
// vfs.MemFS must not be copied in the middle of Lock: that takes its lock for reading
// twice, so whoever wants to copy in between waits for the first and holds up the second.
// So Lock waits for mu here.
func Hooked(mem *vfs.MemFS, mu *sync.Mutex, before func(errorfs.Op) error) vfs.FS {
	return errorfs.Wrap(&lone{mem, mu}, errorfs.InjectorFunc(before))
}

type lone struct {
	vfs.FS
	mu *sync.Mutex
}

func (f *lone) Lock(name string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.FS.Lock(name)
}
