package stream

import (
	"fmt"
	"iter"
	"slices"

	"github.com/edda-io/edda/internal/store"
)

// Entry is a message and where it is.
type Entry struct {
	Offset uint64
	// Time is when it was appended, in Unix nanoseconds.
	Time int64
	// Message is the encoded message. Nobody changes it.
	Message []byte
}

// View is what there was of a shard at one moment. It may be read in any goroutine, and
// by several at a time, also when the shard has long changed: what has been trimmed since
// may be missing then, but nothing else.
type View struct {
	// First, End, Bytes and LastAt are the shard's.
	First, End uint64
	Bytes      uint64
	LastAt     int64

	serial uint64
	index  uint32
	recent []message
}

// View returns what there is of a shard; sh may be nil. It keeps what is in memory of it
// from going away.
func (m *Machine) View(s *Stream, sh *Shard) View {
	if sh == nil {
		return View{serial: s.Serial}
	}
	return View{
		First: sh.First, End: sh.End, Bytes: sh.Bytes, LastAt: sh.LastAt,
		serial: s.Serial, index: sh.Index, recent: slices.Clip(sh.recent),
	}
}

func (v *View) recentFirst() uint64 { return v.End - uint64(len(v.recent)) }

// slabBytes is what messages from the table are gathered in.
const slabBytes = 64 << 10

// Read returns messages from an offset on, at most n and of at most so many bytes
// together, but at least one if there is one; n is at least 1. Table is that of the
// partition. Next is where to read on; the end of the view when there is no more. The
// offsets of the messages have no gap between them. The first one is above from when what
// was before it has been trimmed: before the view was taken, or since.
func (v *View) Read(table store.Table, from uint64, n, bytes int) (entries []Entry, next uint64, err error) {
	if from >= v.End {
		return nil, from, nil
	}
	from = max(from, v.First)
	first := v.recentFirst()
	if from >= first { // the usual thing, and r stays on the stack
		r := reading{n: n, bytes: bytes, until: noLimit, next: from}
		r.entries = make([]Entry, 0, min(uint64(n), v.End-from, 1024))
		r.readRecent(v)
		return r.entries, r.next, nil
	}
	r := &reading{n: n, bytes: bytes, until: noLimit, next: from}
	r.entries = make([]Entry, 0, min(uint64(n), first-from, 1024))
	if err := r.readTable(table, v, first); err != nil || r.full {
		return r.entries, r.next, err
	}
	r.next = first // what was not there is trimmed
	r.readRecent(v)
	return r.entries, r.next, nil
}

// Recent returns a message that is in memory: as long as it is kept, one that was appended
// since the last checkpoint.
func (v *View) Recent(offset uint64) (Entry, bool) {
	first := v.recentFirst()
	if offset < first || offset >= v.End {
		return Entry{}, false
	}
	m := &v.recent[offset-first]
	return Entry{Offset: offset, Time: m.time, Message: m.data}, true
}

// reading is what was read so far.
type reading struct {
	entries  []Entry
	next     uint64
	n, bytes int // room for so many more
	full     bool
	slab     []byte

	until limit  // what does not come before it is read ahead
	index uint32 // of the shard, for that
	ahead int    // room for so many more bytes of it
}

// room reports whether there is room for another message.
func (r *reading) room(size int, time int64) bool {
	if len(r.entries) > 0 && (r.n <= 0 || size > r.bytes || size > r.ahead && !r.until.admits(time, r.index)) {
		r.full = true
	}
	return !r.full
}

func (r *reading) add(e Entry) {
	r.entries = append(r.entries, e)
	r.next = e.Offset + 1
	r.n--
	r.bytes -= len(e.Message)
	if !r.until.admits(e.Time, r.index) {
		r.ahead -= len(e.Message)
	}
}

// readRecent reads what is in memory.
func (r *reading) readRecent(v *View) {
	for i := r.next - v.recentFirst(); i < uint64(len(v.recent)); i++ {
		m := &v.recent[i]
		if !r.room(len(m.data), m.time) {
			return
		}
		r.add(Entry{Offset: r.next, Time: m.time, Message: m.data})
	}
}

// keep copies a message.
func (r *reading) keep(msg []byte) []byte {
	if len(msg) > cap(r.slab)-len(r.slab) {
		if len(msg) > slabBytes/4 {
			return slices.Clip(slices.Clone(msg))
		}
		r.slab = make([]byte, 0, slabBytes)
	}
	at := len(r.slab)
	r.slab = append(r.slab, msg...)
	return r.slab[at:len(r.slab):len(r.slab)]
}

// readTable reads what the table has before an offset.
func (r *reading) readTable(table store.Table, v *View, to uint64) error {
	err := scanStored(table, v.serial, v.index, r.next, to, func(m *stored) error {
		if !r.room(len(m.msg), m.time) {
			return errStop
		}
		if len(r.entries) > 0 && m.offset != r.next {
			return gap(v, r.next)
		}
		r.add(Entry{Offset: m.offset, Time: m.time, Message: r.keep(m.msg)})
		return nil
	})
	if err != nil || r.full {
		return err
	}
	if len(r.entries) > 0 && r.next != to {
		return gap(v, r.next)
	}
	return nil
}

func gap(v *View, offset uint64) error {
	return fmt.Errorf("the table has no message %d of shard %d of stream number %d", offset, v.index, v.serial)
}

// OffsetAt returns the offset of the first message that was appended at a time, in Unix
// nanoseconds, or later, the end when there is none. Table is that of the partition.
func (v *View) OffsetAt(table store.Table, time int64) (uint64, error) {
	first := v.recentFirst()
	if v.First < first {
		offset, err := searchTable(table, v.serial, v.index, v.First, first, func(mk mark) bool { return mk.time >= time })
		if err != nil || offset < first {
			return offset, err
		}
	}
	return searchRecent(v.recent, first, time), nil
}

// OffsetAt is that of View for the shard as it is; sh may be nil.
func (m *Machine) OffsetAt(s *Stream, sh *Shard, time int64) (uint64, error) {
	v := m.View(s, sh)
	return v.OffsetAt(m.env.Table, time)
}

// scanEntries and scanBytes are what Scan reads at a time.
const (
	scanEntries = 256
	scanBytes   = 1 << 20
)

// Scan yields the messages of a shard from an offset on, for the fold itself: those that
// there are when it begins, whatever is applied meanwhile. Sh may be nil.
func (m *Machine) Scan(s *Stream, sh *Shard, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		v := m.View(s, sh)
		for from < v.End {
			entries, next, err := v.Read(m.env.Table, from, scanEntries, scanBytes)
			for i := range entries {
				if !yield(entries[i], nil) {
					return
				}
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			from = next
		}
	}
}
