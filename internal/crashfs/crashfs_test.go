package crashfs_test

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda/internal/crashfs"
)

// A disk may be copied while a directory on it is locked, however often.
func TestCopiesWhileADirectoryIsLocked(t *testing.T) {
	var mu sync.Mutex
	mem := vfs.NewCrashableMem()
	ops := 0
	fs := crashfs.Hooked(mem, &mu, func(errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		ops++
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 20_000 {
			l, err := fs.Lock("lock")
			if err == nil {
				err = l.Close()
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Go(func() {
		for range 20_000 {
			mu.Lock()
			mem.CrashClone(vfs.CrashCloneCfg{})
			mu.Unlock()
		}
	})
	wg.Wait()
	if ops != 20_000 {
		t.Errorf("told of %d operations, want 20000", ops)
	}
}
