package live

import (
	"github.com/edda-io/edda"
)

// ring keeps the latest messages of a topic. They are numbered; numbers are never used
// twice.
type ring struct {
	items []item // a circle, as long as has been needed so far
	head  int    // where first is
	// first is the number of the oldest message that is kept, end that of the next to come.
	first, end uint64
	bytes      int
	// total is how many bytes of messages have ever been added.
	total int64
}

// item is a message in a ring.
type item struct {
	msg    *edda.LiveMessage
	mark   *mark // before it
	source int
	stored int64
	size   int
}

// mark is a place before a message of a ring. It outlives it there.
type mark struct {
	seq     uint64
	sources *sources
	// from is the resume point, and passed how many bytes the topic had seen.
	from   edda.From
	passed int64
}

// at returns a message that is kept.
func (r *ring) at(seq uint64) *item {
	return &r.items[(r.head+int(seq-r.first))%len(r.items)]
}

// add adds a message, whose mark says where it stands.
func (r *ring) add(it item) {
	n := int(r.end - r.first)
	if n == len(r.items) {
		r.grow(n)
	}
	r.items[(r.head+n)%len(r.items)] = it
	r.end++
	r.bytes += it.size
	r.total += int64(it.size)
}

func (r *ring) grow(n int) {
	items := make([]item, max(16, 2*n))
	copied := copy(items, r.items[r.head:])
	copy(items[copied:], r.items[:r.head])
	r.items, r.head = items, 0
}

// drop removes the oldest message and returns it.
func (r *ring) drop() item {
	it := r.items[r.head]
	r.items[r.head] = item{}
	r.head = (r.head + 1) % len(r.items)
	r.first++
	r.bytes -= it.size
	return it
}

// clear removes all messages. Whoever has seen them all is still at the end.
func (r *ring) clear() {
	clear(r.items)
	r.head, r.first, r.bytes = 0, r.end, 0
}

// skip removes all messages, and nobody is at the end any more.
func (r *ring) skip() {
	r.end++
	r.clear()
}
