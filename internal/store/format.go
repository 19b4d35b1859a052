package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/wire"
)

// Version is the version of the store's own keys, as described above. It says
// nothing of the keys that users of the tables write.
const Version = 1

// formatKey sorts before every key of a partition.
var formatKey = []byte{0}

// Fields of the value at formatKey.
const (
	fieldVersion     = 1
	fieldPartitions  = 2
	fieldHashVersion = 3
)

// pebbleVersion is the version of Pebble's files, pinned so that a newer Pebble
// does not lock out the release before.
const pebbleVersion = pebble.FormatColumnarBlocks

func (s *Store) pebbleOptions(o Options) *pebble.Options {
	po := &pebble.Options{
		DisableWAL:                  true,
		FormatMajorVersion:          pebbleVersion,
		FS:                          stopFS{o.FS, &s.stop},
		Lock:                        s.lock,
		Logger:                      pebbleLogger{s},
		EventListener:               s.events(),
		CacheSize:                   o.CacheBytes + (stallMemTables+1)*int64(o.MemTableBytes), // memtables count against it
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: 1 << 20, // see stall.go
		L0StopWritesThreshold:       1 << 20,
		MaxOpenFiles:                512,
		// Messages of streams are written once and read in order: to merge them late and
		// rarely spares an eighth of what an append costs.
		L0CompactionThreshold:      8,
		L0CompactionFileThreshold:  1000,
		LBaseMaxBytes:              1 << 30,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
	}
	// The default scheduler has a goroutine that looks for compactions ten times a
	// second, and that is left behind when opening fails. This one does without:
	// it is asked whenever a flush or compaction ends, which is enough, because a
	// compaction waits only while others run.
	po.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	po.Levels[0].FilterPolicy = bloom.FilterPolicy(10) // the levels below inherit it
	return po
}

// prepareDir makes the directory and locks it, and clears it of logs. The database
// makes an empty log whenever it opens, even though it never uses one, and keeps
// them all; after a crash they may be torn, which would refuse the next start.
func prepareDir(dir string, fsys vfs.FS) (*pebble.Lock, error) {
	if err := makeDir(dir, fsys); err != nil {
		return nil, notWritable(err)
	}
	lock, err := pebble.LockDirectory(dir, fsys)
	if err != nil {
		if errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "held by current process") {
			return nil, fmt.Errorf("%w: %w", ErrLocked, err)
		}
		return nil, notWritable(err)
	}
	names, err := fsys.List(dir)
	for _, name := range names {
		if err == nil && strings.HasSuffix(name, ".log") {
			err = fsys.Remove(fsys.PathJoin(dir, name))
		}
	}
	if err != nil {
		return nil, errors.Join(notWritable(err), lock.Close())
	}
	return lock, nil
}

// makeDir makes the directory and those above it, durably.
func makeDir(dir string, fsys vfs.FS) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := fsys.PathDir(dir)
	if parent != dir {
		if err := makeDir(parent, fsys); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if parent == "" {
		parent = "."
	}
	d, err := fsys.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func notWritable(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("directory cannot be written: %w", err)
	}
	return err
}

// checkFormat compares the stored format with the options, or stores it when the
// store is new. It need not be flushed: whatever is, follows it.
func (s *Store) checkFormat(o Options) error {
	value, found, err := s.get(formatKey)
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	if !found {
		return s.writeFormat(o)
	}
	var version, partitions, hashVersion uint64
	r := wire.NewReader(value)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case fieldVersion:
			version = f.Uint
		case fieldPartitions:
			partitions = f.Uint
		case fieldHashVersion:
			hashVersion = f.Uint
		}
	}
	switch {
	case r.Err() != nil:
		return fmt.Errorf("%w: read format: %w", ErrFormat, r.Err())
	case version != Version:
		return fmt.Errorf("%w: it has version %d, this release knows version %d", ErrFormat, version, Version)
	case partitions != uint64(o.Partitions):
		return fmt.Errorf("%w: it has %d partitions, asked for are %d", ErrFormat, partitions, o.Partitions)
	case hashVersion != o.HashVersion:
		return fmt.Errorf("%w: it has hash version %d, asked for is %d", ErrFormat, hashVersion, o.HashVersion)
	}
	return nil
}

func (s *Store) writeFormat(o Options) error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	full := it.First()
	if err := it.Close(); err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	if full {
		return fmt.Errorf("%w: it holds keys but no format", ErrFormat)
	}
	value := wire.AppendUint(nil, fieldVersion, Version)
	value = wire.AppendUint(value, fieldPartitions, uint64(o.Partitions))
	value = wire.AppendUint(value, fieldHashVersion, o.HashVersion)
	if err := s.db.Set(formatKey, value, pebble.NoSync); err != nil {
		return fmt.Errorf("write format: %w", err)
	}
	return nil
}

// prefix returns the prefix of the partition's keys, which is also the key of its
// applied position. The result has room for one more byte.
func prefix(p engine.Partition) []byte {
	return binary.BigEndian.AppendUint16(make([]byte, 0, 3), uint16(p))
}

func decodeApplied(value []byte) (engine.Position, error) {
	if len(value) != 8 {
		return 0, fmt.Errorf("applied position has %d bytes, must have 8", len(value))
	}
	return engine.Position(binary.LittleEndian.Uint64(value)), nil
}
