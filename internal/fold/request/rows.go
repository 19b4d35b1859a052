package request

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// The rows of this package.
const (
	rowOpen    = 'p' // seq: an unfinished request
	rowMessage = 'M' // seq: the message of an unfinished request or a dead letter
	rowEnded   = 'c' // id: an ended request
	rowScope   = 'i' // scope of an idempotency key: the id of an ended request
	rowExpiry  = 'x' // time until which it is kept, id: scope, size of its reply
	rowLetter  = 'd' // seq: the id of a dead letter
	rowStopped = 'q' // flat address of a stopped key: nothing
	rowFence   = 'f' // the last fence
	rowKept    = 'b' // the account of kept replies
	rowPart    = 'P' // seq, attempt, number: a part

	rowPartExpiry = 'X' // time until which they are kept, seq: the parts of an ended request
)

// maxExpire bounds how many expired requests one checkpoint removes.
const maxExpire = 20_000

// The numbers of the fields of a request's row.
const (
	qSeq = iota + 1
	qID
	qHash
	qKind
	qNamespace
	qName
	qKey
	qMethod
	qPrincipal
	qCorrelation
	qCausation
	qState
	qAttempts
	qFence
	qDue
	qDeadline
	qAcceptedAt
	qStartedAt
	qEndedAt
	qKeep
	qKeepUntil
	qReason
	qMessage
	qLetter
	qReplyStatus
	qReplyType
	qReplySize
	qReply
	qScope
	qFingerprint
	qOrder
	qSize
	qParts
	qStep
	qDelivery
)

// states as they stand in rows.
var states = [...]edda.State{
	1: edda.Accepted, 2: edda.Dispatched, 3: edda.Taken, 4: edda.Retrying,
	5: edda.StateSucceeded, 6: edda.StateFailed, 7: edda.StateDead, 8: edda.StateCancelled,
}

func stateNumber(s edda.State) uint64 {
	for i, name := range states {
		if name == s {
			return uint64(i)
		}
	}
	panic(fmt.Sprintf("request: no number for state %q", s))
}

func (r *Request) setAddress(a edda.Address) {
	a.Namespace = cmp.Or(a.Namespace, edda.DefaultNamespace)
	r.To, r.Addr = a, string(appendFlat(nil, a, r.shard()))
}

// row encodes the request without its message.
func (r *Request) row() []byte {
	b := make([]byte, 0, 256+len(r.Addr)+len(r.scope)+len(r.Reply))
	b = wire.AppendUint(b, qSeq, r.Seq)
	b = wire.AppendBytes(b, qID, r.ID[:])
	b = wire.AppendFixed(b, qHash, r.Hash)
	if r.Kind == edda.Balanced {
		b = wire.AppendUint(b, qKind, 1)
	}
	b = wire.AppendString(b, qNamespace, r.To.Namespace)
	b = wire.AppendString(b, qName, r.To.Name)
	b = wire.AppendString(b, qKey, r.To.Key)
	b = wire.AppendString(b, qMethod, r.Method)
	b = wire.AppendString(b, qPrincipal, string(r.Principal))
	b = wire.AppendString(b, qCorrelation, r.Correlation)
	if !r.Causation.IsZero() {
		b = wire.AppendBytes(b, qCausation, r.Causation[:])
	}
	b = wire.AppendUint(b, qState, stateNumber(r.State))
	b = wire.AppendUint(b, qAttempts, uint64(r.Attempts))
	b = wire.AppendUint(b, qFence, r.Fence)
	b = wire.AppendFixed(b, qDue, uint64(r.Due))
	b = wire.AppendFixed(b, qDeadline, uint64(r.Deadline))
	b = wire.AppendFixed(b, qAcceptedAt, uint64(r.AcceptedAt))
	b = wire.AppendFixed(b, qStartedAt, uint64(r.StartedAt))
	b = wire.AppendFixed(b, qEndedAt, uint64(r.EndedAt))
	b = appendBool(b, qKeep, r.Keep)
	b = wire.AppendFixed(b, qKeepUntil, uint64(r.KeepUntil))
	b = wire.AppendString(b, qReason, string(r.Failure.Reason))
	b = wire.AppendString(b, qMessage, r.Failure.Message)
	b = appendBool(b, qLetter, r.Letter)
	b = wire.AppendUint(b, qReplyStatus, uint64(r.ReplyStatus))
	b = wire.AppendString(b, qReplyType, r.ReplyType)
	b = wire.AppendUint(b, qReplySize, uint64(r.ReplySize))
	b = wire.AppendBytes(b, qReply, r.Reply)
	b = wire.AppendString(b, qScope, r.scope)
	b = wire.AppendString(b, qFingerprint, r.fingerprint)
	b = wire.AppendUint(b, qOrder, r.order)
	b = wire.AppendUint(b, qSize, uint64(r.size))
	b = appendParts(b, qParts, r.parts)
	b = record.AppendStep(b, qStep, r.Step)
	b = record.AppendDeliveryRef(b, qDelivery, r.Delivery)
	return append(b, r.unknown...)
}

