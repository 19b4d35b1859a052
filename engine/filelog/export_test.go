package filelog

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// OpenEmulated is Open with direct writes on a file system that has none: they go
// through a handle of their own, which is flushed after each of them, and which
// wants of them what a disk does.
func OpenEmulated(dir string, opts Options) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	return open(dir, opts, func(path string, probe int64) (sink, error) {
		f, err := opts.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return nil, err
		}
		e := emulated{flushed{f}}
		if _, err := e.flushed.WriteAt(make([]byte, frameAlign), probe); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return e, nil
	})
}

type emulated struct{ flushed }

func (e emulated) WriteAt(b []byte, at int64) (int, error) {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if at%frameAlign != 0 || len(b)%frameAlign != 0 || address%4096 != 0 {
		panic(fmt.Sprintf("write of %d bytes from %#x at %d, which a disk does not take", len(b), address, at))
	}
	return e.flushed.WriteAt(b, at)
}
