package live

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

func TestPointsComeBackAsTheyWere(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := &sources{floor: r.Int64N(3) * r.Int64N(1<<61)}
		var places []Place
		for range r.IntN(6) {
			c.hashes = append(c.hashes, r.Uint64())
			p := Place{Time: r.Int64N(3) * r.Int64N(1<<62)}
			for i := range r.IntN(4) {
				p.At = append(p.At, ShardPlace{Shard: []string{"default", "a", "b\xff", strings.Repeat("x", 255)}[i], Offset: r.Uint64()})
			}
			slices.SortFunc(p.At, func(a, b ShardPlace) int { return strings.Compare(a.Shard, b.Shard) })
			places = append(places, p)
		}
		slices.Sort(c.hashes)
		var w pointWriter
		f := w.write(c, places)
		p, err := parsePoint(f)
		if err != nil {
			t.Fatalf("seed %d: %q: %v", seed, f, err)
		}
		latest := c.floor
		for i, h := range c.hashes {
			got, known := p.place(h)
			if !known || !reflect.DeepEqual(got, places[i]) {
				t.Errorf("seed %d: got %v, want %v", seed, got, places[i])
			}
			latest = max(latest, places[i].Time)
		}
		if got, known := p.place(r.Uint64()); known || got.Time != latest || got.At != nil {
			t.Errorf("seed %d: a source that is not in the point begins at %v, want %d", seed, got, latest)
		}
		if !f.Resumes() {
			t.Errorf("%q does not look like a resume point", f)
		}
		for i := range len(f) { // whatever letter is lost or another one
			if _, err := parsePoint(f[:i] + f[i+1:]); err == nil {
				t.Errorf("%q without its letter %d is a point", f, i)
			}
			other := "A"
			if f[i] == 'A' {
				other = "_"
			}
			if _, err := parsePoint(f[:i] + edda.From(other) + f[i+1:]); err == nil {
				t.Errorf("%q with another letter %d is a point", f, i)
			}
		}
	}
}

func TestPointsThatAreNone(t *testing.T) {
	sealed := func(b ...byte) edda.From {
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, pointChecks))
		return edda.From("p" + base64.RawURLEncoding.EncodeToString(b))
	}
	hash := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	if _, err := parsePoint(sealed(append([]byte{1, 0, 1}, append(hash, 0, 0)...)...)); err != nil {
		t.Fatalf("a good one got %v", err)
	}
	for _, c := range []struct {
		what string
		from edda.From
		text string
	}{
		{"empty", "", "mangled"},
		{"no point", "start", "mangled"},
		{"nothing in it", "p", "mangled"},
		{"not base64url", "p+/+/+/+/+/+/", "mangled"},
		{"padded", sealed(1, 0, 0) + "=", "mangled"},
		{"too long", edda.From("p" + strings.Repeat("A", 1<<20)), "at most"},
		{"of a later release", sealed(2, 0, 0), "version 2"},
		{"more than there is", sealed(1, 0, 200, 200, 200, 1), "mangled"},
		{"cut off", sealed(append([]byte{1, 0, 1}, hash...)...), "mangled"},
		{"a source twice", sealed(slices.Concat([]byte{1, 0, 2}, hash, []byte{0, 0}, hash, []byte{0, 0})...), "mangled"},
		{"a shard twice", sealed(slices.Concat([]byte{1, 0, 1}, hash, []byte{0, 2, 1, 'a', 0, 1, 'a', 0})...), "mangled"},
		{"a shard that is cut off", sealed(slices.Concat([]byte{1, 0, 1}, hash, []byte{0, 1, 9, 'a'})...), "mangled"},
		{"something after it", sealed(1, 0, 0, 0), "mangled"},
		{"a number without an end", sealed(1, 0x80, 0x80, 0x80), "mangled"},
	} {
		if _, err := parsePoint(c.from); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.text)
		}
	}
}

func FuzzPoint(f *testing.F) {
	var w pointWriter
	c := &sources{hashes: []uint64{1, 2}}
	f.Add(string(w.write(c, []Place{{Time: 5, At: []ShardPlace{{"a", 1}, {"default", 7}}}, {}})))
	f.Add("p")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePoint(edda.From(s))
		if err != nil {
			// The checksum keeps the fuzzer out of what is behind it.
			b := append([]byte{pointVersion}, s...)
			b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, pointChecks))
			if p, err = parsePoint(edda.From("p" + pointText.EncodeToString(b))); err != nil {
				return
			}
		}
		c, places := &sources{floor: p.latest}, []Place(nil)
		for _, part := range p.parts {
			c.hashes, places = append(c.hashes, part.hash), append(places, part.place)
		}
		var w pointWriter
		again, err := parsePoint(w.write(c, places))
		if err != nil || again.latest != max(0, p.latest) || fmt.Sprint(again.parts) != fmt.Sprint(p.parts) {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}

// FuzzPlace has places pass messages in one order and another, and compares them with sets
// of messages.
func FuzzPlace(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte{8, 7, 6})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		type message struct {
			stored int64
			shard  string
			offset uint64
		}
		all := make([]message, 0, 64)
		for i := range 64 {
			all = append(all, message{int64(i >> 4), string(rune('a' + i>>2&3)), uint64(i & 3)})
		}
		place := func(steps []byte) (Place, map[message]bool) {
			var p Place
			behind := map[message]bool{}
			for _, b := range steps {
				m := all[b&63]
				if b&64 == 0 {
					p = p.After(m.stored, m.shard, m.offset)
				} else {
					p = p.clone()
					p.pass(m.stored, m.shard, m.offset)
				}
			}
			for _, m := range all { // what the place says in words
				at, ok := p.find(m.shard)
				behind[m] = m.stored < p.Time || m.stored == p.Time && ok && m.offset < p.At[at].Offset
			}
			return p, behind
		}
		p, pHas := place(one)
		q, qHas := place(two)
		u := p.With(q)
		within := true
		for _, m := range all {
			if p.Has(m.stored, m.shard, m.offset) != pHas[m] {
				t.Fatalf("%v has %v: want %t", p, m, pHas[m])
			}
			if u.Has(m.stored, m.shard, m.offset) != (pHas[m] || qHas[m]) {
				t.Fatalf("%v with %v is %v, which is wrong about %v", p, q, u, m)
			}
			within = within && (!pHas[m] || qHas[m])
		}
		if p.Time <= 3 && q.Time <= 3 && p.Time > 0 && q.Time > 0 && p.Within(q) && !within {
			t.Fatalf("%v is within %v", p, q)
		}
		if !p.Within(u) || !q.Within(u) {
			t.Fatalf("%v or %v is not within %v", p, q, u)
		}
	})
}
