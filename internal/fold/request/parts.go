package request

import (
	"encoding/binary"
	"fmt"

	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// Part is one part of a reply, as it is kept. Nobody changes it.
type Part struct {
	ContentType string
	Payload     []byte
}

// partOverhead is about what a part takes in memory beside its payload.
const partOverhead = 64

// Parts are what a request's last attempt that yielded any has yielded. When a
// later attempt yields its first part, or the request ends in a later attempt,
// they make room for that attempt's.
type Parts struct {
	// Attempt is the one whose parts they are.
	Attempt int
	// Reset is the number before the first. It is 0 but for an attempt that was
	// handed back after it had yielded some: the next one has the same number, and
	// begins above those, so that no number ever means two parts.
	Reset uint64
	// Last is the number of the last one; Reset when there is none.
	Last uint64
	// Lost says that the parts are not kept any more: the request ended and nobody
	// wanted its outcome kept, or there were too many bytes of such outcomes.
	Lost bool
	// Recent are the last ones, those that the table does not have yet. Whoever has
	// the slice may read it for as long as they like.
	Recent []Part

	fence       uint64
	contentType string // of the last one
	total       int    // bytes of all
	bytes       int    // memory of Recent
}

// Stored is the number of the last part that the table has; Reset when it has
// none.
func (p *Parts) Stored() uint64 { return p.Last - uint64(len(p.Recent)) }

// memory is about what the parts take in memory.
func (p *Parts) memory() int {
	if p == nil {
		return 0
	}
	return p.bytes
}

// expects returns the number that the next part of the attempt with the fence has
// among the attempt's.
func (p *Parts) expects(fence uint64) uint64 {
	if p == nil || p.fence != fence {
		return 1
	}
	return p.Last - p.Reset + 1
}

func (p *Parts) add(contentType, payload []byte) {
	if contentType != nil {
		p.contentType = same(p.contentType, contentType)
	}
	p.Recent = append(p.Recent, Part{p.contentType, payload})
	p.bytes += partOverhead + len(payload)
	p.total += len(p.contentType) + len(payload)
	p.Last++
}

// keptBytes is how many bytes of a request's outcome the table keeps.
func (r *Request) keptBytes() int {
	if r.parts == nil || r.parts.Lost {
		return len(r.Reply)
	}
	return len(r.Reply) + r.parts.total
}

// Parts returns what the attempts at the request have yielded, nil when they have
// yielded nothing. It belongs to the machine.
func (r *Request) Parts() *Parts { return r.parts }

// partRange is a range of rows of parts.
type partRange struct {
	seq, attempt uint64
	first, last  uint64
}

// stored is the range of those that the table has, and whether there are any.
func (p *Parts) stored(seq uint64) (r partRange, some bool) {
	return partRange{seq, uint64(p.Attempt), p.Reset + 1, p.Stored()}, p.Stored() > p.Reset
}

func (m *Machine) applyPart(rec record.Record, start bool) error {
	var p record.Part
	if err := p.Decode(rec.Body); err != nil {
		return err
	}
	req := m.attempt(p.Seq, p.Fence, start)
	if req == nil {
		return nil
	}
	if p.Number == req.parts.expects(req.Fence) {
		m.bytes -= req.memory()
		m.renewParts(req)
		req.parts.add(p.ContentType, p.Payload)
		m.bytes += req.memory()
		m.touch(req)
		m.effect(Yielded, req)
	} else {
		m.effects = append(m.effects, Effect{Kind: Stale, Request: req, Fence: p.Fence})
	}
	m.spare(start)
	return nil
}

// renewParts makes the parts those of the running attempt, and drops those of an
// earlier one.
func (m *Machine) renewParts(req *Request) {
	old := req.parts
	if old != nil && old.fence == req.Fence {
		return
	}
	req.parts = &Parts{Attempt: req.Attempts, fence: req.Fence}
	if old == nil {
		return
	}
	if old.Attempt >= req.Attempts {
		req.parts.Attempt, req.parts.Reset = old.Attempt, old.Last+1
	}
	req.parts.Last = req.parts.Reset
	m.dropParts(req.Seq, old)
}

// dropParts has the rows of parts removed with the next checkpoint.
func (m *Machine) dropParts(seq uint64, p *Parts) {
	if r, some := p.stored(seq); some {
		m.partRows = append(m.partRows, r)
	}
}

// endParts drops the parts of earlier attempts if one is running that has not
// yielded any: they are no part of the outcome.
func (m *Machine) endParts(req *Request) {
	if req.parts == nil || req.Fence == 0 {
		return
	}
	m.bytes -= req.memory()
	m.renewParts(req)
	m.bytes += req.memory()
}

// loseParts drops the parts of a request of which nothing is kept.
func (m *Machine) loseParts(req *Request) {
	p := req.parts
	if p == nil {
		return
	}
	m.dropParts(req.Seq, p)
	p.Lost, p.Recent, p.bytes = true, nil, 0
}

// checkpointParts writes the parts that the table does not have.
func (r *Request) checkpointParts(b *store.Batch) {
	p := r.parts
	if p == nil || p.Lost {
		return
	}
	n := p.Stored()
	for i := range p.Recent {
		n++
		b.Set(partRow(r.Seq, uint64(p.Attempt), n), p.Recent[i].row())
	}
}

// committed lets go of the parts that the table now has.
func (p *Parts) committed() {
	if p != nil {
		p.Recent, p.bytes = nil, 0
	}
}

func partRow(seq, attempt, number uint64) []byte {
	k := fold.RowNumber(rowPart, seq)
	k = binary.BigEndian.AppendUint64(k, attempt)
	return binary.BigEndian.AppendUint64(k, number)
}

// fewRows is up to how many rows are removed one by one; a range costs as much as
// about ten, and slows down the reads around it.
const fewRows = 16

func (r partRange) remove(b *store.Batch) {
	if r.last-r.first >= fewRows {
		b.DeleteRange(partRow(r.seq, r.attempt, r.first), partRow(r.seq, r.attempt, r.last+1))
		return
	}
	for n := r.first; n <= r.last; n++ {
		b.Delete(partRow(r.seq, r.attempt, n))
	}
}

// The fields of a part's row.
const (
	partContentType = 1
	partPayload     = 2
)

func (p *Part) row() []byte {
	b := make([]byte, 0, len(p.ContentType)+len(p.Payload)+16)
	b = wire.AppendString(b, partContentType, p.ContentType)
	return wire.AppendBytes(b, partPayload, p.Payload)
}

func readPart(b []byte) (p Part, err error) {
	r := wire.NewReader(b)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case partContentType:
			p.ContentType = string(f.Bytes)
		case partPayload:
			p.Payload = append([]byte{}, f.Bytes...)
		}
	}
	return p, r.Err()
}

