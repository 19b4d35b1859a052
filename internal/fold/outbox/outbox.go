// Package outbox carries records between partitions of a log: once each, and in
// order for each pair of partitions.
//
// The sender numbers what it sends to each partition and keeps it until the
// receiver has it. The receiver keeps the last number of each sender and nothing
// else. So nothing has to be collected later, and after a crash sending
// everything again that was not acknowledged does no harm.
package outbox

import (
	"encoding/binary"
	"fmt"

	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// The rows of this package.
const (
	rowEntry    = 'o' // partition, number: type, body
	rowLane     = 'O' // partition: last number sent, last number acknowledged
	rowReceived = 'I' // partition: last number received
)

// Entry is one record on its way.
type Entry struct {
	Number uint64
	Type   record.Type
	// Body is the record without its header.
	Body []byte
}

// Machine keeps what a partition sends to others and what it had from them.
type Machine struct {
	env      *fold.Env
	lanes    map[uint64]*lane
	received map[uint64]received
	bytes    int
	touched  []uint64
}

type lane struct {
	sent    uint64
	acked   uint64
	entries []Entry // acked+1 … sent
	stored  uint64  // the table has the entries up to this number
	dropped uint64  // the table has none up to this number
	dirty   bool
	touched bool
}

type received struct {
	last  uint64
	dirty bool
}

// New returns an empty outbox.
func New(env *fold.Env) *Machine {
	return &Machine{env: env, lanes: map[uint64]*lane{}, received: map[uint64]received{}}
}

// Types are the record types the machine owns.
func (m *Machine) Types() []record.Type { return []record.Type{record.TypeOutboxAcked} }

// Push sends a record to a partition, this one included. The body must not
// change.
func (m *Machine) Push(to uint64, t record.Type, body []byte) {
	l := m.lane(to)
	l.sent++
	l.entries = append(l.entries, Entry{Number: l.sent, Type: t, Body: body})
	l.dirty = true
	m.bytes += len(body)
	if !l.touched {
		l.touched = true
		m.touched = append(m.touched, to)
	}
}

// Receive notes that a record has come. It is false for one that was here
// before, and for one before which something is missing.
func (m *Machine) Receive(o record.Origin) bool {
	if o.Number != m.Received(o.From)+1 {
		return false
	}
	m.received[o.From] = received{last: o.Number, dirty: true}
	return true
}

// Received returns the last number that came from a partition.
func (m *Machine) Received(from uint64) uint64 { return m.received[from].last }

// Touched returns the partitions that something was sent to since the last
// call.
func (m *Machine) Touched() []uint64 {
	t := m.touched
	m.touched = nil
	for _, to := range t {
		m.lanes[to].touched = false
	}
	return t
}

// Lanes returns the partitions that have not acknowledged everything.
func (m *Machine) Lanes() []uint64 {
	var open []uint64
	for to := range m.env.Partitions {
		if l := m.lanes[to]; l != nil && l.acked < l.sent {
			open = append(open, to)
		}
	}
	return open
}

// After returns at most n entries for a partition that follow the given number,
// in order. The slice is valid until the next record is applied.
func (m *Machine) After(to, number uint64, n int) []Entry {
	l := m.lanes[to]
	if l == nil || number >= l.sent {
		return nil
	}
	from := 0
	if number > l.acked {
		from = int(number - l.acked)
	}
	return l.entries[from:min(from+n, len(l.entries))]
}

// Sent returns the number of the last entry for a partition.
func (m *Machine) Sent(to uint64) uint64 {
	if l := m.lanes[to]; l != nil {
		return l.sent
	}
	return 0
}

// Acked returns the last number that a partition has acknowledged.
func (m *Machine) Acked(to uint64) uint64 {
	if l := m.lanes[to]; l != nil {
		return l.acked
	}
	return 0
}

// Bytes is the size of everything on its way.
func (m *Machine) Bytes() int { return m.bytes }

// Apply lets go of what another partition has.
func (m *Machine) Apply(r record.Record) error {
	var a record.OutboxAcked
	if err := a.Decode(r.Body); err != nil {
		return err
	}
	l := m.lane(a.To)
	if a.Number > l.sent {
		return fmt.Errorf("partition %d acknowledges number %d, the last one sent was %d", a.To, a.Number, l.sent)
	}
	for l.acked < a.Number {
		m.bytes -= len(l.entries[0].Body)
		l.entries[0] = Entry{}
		l.entries = l.entries[1:]
		l.acked++
		l.dirty = true
	}
	if len(l.entries) == 0 {
		l.entries = nil
	}
	return nil
}

func (m *Machine) lane(to uint64) *lane {
	l := m.lanes[to]
	if l == nil {
		l = &lane{}
		m.lanes[to] = l
	}
	return l
}

// Checkpoint adds what changed to b.
func (m *Machine) Checkpoint(b *store.Batch) error {
	for to, l := range m.lanes {
		if !l.dirty {
			continue
		}
		for n := l.dropped + 1; n <= min(l.acked, l.stored); n++ {
			b.Delete(entryRow(to, n))
		}
		for _, e := range l.entries {
			if e.Number > l.stored {
				b.Set(entryRow(to, e.Number), append([]byte{byte(e.Type)}, e.Body...))
			}
		}
		v := binary.BigEndian.AppendUint64(nil, l.sent)
		b.Set(fold.RowNumber(rowLane, to), binary.BigEndian.AppendUint64(v, l.acked))
	}
	for from, r := range m.received {
		if r.dirty {
			b.Set(fold.RowNumber(rowReceived, from), binary.BigEndian.AppendUint64(nil, r.last))
		}
	}
	return nil
}

// Committed notes what the table now has.
func (m *Machine) Committed() {
	for _, l := range m.lanes {
		l.stored, l.dropped, l.dirty = l.sent, l.acked, false
	}
	for from, r := range m.received {
		m.received[from] = received{last: r.last}
	}
}

// Load reads the outbox from the table.
func (m *Machine) Load() error {
	for p, err := range m.env.Table.Scan([]byte{rowLane}, fold.RowEnd(rowLane)) {
		if err != nil {
			return err
		}
		if len(p.Key) != 9 || len(p.Value) != 16 {
			return fmt.Errorf("outbox row of %d and %d bytes, want 9 and 16", len(p.Key), len(p.Value))
		}
		l := m.lane(binary.BigEndian.Uint64(p.Key[1:]))
		l.sent = binary.BigEndian.Uint64(p.Value)
		l.acked = binary.BigEndian.Uint64(p.Value[8:])
		l.stored, l.dropped = l.sent, l.acked
	}
	for p, err := range m.env.Table.Scan([]byte{rowReceived}, fold.RowEnd(rowReceived)) {
		if err != nil {
			return err
		}
		if len(p.Key) != 9 || len(p.Value) != 8 {
			return fmt.Errorf("outbox row of %d and %d bytes, want 9 and 8", len(p.Key), len(p.Value))
		}
		m.received[binary.BigEndian.Uint64(p.Key[1:])] = received{last: binary.BigEndian.Uint64(p.Value)}
	}
	return m.loadEntries()
}

func (m *Machine) loadEntries() error {
	for p, err := range m.env.Table.Scan([]byte{rowEntry}, fold.RowEnd(rowEntry)) {
		if err != nil {
			return err
		}
		if len(p.Key) != 17 || len(p.Value) == 0 {
			return fmt.Errorf("outbox row of %d and %d bytes, want 17 and some", len(p.Key), len(p.Value))
		}
		l := m.lane(binary.BigEndian.Uint64(p.Key[1:]))
		number := binary.BigEndian.Uint64(p.Key[9:])
		if want := l.acked + uint64(len(l.entries)) + 1; number != want {
			return fmt.Errorf("outbox has number %d where %d should be", number, want)
		}
		body := append([]byte(nil), p.Value[1:]...)
		l.entries = append(l.entries, Entry{Number: number, Type: record.Type(p.Value[0]), Body: body})
		m.bytes += len(body)
	}
	return nil
}

func entryRow(to, number uint64) []byte {
	return binary.BigEndian.AppendUint64(fold.RowNumber(rowEntry, to), number)
}
