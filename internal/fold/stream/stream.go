// Package stream is the part of a fold that keeps streams: named sequences of messages
// in shards, with the ids that producers gave them.
//
// A message is kept as it came. Until the next checkpoint it is in memory, as the slice
// of its record; then it is in the table, and memory has nothing of it but that the
// shard's bounds enclose it. So a stream in which nothing happens costs some hundred
// bytes, however much it holds.
//
// A Machine belongs to its partition's goroutine. A View that it hands out does not:
// it is what there was of a shard at one moment, to be read anywhere at leisure.
package stream

import (
	"cmp"
	"slices"

	"github.com/edda-io/edda"
)

// Stream is a stream. Its fields are the machine's to change, but for Aux.
type Stream struct {
	// Serial is its number in the keys of rows. No other stream of the partition ever
	// has it, also not one of the same name that is made later.
	Serial uint64
	// Spec is what it is to be like, with its defaults.
	Spec edda.StreamSpec
	// CreatedAt is in Unix nanoseconds. Nothing of it has an earlier time, and nothing of a
	// stream of the same name that was removed before has this one, or a later.
	CreatedAt int64
	// Aux is whatever the node keeps beside it.
	Aux any

	shards []*Shard // by index
	latest *Shard   // the one that has had a message last; see Shard.older
	lastAt int64    // when the last message was appended; before the stream was made: just before that
	// storedAt is lastAt of what the table has: what was appended later is in memory.
	storedAt int64
	// earlierUntil is when an earlier stream of its name was removed, or may have been;
	// zero when there was none.
	earlierUntil int64

	byName  map[string]*Shard // when there are many
	listed  map[string]bool   // Spec.Shards, when they are many
	unknown []byte            // fields of a later release in its row

	producers uint64 // there are, each counted in each shard; those of the table are as many as its row says

	ids     bool // the table has, or had, ids of it
	stored  bool // the table has its row
	dirty   bool // its row has to be written
	removed bool
}

// fewShards are looked through one by one.
const fewShards = 8

// Removed reports whether the stream has been removed. It has no successor, also when
// there is a new one of its name.
func (s *Stream) Removed() bool { return s.removed }

// Shard returns a shard, nil when it has had no message.
func (s *Stream) Shard(name string) *Shard {
	if s.byName != nil {
		return s.byName[name]
	}
	for _, sh := range s.shards {
		if sh.Name == name {
			return sh
		}
	}
	return nil
}

// ByIndex returns the shard of that number, nil when there is none.
func (s *Stream) ByIndex(index uint32) *Shard {
	if uint64(index) >= uint64(len(s.shards)) {
		return nil
	}
	return s.shards[index]
}

// Shards returns those that have had a message, in order of their making. The slice is
// the stream's.
func (s *Stream) Shards() []*Shard { return s.shards }

// May reports whether there may be a shard of the name: it is listed, or none is.
func (s *Stream) May(shard string) bool {
	switch {
	case len(s.Spec.Shards) == 0:
		return true
	case s.listed != nil:
		return s.listed[shard]
	default:
		return slices.Contains(s.Spec.Shards, shard)
	}
}

// setSpec changes what the stream is to be like.
func (s *Stream) setSpec(spec edda.StreamSpec) {
	spec = spec.WithDefaults()
	s.Spec, s.listed = spec, nil
	if len(spec.Shards) <= fewShards {
		return
	}
	s.listed = make(map[string]bool, len(spec.Shards))
	for _, name := range spec.Shards {
		s.listed[name] = true
	}
}

// add adds a shard after the others.
func (s *Stream) add(sh *Shard) {
	sh.stream, sh.Index = s, uint32(len(s.shards))
	s.shards = append(s.shards, sh)
	s.bring(sh)
	switch {
	case s.byName != nil:
		s.byName[sh.Name] = sh
	case len(s.shards) > fewShards:
		s.byName = make(map[string]*Shard, 2*len(s.shards))
		for _, sh := range s.shards {
			s.byName[sh.Name] = sh
		}
	}
}

// bring makes a shard the latest one.
func (s *Stream) bring(sh *Shard) {
	if s.latest == sh {
		return
	}
	if sh.newer != nil {
		sh.newer.older = sh.older
	}
	if sh.older != nil {
		sh.older.newer = sh.newer
	}
	sh.newer, sh.older = nil, s.latest
	if s.latest != nil {
		s.latest.newer = sh
	}
	s.latest = sh
}

// arrange makes the order of the shards by their last messages anew.
func (s *Stream) arrange() {
	s.lastAt = s.CreatedAt - 1
	byTime := slices.SortedStableFunc(slices.Values(s.shards), func(a, b *Shard) int { return cmp.Compare(a.LastAt, b.LastAt) })
	s.latest = nil
	for _, sh := range byTime {
		sh.newer, sh.older = nil, nil
		s.bring(sh)
		s.lastAt = max(s.lastAt, sh.LastAt)
	}
}

// LastAt is when the last message was appended, kept or not, in Unix nanoseconds; it is
// just before CreatedAt when there has been none.
func (s *Stream) LastAt() int64 { return s.lastAt }

// Shard is a shard that has had a message. Its fields are the machine's to change.
type Shard struct {
	Name  string
	Index uint32 // within the stream, in order of their making
	// First is the offset of the first message that is kept, End that of the next one to
	// come. The shard is empty when they are equal.
	First, End uint64
	// Bytes is what the kept messages take, encoded.
	Bytes uint64
	// LastAt is when the last message was appended, in Unix nanoseconds, kept or not.
	LastAt int64

	stream      *Stream
	older       *Shard    // that has had its last message before this one has
	newer       *Shard    // the other way round
	firstAt     int64     // when the first kept message was appended
	goneAt      int64     // when the last message before that was
	total       uint64    // what all messages there ever were took
	recent      []message // the last ones before End, which the table does not have
	recentBytes uint64    // what those take
	usual       int       // how many they were at the last checkpoint; there is room for a few more at once; at most maxUsual
	head        []mark    // of some of the first ones that the table has, see marks.go
	headAt      uint64    // the offset of the first of them
	armed       int64     // when it stands in Machine.expiries, zero: not at all

	storedFirst, storedEnd uint64 // the rows that the table has
	dirty                  bool   // changed since the last checkpoint
	unknown                []byte // fields of a later release in its row
}

// message is one that is in memory.
type message struct {
	time int64
	data []byte
}

// messageOverhead is what a message takes in memory beside its bytes.
const messageOverhead = 32

// maxUsual bounds Shard.usual: what a shard without messages may hold in memory for nothing.
const maxUsual = 4096

// recentFirst is the offset of the first message in memory, End when there is none.
func (sh *Shard) recentFirst() uint64 { return sh.End - uint64(len(sh.recent)) }
