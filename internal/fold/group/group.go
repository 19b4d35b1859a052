// Package group is the machine of consumer groups: who has read how far in which
// stream, and which messages are under way.
//
// The messages that a group takes in become requests of a service called STREAM/GROUP,
// which the request machine keeps: one at a time per key, retried, dead in the end.
// This machine decides when, and knows the rest by two numbers for each shard: the
// offset that is taken in next, and what is open below it. A message that is appended
// becomes a request in the same record while the group is caught up; a group that is
// behind is not looked at by appends, and takes in more as its requests end.
//
// Each message becomes a request once, but for a reset, and a request that its handler
// has not acknowledged is handled again. A Machine belongs to its partition's goroutine.
package group

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/btree"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/stream"
)

// window is what bounds a group's open messages.
type window struct {
	open  int // how many there are at most
	bytes int // what they take at most, encoded, one alone aside
	turn  int // how many a shard may have taken in at least when it is its turn
}

var usualWindow = window{open: 4096, bytes: 8 << 20, turn: 16}

// Group is a consumer group. It belongs to the machine; the node reads it in the
// partition's goroutine, and sets Aux.
type Group struct {
	// Serial is its number in the keys of rows, which no other group ever has.
	Serial uint64
	// Spec is what it is to be like. From is where it has begun.
	Spec edda.GroupSpec
	// Stream is the stream that it reads.
	Stream *stream.Stream
	// CreatedAt is in Unix nanoseconds.
	CreatedAt int64
	// Aux is the node's. It is no part of the state.
	Aux any

	service string // that its messages are handled as
	hash    uint64 // where the stream lives
	resets  uint64
	window  window
	base    uint64 // where it begins in shards that come to be
	turn    uint32 // the shard from which on there is a look for one to take in from

	cursors []*cursor // by the shard's index
	behind  *btree.BTreeG[*cursor]
	filling bool // more is to be taken in until the window is full, in other records

	open  map[edda.ID]held
	most  int // that were open since the map was made
	bytes int // of the messages in open

	unknown []byte // fields of a later release, from the row
	stored  bool   // the table has its rows
	dirty   bool
	removed bool
}

// cursor is how far a group has come in a shard.
type cursor struct {
	group *Group
	shard *stream.Shard
	index uint32 // the shard's
	next  uint64 // the offset to be taken in next
	// behind says that there are messages from next on, and that the group has it in
	// behind. Else the feed has it among those that are caught up.
	behind bool
	dirty  bool
}

func (c *cursor) less(other *cursor) bool { return c.index < other.index }

// held is a message that is open: its request has not ended.
type held struct {
	cursor *cursor
	offset uint64
	size   int
}

func (m *Machine) newGroup(serial uint64, spec edda.GroupSpec, s *stream.Stream) *Group {
	return &Group{
		Serial: serial, Spec: spec, Stream: s, window: m.window, service: spec.Service(), hash: edda.StreamHash(spec.Namespace, spec.Stream),
		behind: btree.NewG(8, (*cursor).less), open: map[edda.ID]held{},
	}
}

// Caught reports whether a message that is appended to the shard now becomes a request
// at once, as far as the record has room; nil is a shard that is not there yet.
func (g *Group) Caught(sh *stream.Shard) bool {
	if g.behind.Len() > 0 || !g.fits(1) {
		return false
	}
	if sh == nil {
		return g.base == 0
	}
	return g.cursors[sh.Index].next <= sh.End
}

// Cursor returns for each shard that has had a message the offset before which every
// message is done with.
func (g *Group) Cursor() map[string]uint64 {
	at := make(map[string]uint64, len(g.cursors))
	for _, c := range g.cursors {
		at[c.shard.Name] = max(c.next, c.shard.First)
	}
	for _, h := range g.open {
		name := h.cursor.shard.Name
		at[name] = min(at[name], h.offset)
	}
	return at
}