func appendBool(b []byte, field int, v bool) []byte {
	if v {
		return wire.AppendUint(b, field, 1)
	}
	return b
}

// readRow reads what row wrote, and keeps fields that it does not know. It keeps
// slices of b.
func readRow(b []byte) (*Request, error) {
	r := &Request{Kind: edda.Ordered}
	var to edda.Address
	rd := wire.NewReader(b)
	var f wire.Field
	for rd.Next(&f) {
		switch f.Num {
		case qSeq:
			r.Seq = f.Uint
		case qID:
			if len(f.Bytes) != len(r.ID) {
				return nil, fmt.Errorf("request row has an id of %d bytes, want %d", len(f.Bytes), len(r.ID))
			}
			r.ID = edda.ID(f.Bytes)
		case qHash:
			r.Hash = f.Uint
		case qKind:
			r.Kind = edda.Balanced
		case qNamespace:
			to.Namespace = string(f.Bytes)
		case qName:
			to.Name = string(f.Bytes)
		case qKey:
			to.Key = string(f.Bytes)
		case qMethod:
			r.Method = string(f.Bytes)
		case qPrincipal:
			r.Principal = edda.Principal(f.Bytes)
		case qCorrelation:
			r.Correlation = string(f.Bytes)
		case qCausation:
			copy(r.Causation[:], f.Bytes)
		case qState:
			if f.Uint == 0 || f.Uint >= uint64(len(states)) {
				return nil, fmt.Errorf("request row has state %d", f.Uint)
			}
			r.State = states[f.Uint]
		case qAttempts:
			r.Attempts = int(f.Uint)
		case qParts:
			var err error
			if r.parts, err = readParts(f.Bytes); err != nil {
				return nil, fmt.Errorf("request row: %w", err)
			}
		case qStep:
			var err error
			if r.Step, err = record.ReadStep(f.Bytes); err != nil {
				return nil, fmt.Errorf("step of request row: %w", err)
			}
		case qDelivery:
			var err error
			if r.Delivery, err = record.ReadDeliveryRef(f.Bytes); err != nil {
				return nil, fmt.Errorf("delivery of request row: %w", err)
			}
		default:
			r.readRest(&f)
		}
	}
	if err := rd.Err(); err != nil {
		return nil, fmt.Errorf("request row: %w", err)
	}
	if r.State == "" {
		return nil, fmt.Errorf("request row has no state")
	}
	r.setAddress(to)
	return r, nil
}

func (r *Request) readRest(f *wire.Field) {
	switch f.Num {
	case qFence:
		r.Fence = f.Uint
	case qDue:
		r.Due = int64(f.Uint)
	case qDeadline:
		r.Deadline = int64(f.Uint)
	case qAcceptedAt:
		r.AcceptedAt = int64(f.Uint)
	case qStartedAt:
		r.StartedAt = int64(f.Uint)
	case qEndedAt:
		r.EndedAt = int64(f.Uint)
	case qKeep:
		r.Keep = true
	case qKeepUntil:
		r.KeepUntil = int64(f.Uint)
	case qReason:
		r.Failure.Reason = edda.Reason(f.Bytes)
	case qMessage:
		r.Failure.Message = string(f.Bytes)
	case qLetter:
		r.Letter = true
	case qReplyStatus:
		r.ReplyStatus = int32(f.Uint)
	case qReplyType:
		r.ReplyType = string(f.Bytes)
	case qReplySize:
		r.ReplySize = int(f.Uint)
	case qReply:
		r.Reply = f.Bytes
	case qScope:
		r.scope = string(f.Bytes)
	case qFingerprint:
		r.fingerprint = string(f.Bytes)
	case qOrder:
		r.order = f.Uint
	case qSize:
		r.size = uint32(f.Uint)
	default:
		r.unknown = append(r.unknown, f.Raw...)
	}
}

