package crashtest

import (
	"os"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// quota is a file system that has room for so many bytes of new files. What a
// file has once, it can write again.
type quota struct {
	vfs.FS
	room *atomic.Int64
}

func newQuota(fs vfs.FS, room int64) quota {
	q := quota{fs, new(atomic.Int64)}
	q.room.Store(room)
	return q
}

// raise makes room.
func (q quota) raise() { q.room.Store(1 << 40) }

func (q quota) take(path string, n int64) error {
	if n > 0 && q.room.Add(-n) < 0 {
		q.room.Add(n)
		return &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
	}
	return nil
}

func (q quota) Unwrap() vfs.FS { return q.FS }

func (q quota) wrap(path string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &quotaFile{File: f, q: q, path: path}, nil
}

func (q quota) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := q.take(name, 1); err != nil {
		return nil, err
	}
	f, err := q.FS.Create(name, c)
	return q.wrap(name, f, err)
}

func (q quota) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := q.FS.OpenReadWrite(name, c, o...)
	return q.wrap(name, f, err)
}

func (q quota) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := q.FS.ReuseForWrite(from, to, c)
	return q.wrap(to, f, err)
}

// Remove gives the space back.
func (q quota) Remove(name string) error {
	st, err := q.Stat(name)
	if rmErr := q.FS.Remove(name); rmErr != nil {
		return rmErr
	}
	if err == nil {
		q.room.Add(st.Size())
	}
	return nil
}

type quotaFile struct {
	vfs.File
	q    quota
	path string
}

func (f *quotaFile) Write(p []byte) (int, error) {
	if err := f.q.take(f.path, int64(len(p))); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *quotaFile) WriteAt(p []byte, off int64) (int, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := f.q.take(f.path, off+int64(len(p))-st.Size()); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}
