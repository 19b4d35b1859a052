package stream

import (
	"math"
	"slices"
	"strings"

	"github.com/edda-io/edda/internal/store"
)

// Spot is a place in all shards of a stream: what was appended before Time is behind it,
// and of what was appended at Time the messages before the offsets of At. The zero Spot
// is the start.
type Spot struct {
	Time int64
	At   []ShardSpot // by name
}

// ShardSpot says which of a shard's messages are behind a spot.
type ShardSpot struct {
	Shard  string
	Offset uint64
}

// of returns the offset in a shard, zero when nothing that was appended to it at Time is
// behind the spot.
func (f *Spot) of(shard string) uint64 {
	if i, ok := f.find(shard); ok {
		return f.At[i].Offset
	}
	return 0
}

func (f *Spot) find(shard string) (int, bool) {
	return slices.BinarySearchFunc(f.At, shard, func(at ShardSpot, shard string) int { return strings.Compare(at.Shard, shard) })
}

// Pass moves the spot, whose At is the caller's own, behind a message that comes next.
func (f *Spot) Pass(shard string, e *Entry) {
	if e.Time != f.Time {
		f.Time, f.At = e.Time, f.At[:0]
	}
	i, ok := f.find(shard)
	if !ok {
		f.At = slices.Insert(f.At, i, ShardSpot{Shard: shard})
	}
	f.At[i].Offset = e.Offset + 1
}

// Walk reads messages of all shards of a stream in the order in which they were
// appended: either what the table had from a spot on when the walk was made, or, where
// that is nothing, what was in memory. Then another walk goes on from End.
//
// That order is the one of their times, because each append to a stream has a time that
// no other has. Releases before this one gave the same time to several: what was appended
// at such a time comes shard by shard.
//
// It belongs to one goroutine, which need not be the machine's. Of a walk over the table
// there are some bytes in memory for each shard, and at most as many bytes of messages as
// Next was last asked for; one over memory keeps what it reads from going away.
type Walk struct {
	serial uint64
	from   Spot
	end    int64
	stored bool
	gone   bool
	begun  bool
	left   []cursor // a heap by cursor.before, once it has begun
	slab   []byte   // room for messages from the table
}

// cursor is where a walk is in one shard.
type cursor struct {
	name  string
	index uint32
	seek  bool  // the first message to read has to be looked for from next on
	at    int64 // when the message at next was appended, or earlier
	next  uint64
	end   uint64 // the walk has nothing of the shard from there on

	recent []message // those from next on, of a walk over memory
	ahead  []Entry   // likewise, read ahead from the table
}

// Walk begins a walk over what there is from a spot on. Of what was appended up to the time
// settled it says no more that it is gone.
func (m *Machine) Walk(s *Stream, from Spot, settled int64) *Walk {
	w := &Walk{serial: s.Serial, from: from, stored: from.Time <= s.storedAt, end: s.lastAt + 1}
	if w.stored {
		w.end = s.storedAt + 1
	}
	n := 0
	for sh := s.latest; sh != nil && sh.LastAt >= from.Time; sh = sh.older {
		n++
	}
	w.left = make([]cursor, 0, n)
	for sh := s.latest; sh != nil && sh.LastAt >= from.Time; sh = sh.older {
		w.add(sh, settled)
	}
	return w
}

// add adds a shard, if there is something to read in it.
func (w *Walk) add(sh *Shard, settled int64) {
	at := w.from.of(sh.Name)
	if sh.First > 0 && sh.goneAt > settled && (sh.goneAt > w.from.Time || sh.goneAt == w.from.Time && sh.First > at) {
		w.gone = true
	}
	first := sh.recentFirst()
	c := cursor{name: sh.Name, index: sh.Index, at: w.from.Time, next: sh.First, end: first}
	switch {
	case !w.stored:
		c.next, c.end, c.recent = max(first, sh.First), sh.End, slices.Clip(sh.recent)
	case sh.firstAt > w.from.Time: // the spot may be of a stream that had the name before
		c.at = sh.firstAt
	case at > sh.First:
		c.next = at
	case sh.firstAt == w.from.Time:
		c.at = sh.firstAt
	default:
		c.seek = true
	}
	if c.next < c.end {
		w.left = append(w.left, c)
	}
}

// Gone reports whether messages that were appended from where the walk began on may have
// been trimmed before it came to them, as far as is known.
func (w *Walk) Gone() bool { return w.gone }

// Stored reports whether the walk is over what the table has, so that it may be kept as
// long as it takes.
func (w *Walk) Stored() bool { return w.stored }

// End is where the next walk begins once this one has come to its end: at a time.
func (w *Walk) End() int64 { return w.end }

// entryBytes is what Next counts for a message beside its bytes.
const entryBytes = 64

// Done reports whether Next has come to the end.
func (w *Walk) Done() bool { return w.begun && len(w.left) == 0 }

