package stream

import (
	"fmt"
	"strconv"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

func (m *Machine) applyAppended(body []byte) error {
	a := &m.record
	if err := a.Decode(body); err != nil {
		return err
	}
	otherwise := Refused
	if a.Origin.Number != 0 {
		if !m.outbox.Receive(a.Origin) {
			return nil
		}
		otherwise = Dropped
	}
	err := m.append(a, a.Starts, otherwise)
	if cap(a.Messages) > keptRoom {
		a.Messages, a.Numbers = nil, nil
	}
	return err
}

// keptRoom is for how many messages and items of one record there is room between
// records.
const keptRoom = 4096

// Send appends what a handler, or a group, wants to have appended: in the record being
// applied when the stream lives here, else through the outbox. Slots that a names do not
// count. What may not be appended is an effect Dropped where the stream lives.
func (m *Machine) Send(a *record.StreamAppended) error {
	if to := m.env.Home(edda.StreamHash(a.Namespace, a.Stream)); to != m.env.Partition {
		m.outbox.Push(to, record.TypeStreamAppended, a.AppendBody(nil))
		if a.Producer != "" {
			m.env.RowsVersion = max(m.env.RowsVersion, fold.RowsOfProducers)
		}
		return nil
	}
	return m.AppendHere(a)
}

// AppendHere is Send for a stream that lives here. The machine keeps the messages of a.
func (m *Machine) AppendHere(a *record.StreamAppended) error { return m.append(a, nil, Dropped) }

// append appends messages, all or none. Otherwise says what there is when that may not
// be.
func (m *Machine) append(a *record.StreamAppended, starts []record.GroupStart, otherwise EffectKind) error {
	s := m.byRef[Ref{a.Namespace, a.Stream}]
	var sh *Shard
	if s != nil {
		sh = s.Shard(a.Shard)
	}
	last, err := m.last(s, sh, a.Producer)
	if err != nil {
		return err
	}
	items := len(m.items)
	if r := m.check(s, sh, a, &last); r != nil {
		known, err := m.allKnown(s, sh, a, &last)
		if err != nil {
			return err
		}
		if !known {
			m.items = m.items[:items]
			m.refuse(otherwise, s, sh, r)
			return nil
		}
	} else {
		if s == nil {
			s = m.create(edda.StreamSpec{Namespace: a.Namespace, Name: a.Stream})
		}
		if sh == nil {
			sh = &Shard{Name: a.Shard} // the stream has it once there is a message
		}
		if err := m.takeIn(s, sh, a, &last, starts); err != nil {
			return err
		}
		if sh.stream == nil {
			sh = nil // all were there before
		}
	}
	if otherwise == Refused {
		m.effects = append(m.effects, Effect{Kind: Answered, Stream: s, Shard: sh, Items: m.items[items:len(m.items):len(m.items)], Last: last})
	} else {
		m.items = m.items[:items]
	}
	return nil
}

// check says why nothing new may be appended, nil when it may. Stream and shard are nil
// when they are not there; last is that of the producer.
func (m *Machine) check(s *Stream, sh *Shard, a *record.StreamAppended, last *Last) *refusal {
	if s == nil {
		if name, own := edda.ChannelOf(a.Stream); own {
			return noChannel(a.Namespace, name) // which creates the stream, and nobody else does
		}
	}
	switch {
	case s == nil && !m.room():
		return &refusal{edda.TooLarge, fmt.Sprintf("a record makes at most %d streams", 1<<serialBits)}
	case s != nil && !s.May(a.Shard):
		return noShard(s, a.Shard)
	case s != nil && sh == nil && len(s.shards) >= edda.MaxShards:
		return &refusal{edda.NoShard, fmt.Sprintf("stream %q has %d shards, which is the most", s.Spec.Name, len(s.shards))}
	case a.Producer != "" && last.Number == 0 && s != nil && s.producers >= edda.MaxProducers:
		return &refusal{edda.TooLarge, fmt.Sprintf("stream %q has %d producers in its shards, which is the most", s.Spec.Name, s.producers)}
	case a.Expect == 0:
		return nil
	}
	empty, end := sh == nil || sh.First == sh.End, uint64(0)
	if sh != nil {
		end = sh.End
	}
	switch {
	case a.Expect == 1 && empty, a.Expect >= 2 && a.Expect-1 == end:
		return nil
	case empty:
		return &refusal{edda.ExpectedOffset, ""}
	default:
		return &refusal{edda.ExpectedOffset, strconv.FormatUint(end-1, 10)}
	}
}

// allKnown reports whether all messages were there before, and leaves behind where.
func (m *Machine) allKnown(s *Stream, sh *Shard, a *record.StreamAppended, last *Last) (bool, error) {
	if s == nil {
		return false, nil
	}
	var names record.MessageNames
	for i, msg := range a.Messages {
		if err := names.Read(msg); err != nil {
			return false, err
		}
		known, _, err := m.there(s, sh, last, numberOf(a, i), names.Given)
		if err != nil || !known {
			return false, err
		}
	}
	return true, nil
}

// there reports whether a message was appended before, by its number or its id, and then
// leaves behind where. When the table has a row of the id that is forgotten, was is until
// when it counted.
func (m *Machine) there(s *Stream, sh *Shard, last *Last, number uint64, id []byte) (known bool, was int64, err error) {
	passed := number != 0 && number <= last.Number
	if passed && number == last.Number {
		m.replayed(last.place(sh))
		return true, 0, nil
	}
	if len(id) > 0 {
		p, known, was, err := m.known(s, id)
		if err != nil || known || !passed {
			if known {
				m.replayed(p)
			}
			return known, was, err
		}
	}
	if passed {
		m.items = append(m.items, Item{Shard: sh.Index, Position: last.Position, Replayed: true, Unknown: true})
	}
	return passed, 0, nil
}

// numberOf is the number of a message, zero without a producer.
func numberOf(a *record.StreamAppended, i int) uint64 {
	if a.Producer == "" {
		return 0
	}
	return a.Numbers[i]
}

// takeIn appends the messages that are not there. Last is that of the producer, and
// becomes the new one.
func (m *Machine) takeIn(s *Stream, sh *Shard, a *record.StreamAppended, last *Last, starts []record.GroupStart) error {
	msgs := a.Messages
	first, total := sh.End, sh.total
	items := len(m.items)
	at := max(m.env.Time, s.lastAt+1) // which no other append to the stream has: see Walk
	var names record.MessageNames
	newest := -1 // the index of the last one that is appended
	for i, msg := range msgs {
		if err := names.Read(msg); err != nil {
			return err
		}
		known, was, err := m.there(s, sh, last, numberOf(a, i), names.Given)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if len(names.Given) > 0 {
			m.remember(s, names.Given, Place{Shard: sh.index(s), Offset: sh.End, Position: m.env.Position}, was)
		}
		sh.index(s)
		m.items = append(m.items, Item{Shard: sh.Index, Offset: sh.End, Position: m.env.Position})
		m.push(sh, msg, at)
		newest = i
	}
	n := int(sh.End - first)
	if n == 0 {
		return nil
	}
	if a.Producer != "" {
		if err := m.number(sh, a, newest, last); err != nil {
			return err
		}
	}
	if n < len(msgs) && len(starts) > 0 {
		starts = ofNew(starts, m.items[items:])
	}
	s.lastAt = at
	s.bring(sh)
	m.touchShard(sh)
	effect := len(m.effects)
	m.effects = append(m.effects, Effect{Kind: Appended, Stream: s, Shard: sh, First: first, N: n, Bytes: int(sh.total - total)})
	if m.feeds != nil {
		if err := m.feeds.Appended(s, sh, first, n, starts); err != nil {
			return err
		}
	}
	kept := sh.First
	if err := m.retain(sh); err != nil {
		return err
	}
	m.effects[effect].Gone = int(sh.First - kept)
	m.arm(sh)
	return nil
}

// ofNew returns the slots that are reserved for new messages, with the indexes that those
// have among themselves. It changes starts.
func ofNew(starts []record.GroupStart, items []Item) []record.GroupStart {
	index := make([]uint32, len(items))
	n := uint32(0)
	for i := range items {
		index[i] = n
		if !items[i].Replayed {
			n++
		}
	}
	kept := starts[:0]
	for _, st := range starts {
		if uint64(st.Index) < uint64(len(items)) && !items[st.Index].Replayed {
			kept = append(kept, record.GroupStart{Group: st.Group, Index: index[st.Index]})
		}
	}
	return kept
}

// replayed answers a message that was there before.
func (m *Machine) replayed(p Place) {
	m.items = append(m.items, Item{Shard: p.Shard, Offset: p.Offset, Position: p.Position, Replayed: true})
}

// index makes sure that the shard is one of the stream's, and returns its number.
func (sh *Shard) index(s *Stream) uint32 {
	if sh.stream == nil {
		s.add(sh)
	}
	return sh.Index
}

// push adds one message to the shard.
func (m *Machine) push(sh *Shard, msg []byte, at int64) {
	if sh.First == sh.End {
		sh.firstAt = at
	}
	if sh.recent == nil {
		sh.recent = make([]message, 0, sh.usual+sh.usual/4+1)
	}
	sh.recent = append(sh.recent, message{at, msg})
	sh.End++
	sh.LastAt = at
	sh.Bytes += uint64(len(msg))
	sh.total += uint64(len(msg))
	sh.recentBytes += uint64(len(msg))
	m.bytes += len(msg) + messageOverhead
}
