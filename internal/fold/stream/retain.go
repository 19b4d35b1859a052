package stream

import (
	"cmp"
	"time"

	"github.com/edda-io/edda/internal/record"
)

// retain lets go of what the shard is not to keep.
func (m *Machine) retain(sh *Shard) error {
	keep := &sh.stream.Spec.Retention
	if keep.Count > 0 && sh.End-sh.First > keep.Count {
		if err := m.trimTo(sh, sh.End-keep.Count); err != nil {
			return err
		}
	}
	if keep.Bytes > 0 && sh.Bytes > keep.Bytes {
		to, _, err := m.search(sh, func(mk mark) bool { return sh.total-mk.total <= keep.Bytes })
		if err == nil {
			err = m.trimTo(sh, min(to, sh.End-1))
		}
		if err != nil {
			return err
		}
	}
	if keep.Age > 0 {
		return m.trimBefore(sh, m.env.Time-int64(keep.Age))
	}
	return nil
}

// trimBefore removes the messages that were appended before a time.
func (m *Machine) trimBefore(sh *Shard, time int64) error {
	if sh.First == sh.End || sh.firstAt >= time {
		return nil
	}
	to, mk, err := m.search(sh, func(mk mark) bool { return mk.time >= time })
	if err != nil {
		return err
	}
	return m.cut(sh, to, mk)
}

// trimTo removes the messages before an offset, which is at most the end.
func (m *Machine) trimTo(sh *Shard, to uint64) error {
	if to <= sh.First {
		return nil
	}
	mk, err := m.markAt(sh, to)
	if err != nil {
		return err
	}
	return m.cut(sh, to, mk)
}

// cut makes the message at an offset, of which this is the mark, the first one.
func (m *Machine) cut(sh *Shard, to uint64, mk mark) error {
	latest := mk.time
	if to == sh.End {
		latest = sh.LastAt
	}
	gone, err := m.timeAt(sh, to-1, latest)
	if err != nil {
		return err
	}
	if first := sh.recentFirst(); to > first {
		gone := sh.recent[:to-first]
		for i := range gone {
			n := len(gone[i].data)
			sh.recentBytes -= uint64(n)
			m.bytes -= n + messageOverhead
		}
		if sh.recent = sh.recent[to-first:]; len(sh.recent) == 0 {
			sh.recent = nil
		}
	}
	sh.First, sh.firstAt, sh.goneAt, sh.Bytes = to, mk.time, gone, sh.total-mk.total
	m.touchShard(sh)
	return nil
}

// applyTrimmed removes the first messages of a shard, or of all.
func (m *Machine) applyTrimmed(body []byte) error {
	var t record.StreamTrimmed
	if err := t.Decode(body); err != nil {
		return err
	}
	s := m.byRef[Ref{t.Namespace, t.Name}]
	if s == nil {
		m.refuse(Refused, nil, nil, noStream(t.Namespace, t.Name))
		return nil
	}
	shards, named := s.shards, (*Shard)(nil)
	if t.Shard != "" {
		if named, shards = s.Shard(t.Shard), nil; named != nil {
			shards = []*Shard{named}
		} else if !s.May(t.Shard) {
			m.refuse(Refused, s, nil, noShard(s, t.Shard))
			return nil
		}
	}
	n := uint64(0)
	for _, sh := range shards {
		first := sh.First
		err := m.trimTo(sh, min(t.Offset, sh.End))
		if err == nil && t.Time != 0 {
			err = m.trimBefore(sh, t.Time)
		}
		if err != nil {
			return err
		}
		n += sh.First - first
		m.arm(sh)
	}
	m.effects = append(m.effects, Effect{Kind: Trimmed, Stream: s, Shard: named, N: int(n)})
	return nil
}

// expiry is when a shard is to be looked at because its first message may have become
// too old.
type expiry struct {
	at     int64
	serial uint64
	shard  *Shard
}

func (e expiry) less(other expiry) bool {
	return cmp.Or(cmp.Compare(e.at, other.at), cmp.Compare(e.serial, other.serial), cmp.Compare(e.shard.Index, other.shard.Index)) < 0
}

// What is too old goes a little later than it might, so that much goes at a time.
const (
	expirySlack = 10 * time.Second // at most
	expiryShare = 4                // of the age, at most
)

// expires returns when the shard has something that is too old, zero for never.
func (sh *Shard) expires() int64 {
	age := sh.stream.Spec.Retention.Age
	if age == 0 || sh.First == sh.End {
		return 0
	}
	return sh.firstAt + int64(age) + int64(min(age/expiryShare, expirySlack)) + 1
}

// arm has the shard looked at in time. When it is to be looked at too early that is
// left so, because it costs less.
func (m *Machine) arm(sh *Shard) {
	if at := sh.expires(); at != 0 && (sh.armed == 0 || at < sh.armed) {
		m.armAt(sh, at)
	}
}

func (m *Machine) armAt(sh *Shard, at int64) {
	m.disarm(sh)
	sh.armed = at
	m.expiries.ReplaceOrInsert(expiry{at, sh.stream.Serial, sh})
}

func (m *Machine) disarm(sh *Shard) {
	if sh.armed != 0 {
		m.expiries.Delete(expiry{sh.armed, sh.stream.Serial, sh})
		sh.armed = 0
	}
}

// NextExpiry returns when Expired is to be called, in Unix nanoseconds; zero for never,
// unless a record comes.
func (m *Machine) NextExpiry() int64 {
	e, _ := m.expiries.Min()
	return e.at
}

// retryExpiry is in how long a shard is named again if its messages are still there.
const retryExpiry = 20 * time.Second

// Expired returns the records that remove what is too old at a time, at most one for a
// stream. Who does not propose them is told again later.
func (m *Machine) Expired(now int64) []record.StreamTrimmed {
	var records []record.StreamTrimmed
	named := map[*Stream]bool{}
	for {
		e, ok := m.expiries.Min()
		if !ok || e.at > now {
			return records
		}
		sh := e.shard
		switch at := sh.expires(); {
		case at == 0:
			m.disarm(sh)
			continue
		case at > now:
			m.armAt(sh, at)
			continue
		}
		m.armAt(sh, now+int64(retryExpiry))
		if s := sh.stream; !named[s] {
			named[s] = true
			records = append(records, record.StreamTrimmed{
				Namespace: s.Spec.Namespace, Name: s.Spec.Name, Time: now - int64(s.Spec.Retention.Age),
			})
		}
	}
}
