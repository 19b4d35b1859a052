package channel

import (
	"fmt"
	"strings"

	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// rowChannel is a row of this package: namespace, 0, name: a channel.
const rowChannel = 'C'

// The fields of a channel's row.
const (
	cSpec = iota + 1
	cCreatedAt
)

func channelRow(namespace, name string) []byte {
	return append(append(fold.Row(rowChannel, []byte(namespace)), 0), name...)
}

func (c *Channel) row() []byte {
	set := record.ChannelSet{ChannelSpec: c.Spec}
	set.Namespace, set.Name = "", "" // which stand in the key
	b := wire.AppendBytes(nil, cSpec, set.AppendFields([]byte{}))
	b = wire.AppendFixed(b, cCreatedAt, uint64(c.CreatedAt))
	return append(b, c.unknown...)
}

// Checkpoint adds what changed to b. What is gone goes first: another channel may have
// its name by now.
func (m *Machine) Checkpoint(b *store.Batch) error {
	for _, c := range m.removed {
		b.Delete(channelRow(c.Spec.Namespace, c.Spec.Name))
	}
	for _, c := range m.dirty {
		if !c.removed {
			b.Set(channelRow(c.Spec.Namespace, c.Spec.Name), c.row())
		}
	}
	return nil
}

// Committed lets go of what the table now has.
func (m *Machine) Committed() {
	for _, c := range m.dirty {
		c.dirty, c.stored = false, true
	}
	m.dirty, m.removed = nil, nil
}

// Load reads the channels from the table.
func (m *Machine) Load() error {
	for p, err := range m.env.Table.Scan([]byte{rowChannel}, fold.RowEnd(rowChannel)) {
		if err != nil {
			return err
		}
		c, err := readChannel(p.Key[1:], p.Value)
		if err != nil {
			return err
		}
		m.channels.ReplaceOrInsert(c)
	}
	return nil
}

// readChannel decodes the row of a channel, whose key follows the row's letter.
func readChannel(key, row []byte) (*Channel, error) {
	namespace, name, ok := strings.Cut(string(key), "\x00")
	if !ok || namespace == "" || name == "" {
		return nil, fmt.Errorf("row of a channel has the key %q, want a namespace, a zero byte and a name", key)
	}
	c := &Channel{stored: true}
	var set record.ChannelSet
	r := wire.NewReader(row)
	for f := (wire.Field{}); r.Next(&f); {
		switch f.Num {
		case cSpec:
			if err := set.DecodeFields(f.Bytes); err != nil {
				return nil, fmt.Errorf("row of channel %q: %w", name, err)
			}
		case cCreatedAt:
			c.CreatedAt = int64(f.Uint)
		default:
			c.unknown = append(c.unknown, f.Raw...)
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("row of channel %q: %w", name, err)
	}
	set.Namespace, set.Name = namespace, name
	c.Spec = set.WithDefaults()
	return c, nil
}
