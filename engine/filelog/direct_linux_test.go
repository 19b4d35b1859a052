package filelog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

// TestHandles asks the system how the segment that is written to is open: with
// direct writes by one handle, and by no other one.
func TestHandles(t *testing.T) {
	onDisk(t)
	l := open(t, vfs.Default, filelog.Options{Partitions: 1})
	needDirect(t, l)
	const want = unix.O_WRONLY | unix.O_DIRECT | unix.O_DSYNC
	path, err := filepath.Abs("data/" + segmentFile(1))
	if err != nil {
		t.Fatal(err)
	}
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	handles := 0
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != path {
			continue
		}
		handles++
		if flags := handleFlags(t, filepath.Base(link)); flags&(unix.O_ACCMODE|want) != want {
			t.Errorf("the segment is open with flags %#o, want %#o", flags, want)
		}
	}
	if handles != 1 {
		t.Errorf("the segment is open %d times, want once", handles)
	}
}

// handleFlags returns the flags of one of the process's open files.
func handleFlags(t *testing.T, fd string) int64 {
	t.Helper()
	info, err := os.ReadFile("/proc/self/fdinfo/" + fd)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(info)) {
		if octal, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseInt(strings.TrimSpace(octal), 8, 64)
			if err != nil {
				t.Fatal(err)
			}
			return flags
		}
	}
	t.Fatalf("no flags in %q", info)
	return 0
}

// TestInMemory: a file system in memory has nothing to write to past the cache.
func TestInMemory(t *testing.T) {
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Skip("NOT TESTED HERE: /dev/shm is no file system in memory")
	}
	t.Setenv("TMPDIR", "/dev/shm")
	onDisk(t)
	l := open(t, vfs.Default, filelog.Options{Partitions: 1, MinSegmentBytes: 4 << 10})
	o := own(t, l, 0)
	for i := range 20 {
		if r := put(l, 0, o.Epoch, o.Next+engine.Position(i), fmt.Sprint(i)); r.Outcome != engine.Durable {
			t.Fatal(r.Err)
		}
	}
	if s := l.Stats(); s.Direct || s.Segments < 2 {
		t.Errorf("stats %+v, want no direct writes and several segments", s)
	}
	if got := read(t, l, 0, 1); len(got) != 20 {
		t.Errorf("read %d records of 20", len(got))
	}
}
