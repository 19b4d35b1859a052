// Package nodedir keeps what a node's directory has beside the log and the store: that it
// is there, and whose it is. What a function has returned without an error outlives the
// loss of power. Only one process may have the directory, which the log sees to, and only
// one goroutine.
package nodedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
)

// Make makes a directory, with those above it, so that the loss of power does
// not take it back with everything in it. What is there already may have been
// made right before a crash, and is synced as well where that is allowed.
func Make(fsys vfs.FS, dir string) error {
	parent := fsys.PathDir(dir)
	if parent == dir {
		return nil
	}
	if _, err := fsys.Stat(dir); err == nil {
		if err := syncDir(fsys, parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil
	}
	if err := Make(fsys, parent); err != nil {
		return err
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return syncDir(fsys, parent)
}

// ID returns the id of the directory's node, made at the first start.
func ID(fsys vfs.FS, dir string) (string, error) {
	name := fsys.PathJoin(dir, "node-id")
	b, err := readFile(fsys, name)
	if err == nil {
		id, err := edda.ParseID(string(b))
		return id.String(), err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	id := edda.NewID(0, time.Now()).String()
	return id, writeFile(fsys, dir, name, []byte(id))
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// writeFile writes a new file as a whole: after a crash it is there or it is not.
func writeFile(fsys vfs.FS, dir, name string, b []byte) error {
	tmp := name + ".tmp"
	f, err := fsys.Create(tmp, "edda-node")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := syncDir(fsys, dir); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
