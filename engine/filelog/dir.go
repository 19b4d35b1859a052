package filelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The files of a directory.
const (
	lockName       = "lock"
	metaName       = "meta"
	segmentSuffix  = ".seg"
	spareSuffix    = ".spare"
	tempSuffix     = ".tmp"
	snapshotPrefix = "snap-"
)

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

// segmentNumber is the inverse of segmentName; ok is false for other names.
func segmentNumber(name string) (n uint64, ok bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, err == nil
}

// listing is what a directory holds.
type listing struct {
	segments []uint64 // numbers, rising
	scratch  []string // names of what no crash needs to keep
}

func list(fsys vfs.FS, dir string) (listing, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return listing{}, err
	}
	var l listing
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			l.segments = append(l.segments, n)
		} else if strings.HasSuffix(name, spareSuffix) || strings.HasSuffix(name, tempSuffix) {
			l.scratch = append(l.scratch, name)
		}
	}
	slices.Sort(l.segments)
	return l, nil
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	defer closeQuietly(d)
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %q: %w", dir, err)
	}
	return nil
}

// replaceFile gives a file new contents: on return they are durable, on error
// the old ones are still there, or the new ones are. It does not sync the
// directory.
func replaceFile(fsys vfs.FS, path string, contents []byte) error {
	temp := path + tempSuffix
	f, err := fsys.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fsys.Remove(temp))
	}
	return fsys.Rename(temp, path)
}

// lock takes the directory for this process.
func lock(fsys vfs.FS, dir string) (io.Closer, error) {
	path := dir
	// The operating system's locks belong to the process, and vfs tells apart two
	// openers of one process by the name alone; so the name must be the one name.
	if vfs.Root(fsys) == vfs.Default {
		abs, err := filepath.Abs(dir)
		if err == nil {
			abs, err = filepath.EvalSymlinks(abs)
		}
		if err != nil {
			return nil, err
		}
		path = abs
	}
	l, err := fsys.Lock(fsys.PathJoin(path, lockName))
	if err == nil {
		return l, nil
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("lock directory %q: %w", dir, err)
	}
	held := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) ||
		strings.Contains(err.Error(), "lock held by current process")
	if held {
		return nil, fmt.Errorf("directory %q is %w", dir, ErrInUse)
	}
	return nil, fmt.Errorf("lock directory %q: %w", dir, err)
}

// closeQuietly closes what was only read, or was synced already: its Close has
// nothing left to report.
func closeQuietly(c io.Closer) { _ = c.Close() }
