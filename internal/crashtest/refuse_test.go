package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine/filelog"
	"github.com/edda-io/edda/node"
)

// filled makes a directory in which requests were handled, and returns the
// ledger of what was told of them.
func filled(t *testing.T, o node.Options, seed uint64) *ledger {
	t.Helper()
	w := workload{seed: seed, callers: 2, requests: 10, ledger: &ledger{}}
	n := mustOpen(t, o)
	w.run(n.Client())
	if err := stopped(t, n); err != nil {
		t.Fatal(err)
	}
	return w.ledger
}

// holds checks that a directory has what the ledger says.
func holds(t *testing.T, o node.Options, l *ledger) {
	t.Helper()
	n := mustOpen(t, o)
	c := check{node: n, entries: l.at(l.now())}
	if err := c.run(t.Context()); err != nil {
		t.Error(err)
	}
	if err := stopped(t, n); err != nil {
		t.Error(err)
	}
}

// refused opens a directory that must not open, and returns why.
func refused(t *testing.T, o node.Options, words ...string) error {
	t.Helper()
	n, err := opened(t, o)
	if err == nil {
		_ = stopped(t, n)
		t.Fatal("the node opened")
	}
	t.Logf("says: %v", err)
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q", w)
		}
	}
	return err
}

// tree reads all files of a directory.
func tree(t *testing.T, fs vfs.FS, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		if st, err := fs.Stat(path); err == nil && st.IsDir() {
			maps.Copy(files, tree(t, fs, path))
			continue
		}
		f, err := fs.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		files[path] = string(b)
	}
	return files
}

// put writes a file as a whole.
func put(t *testing.T, fs vfs.FS, path, contents string) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write([]byte(contents))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFaultStoreAheadOfItsLog(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem, edda.Fsync)
	filled(t, o, newSeed(t))
	earlier := tree(t, mem, "data/log")
	filled(t, o, newSeed(t)+1)
	// Somebody puts an older copy of the log beside the store of today.
	if err := mem.RemoveAll("data/log"); err != nil {
		t.Fatal(err)
	}
	if err := mem.MkdirAll("data/log", 0o755); err != nil {
		t.Fatal(err)
	}
	for path, b := range earlier {
		put(t, mem, path, b)
	}
	refused(t, o, "the store is ahead of its log", "applied position", "the log ends at")
	refused(t, o, "the store is ahead of its log") // and opening did not change that
}

// TestFaultLogIsGone takes away the log, or the store, as a whole.
func TestFaultLogIsGone(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem, edda.Fsync)
	filled(t, o, newSeed(t))
	if err := mem.RemoveAll("data/log"); err != nil {
		t.Fatal(err)
	}
	refused(t, o, "the store is ahead of its log")

	mem = vfs.NewMem()
	o.FS = mem
	filled(t, o, newSeed(t)) // its log was trimmed
	if err := mem.RemoveAll("data/store"); err != nil {
		t.Fatal(err)
	}
	refused(t, o, "the store is behind its log", "was the store removed")
}

// TestFaultDamage changes bytes in the middle of the log, below what was known to be
// durable: the node does not start, says where it is, and touches nothing.
func TestFaultDamage(t *testing.T) {
	mem := vfs.NewMem()
	o := small(mem, edda.Fsync)
	o.SegmentBytes, o.CheckpointBytes = 1<<20, 0
	filled(t, o, newSeed(t))
	files := tree(t, mem, "data/log")
	var seg string
	for path := range files {
		if strings.HasSuffix(path, "0001.seg") {
			seg = path
		}
	}
	b := []byte(files[seg])
	used := len(bytes.TrimRight(b, "\x00"))
	at := used / 2
	for b[at] == 0 {
		at-- // it may be what fills a frame up, which counts for nothing
	}
	b[at] ^= 0xff
	put(t, mem, seg, string(b))
	before := tree(t, mem, "data")
	err := refused(t, o, "damage in "+mem.PathBase(seg), "bytes", "known to be durable")
	d, ok := errors.AsType[*filelog.DamageError](err)
	if !ok || d.From > int64(at) || d.To <= int64(at) || d.To-d.From > 4096 {
		t.Errorf("got damage %+v, want a range of one frame with byte %d in it", d, at)
	}
	for path, b := range tree(t, mem, "data") {
		if !strings.HasSuffix(path, "LOCK") && !strings.HasSuffix(path, "lock") && before[path] != b {
			t.Errorf("refusing to open has changed %s", path)
		}
	}
}