// Checkpoint adds what changed to b. What expired goes first, so that a key
// used again since then is not lost with it.
func (m *Machine) Checkpoint(b *store.Batch) error {
	m.next = m.kept
	expired, err := m.expire(b)
	if err != nil {
		return err
	}
	if err := m.expireParts(b); err != nil {
		return err
	}
	for _, r := range m.partRows {
		r.remove(b)
	}
	for _, r := range m.dropped {
		b.Delete(fold.RowNumber(rowOpen, r.Seq))
		b.Delete(fold.RowNumber(rowMessage, r.Seq))
	}
	for id, s := range m.gone {
		if err := m.removeEnded(b, id, s); err != nil {
			return err
		}
	}
	for _, r := range m.dirty {
		if err := r.checkpoint(b); err != nil {
			return err
		}
	}
	again := maps.Clone(m.again)
	for _, r := range m.ended {
		if again[r] > 0 {
			again[r]--
		} else if r.State.Ended() {
			if err := m.checkpointEnded(b, r); err != nil {
				return err
			}
		}
	}
	if err := m.shed(b, expired); err != nil {
		return err
	}
	m.checkpointKept(b)
	for addr, stopped := range m.keyRows {
		if stopped {
			b.Set(fold.Row(rowStopped, []byte(addr)), nil)
		} else {
			b.Delete(fold.Row(rowStopped, []byte(addr)))
		}
	}
	b.Set([]byte{rowFence}, binary.BigEndian.AppendUint64(nil, m.fence))
	m.state.Checkpoint(b)
	return nil
}

// checkpoint writes an unfinished request.
func (r *Request) checkpoint(b *store.Batch) error {
	if !r.msgStored {
		if err := r.checkpointMessage(b); err != nil {
			return err
		}
	}
	r.checkpointParts(b)
	b.Set(fold.RowNumber(rowOpen, r.Seq), r.row())
	return nil
}

func (r *Request) checkpointMessage(b *store.Batch) error {
	if r.encoded == nil { // it stands in no record
		var err error
		if r.encoded, err = r.Message.AppendBinary(make([]byte, 0, r.size)); err != nil {
			return err
		}
	}
	b.Set(fold.RowNumber(rowMessage, r.Seq), r.encoded)
	return nil
}

// checkpointEnded writes an ended request that is kept. One that has expired
// since may have lost its id or scope to another, so it leaves nothing.
func (m *Machine) checkpointEnded(b *store.Batch, r *Request) error {
	if r.rowStored {
		b.Delete(fold.RowNumber(rowOpen, r.Seq))
	}
	switch {
	case r.Letter && !r.msgStored:
		if err := r.checkpointMessage(b); err != nil {
			return err
		}
	case !r.Letter && r.msgStored:
		b.Delete(fold.RowNumber(rowMessage, r.Seq))
	}
	if r.expired(m.env.Time) {
		if r.parts != nil {
			if rows, some := r.parts.stored(r.Seq); some {
				rows.remove(b)
			}
		}
		return nil
	}
	r.checkpointParts(b)
	if r.parts != nil && !r.Letter {
		b.Set(partExpiryRow(r.Seq, r.KeepUntil), nil)
	}
	b.Set(fold.Row(rowEnded, r.ID[:]), r.row())
	if r.scope != "" {
		b.Set(fold.Row(rowScope, []byte(r.scope)), r.ID[:])
	}
	if r.Letter {
		b.Set(fold.RowNumber(rowLetter, r.Seq), r.ID[:])
	} else {
		x := expiryRow(r.ID, r.KeepUntil)
		b.Set(x, expiryValue(r.scope, r.keptBytes()))
		m.next.add(x, r.keptBytes())
	}
	return nil
}

