package live

import (
	"cmp"
	"slices"
)

// Place is a place in all shards of a stream: everything stored before Time is behind
// it, and of what was stored at Time the messages before the offsets of At. The zero
// value is the start.
type Place struct {
	// Time is in Unix nanoseconds.
	Time int64
	// At has, in order of their names, the shards of which something that was stored at Time
	// is behind the place. It is nobody's to change.
	At []ShardPlace
}

// ShardPlace says that the messages of a shard before an offset are behind a place.
type ShardPlace struct {
	Shard  string
	Offset uint64
}

// After returns the place after a message that was stored at a time, and all that is
// behind p. It shares no memory with p.
func (p Place) After(stored int64, shard string, offset uint64) Place {
	switch {
	case stored < p.Time:
		return p.clone()
	case stored > p.Time:
		return Place{Time: stored, At: []ShardPlace{{shard, offset + 1}}}
	}
	q := Place{Time: stored, At: make([]ShardPlace, len(p.At), len(p.At)+1)}
	copy(q.At, p.At)
	q.pass(stored, shard, offset)
	return q
}

// Has reports whether a message is behind the place.
func (p Place) Has(stored int64, shard string, offset uint64) bool {
	if stored != p.Time {
		return stored < p.Time
	}
	i, ok := p.find(shard)
	return ok && offset < p.At[i].Offset
}

// Within reports whether everything that is behind p is behind q.
func (p Place) Within(q Place) bool {
	if p.Time != q.Time {
		return p.Time < q.Time
	}
	for i := range p.At {
		j, ok := q.find(p.At[i].Shard)
		if !ok || q.At[j].Offset < p.At[i].Offset {
			return false
		}
	}
	return true
}

// With returns the place that has behind it what p or q has. It may share memory with
// either.
func (p Place) With(q Place) Place {
	if p.Time != q.Time {
		if p.Time < q.Time {
			return q
		}
		return p
	}
	if p.Within(q) {
		return q
	}
	u := p.clone()
	for _, at := range q.At {
		if at.Offset > 0 {
			u.pass(q.Time, at.Shard, at.Offset-1)
		}
	}
	return u
}

// pass moves the place, whose At is the caller's own, past a message.
func (p *Place) pass(stored int64, shard string, offset uint64) {
	switch {
	case stored < p.Time:
		return
	case stored > p.Time:
		p.Time, p.At = stored, append(p.At[:0], ShardPlace{shard, offset + 1})
		return
	}
	i, ok := p.find(shard)
	if ok {
		p.At[i].Offset = max(p.At[i].Offset, offset+1)
		return
	}
	p.At = slices.Insert(p.At, i, ShardPlace{shard, offset + 1})
}

func (p Place) find(shard string) (int, bool) {
	return slices.BinarySearchFunc(p.At, shard, func(at ShardPlace, s string) int { return cmp.Compare(at.Shard, s) })
}

func (p Place) clone() Place { return Place{Time: p.Time, At: slices.Clone(p.At)} }