// TestFaultTornTail leaves half a write at the end of the log: it is cut, that is
// logged, and everything acknowledged is there.
func TestFaultTornTail(t *testing.T) {
	mem := newDisk(t)
	o := small(mem, edda.Fsync)
	o.SegmentBytes, o.CheckpointBytes = 1<<20, 0
	n := mustOpen(t, o)
	w := workload{seed: newSeed(t), callers: 2, requests: 10, ledger: &ledger{}}
	w.run(n.Client())
	// A copy of the disk tells where the log ends.
	end := newRand(1, 1)
	whole := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: end}
	clone := mem.CrashClone(whole)
	probe := clone.CrashClone(whole)
	l, err := filelog.Open("data/log", filelog.Options{FS: probe})
	if err != nil {
		t.Fatal(err)
	}
	const seg, header = "data/log/0000000000000001.seg", 4096
	at := header + int64(l.Recovery().Bytes)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The head of a frame has reached the disk, the rest of it has not.
	f, err := clone.OpenReadWrite(seg, vfs.WriteCategoryUnspecified)
	if err == nil {
		head := make([]byte, 24)
		_, err = f.ReadAt(head, header)
		_, failed := f.WriteAt(head, at)
		err = errors.Join(err, failed, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o.FS, o.Logger = clone, slog.New(slog.NewTextHandler(&log, nil))
	holds(t, o, w.ledger)
	if !strings.Contains(log.String(), "torn tail cut off the log") || !strings.Contains(log.String(), fmt.Sprintf("offset=%d", at)) {
		t.Errorf("the log does not tell of the torn tail: %s", log.String())
	}
}

// TestFaultSecondNode opens a directory that another node has open, in this process
// and in another one.
func TestFaultSecondNode(t *testing.T) {
	o := node.Options{Dir: t.TempDir(), Partitions: 4, Services: services(), SegmentBytes: 64 << 10}
	n := mustOpen(t, o)
	refused(t, o, o.Dir, "in use by another process")
	out, err := helper(t, "second-node", "DIR="+o.Dir).CombinedOutput()
	t.Logf("another process says: %s", out)
	if err != nil || !strings.Contains(string(out), "in use by another process") || !strings.Contains(string(out), o.Dir) {
		t.Errorf("another process ended with %v", err)
	}
	if err := stopped(t, n); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, o)
	if err := again.Ready(); err != nil {
		t.Error(err)
	}
}

// tellOpen prints why a node does not open.
func tellOpen() error {
	dir := os.Getenv("DIR")
	n, err := node.Open(context.Background(), node.Options{Dir: dir, Partitions: 4, Services: services(), SegmentBytes: 64 << 10})
	if err != nil {
		_, err = fmt.Fprintln(os.Stdout, err)
		return err
	}
	return errors.Join(errors.New("the node opened"), n.Stop(context.Background()))
}

