package store

import (
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// stopFS is a file system that changes nothing once the store has stopped. Reading
// goes on. Errors of the files that say which tables there are, and of
// directories, it turns into the stop of the store; see stop.go.
type stopFS struct {
	vfs.FS
	stop *stopper
}

func (f stopFS) Unwrap() vfs.FS { return f.FS }

func (f stopFS) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return stopFile{file, f.stop, f.stop.opened(file)}, nil
}

func (f stopFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	err := f.stop.Err()
	var file vfs.File
	if err == nil {
		file, err = f.FS.Create(name, category)
	}
	manifest := strings.HasPrefix(f.PathBase(name), "MANIFEST-")
	if manifest && err == nil {
		err = f.syncDir(name) // so that no marker survives that names a file that did not
	}
	if manifest || f.isMarker(name) {
		if err != nil {
			f.stop.stop(err)
			file = vfs.NewMemFile(nil) // never written to: the store has stopped
		}
		return quietFile{file, f.stop}, nil
	}
	if f.stop.Err() != nil {
		f.stop.pause()
	}
	return f.wrap(file, err)
}

func (f stopFS) Link(oldname, newname string) error {
	if err := f.stop.Err(); err != nil {
		return err
	}
	return f.FS.Link(oldname, newname)
}

func (f stopFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := f.stop.Err(); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.OpenReadWrite(name, category, opts...))
}

func (f stopFS) OpenDir(name string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return quietFile{dir, f.stop}, nil
}

func (f stopFS) Remove(name string) error {
	err := f.stop.Err()
	if err == nil && f.isMarker(name) {
		// So that the marker in its place survives, if this one does not.
		if err = f.syncDir(name); err != nil {
			f.stop.stop(err)
		}
	}
	if err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f stopFS) isMarker(name string) bool { return strings.HasPrefix(f.PathBase(name), "marker.") }

// syncDir syncs the directory of a file.
func (f stopFS) syncDir(name string) error {
	dir, err := f.FS.OpenDir(f.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (f stopFS) RemoveAll(name string) error {
	if err := f.stop.Err(); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

func (f stopFS) Rename(oldname, newname string) error {
	if err := f.stop.Err(); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

func (f stopFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.stop.Err(); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.ReuseForWrite(oldname, newname, category))
}

func (f stopFS) MkdirAll(dir string, perm fs.FileMode) error {
	if err := f.stop.Err(); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir, perm)
}

func (f stopFS) Lock(name string) (io.Closer, error) {
	if err := f.stop.Err(); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

// GetDiskUsage is only for pacing; a disk that cannot tell is no reason to stop.
func (f stopFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := f.FS.GetDiskUsage(path)
	if err != nil {
		return vfs.DiskUsage{}, vfs.ErrUnsupported
	}
	return usage, nil
}

// stopFile is a file of a stopFS that was opened for writing.
type stopFile struct {
	vfs.File
	stop *stopper
	id   uint64
}

func (f stopFile) Close() error {
	f.stop.forget(f.id)
	return f.File.Close()
}

func (f stopFile) Write(p []byte) (int, error) {
	if err := f.stop.Err(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f stopFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.stop.Err(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f stopFile) Preallocate(offset, length int64) error {
	if err := f.stop.Err(); err != nil {
		return err
	}
	return f.File.Preallocate(offset, length)
}

func (f stopFile) Sync() error {
	if err := f.stop.Err(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f stopFile) SyncTo(length int64) (bool, error) {
	if err := f.stop.Err(); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}

func (f stopFile) SyncData() error {
	if err := f.stop.Err(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// quietFile is a file or directory of a stopFS whose errors Pebble does not get
// to see: they stop the store, and after that nothing happens at all.
type quietFile struct {
	vfs.File
	stop *stopper
}

func (f quietFile) quietly(do func() error) error {
	if f.stop.Err() == nil {
		if err := do(); err != nil {
			f.stop.stop(err)
		}
	}
	return nil
}

func (f quietFile) Write(p []byte) (int, error) {
	return len(p), f.quietly(func() error {
		_, err := f.File.Write(p)
		return err
	})
}

func (f quietFile) Sync() error     { return f.quietly(f.File.Sync) }
func (f quietFile) SyncData() error { return f.quietly(f.File.SyncData) }

func (f quietFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.stop.stop(err)
	}
	return nil
}