// Lag is how many messages are not done with: those that are open, and those that are
// to be taken in and still kept.
func (g *Group) Lag() uint64 {
	lag := uint64(len(g.open))
	for _, c := range g.cursors {
		if from := max(c.next, c.shard.First); from < c.shard.End {
			lag += c.shard.End - from
		}
	}
	return lag
}

// Open is how many messages are requests that have not ended. Dead letters that were
// retried are not among them.
func (g *Group) Open() int { return len(g.open) }

// Advancing reports whether more messages are to be taken in than records had room for.
// An effect Advance has said so; after a restart it is for the node to look.
func (g *Group) Advancing() bool { return g.filling }

// fits reports whether the window has room for a message of the size.
func (g *Group) fits(size int) bool {
	return len(g.open) < g.window.open && (len(g.open) == 0 || g.bytes+size <= g.window.bytes)
}

// halfFree reports whether so much of the window is free that more is taken in.
func (g *Group) halfFree() bool { return len(g.open) <= g.window.open/2 && g.bytes <= g.window.bytes/2 }

func (g *Group) hold(id edda.ID, h held) {
	g.open[id] = h
	g.most = max(g.most, len(g.open))
	g.bytes += h.size
}

// fewOpen is how many open messages leave no large map behind.
const fewOpen = 64

func (g *Group) release(id edda.ID, h held) {
	delete(g.open, id)
	g.bytes -= h.size
	if len(g.open) == 0 && g.most > fewOpen {
		g.open, g.most = map[edda.ID]held{}, 0 // a map does not shrink
	}
}

// requestID returns the id of the request that a message becomes: a UUID of version 8.
func (g *Group) requestID(c *cursor, offset uint64) edda.ID {
	var b [36]byte
	binary.BigEndian.PutUint64(b[0:], g.Stream.Serial)
	binary.BigEndian.PutUint64(b[8:], g.Serial)
	binary.BigEndian.PutUint64(b[16:], g.resets)
	binary.BigEndian.PutUint32(b[24:], c.index)
	binary.BigEndian.PutUint64(b[28:], offset)
	sum := sha256.Sum256(b[:])
	id := edda.ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	binary.BigEndian.PutUint16(id[14:], uint16(g.hash>>48))
	return id
}

// feed is what a stream's messages go to.
type feed struct {
	groups []*Group    // by name
	caught [][]*cursor // by the shard's index: those that are not behind, by the group's name
}

func (f *feed) find(name string) (at int, found bool) {
	return search(f.groups, name, func(g *Group) string { return g.Spec.Name })
}

func (f *feed) findCaught(c *cursor) (at int, found bool) {
	f.reach(c.index)
	return search(f.caught[c.index], c.group.Spec.Name, func(o *cursor) string { return o.group.Spec.Name })
}

// reach makes room for a shard.
func (f *feed) reach(index uint32) {
	for len(f.caught) <= int(index) {
		f.caught = append(f.caught, nil)
	}
}

// EffectKind says what has happened.
type EffectKind uint8

// The kinds of effects.
const (
	// Set: the group was created, as Created says, or changed.
	Set EffectKind = iota + 1
	// Removed: the group is gone, by itself or with its stream.
	Removed
	// Reset: the group's cursor was set, and what it had open was cancelled.
	Reset
	// Advance: the record had room for no more of what the group is to take in; a
	// group-advanced record is to follow.
	Advance
	// Refused: the record changed nothing. Reason is NO_STREAM, NO_GROUP, NO_SHARD,
	// BAD_VALUE, or CONFLICT when the stream has as many groups as it may.
	Refused
)

// Effect is something that a record has brought about.
type Effect struct {
	Kind    EffectKind
	Group   *Group // nil for a refusal
	Created bool
	Reason  edda.Reason
	Detail  string // for people
}

// refusal is why a record changes nothing.
type refusal struct {
	reason edda.Reason
	detail string
}
