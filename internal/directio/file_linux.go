package directio

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// File is a file that is open for direct writes. It is safe for concurrent use,
// except that Close must be the last call.
type File struct {
	fd   int
	path string
}

// Open opens an existing file, whose writes will have offsets and lengths that
// are multiples of align bytes. The error is ErrRefused when the file cannot be
// written so, any other one when it cannot be opened or written at all.
//
// Since not every file system says beforehand what it refuses, Open writes align
// zeros at offset probe, which must lie within the file, and waits for the disk.
func Open(path string, align int, probe int64) (*File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_WRONLY|unix.O_DIRECT|unix.O_DSYNC|unix.O_CLOEXEC, 0)
	})
	f := &File{fd, path}
	if err != nil {
		return nil, f.refusal("open", err)
	}
	if err = f.suits(align); err == nil {
		_, err = f.write(Buffer(align)[:align], probe)
	}
	if err != nil {
		return nil, errors.Join(f.refusal("write", err), f.Close())
	}
	return f, nil
}

// suits is nil unless the file is known not to take what Open was asked for.
func (f *File) suits(align int) error {
	// A file system in memory takes the flag, but has nothing to write to.
	var fs unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Fstatfs(f.fd, &fs) }); err != nil {
		return err
	}
	if fs.Type == unix.TMPFS_MAGIC {
		return fmt.Errorf("%w: the file system is in memory", ErrRefused)
	}
	var st unix.Statx_t
	_, err := retry(func() (int, error) {
		return 0, unix.Statx(f.fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	})
	if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return nil // a kernel or a file system that does not say; the probe will tell
	}
	switch at, memory := int(st.Dio_offset_align), int(st.Dio_mem_align); {
	case at == 0 || memory == 0:
		return fmt.Errorf("%w: the file system has none for this file", ErrRefused)
	case align%at != 0 || bufferAlign%memory != 0:
		return fmt.Errorf("%w: the file wants them aligned to %d bytes, and memory to %d; they are to %d and %d",
			ErrRefused, at, memory, align, bufferAlign)
	}
	return nil
}

// refusal tells what the file system does not do from what went wrong.
func (f *File) refusal(op string, err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return &os.PathError{Op: op, Path: f.path, Err: err}
}

// WriteAt implements io.WriterAt: b is on the medium when the error is nil, and
// may be there in parts when it is not. B must lie in memory as Buffer returns
// it, and must not change meanwhile.
func (f *File) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.write(b, at)
	if err != nil {
		err = &os.PathError{Op: "write", Path: f.path, Err: err}
	}
	return n, err
}

func (f *File) write(b []byte, at int64) (int, error) {
	n, err := retry(func() (int, error) { return unix.Pwrite(f.fd, b, at) })
	switch {
	case err != nil:
		return 0, err
	case n < len(b):
		// Not tried again: the rest need not begin where a write may.
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Close closes the file. What was written was flushed then.
func (f *File) Close() error {
	if err := unix.Close(f.fd); err != nil {
		return &os.PathError{Op: "close", Path: f.path, Err: err}
	}
	return nil
}

// retry calls again what a signal interrupted before it did anything.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
