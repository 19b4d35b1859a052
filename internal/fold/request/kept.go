package request

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// kept is the account of the replies, with their parts, that the table keeps for
// callers who ask later. Over the limit the bodies of those that expire first go; state and
// fingerprint stay until they expire.
type kept struct {
	bytes int64
	// shed is the expiry row up to which, itself included, bodies have gone. What has
	// one of those rows is not part of bytes.
	shed  []byte
	dirty bool // it differs from its row
}

// maxShed bounds how many replies one checkpoint sheds.
const maxShed = 20_000

// LimitKept sets how many bytes of replies the table may keep, about; zero means
// any number.
func (m *Machine) LimitKept(bytes int64) { m.keptLimit = bytes }

// add counts the reply of an expiry row that is written, or with a negative size
// one that is removed.
func (k *kept) add(row []byte, size int) {
	if size != 0 && bytes.Compare(row, k.shed) > 0 {
		k.bytes += int64(size)
		k.dirty = true
	}
}

// The fields of an expiry row's value.
const (
	xScope = iota + 1
	xReply
)

// expiryValue is the value of the expiry row of a request.
func expiryValue(scope string, reply int) []byte {
	return wire.AppendUint(wire.AppendString(nil, xScope, scope), xReply, uint64(reply))
}

func readExpiry(b []byte) (scope []byte, reply int, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case xScope:
			scope = f.Bytes
		case xReply:
			reply = int(f.Uint)
		}
	}
	if err := r.Err(); err != nil {
		return nil, 0, fmt.Errorf("expiry row: %w", err)
	}
	return scope, reply, nil
}

// shed takes the bodies of replies away while there are too many bytes of them. It
// looks at what the table had before this checkpoint, after the rows that this one
// has expired; the rest has its turn at the next one.
func (m *Machine) shed(b *store.Batch, expired []byte) error {
	k := &m.next
	if m.keptLimit == 0 || k.bytes <= m.keptLimit {
		return nil
	}
	begin := []byte{rowExpiry}
	for _, done := range [][]byte{expired, k.shed} {
		if bytes.Compare(done, begin) >= 0 {
			begin = append(bytes.Clone(done), 0)
		}
	}
	n := 0
	for p, err := range m.env.Table.Scan(begin, fold.RowEnd(rowExpiry)) {
		if err != nil {
			return err
		}
		if k.bytes <= m.keptLimit || n == maxShed {
			break
		}
		n++
		if err := m.shedOne(b, p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) shedOne(b *store.Batch, key, value []byte) error {
	_, size, err := readExpiry(value)
	if err != nil {
		return err
	}
	id := edda.ID(key[9:])
	m.next.shed, m.next.dirty = bytes.Clone(key), true
	if _, gone := m.gone[id]; gone || size == 0 {
		return nil // this checkpoint has removed and counted it
	}
	m.next.bytes -= int64(size)
	row := fold.Row(rowEnded, id[:])
	old, found, err := m.env.Table.Get(row)
	if err != nil || !found {
		return err
	}
	r, err := readRow(old)
	if err != nil {
		return err
	}
	r.Reply = nil
	if r.parts != nil {
		removeParts(b, r.Seq)
		r.parts.Lost = true
	}
	b.Set(row, r.row())
	return nil
}

// checkpointKept writes the account.
func (m *Machine) checkpointKept(b *store.Batch) {
	switch k := &m.next; {
	case !k.dirty:
		return
	case k.bytes == 0 && len(k.shed) == 0:
		b.Delete([]byte{rowKept})
	default:
		b.Set([]byte{rowKept}, append(binary.BigEndian.AppendUint64(nil, uint64(k.bytes)), k.shed...))
	}
}

// loadKept reads the account.
func (m *Machine) loadKept() error {
	v, found, err := m.env.Table.Get([]byte{rowKept})
	if err != nil || !found {
		return err
	}
	if len(v) < 8 {
		return fmt.Errorf("row of kept replies has %d bytes, want at least 8", len(v))
	}
	m.kept.bytes, m.kept.shed = int64(binary.BigEndian.Uint64(v)), bytes.Clone(v[8:])
	return nil
}