// Next gives the next messages to emit, in their order: about so many bytes, and at least
// one message if there is one. None means that the walk is at its end. Table is that of
// the partition. What emit gets is nobody's to change; an error that it returns, after
// which the walk is of no use, is passed on.
func (w *Walk) Next(table store.Table, bytes int, emit func(shard string, index uint32, e *Entry) error) error {
	if !w.begun {
		w.begin()
	}
	for some := false; len(w.left) > 0 && (!some || bytes > 0); {
		c := &w.left[0]
		until := w.second()
		if len(c.recent) == 0 && len(c.ahead) == 0 {
			if err := w.fill(table, c, until, bytes); err != nil {
				return err
			}
			w.settle()
			continue
		}
		n, err := c.emit(until, bytes, !some, emit)
		if err != nil {
			return err
		}
		some = true
		bytes -= n
		w.settle()
	}
	return nil
}

// begin finds the first message of each shard in memory, and puts the shards in order.
func (w *Walk) begin() {
	w.begun = true
	left := w.left[:0]
	for i := range w.left {
		c := &w.left[i]
		if c.recent != nil {
			next := searchRecent(c.recent, c.next, w.from.Time)
			if next < c.end && c.recent[next-c.next].time == w.from.Time {
				next = max(next, min(w.from.of(c.name), c.end))
			}
			c.recent = c.recent[next-c.next:]
			if c.next = next; next == c.end {
				continue
			}
			c.at = c.recent[0].time
		}
		left = append(left, *c)
	}
	clear(w.left[len(left):])
	w.left = left
	for i := len(left)/2 - 1; i >= 0; i-- {
		w.down(i)
	}
}

// limit is up to where a shard is read: before the message of a time in a shard.
type limit struct {
	time  int64
	index uint32
}

func (l limit) admits(time int64, index uint32) bool {
	return time < l.time || time == l.time && index < l.index
}

// noLimit admits everything.
var noLimit = limit{math.MaxInt64, math.MaxUint32}

// second is where the first shard ceases to be the first.
func (w *Walk) second() limit {
	switch len(w.left) {
	case 1:
		return noLimit
	case 2:
		return limit{w.left[1].at, w.left[1].index}
	}
	c := &w.left[1]
	if w.left[2].before(c) {
		c = &w.left[2]
	}
	return limit{c.at, c.index}
}

// fill reads on in the first shard: what comes before the limit, as far as there is room,
// and its share of what may be read ahead.
func (w *Walk) fill(table store.Table, c *cursor, until limit, bytes int) error {
	v := View{First: c.next, End: c.end, serial: w.serial, index: c.index}
	from := c.next
	if c.seek {
		first, err := searchTable(table, w.serial, c.index, c.next, c.end, func(mk mark) bool { return mk.time >= w.from.Time })
		if err != nil {
			return err
		}
		if from = first; first > c.next {
			from-- // which is still there, unless what was to be read has been trimmed
		}
		c.next, c.seek = first, false
	}
	r := reading{n: max(bytes/entryBytes, 1), bytes: bytes, until: until, index: c.index, ahead: bytes / len(w.left), next: from, slab: w.slab}
	err := r.readTable(table, &v, c.end)
	if w.slab = r.slab; err != nil {
		return err
	}
	c.ahead = r.entries
	if len(c.ahead) > 0 && from < c.next && c.ahead[0].Offset == from {
		c.ahead = c.ahead[1:]
		from++
	}
	switch {
	case len(c.ahead) > 0:
		w.gone = w.gone || c.ahead[0].Offset > from
		c.next, c.at = c.ahead[0].Offset, c.ahead[0].Time
	case !r.full:
		w.gone = w.gone || from < c.end
		c.next = c.end
	}
	return nil
}

// emit emits messages before the limit, at least one if it must.
func (c *cursor) emit(until limit, room int, must bool, emit func(string, uint32, *Entry) error) (bytes int, err error) {
	var e Entry
	for ; c.peek(&e); c.drop() {
		if !must && (!until.admits(e.Time, c.index) || bytes >= room) {
			break
		}
		must = false
		if err := emit(c.name, c.index, &e); err != nil {
			return bytes, err
		}
		bytes += len(e.Message) + entryBytes
	}
	return bytes, nil
}

// peek returns the next message, as far as it is in memory.
func (c *cursor) peek(e *Entry) bool {
	switch {
	case len(c.recent) > 0:
		*e = Entry{Offset: c.next, Time: c.recent[0].time, Message: c.recent[0].data}
	case len(c.ahead) > 0:
		*e = c.ahead[0]
	default:
		return false
	}
	c.at = e.Time
	return true
}

// drop passes the message that peek has returned.
func (c *cursor) drop() {
	if len(c.recent) > 0 {
		c.recent = c.recent[1:]
	} else {
		c.ahead[0] = Entry{}
		c.ahead = c.ahead[1:]
	}
	c.next++
}

// before orders shards by what comes next. One that is to be looked at first comes before
// what it may turn out to have.
func (c *cursor) before(other *cursor) bool {
	return c.at < other.at || c.at == other.at && c.index < other.index
}

// settle puts the first shard, which has moved on, where it belongs.
func (w *Walk) settle() {
	if c := &w.left[0]; c.next >= c.end {
		last := len(w.left) - 1
		w.left[0] = w.left[last]
		w.left[last] = cursor{}
		w.left = w.left[:last]
	}
	w.down(0)
}

func (w *Walk) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(w.left); child++ {
			if w.left[child].before(&w.left[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		w.left[i], w.left[least] = w.left[least], w.left[i]
		i = least
	}
}
