// Package channel is the part of a fold that keeps channels: live topics, each with a
// stream of its own for what is published to it.
//
// A channel lives in the partition of its own stream, which the record that sets the
// channel creates or changes, and the one that removes it removes. Who listens is no
// record, and not known here.
//
// A Machine belongs to its partition's goroutine.
package channel

import (
	"cmp"
	"fmt"
	"iter"

	"github.com/google/btree"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

// Streams keeps the channels' own streams. The stream machine is one.
type Streams interface {
	// Set creates a stream, or changes one.
	Set(spec edda.StreamSpec) error
	// Remove removes a stream, if there is one.
	Remove(namespace, name string) error
}

// Channel is a channel. Its fields are the machine's to change; what they refer to
// does not change.
type Channel struct {
	// Spec is what it is to be like, with its defaults.
	Spec edda.ChannelSpec
	// CreatedAt is in Unix nanoseconds.
	CreatedAt int64
	// SetAt is the position of the record that set it last, zero when it was read from the
	// table since.
	SetAt uint64

	unknown []byte // fields of a later release in its row
	stored  bool   // the table has its row
	dirty   bool   // its row has to be written
	removed bool
}

// Removed reports whether the channel has been removed. It has no successor, also when
// there is a new one of its name.
func (c *Channel) Removed() bool { return c.removed }

// EffectKind says what has happened.
type EffectKind uint8

// The kinds of effects.
const (
	// Set: there is a new channel, or one was changed.
	Set EffectKind = iota + 1
	// Removed: the channel is gone.
	Removed
	// Refused: the record has changed nothing.
	Refused
)

// Effect is something that a record has brought about.
type Effect struct {
	Kind EffectKind
	// Channel is nil for a refusal.
	Channel *Channel
	// Created says that a channel that was set is a new one.
	Created bool
	// Reason is why a record was refused, and Detail says it to people.
	Reason edda.Reason
	Detail string
}

// Machine is the state of the channels of one partition.
type Machine struct {
	env     *fold.Env
	streams Streams

	channels *btree.BTreeG[*Channel] // by namespace and name
	dirty    []*Channel              // whose rows have to be written
	removed  []*Channel              // since the last checkpoint, with rows in the table

	effects []Effect
	taken   int // as many effects were handed out last
}

// New returns a machine without channels.
func New(env *fold.Env, streams Streams) *Machine {
	return &Machine{env: env, streams: streams, channels: btree.NewG(32, less)}
}

func less(a, b *Channel) bool {
	return cmp.Or(cmp.Compare(a.Spec.Namespace, b.Spec.Namespace), cmp.Compare(a.Spec.Name, b.Spec.Name)) < 0
}

// at is what is looked for to find a channel.
func at(namespace, name string) *Channel {
	return &Channel{Spec: edda.ChannelSpec{Namespace: namespace, Name: name}}
}

// Types are the record types the machine owns.
func (m *Machine) Types() []record.Type {
	return []record.Type{record.TypeChannelSet, record.TypeChannelRemoved}
}

// Effects returns what the records since the last call brought about. The slice is
// valid until the next record is applied.
func (m *Machine) Effects() []Effect {
	e := m.effects
	if len(e) < m.taken {
		clear(e[len(e):m.taken]) // so that they hold on to nothing
	}
	m.taken = len(e)
	m.effects = e[:0]
	return e
}

// Channel returns a channel, nil when there is none.
func (m *Machine) Channel(namespace, name string) *Channel {
	c, _ := m.channels.Get(at(namespace, name))
	return c
}

// From yields the channels by namespace and name, without those of lesser namespaces,
// and without those of the namespace whose names are less. No record may be applied
// meanwhile.
func (m *Machine) From(namespace, name string) iter.Seq[*Channel] {
	return func(yield func(*Channel) bool) { m.channels.AscendGreaterOrEqual(at(namespace, name), yield) }
}

// Apply changes the state by one record.
func (m *Machine) Apply(r record.Record) error {
	switch r.Type {
	case record.TypeChannelSet:
		return m.applySet(r.Body)
	case record.TypeChannelRemoved:
		return m.applyRemoved(r.Body)
	default:
		return fmt.Errorf("%s record is not the channel machine's", r.Type)
	}
}

// applySet creates a channel, or changes one.
func (m *Machine) applySet(body []byte) error {
	var set record.ChannelSet
	if err := set.Decode(body); err != nil {
		return err
	}
	spec := set.WithDefaults()
	c := m.Channel(spec.Namespace, spec.Name)
	created := c == nil
	if created {
		c = &Channel{CreatedAt: m.env.Time}
	}
	c.SetAt = m.env.Position
	if c.Spec = spec; created {
		m.channels.ReplaceOrInsert(c)
	}
	if !c.dirty {
		c.dirty = true
		m.dirty = append(m.dirty, c)
	}
	m.env.RowsVersion = max(m.env.RowsVersion, fold.RowsOfChannels)
	m.effects = append(m.effects, Effect{Kind: Set, Channel: c, Created: created})
	return m.streams.Set(edda.StreamSpec{
		Namespace: spec.Namespace, Name: edda.ChannelStream(spec.Name),
		Retention: edda.Retention{Count: spec.History.Count, Age: spec.History.Age},
	})
}

func (m *Machine) applyRemoved(body []byte) error {
	var r record.ChannelRemoved
	if err := r.Decode(body); err != nil {
		return err
	}
	c := m.Channel(r.Namespace, r.Name)
	if c == nil {
		m.effects = append(m.effects, Effect{Kind: Refused, Reason: edda.NoChannel,
			Detail: fmt.Sprintf("there is no channel %q in the namespace %q", r.Name, r.Namespace)})
		return nil
	}
	m.channels.Delete(c)
	if c.removed = true; c.stored {
		m.removed = append(m.removed, c)
	}
	m.effects = append(m.effects, Effect{Kind: Removed, Channel: c})
	return m.streams.Remove(r.Namespace, edda.ChannelStream(r.Name))
}

var _ fold.Machine = (*Machine)(nil)
