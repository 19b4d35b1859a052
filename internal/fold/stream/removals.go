package stream

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/store"
)

// removals says when streams were removed. So one that is made again has later times
// than the one before it, and who comes back with a place in a stream can be told whether
// there has been another one since.
type removals struct {
	latest []removal // at most keptRemovals, each name once, the latest at the end
	before int64     // when the last of all others was removed, zero when there are none
	dirty  bool
}

// removal is that of the last stream of a name, or of several names with the same hash.
type removal struct {
	hash uint64
	at   int64
}

// keptRemovals are how many names of removed streams are known. Streams of other names may
// have been removed whenever something was.
const keptRemovals = 256

// of returns when a stream of the name may have been removed last, zero for never.
func (r *removals) of(hash uint64) int64 {
	for i := range r.latest {
		if r.latest[i].hash == hash {
			return r.latest[i].at
		}
	}
	return r.before
}

// add notes that a stream was removed.
func (r *removals) add(hash uint64, at int64) {
	at = max(at, r.of(hash))
	r.latest = slices.DeleteFunc(r.latest, func(other removal) bool { return other.hash == hash })
	if len(r.latest) == keptRemovals {
		r.before = max(r.before, r.latest[0].at)
		r.latest = slices.Delete(r.latest, 0, 1)
	}
	r.latest = append(r.latest, removal{hash, at})
	r.dirty = true
}

// hash is what removals know a name by. It stands in the table.
func (r Ref) hash() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.Namespace)) // it never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(r.Name))
	return h.Sum64()
}

func removalsRow() []byte { return fold.Row(rowRemovals) }

func (r *removals) checkpoint(b *store.Batch) {
	if !r.dirty {
		return
	}
	row := binary.BigEndian.AppendUint64(make([]byte, 0, 8+16*len(r.latest)), uint64(r.before))
	for _, one := range r.latest {
		row = binary.BigEndian.AppendUint64(row, one.hash)
		row = binary.BigEndian.AppendUint64(row, uint64(one.at))
	}
	b.Set(removalsRow(), row)
}

func (r *removals) load(table store.Table) error {
	row, found, err := table.Get(removalsRow())
	if err != nil || !found {
		return err
	}
	if len(row)%16 != 8 || len(row)/16 > keptRemovals {
		return fmt.Errorf("row of removed streams has %d bytes, want 8 and at most %d times 16", len(row), keptRemovals)
	}
	r.before = int64(binary.BigEndian.Uint64(row))
	for row = row[8:]; len(row) > 0; row = row[16:] {
		r.latest = append(r.latest, removal{binary.BigEndian.Uint64(row), int64(binary.BigEndian.Uint64(row[8:]))})
	}
	return nil
}

// End returns a time after all that was ever appended to streams of the name, and not
// after anything that will be, in Unix nanoseconds.
func (m *Machine) End(namespace, name string) int64 {
	if s := m.Stream(namespace, name); s != nil {
		return s.lastAt + 1
	}
	return m.firstTime(m.RemovedAt(namespace, name))
}

// RemovedAt is when a stream of the name was removed last, or may have been, whether
// there is one now or not; zero for never.
func (m *Machine) RemovedAt(namespace, name string) int64 {
	if s := m.Stream(namespace, name); s != nil {
		return s.earlierUntil
	}
	return m.removals.of(Ref{namespace, name}.hash())
}

// firstTime is the earliest time that a new stream has, where an earlier one was removed
// at a time.
func (m *Machine) firstTime(removed int64) int64 { return max(m.env.Time, removed+1) }
