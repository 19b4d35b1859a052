package stream

import (
	"fmt"
	"sort"

	"github.com/edda-io/edda/internal/store"
)

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
	s, to := sh.stream, min(from+uint64(m.headMarks), sh.recentFirst())
	err := scanStored(m.env.Table, s.Serial, sh.Index, from, sh.recentFirst(), func(msg *stored) error {
		want := from + uint64(len(sh.head))
		switch {
		case want == to:
			return errStop
		case msg.offset != want:
			return missing(s, sh, want)
		}
		sh.head = append(sh.head, msg.mark)
		return nil
	})
	if want := from + uint64(len(sh.head)); err == nil && want != to {
		err = missing(s, sh, want)
	}
	return err
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
	at := latest // where it is missing it is about to go anyway
	err := scanStored(m.env.Table, sh.stream.Serial, sh.Index, offset, sh.recentFirst(), func(msg *stored) error {
		if msg.offset == offset {
			at = msg.time
		}
		return errStop
	})
	return at, err
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
	for end := hi; lo < hi; {
		mid := lo + (hi-lo)/2
		r := rowSearch{first: end, last: end - 1, right: end}
		if err := r.run(table, messageRow(serial, index, mid), messageRow(serial, index, end), lo, right); err != nil {
			return 0, err
		}
		switch {
		case r.right > r.last:
			lo = r.last + 1
		case r.right > r.first || r.right == lo || r.first > mid:
			return r.right, nil
		default:
			hi = r.first // the rows before may have earlier ones
		}
	}
	return lo, nil
}

// rowSearch is what one row says about where the messages that are right begin.
type rowSearch struct {
	first, last uint64 // of the row
	right       uint64 // the first one that is right; above last when none is
}

// run looks at the first row from a key on, and there at the messages from lo on.
func (r *rowSearch) run(table store.Table, from, to []byte, lo uint64, right func(mark) bool) error {
	for p, err := range table.Scan(from, to) {
		if err != nil {
			return err
		}
		c, err := openChunk(p)
		if err != nil {
			return err
		}
		r.first, r.last = c.next.offset, c.next.offset+uint64(c.left)-1
		r.right = r.last + 1
		var m stored
		for more := true; more; {
			if more, err = c.take(&m); err != nil {
				return err
			}
			if more && m.offset >= lo && right(m.mark) {
				r.right = m.offset
				return nil
			}
		}
		return nil
	}
	return nil
}

// searchRecent is searchTable by time for messages in memory, the first of which has the
// offset.
func searchRecent(recent []message, first uint64, time int64) uint64 {
	return first + uint64(sort.Search(len(recent), func(i int) bool { return recent[i].time >= time }))
}
