package live

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"slices"

	"github.com/edda-io/edda"
)

// A resume point is the places that a subscription has come to in its sources: "p" and,
// in base64url, a version, the latest time, also of sources that there are no more, the
// sources in order of their hashes, each with how long before that time it stands and the
// shards of that instant, and a checksum.

const (
	pointPrefix  = 'p'
	pointVersion = 1
	// maxPointBytes bounds a point, before base64. It has room for as many shards as can
	// have messages in one instant.
	maxPointBytes = 512 << 10
	checkBytes    = 4
	hashBytes     = 8
	// leastPoint is a version, a time, a number of sources and a checksum.
	leastPoint = 3 + checkBytes
)

var (
	pointText   = base64.RawURLEncoding.Strict()
	pointChecks = crc32.MakeTable(crc32.Castagnoli)
	errMangled  = errors.New("the resume point is mangled: it must be given back as it was got")
)

// sourceHash is what a source is called in a resume point.
func sourceHash(namespace, stream string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(namespace)) // it never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(stream))
	return h.Sum64()
}

// pointPart is a source's place.
type pointPart struct {
	hash  uint64
	place Place
}

// point is what a resume point says. The parts are in order of their hashes.
type point struct {
	latest int64
	parts  []pointPart
}

// place returns where a source is to begin: one that the point does not have, at its
// latest time.
func (p *point) place(hash uint64) (pl Place, known bool) {
	i, ok := slices.BinarySearchFunc(p.parts, hash, func(q pointPart, h uint64) int { return cmp.Compare(q.hash, h) })
	if !ok {
		return Place{Time: p.latest}, false
	}
	return p.parts[i].place, true
}

// pointWriter makes resume points. It keeps its memory.
type pointWriter struct {
	raw, text []byte
	floor     int64 // as that of sources, of one subscription
}

// write returns the point of sources at places.
func (w *pointWriter) write(c *sources, places []Place) edda.From {
	latest := max(c.floor, w.floor)
	for i := range places {
		latest = max(latest, places[i].Time)
	}
	b := append(w.raw[:0], pointVersion)
	b = binary.AppendVarint(b, latest)
	b = binary.AppendUvarint(b, uint64(len(c.hashes)))
	for i, h := range c.hashes {
		b = binary.BigEndian.AppendUint64(b, h)
		b = binary.AppendUvarint(b, uint64(latest)-uint64(places[i].Time))
		b = appendShards(b, places[i].At)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, pointChecks))
	t := append(w.text[:0], pointPrefix)
	t = pointText.AppendEncode(t, b)
	w.raw, w.text = b, t
	return edda.From(t)
}

// appendShards appends the shards of a place. The one that most streams have takes a byte.
func appendShards(b []byte, at []ShardPlace) []byte {
	b = binary.AppendUvarint(b, uint64(len(at)))
	for i := range at {
		name := at[i].Shard
		if name == edda.DefaultShard {
			name = ""
		}
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
		b = binary.AppendUvarint(b, at[i].Offset)
	}
	return b
}

// parsePoint reads a resume point. The error says what is wrong with it.
func parsePoint(f edda.From) (point, error) {
	switch {
	case len(f) > 1+pointText.EncodedLen(maxPointBytes):
		return point{}, fmt.Errorf("the resume point has %d bytes, at most %d are allowed", len(f), 1+pointText.EncodedLen(maxPointBytes))
	case f == "" || f[0] != pointPrefix:
		return point{}, errMangled
	}
	b, err := pointText.DecodeString(string(f[1:]))
	if err != nil || len(b) < leastPoint {
		return point{}, errMangled
	}
	b, check := b[:len(b)-checkBytes], binary.BigEndian.Uint32(b[len(b)-checkBytes:])
	if crc32.Checksum(b, pointChecks) != check {
		return point{}, errMangled
	}
	if b[0] != pointVersion {
		return point{}, fmt.Errorf("the resume point is of version %d, which this release does not know: it knows version %d", b[0], pointVersion)
	}
	r := pointReader{b: b[1:]}
	p := r.point()
	if r.bad || len(r.b) > 0 {
		return point{}, errMangled
	}
	return p, nil
}

// pointReader reads a point. It is bad once something was not as it is written.
type pointReader struct {
	b   []byte
	bad bool
}

func (r *pointReader) point() point {
	latest, n := binary.Varint(r.b)
	r.skip(n)
	p := point{latest: latest}
	count := r.count(hashBytes + 2)
	p.parts = make([]pointPart, 0, count)
	for range count {
		part := r.part(latest)
		if len(p.parts) > 0 && part.hash <= p.parts[len(p.parts)-1].hash {
			r.bad = true
		}
		if r.bad {
			return p
		}
		p.parts = append(p.parts, part)
	}
	return p
}

func (r *pointReader) part(latest int64) pointPart {
	if len(r.b) < hashBytes {
		r.bad = true
		return pointPart{}
	}
	part := pointPart{hash: binary.BigEndian.Uint64(r.b)}
	r.b = r.b[hashBytes:]
	before := r.uvarint()
	part.place.Time = int64(uint64(latest) - before)
	if part.place.Time > latest {
		r.bad = true
	}
	n := r.count(2)
	if n > 0 {
		part.place.At = make([]ShardPlace, 0, n)
	}
	for range n {
		at := ShardPlace{Shard: r.name(), Offset: r.uvarint()}
		if k := len(part.place.At); k > 0 && at.Shard <= part.place.At[k-1].Shard {
			r.bad = true
		}
		if r.bad {
			return part
		}
		part.place.At = append(part.place.At, at)
	}
	return part
}

// name reads the name of a shard.
func (r *pointReader) name() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	if s == "" {
		return edda.DefaultShard
	}
	return s
}

// count reads how many things follow that take at least so many bytes each.
func (r *pointReader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/least) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *pointReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

// skip moves past a number, if it was one.
func (r *pointReader) skip(n int) {
	if n <= 0 {
		r.bad = true
		return
	}
	r.b = r.b[n:]
}
