package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/edda-io/edda/engine"
)

// PartitionTable is the table of one partition of a store. Reads are safe for
// concurrent use, also with a commit; commits follow each other.
type PartitionTable struct {
	s       *Store
	p       engine.Partition
	applied atomic.Uint64
}

var _ Table = (*PartitionTable)(nil)

// init sets up the table and reads its applied position.
func (t *PartitionTable) init(s *Store, p engine.Partition) error {
	t.s, t.p = s, p
	value, found, err := s.get(prefix(p))
	pos := engine.Position(0)
	if err == nil && found {
		pos, err = decodeApplied(value)
	}
	if err != nil {
		return fmt.Errorf("read applied position of partition %d: %w", p, err)
	}
	t.applied.Store(uint64(pos))
	return nil
}

// Applied returns the position that the last commit named, 0 when there was none.
// It never blocks.
func (t *PartitionTable) Applied() engine.Position { return engine.Position(t.applied.Load()) }

// Get implements Table.
func (t *PartitionTable) Get(key []byte) (value []byte, found bool, err error) {
	if err := t.s.enter(); err != nil {
		return nil, false, t.failed("get", err)
	}
	defer t.s.uses.leave()
	if len(key) == 0 {
		return nil, false, nil
	}
	if value, found, err = t.s.get(t.key(key)); err != nil {
		return nil, false, t.failed("get", err)
	}
	return value, found, nil
}

// get returns the value of a key of the database, as a copy.
func (s *Store) get(key []byte) (value []byte, found bool, err error) {
	shared, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value = append(make([]byte, 0, len(shared)), shared...)
	if err := closer.Close(); err != nil {
		return nil, false, err
	}
	return value, true, nil
}

// Scan implements Table.
func (t *PartitionTable) Scan(from, to []byte) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		if err := t.s.enter(); err != nil {
			yield(Pair{}, t.failed("scan", err))
			return
		}
		defer t.s.uses.leave()
		lower, upper := t.bounds(from, to)
		if bytes.Compare(lower, upper) >= 0 {
			return
		}
		it, err := t.s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(Pair{}, t.failed("scan", err))
			return
		}
		if err := each(it, yield); err != nil {
			yield(Pair{}, t.failed("scan", err))
		}
	}
}

// each yields what the iterator holds, and closes it. The error is nil when the
// caller broke off.
func each(it *pebble.Iterator, yield func(Pair, error) bool) error {
	open := true
	defer func() {
		if open {
			_ = it.Close() // yield broke off or panicked: nobody is left to hear of an error
		}
	}()
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if !yield(Pair{Key: it.Key()[2:], Value: value}, nil) {
			return nil
		}
	}
	open = false
	return it.Close() // returns the error of iterating, if any
}

// retainedBatchBytes is how large a batch of the database may be whose memory serves the
// next one: about what a partition commits at a checkpoint, and a multiple of it.
const retainedBatchBytes = 4 << 20

// Commit applies the batch, which may be nil, and sets the applied position, as
// one change: after a crash both are there or neither is. It is visible on return
// but not durable; see Store.Flush. The position must not be lower than the one
// before. The batch is the caller's again. On error nothing was changed, unless
// the store has stopped: then nothing is known until it is opened anew.
//
// Commit waits while the disk is far behind; see Options.MemTableBytes.
func (t *PartitionTable) Commit(b *Batch, applied engine.Position) error {
	if err := t.s.enter(); err != nil {
		return t.failed("commit", err)
	}
	defer t.s.uses.leave()
	if b == nil {
		b = &Batch{}
	}
	if err := checkCommit(b, t.Applied(), applied); err != nil {
		return t.failed("commit", err)
	}
	if err := t.s.throttle(b.Size()); err != nil {
		return t.failed("commit", err)
	}
	pb := t.s.db.NewBatchWithSize(b.Size()+16*b.Len()+64, pebble.WithMaxRetainedSizeBytes(retainedBatchBytes))
	defer func() { _ = pb.Close() }() // the changes are applied by then, or were refused
	err := t.fill(pb, b, applied)
	if err == nil {
		err = t.s.db.Apply(pb, pebble.NoSync)
	}
	if err == nil {
		err = t.s.stop.Err()
	}
	if err != nil {
		return t.failed("commit", err)
	}
	t.applied.Store(uint64(applied))
	return nil
}

// checkCommit is what every table checks of a commit.
func checkCommit(b *Batch, before, applied engine.Position) error {
	if b.err != nil {
		return b.err
	}
	if applied < before {
		return fmt.Errorf("applied position %d is lower than %d", applied, before)
	}
	return nil
}

// fill writes the changes and the position into the database's batch.
func (t *PartitionTable) fill(pb *pebble.Batch, b *Batch, applied engine.Position) error {
	for _, o := range b.ops {
		key, value := b.key(o), b.value(o)
		var d *pebble.DeferredBatchOp
		switch o.kind {
		case opSet:
			d = pb.SetDeferred(2+len(key), len(value)+o.size)
			b.joined(d.Value, o)
		case opDelete:
			d = pb.DeleteDeferred(2 + len(key))
		case opDeleteRange:
			if err := pb.DeleteRange(t.lower(key), t.upper(value), nil); err != nil {
				return err
			}
			continue
		}
		binary.BigEndian.PutUint16(d.Key, uint16(t.p))
		copy(d.Key[2:], key)
		if err := d.Finish(); err != nil {
			return err
		}
	}
	var pos [8]byte
	binary.LittleEndian.PutUint64(pos[:], uint64(applied))
	return pb.Set(prefix(t.p), pos[:], nil)
}

// key returns the database's key of a key.
func (t *PartitionTable) key(key []byte) []byte {
	k := make([]byte, 2, 2+len(key))
	binary.BigEndian.PutUint16(k, uint16(t.p))
	return append(k, key...)
}

func (t *PartitionTable) bounds(from, to []byte) (lower, upper []byte) {
	return t.lower(from), t.upper(to)
}

// lower is where a range from the key on begins. The empty key stands for the
// least one, which leaves out the applied position.
func (t *PartitionTable) lower(from []byte) []byte {
	if len(from) == 0 {
		return t.key([]byte{0})
	}
	return t.key(from)
}

// upper is where a range up to the key ends; empty means at the next partition.
func (t *PartitionTable) upper(to []byte) []byte {
	if len(to) == 0 {
		return prefix(t.p + 1)
	}
	return t.key(to)
}

func (t *PartitionTable) failed(op string, err error) error {
	return fmt.Errorf("%s in table of partition %d: %w", op, t.p, err)
}