func expiryRow(id edda.ID, keepUntil int64) []byte {
	return append(fold.RowNumber(rowExpiry, uint64(keepUntil)), id[:]...)
}

// stored is what the rows of an ended request are found by.
type stored struct {
	seq       uint64
	scope     string
	reply     int // its size
	keepUntil int64
	letter    bool
}

// removeEnded removes the rows of an ended request.
func (m *Machine) removeEnded(b *store.Batch, id edda.ID, s stored) error {
	b.Delete(fold.Row(rowEnded, id[:]))
	if s.letter {
		b.Delete(fold.RowNumber(rowLetter, s.seq))
	} else {
		x := expiryRow(id, s.keepUntil)
		b.Delete(x)
		m.next.add(x, -s.reply)
	}
	return m.removeScope(b, id, []byte(s.scope))
}

// removeScope removes the row of an idempotency key, unless another request has
// used the key since.
func (m *Machine) removeScope(b *store.Batch, id edda.ID, scope []byte) error {
	if len(scope) == 0 {
		return nil
	}
	row := fold.Row(rowScope, scope)
	now, found, err := m.env.Table.Get(row)
	if found && string(now) == string(id[:]) {
		b.Delete(row)
	}
	return err
}

// expire removes ended requests that are kept no longer. It returns the last row
// that it removed, nil when there was none: at most maxExpire go at a time.
func (m *Machine) expire(b *store.Batch) (last []byte, err error) {
	n := 0
	for p, err := range m.env.Table.Scan([]byte{rowExpiry}, fold.RowNumber(rowExpiry, uint64(m.env.Time)+1)) {
		if err != nil {
			return nil, err
		}
		if len(p.Key) != 25 {
			return nil, fmt.Errorf("expiry row of %d bytes, want 25", len(p.Key))
		}
		id := edda.ID(p.Key[9:])
		if _, gone := m.gone[id]; gone {
			continue // it is removed with those
		}
		last = append(last[:0], p.Key...)
		b.Delete(p.Key)
		b.Delete(fold.Row(rowEnded, id[:]))
		scope, reply, err := readExpiry(p.Value)
		if err != nil {
			return nil, err
		}
		m.next.add(p.Key, -reply)
		if err := m.removeScope(b, id, scope); err != nil {
			return nil, err
		}
		if n++; n == maxExpire {
			break
		}
	}
	return last, nil
}

// Committed lets go of what the table now has: ended requests altogether, and
// the messages of unfinished ones.
func (m *Machine) Committed() {
	for _, r := range m.dirty {
		r.dirty, r.rowStored, r.msgStored = 0, true, true
		m.bytes -= r.memory()
		r.Message, r.encoded = nil, nil
		r.parts.committed()
		m.bytes += r.memory()
	}
	for _, r := range m.ended {
		if !r.State.Ended() {
			continue
		}
		m.forget(r)
	}
	m.dirty, m.ended, m.dropped, m.partRows = nil, nil, nil, nil
	clear(m.gone)
	clear(m.again)
	m.kept, m.kept.dirty = m.next, false
	clear(m.keyRows)
	m.state.Committed()
}

// Load reads the unfinished requests from the table.
func (m *Machine) Load() error {
	fence, found, err := m.env.Table.Get([]byte{rowFence})
	if err != nil {
		return err
	}
	if found {
		if len(fence) != 8 {
			return fmt.Errorf("fence row of %d bytes, want 8", len(fence))
		}
		m.fence = binary.BigEndian.Uint64(fence)
	}
	if err := m.loadKept(); err != nil {
		return err
	}
	for p, err := range m.env.Table.Scan([]byte{rowStopped}, fold.RowEnd(rowStopped)) {
		if err != nil {
			return err
		}
		addr := string(p.Key[1:])
		to, shard := parseFlat(addr)
		m.keys[addr] = &Key{Address: to, Shard: shard, addr: addr, Stopped: true}
	}
	return m.loadOpen()
}

var _ fold.Machine = (*Machine)(nil)
