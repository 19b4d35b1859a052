// Package store is the ordered table behind the fold: what a partition knows,
// as sorted keys and values, together with the position of the log up to which
// it knows it.
//
// A [Store] keeps the tables of all partitions of a node in one Pebble database
// without a write-ahead log, because the partition's log is that already. A
// commit is atomic, and in memory until the store is flushed; after a crash a
// table is exactly as it was at some commit, whose position Applied returns, and
// the log is replayed from there. DurableApplied tells the position that a crash
// cannot take back, so that log before it may be trimmed. [Tree] is the same
// table in a B-tree, for tests.
//
// Stores and tables are safe for concurrent use, except that the commits of one
// partition follow each other. When the disk fails, a store stops for good:
// nothing is written any more, every operation returns an error that is
// ErrStopped, and the process goes on; see stop.go.
//
// Keys in the database are:
//
//	00          the format: fields 1 version, 2 partitions, 3 hash version
//	PPPP        the applied position of a partition, 8 bytes, little-endian
//	PPPP key    a key of a partition, as its user wrote it
//
// where PPPP is the number of the partition in two bytes, big-endian.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
)

// Errors of a store. Test with errors.Is.
var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrStopped: the disk failed and has stopped the store for good. What was
	// flushed before is safe; opening the store anew tells what that is.
	ErrStopped = errors.New("store stopped")
	// ErrLocked: another store has the directory open.
	ErrLocked = errors.New("directory is in use by another process")
	// ErrFormat: the directory holds a store that this one cannot be opened as.
	ErrFormat = errors.New("format does not fit")
)

// Defaults and limits of Options.
const (
	DefaultPartitions    = 64
	MaxPartitions        = 1<<16 - 1
	DefaultCacheBytes    = 32 << 20
	DefaultMemTableBytes = 16 << 20
	MinMemTableBytes     = 64 << 10
)

// Options say how a store is opened. The zero value works.
type Options struct {
	// Partitions is the number of partitions, up to MaxPartitions; zero means
	// DefaultPartitions. It is stored with the store and cannot change.
	Partitions int
	// HashVersion is the version of the address hash that the log was created
	// with; zero means edda.HashVersion. It is stored and cannot change.
	HashVersion uint64
	// FS is the file system; nil means that of the operating system, vfs.NewMem()
	// keeps the store in memory.
	FS vfs.FS
	// CacheBytes is the memory that keeps blocks read from disk, besides what the
	// memtables do not need of theirs; zero means DefaultCacheBytes. A store uses at
	// most CacheBytes and four times MemTableBytes.
	CacheBytes int64
	// MemTableBytes is how much is gathered in memory before it goes to disk
	// unasked; zero means DefaultMemTableBytes, at least MinMemTableBytes. Up to
	// stallMemTables times as much may wait for the disk.
	MemTableBytes int
	// Logger gets what happens in the background; nil discards it.
	Logger *slog.Logger
	// OnStop is called once, from a goroutine of the store, when the store stops
	// because the disk failed; nil means that nobody wants to know before the next
	// operation does. It may use the store but not close it: Close waits for it.
	OnStop func(error)
}

func (o *Options) setDefaults() error {
	o.Partitions = cmp.Or(o.Partitions, DefaultPartitions)
	o.HashVersion = cmp.Or(o.HashVersion, edda.HashVersion)
	o.CacheBytes = cmp.Or(o.CacheBytes, DefaultCacheBytes)
	o.MemTableBytes = cmp.Or(o.MemTableBytes, DefaultMemTableBytes)
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Partitions < 1 || o.Partitions > MaxPartitions:
		return fmt.Errorf("Partitions is %d, must be 1 to %d", o.Partitions, MaxPartitions)
	case o.CacheBytes < 0:
		return fmt.Errorf("CacheBytes is %d, must not be negative", o.CacheBytes)
	case o.MemTableBytes < MinMemTableBytes || o.MemTableBytes > 1<<30:
		return fmt.Errorf("MemTableBytes is %d, must be %d to %d", o.MemTableBytes, MinMemTableBytes, 1<<30)
	}
	return nil
}

// Store keeps the tables of all partitions of a node.
type Store struct {
	db     *pebble.DB
	lock   *pebble.Lock
	log    *slog.Logger
	parts  []PartitionTable
	uses   uses
	stop   stopper
	stall  stall
	closed sync.Once
	err    error // of closing; set by closed
}

// Open opens the store in the directory, which it makes if there is none. One
// store at a time has a directory open: ErrLocked. A store that was written by a
// later release, or with other partitions, is refused: ErrFormat.
func Open(dir string, o Options) (*Store, error) {
	if err := o.setDefaults(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", dir, err)
	}
	return s, nil
}

