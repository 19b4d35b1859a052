package nodedir_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/nodedir"
)

// crash is the disk as a power failure leaves it: with what was synced.
func crash(fs *vfs.MemFS) *vfs.MemFS { return fs.CrashClone(vfs.CrashCloneCfg{}) }

func TestDirectoryOutlivesACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	dir := fs.PathJoin("/a", "b", "log")
	for range 2 { // it is there the second time
		if err := nodedir.Make(fs, dir); err != nil {
			t.Fatal(err)
		}
		if info, err := crash(fs).Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("after a crash: %v, %v", info, err)
		}
	}
}

// A directory that was made and not synced is synced by whoever comes next.
func TestDirectoryThatWasNotSynced(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("/log", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := nodedir.Make(fs, "/log"); err != nil {
		t.Fatal(err)
	}
	if _, err := crash(fs).Stat("/log"); err != nil {
		t.Error(err)
	}
}

func TestID(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := nodedir.Make(fs, "/data"); err != nil {
		t.Fatal(err)
	}
	id, err := nodedir.ID(fs, "/data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := edda.ParseID(id); err != nil {
		t.Errorf("%q is no id: %v", id, err)
	}
	for what, disk := range map[string]*vfs.MemFS{"again": fs, "after a crash": crash(fs)} {
		if again, err := nodedir.ID(disk, "/data"); err != nil || again != id {
			t.Errorf("%s: got %q and %v, want %q", what, again, err, id)
		}
	}
}

func TestIDThatIsNone(t *testing.T) {
	fs := vfs.NewMem()
	f, err := fs.Create("/node-id", "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("no id")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if id, err := nodedir.ID(fs, "/"); err == nil {
		t.Errorf("got the id %q", id)
	}
}