// TestFaultReadOnlyDirectory opens a directory that cannot be written: one of
// another user, and one on a file system that is mounted read-only.
func TestFaultReadOnlyDirectory(t *testing.T) {
	t.Run("permissions", func(t *testing.T) {
		if os.Getuid() != 0 {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o555); err != nil {
				t.Fatal(err)
			}
			refused(t, node.Options{Dir: dir, Services: services()}, dir, "permission denied")
			return
		}
		dir := t.TempDir()
		openUp(t, dir)
		cmd := helper(t, "read-only", "DIR="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		// Another user must be able to run this binary.
		copied := filepath.Join(dir, "test-binary")
		b, err := os.ReadFile(cmd.Path)
		if err == nil {
			err = os.WriteFile(copied, b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Dir = copied, dir
		out, err := cmd.CombinedOutput()
		t.Logf("says: %s", out)
		if err != nil || !strings.Contains(string(out), "permission denied") || !strings.Contains(string(out), dir) {
			t.Errorf("ended with %v", err)
		}
	})
	t.Run("mount", func(t *testing.T) {
		dir := mounted(t, "size=16m")
		data := filepath.Join(dir, "data")
		o := node.Options{Dir: data, Partitions: 4, Services: services(), SegmentBytes: 64 << 10}
		l := filled(t, o, newSeed(t))
		remount(t, dir, "ro")
		refused(t, o, data, "read-only file system")
		remount(t, dir, "rw")
		holds(t, o, l)
	})
	t.Run("vfs", func(t *testing.T) {
		mem := newDisk(t)
		l := filled(t, small(mem, edda.Fsync), newSeed(t))
		ro := hooked(mem, func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
				return &os.PathError{Op: "write", Path: op.Path, Err: syscall.EROFS}
			}
			return nil
		})
		refused(t, small(ro, edda.Fsync), "data", "read-only file system")
		holds(t, small(mem, edda.Fsync), l)
	})
}

// openUp lets other users into a directory, and those above it.
func openUp(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// mounted returns a small file system of its own, or skips the test.
func mounted(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED HERE: cannot mount a small file system (%v: %s); it takes root on Linux", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

func remount(t *testing.T, dir, how string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "remount,"+how, dir).CombinedOutput(); err != nil {
		t.Fatalf("remount: %v: %s", err, out)
	}
}

// TestFaultFullDisk fills the disk under a node. What it cannot store it refuses,
// and says why; it does not lie about what is stored. Once there is space and
// the node was started again, everything acknowledged is there.
func TestFaultFullDisk(t *testing.T) {
	t.Run("vfs", func(t *testing.T) {
		for _, d := range []edda.Durability{edda.Fsync, edda.OS} {
			t.Run(string(d), func(t *testing.T) {
				mem := newDisk(t)
				full := newQuota(mem, 300<<10)
				fill(t, small(full, d), full.raise)
			})
		}
	})
	t.Run("mount", func(t *testing.T) {
		dir := mounted(t, "size=4m")
		o := node.Options{Dir: filepath.Join(dir, "data"), Partitions: 4, SegmentBytes: 256 << 10, CheckpointBytes: 256 << 10, Services: services()}
		fill(t, o, func() { remount(t, dir, "size=64m") })
	})
}

// fill sends requests until the disk is full, makes room, and looks again.
func fill(t *testing.T, o node.Options, makeRoom func()) {
	t.Helper()
	n := mustOpen(t, o)
	c := n.Client()
	l := &ledger{}
	var refusals []error
	for i := 0; len(refusals) < 20; i++ {
		if i == 50_000 {
			t.Fatal("the disk does not get full")
		}
		e := &entry{service: accounts, key: keys[i%len(keys)], sent: true, keep: true}
		l.submit(e)
		m := e.message()
		m.Headers.Set("Ballast", strings.Repeat("x", 500))
		a, err := c.Send(t.Context(), m)
		l.sent(e, a, err)
		l.over(e)
		if err != nil {
			refusals = append(refusals, err)
		}
	}
	first := refusals[0]
	if r := edda.ReasonOf(first); r != edda.Unavailable && r != edda.OutcomeUnknown {
		t.Errorf("a full disk is answered with reason %s: %v", r, first)
	}
	t.Logf("after %d requests says: %v; later: %v", len(l.entries)-len(refusals), first, refusals[len(refusals)-1])
	<-n.Done()
	if err := n.Err(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the node stopped with %v, want no space left on device", err)
	}
	_ = stopped(t, n)
	// There is not enough space even to start; the node says so, and spoils nothing.
	if n, err := opened(t, o); err == nil {
		_ = stopped(t, n)
	} else if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("opened with a full disk: %v", err)
	}
	makeRoom()
	holds(t, o, l)
}
