package directio_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/edda-io/edda/internal/directio"
)

const align = 512

// newFile returns the path of a file of 16 KiB, synced, whose pages are cached.
func newFile(t *testing.T, dir string) (path string, contents []byte) {
	t.Helper()
	path = filepath.Join(dir, "file")
	contents = bytes.Repeat([]byte("x"), 16<<10)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(contents)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	check(t, path, contents)
	return path, contents
}

// open opens the file for direct writes, or skips the test where there are none.
func open(t *testing.T, path string, probe int64) *directio.File {
	t.Helper()
	f, err := directio.Open(path, align, probe)
	if errors.Is(err, directio.ErrRefused) {
		t.Skipf("NOT TESTED HERE: %v; it takes a disk with sectors of %d bytes", err, align)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// check reads the file through the page cache.
func check(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the file differs from what was written")
	}
}

// block returns n bytes to write.
func block(n int, c string) []byte {
	return append(directio.Buffer(n), strings.Repeat(c, n)...)
}

func TestWriteAt(t *testing.T) {
	path, want := newFile(t, t.TempDir())
	f := open(t, path, 1024)
	clear(want[1024:][:align])
	check(t, path, want)
	for i, c := range []string{"a", "b", "c"} {
		at, b := align*(1+3*i), block(align*(1+2*i), c)
		if n, err := f.WriteAt(b, int64(at)); n != len(b) || err != nil {
			t.Fatalf("write of %d bytes at %d: %d, %v", len(b), at, n, err)
		}
		copy(want[at:], b)
		check(t, path, want)
	}
}

func TestBadWrites(t *testing.T) {
	path, want := newFile(t, t.TempDir())
	f := open(t, path, 0)
	clear(want[:align])
	for _, c := range []struct {
		b  []byte
		at int64
	}{{block(align, "a"), 100}, {block(100, "a"), align}} {
		_, err := f.WriteAt(c.b, c.at)
		if pe, ok := errors.AsType[*fs.PathError](err); !ok || pe.Path != path {
			t.Errorf("write of %d bytes at %d: %v", len(c.b), c.at, err)
		}
	}
	check(t, path, want)
}

// TestShortWrite lets the system write half of what it is given.
func TestShortWrite(t *testing.T) {
	path, _ := newFile(t, t.TempDir())
	f := open(t, path, 0)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 2 * align
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	n, err := f.WriteAt(block(2*align, "a"), align)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if n != align || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("wrote %d bytes, %v, want %d and a short write", n, err, align)
	}
}

func TestRefused(t *testing.T) {
	path, want := newFile(t, t.TempDir())
	open(t, path, 0)
	if _, err := directio.Open(path, 100, 0); !errors.Is(err, directio.ErrRefused) {
		t.Errorf("open for writes aligned to 100 bytes: %v", err)
	}
	if _, err := directio.Open("/dev/null", align, 0); !errors.Is(err, directio.ErrRefused) {
		t.Errorf("open of a device that has no direct writes: %v", err)
	}
	clear(want[:align])
	check(t, path, want)
}

func TestRefusedInMemory(t *testing.T) {
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Skip("NOT TESTED HERE: /dev/shm is no file system in memory")
	}
	t.Setenv("TMPDIR", "/dev/shm")
	path, want := newFile(t, t.TempDir())
	if _, err := directio.Open(path, align, 0); !errors.Is(err, directio.ErrRefused) {
		t.Errorf("open: %v", err)
	}
	check(t, path, want)
}

// TestOpenErrors: what cannot be opened at all is no refusal.
func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := directio.Open(filepath.Join(dir, "nothing"), align, 0)
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, directio.ErrRefused) {
		t.Errorf("open of no file: %v", err)
	}
	if _, err := directio.Open(dir, align, 0); err == nil || errors.Is(err, directio.ErrRefused) {
		t.Errorf("open of a directory: %v", err)
	}
}
