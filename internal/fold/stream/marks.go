package stream

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/edda-io/edda/internal/store"
)

// mark is what has to be known of a message to decide whether it goes.
type mark struct {
	time  int64
	total uint64 // what all messages before it take
}

// headMarks are read from the table at a time, because what goes because of a shard's
// retention goes in order.
const headMarks = 256

// fill has the marks of the messages from an offset on, which the table has, in the
// shard's head.
func (m *Machine) fill(sh *Shard, from uint64) error {
	if from >= sh.headAt && from-sh.headAt < uint64(len(sh.head)) {
		return nil
	}
	if sh.head == nil {
		sh.head = make([]mark, 0, m.headMarks)
		m.heads = append(m.heads, sh)
	}
	sh.head, sh.headAt = sh.head[:0], from
	to := min(from+uint64(m.headMarks), sh.recentFirst())
	s := sh.stream
	for p, err := range m.env.Table.Scan(messageRow(s.Serial, sh.Index, from), messageRow(s.Serial, sh.Index, to)) {
		if err != nil {
			return err
		}
		offset, mk, _, err := readMessageRow(p)
		if err != nil {
			return err
		}
		if want := from + uint64(len(sh.head)); offset != want {
			return missing(s, sh, want)
		}
		sh.head = append(sh.head, mk)
	}
	if want := from + uint64(len(sh.head)); want != to {
		return missing(s, sh, want)
	}
	return nil
}

func missing(s *Stream, sh *Shard, offset uint64) error {
	return fmt.Errorf("the table has no message %d of shard %q of stream %q", offset, sh.Name, s.Spec.Name)
}

// markAt returns the mark of the message at an offset; that of the next one to come at
// the end.
func (m *Machine) markAt(sh *Shard, offset uint64) (mark, error) {
	if offset < sh.recentFirst() {
		if err := m.fill(sh, offset); err != nil {
			return mark{}, err
		}
		return sh.head[offset-sh.headAt], nil
	}
	mk := mark{total: sh.total - sh.recentBytes}
	for at := range sh.recent[:offset-sh.recentFirst()] {
		mk.total += uint64(len(sh.recent[at].data))
	}
	if offset < sh.End {
		mk.time = sh.recent[offset-sh.recentFirst()].time
	}
	return mk, nil
}

// timeAt returns when the message at an offset before the end was appended, or else when
// that may have been at the latest.
func (m *Machine) timeAt(sh *Shard, offset uint64, latest int64) (int64, error) {
	if first := sh.recentFirst(); offset >= first {
		return sh.recent[offset-first].time, nil
	}
	if offset >= sh.headAt && offset-sh.headAt < uint64(len(sh.head)) {
		return sh.head[offset-sh.headAt].time, nil
	}
	s := sh.stream
	key := messageRow(s.Serial, sh.Index, offset)
	row, found, err := m.env.Table.Get(key)
	if err != nil || !found {
		return latest, err // where it is missing it is about to go anyway
	}
	_, mk, _, err := readMessageRow(store.Pair{Key: key, Value: row})
	return mk.time, err
}

// search returns the first kept message whose mark is right, where all after it are
// too, or else the end. It is quick when that is near the beginning.
func (m *Machine) search(sh *Shard, right func(mark) bool) (uint64, mark, error) {
	recentFirst := sh.recentFirst()
	if sh.First < recentFirst {
		if err := m.fill(sh, sh.First); err != nil {
			return 0, mark{}, err
		}
		for at := sh.First - sh.headAt; at < uint64(len(sh.head)); at++ {
			if right(sh.head[at]) {
				return sh.headAt + at, sh.head[at], nil
			}
		}
		s := sh.stream
		offset, err := searchTable(m.env.Table, s.Serial, sh.Index, sh.headAt+uint64(len(sh.head)), recentFirst, right)
		if err != nil {
			return 0, mark{}, err
		}
		if offset < recentFirst {
			mk, err := m.markAt(sh, offset)
			return offset, mk, err
		}
	}
	mk := mark{total: sh.total - sh.recentBytes}
	for i := range sh.recent {
		if mk.time = sh.recent[i].time; right(mk) {
			return recentFirst + uint64(i), mk, nil
		}
		mk.total += uint64(len(sh.recent[i].data))
	}
	return sh.End, mark{total: sh.total}, nil
}

// searchTable returns the first offset from lo up to, and without, hi whose message in
// the table has the right mark, where all after it have too, or else hi. Messages that
// are not there any more, all before those that are, count as not right.
func searchTable(table store.Table, serial uint64, index uint32, lo, hi uint64, right func(mark) bool) (uint64, error) {
	for lo < hi {
		mid := lo + (hi-lo)/2
		offset, mk := hi, mark{}
		for p, err := range table.Scan(messageRow(serial, index, mid), messageRow(serial, index, hi)) {
			if err == nil {
				offset, mk, _, err = readMessageRow(p)
			}
			if err != nil {
				return 0, err
			}
			break
		}
		switch {
		case offset == hi || !right(mk):
			lo = min(offset+1, hi)
		case offset > mid:
			return offset, nil
		default:
			hi = mid
		}
	}
	return lo, nil
}

// searchRecent is searchTable by time for messages in memory, the first of which has the
// offset.
func searchRecent(recent []message, first uint64, time int64) uint64 {
	return first + uint64(sort.Search(len(recent), func(i int) bool { return recent[i].time >= time }))
}

// readMessageRow takes apart a row of a message.
func readMessageRow(p store.Pair) (offset uint64, mk mark, msg []byte, err error) {
	if len(p.Key) != 21 || len(p.Value) < 16 {
		return 0, mark{}, nil, fmt.Errorf("row of a message has %d and %d bytes, want 21 and 16 or more", len(p.Key), len(p.Value))
	}
	mk = mark{time: int64(binary.BigEndian.Uint64(p.Value)), total: binary.BigEndian.Uint64(p.Value[8:])}
	return binary.BigEndian.Uint64(p.Key[13:]), mk, p.Value[16:], nil
}
