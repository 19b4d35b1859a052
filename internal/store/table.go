package store

import (
	"bytes"
	"errors"
	"iter"
)

// Table is what a fold sees of its ordered table: reads only. It shows what was
// committed, and is safe for concurrent use. Keys are compared as bytes.
type Table interface {
	// Get returns the value of the key, and whether there is one. The caller owns
	// the value.
	Get(key []byte) (value []byte, found bool, err error)

	// Scan yields the pairs from the key from on up to but without the key to, in
	// ascending order, as they were when the iteration began. An empty from means
	// from the first key, an empty to means to the end. An error is the last pair.
	Scan(from, to []byte) iter.Seq2[Pair, error]
}

// Pair is a key and its value as Scan yields them. The bytes are valid until the
// next pair is asked for, and must not be changed.
type Pair struct {
	Key, Value []byte
}

// errEmptyKey: the empty key is not one that a table can hold.
var errEmptyKey = errors.New("empty key")

// Batch gathers changes to one table that are committed together. They take
// effect in the order in which they were added. The zero value is an empty batch.
// A batch is used by one goroutine at a time, and again after Reset.
type Batch struct {
	buf   []byte
	ops   []op
	tails [][]byte // of all values
	lent  int      // bytes of all tails
	err   error
}

// op is one change; its keys and value lie in the batch's buffer, one after the
// other.
type op struct {
	kind           opKind
	start, mid, at int // buf[start:mid] is the key, buf[mid:at] the value or the end
	from, to, size int // tails[from:to], of that size, are what the value goes on with, not the batch's
}

type opKind uint8

const (
	opSet opKind = iota
	opDelete
	opDeleteRange
)

// Set gives the key the value. Both are copied.
func (b *Batch) Set(key, value []byte) {
	if len(key) == 0 {
		b.err = errEmptyKey
		return
	}
	b.add(opSet, key, value)
}

// SetJoined gives the key a value that is head and all tails together. Key and head are
// copied; tails are not, and must not change until the batch is committed or given up.
func (b *Batch) SetJoined(key, head []byte, tails ...[]byte) {
	b.Set(key, head)
	if len(key) == 0 {
		return
	}
	o := &b.ops[len(b.ops)-1]
	o.from = len(b.tails)
	b.tails = append(b.tails, tails...)
	o.to = len(b.tails)
	for _, tail := range tails {
		o.size += len(tail)
	}
	b.lent += o.size
}

// Delete removes the key, if it is there. It is copied.
func (b *Batch) Delete(key []byte) {
	if len(key) == 0 {
		b.err = errEmptyKey
		return
	}
	b.add(opDelete, key, nil)
}

// DeleteRange removes the keys from the key from on up to but without the key to;
// empty keys mean what they mean in Table.Scan. It costs about as much as ten
// deletes and slows down the reads around it until it is compacted: it is for
// many keys at a time. Both keys are copied.
func (b *Batch) DeleteRange(from, to []byte) {
	if len(to) > 0 && bytes.Compare(from, to) >= 0 {
		return
	}
	b.add(opDeleteRange, from, to)
}

func (b *Batch) add(kind opKind, key, value []byte) {
	start := len(b.buf)
	b.buf = append(b.buf, key...)
	b.buf = append(b.buf, value...)
	b.ops = append(b.ops, op{kind: kind, start: start, mid: start + len(key), at: len(b.buf)})
}

// Len returns the number of changes.
func (b *Batch) Len() int { return len(b.ops) }

// Size returns the number of bytes of keys and values.
func (b *Batch) Size() int { return len(b.buf) + b.lent }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.tails)
	b.buf, b.ops, b.tails, b.lent, b.err = b.buf[:0], b.ops[:0], b.tails[:0], 0, nil
}

func (b *Batch) key(o op) []byte   { return b.buf[o.start:o.mid] }
func (b *Batch) value(o op) []byte { return b.buf[o.mid:o.at] }

// joined puts the value of a change, its tails included, into v, which has room for it.
func (b *Batch) joined(v []byte, o op) {
	n := copy(v, b.value(o))
	for _, tail := range b.tails[o.from:o.to] {
		n += copy(v[n:], tail)
	}
}