func open(dir string, o Options) (*Store, error) {
	lock, err := prepareDir(dir, o.FS)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, log: o.Logger, parts: make([]PartitionTable, o.Partitions)}
	s.uses.init()
	s.stop.init(o.OnStop, o.Logger)
	s.stall.init(o.MemTableBytes)
	s.db, err = pebble.Open(dir, s.pebbleOptions(o))
	if err != nil {
		s.stop.off()
		return nil, errors.Join(cmp.Or(s.stop.Err(), err), lock.Close())
	}
	if err = s.stop.Err(); err == nil {
		err = s.checkFormat(o)
	}
	for p := range s.parts {
		if err == nil {
			err = s.parts[p].init(s, engine.Partition(p))
		}
	}
	if err != nil {
		err = cmp.Or(s.stop.Err(), err)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Partition returns the table of partition p, which is one of those the store
// was opened with. It lives as long as the store.
func (s *Store) Partition(p engine.Partition) *PartitionTable { return &s.parts[p] }

// Partitions returns the number of partitions.
func (s *Store) Partitions() int { return len(s.parts) }

// Err is nil while the store works, and says why it stopped, or that it was
// closed. It never blocks.
func (s *Store) Err() error {
	if err := s.stop.Err(); err != nil {
		return err
	}
	if s.uses.over() {
		return ErrClosed
	}
	return nil
}

// Flush makes everything that was committed before the call durable, and returns
// when it is. Commits and reads go on meanwhile. When ctx ends first, its error
// is returned and the flush goes on.
func (s *Store) Flush(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("flush store: %w", err)
	}
	defer s.uses.leave()
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush store: %w", err)
	}
	select {
	case <-flushed:
		err = s.stop.Err()
	case <-s.stop.stopped:
		err = s.stop.Err()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("flush store: %w", err)
	}
	return nil
}

// DurableApplied returns the applied position of partition p that no crash can
// take back: 0 when none, and never more than Applied.
func (s *Store) DurableApplied(p engine.Partition) (engine.Position, error) {
	if err := s.enter(); err != nil {
		return 0, fmt.Errorf("read durable position of partition %d: %w", p, err)
	}
	defer s.uses.leave()
	pos, err := s.readDurable(p)
	if err == nil {
		err = s.stop.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("read durable position of partition %d: %w", p, err)
	}
	// A commit that is under way may be durable before its table says that it is there.
	return min(pos, s.Partition(p).Applied()), nil
}

func (s *Store) readDurable(p engine.Partition) (pos engine.Position, err error) {
	key := prefix(p)
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: key, UpperBound: append(prefix(p), 0), OnlyReadGuaranteedDurable: true,
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.First() {
		return 0, it.Error()
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, err
	}
	return decodeApplied(value)
}

// Close lets go of the directory. It waits for operations that have begun, scans
// included, and so must not be called within one; later ones return ErrClosed.
// What was not flushed is lost: Flush before, or replay the log. A store that has
// stopped closes without an error. A second Close waits for the first and returns
// the same.
func (s *Store) Close() error {
	s.closed.Do(func() {
		s.stop.close()
		s.uses.end()
		stopped := s.stop.Err()
		err := cmp.Or(s.db.Close(), s.stop.Err())
		s.stop.closeFiles()
		s.stop.wait()
		if stopped != nil {
			err = nil // what closing a stopped database says adds nothing
		}
		s.err = errors.Join(err, s.lock.Close())
	})
	return s.err
}

// enter begins an operation; uses.leave ends it.
func (s *Store) enter() error {
	if !s.uses.enter() {
		return ErrClosed
	}
	if err := s.stop.Err(); err != nil {
		s.uses.leave()
		return err
	}
	return nil
}

// uses counts the operations that have begun, and ends.
type uses struct {
	n    atomic.Int64 // plus usesOver once ended
	once sync.Once
	idle chan struct{} // closed when ended and the last operation left
}

const usesOver = 1 << 62

func (u *uses) init() { u.idle = make(chan struct{}) }

func (u *uses) enter() bool {
	if u.n.Add(1)&usesOver == 0 {
		return true
	}
	u.leave()
	return false
}

func (u *uses) leave() {
	if u.n.Add(-1) == usesOver {
		u.once.Do(func() { close(u.idle) })
	}
}

func (u *uses) over() bool { return u.n.Load()&usesOver != 0 }

// end lets no operation begin any more and waits for those that have.
func (u *uses) end() {
	if u.n.Or(usesOver) == 0 {
		u.once.Do(func() { close(u.idle) })
	}
	<-u.idle
}