// The fields of a request's row that say which parts there are.
const (
	partsAttempt = iota + 1
	partsFence
	partsReset
	partsLast
	partsContentType
	partsTotal
	partsLost
)

func appendParts(b []byte, field int, p *Parts) []byte {
	if p == nil {
		return b
	}
	inner := wire.AppendUint(make([]byte, 0, 64), partsAttempt, uint64(p.Attempt))
	inner = wire.AppendUint(inner, partsFence, p.fence)
	inner = wire.AppendUint(inner, partsReset, p.Reset)
	inner = wire.AppendUint(inner, partsLast, p.Last)
	inner = wire.AppendString(inner, partsContentType, p.contentType)
	inner = wire.AppendUint(inner, partsTotal, uint64(p.total))
	inner = appendBool(inner, partsLost, p.Lost)
	return wire.AppendBytes(b, field, inner)
}

func readParts(b []byte) (*Parts, error) {
	p := new(Parts)
	r := wire.NewReader(b)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case partsAttempt:
			p.Attempt = int(f.Uint)
		case partsFence:
			p.fence = f.Uint
		case partsReset:
			p.Reset = f.Uint
		case partsLast:
			p.Last = f.Uint
		case partsContentType:
			p.contentType = string(f.Bytes)
		case partsTotal:
			p.total = int(f.Uint)
		case partsLost:
			p.Lost = f.Uint != 0
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if p.Last < p.Reset {
		return nil, fmt.Errorf("parts end with %d before they begin after %d", p.Last, p.Reset)
	}
	return p, nil
}

// expireParts removes the parts of ended requests that are kept no longer.
func (m *Machine) expireParts(b *store.Batch) error {
	n := 0
	for p, err := range m.env.Table.Scan([]byte{rowPartExpiry}, fold.RowNumber(rowPartExpiry, uint64(m.env.Time)+1)) {
		if err != nil {
			return err
		}
		if len(p.Key) != 17 {
			return fmt.Errorf("expiry row of parts has %d bytes, want 17", len(p.Key))
		}
		b.Delete(p.Key)
		removeParts(b, binary.BigEndian.Uint64(p.Key[9:]))
		if n++; n == maxExpire {
			break
		}
	}
	return nil
}

// removeParts removes all rows of a request's parts.
func removeParts(b *store.Batch, seq uint64) {
	b.DeleteRange(fold.RowNumber(rowPart, seq), fold.RowNumber(rowPart, seq+1))
}

func partExpiryRow(seq uint64, keepUntil int64) []byte {
	return binary.BigEndian.AppendUint64(fold.RowNumber(rowPartExpiry, uint64(keepUntil)), seq)
}

// ReadParts reads parts of an attempt from the table: those after a number, up to
// one that Parts.Stored said, at most as many as have maxBytes together, but at
// least one. There are fewer, or none, when they were dropped since. It is safe
// for concurrent use.
func ReadParts(t store.Table, seq uint64, attempt int, after, to uint64, maxBytes int) ([]Part, error) {
	var parts []Part
	for row, err := range t.Scan(partRow(seq, uint64(attempt), after+1), partRow(seq, uint64(attempt), to+1)) {
		if err != nil {
			return nil, err
		}
		if n := binary.BigEndian.Uint64(row.Key[17:]); n != after+uint64(len(parts))+1 {
			break // those between were dropped, and this one will be
		}
		if maxBytes -= len(row.Value); maxBytes < 0 && len(parts) > 0 {
			break
		}
		p, err := readPart(row.Value)
		if err != nil {
			return nil, fmt.Errorf("part %d.%d of request %d: %w", attempt, after+uint64(len(parts))+1, seq, err)
		}
		parts = append(parts, p)
	}
	return parts, nil
}
