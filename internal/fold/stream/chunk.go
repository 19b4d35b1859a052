package stream

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/edda-io/edda/internal/store"
)

// rowBytes is about how much the messages of one row have together. A row costs the
// store as much whether it has one or many, each time that it is written, compacted or
// read.
const rowBytes = 16 << 10

// mark is what has to be known of a message to decide whether it goes.
type mark struct {
	time  int64
	total uint64 // what all messages before it take
}

// stored is a message in the table.
type stored struct {
	mark
	offset uint64
	msg    []byte // of the table
}

// chunk is a row of messages, one after the other, without a gap. Its key has the offset
// of the last one: so a scan from an offset on begins with the row that has it, and what
// lies before an offset goes with a range of keys that ends there.
//
// The row is the mark of the first message (8 bytes each), how many there are and how
// long what follows is (both as uvarints), then for each one how much later than the one before it was
// appended and how long it is (uvarints), and then the messages.
type chunk struct {
	next stored // without msg
	left int
	dir  []byte // times and lengths of those that are left
	data []byte // the messages that are left
}

// openChunk takes apart the row of messages.
func openChunk(p store.Pair) (c chunk, err error) {
	if len(p.Key) != 21 || len(p.Value) < 16 {
		return c, fmt.Errorf("row of messages has %d and %d bytes, want 21 and 16 or more", len(p.Key), len(p.Value))
	}
	last := binary.BigEndian.Uint64(p.Key[13:])
	c.next.time, c.next.total = int64(binary.BigEndian.Uint64(p.Value)), binary.BigEndian.Uint64(p.Value[8:])
	rest := p.Value[16:]
	var sizes [2]uint64
	for i := range sizes {
		size, n := binary.Uvarint(rest)
		if n <= 0 {
			return c, errDirectory(last)
		}
		sizes[i], rest = size, rest[n:]
	}
	count, dir := sizes[0], sizes[1]
	if count == 0 || count-1 > last || dir > uint64(len(rest)) || count > dir {
		return c, errDirectory(last)
	}
	c.next.offset, c.left = last-(count-1), int(count)
	c.dir, c.data = rest[:dir], rest[dir:]
	return c, nil
}

func errDirectory(last uint64) error {
	return fmt.Errorf("row of messages up to %d does not say how many there are, and how long", last)
}

// take sets m to the next message, and is false when there is none.
func (c *chunk) take(m *stored) (bool, error) {
	if c.left == 0 {
		if len(c.dir) > 0 || len(c.data) > 0 {
			return false, fmt.Errorf("row of messages up to %d has more than it says", c.next.offset-1)
		}
		return false, nil
	}
	later, n := binary.Uvarint(c.dir)
	if n <= 0 {
		return false, c.damaged()
	}
	size, k := binary.Uvarint(c.dir[n:])
	if k <= 0 || size > uint64(len(c.data)) {
		return false, c.damaged()
	}
	c.next.time += int64(later)
	*m = c.next
	m.msg = c.data[:size:size]
	c.next.offset++
	c.next.total += size
	c.left, c.dir, c.data = c.left-1, c.dir[n+k:], c.data[size:]
	return true, nil
}

func (c *chunk) damaged() error {
	return fmt.Errorf("row of messages ends before message %d", c.next.offset)
}

// errStop ends a scan.
var errStop = errors.New("stop")

// scanStored calls f for the messages that the table has from an offset on up to, and
// without, another, which no row passes over. An error of f ends it, errStop without one.
func scanStored(table store.Table, serial uint64, index uint32, from, to uint64, f func(*stored) error) error {
	var m stored
	for p, err := range table.Scan(messageRow(serial, index, from), messageRow(serial, index, to)) {
		var c chunk
		if err == nil {
			c, err = openChunk(p)
		}
		for more := err == nil; more; {
			if more, err = c.take(&m); more && err == nil && m.offset >= from {
				err = f(&m)
			}
			more = more && err == nil
		}
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// appendRows adds the rows of the messages that are in memory to b, which they are lent
// to. A row has at most so many bytes of messages, or one message.
func (sh *Shard) appendRows(b *store.Batch, most int, parts *[][]byte) {
	key := messageRow(sh.stream.Serial, sh.Index, 0)
	total, offset := sh.total-sh.recentBytes, sh.recentFirst()
	var head, dir []byte
	for rest := sh.recent; len(rest) > 0; {
		n, size, before := 0, 0, rest[0].time
		dir, *parts = dir[:0], (*parts)[:0]
		for n < len(rest) && (n == 0 || size+len(rest[n].data) <= most) {
			msg := &rest[n]
			dir = binary.AppendUvarint(dir, uint64(msg.time-before))
			dir = binary.AppendUvarint(dir, uint64(len(msg.data)))
			*parts = append(*parts, msg.data)
			before = msg.time
			size += len(msg.data)
			n++
		}
		head = binary.BigEndian.AppendUint64(head[:0], uint64(rest[0].time))
		head = binary.BigEndian.AppendUint64(head, total)
		head = binary.AppendUvarint(head, uint64(n))
		head = binary.AppendUvarint(head, uint64(len(dir)))
		offset, total, rest = offset+uint64(n), total+uint64(size), rest[n:]
		binary.BigEndian.PutUint64(key[13:], offset-1)
		b.SetJoined(key, append(head, dir...), *parts...)
	}
	clear((*parts)[:cap(*parts)])
	*parts = (*parts)[:0]
}
