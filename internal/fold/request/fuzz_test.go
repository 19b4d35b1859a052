package request

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// script returns the random records of a seed, each with its length before it.
func script(seed uint64, n int) []byte {
	g := newGen(seed)
	var b []byte
	for range n {
		o, _ := g.next()
		rec := o.encode()
		b = binary.LittleEndian.AppendUint16(b, uint16(len(rec)))
		b = append(b, rec...)
	}
	return b
}

// Whatever the records say, the fold does not panic, and what must hold of any
// state holds after each. A record that is refused is the end of the log. A
// checkpoint, a reload and a crash change nothing.
func FuzzApply(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(script(seed+1, 12), uint8(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte, schedule uint8) {
		plain, saved := newWorld(t), newWorld(t)
		for len(b) >= 2 {
			n := min(int(binary.LittleEndian.Uint16(b)), len(b)-2)
			rec := b[2 : 2+n]
			b = b[2+n:]
			err := plain.try(rec)
			if err2 := saved.try(rec); (err == nil) != (err2 == nil) {
				t.Fatalf("without a checkpoint %v, with one %v", err, err2)
			}
			if err != nil {
				return
			}
			last := len(plain.said) - 1
			if plain.said[last] != saved.said[last] {
				t.Fatalf("record %d brings about\n%swith checkpoints\n%s", last+1, plain.said[last], saved.said[last])
			}
			plain.check()
			saved.check()
			switch schedule % 4 {
			case 1:
				saved.checkpoint()
			case 2:
				saved.checkpoint()
				saved.load()
			case 3:
				saved.crash()
			}
			schedule = schedule>>2 | schedule<<6
		}
		plain.checkpoint()
		plain.load()
		plain.check()
	})
}

// try applies a record that may be refused.
func (w *world) try(rec []byte) error {
	err := w.fold.Apply(uint64(len(w.log)+1), rec)
	if err == nil {
		w.log = append(w.log, rec)
		w.said = append(w.said, w.effects())
	}
	return err
}

// A record that is damaged in any one byte is refused or understood, and never
// brings the fold down.
func TestOneByteChanged(t *testing.T) {
	g := newGen(3)
	var recs [][]byte
	for range 60 {
		o, _ := g.next()
		recs = append(recs, o.encode())
	}
	for i, rec := range recs {
		if i%3 != 0 {
			continue
		}
		for at := range rec {
			w := newWorld(t)
			for _, before := range recs[:i] {
				if err := w.try(before); err != nil {
					t.Fatal(err)
				}
			}
			bad := append([]byte(nil), rec...)
			bad[at] ^= byte(1 + (at*7+i)%255)
			if w.try(bad) == nil {
				w.check()
			}
		}
	}
}

// bytesSource makes choices of the fuzzer's bytes, one of each; when they are
// used up, any will do.
type bytesSource struct {
	b    []byte
	rest *rand.PCG
}

func (s *bytesSource) Uint64() uint64 {
	if len(s.b) == 0 {
		return s.rest.Uint64()
	}
	v := s.b[0]
	s.b = s.b[1:]
	return uint64(v) * 0x0101010101010101
}

// The fuzzer chooses records that make sense, and now and then changes a byte of
// one: until then the fold follows the model, and after it what must hold of any
// state holds, with checkpoints, reloads and crashes as without.
func FuzzChoices(f *testing.F) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		src := &bytesSource{b[:min(len(b), 1000)], rand.NewPCG(0, 0)}
		g := newGen(0)
		g.Rand = rand.New(src)
		plain, saved := newWorld(t), newWorld(t)
		follows := true
		for len(src.b) > 0 {
			o, want := g.next()
			rec := o.encode()
			if g.chance(2) {
				rec[g.IntN(len(rec))] ^= byte(1 + g.IntN(255))
				follows = false
			}
			err := plain.try(rec)
			if err2 := saved.try(rec); (err == nil) != (err2 == nil) {
				t.Fatalf("without a checkpoint %v, with one %v", err, err2)
			}
			if err != nil {
				if follows {
					t.Fatalf("%s is refused: %v", describe(o), err)
				}
				return
			}
			got := plain.said[len(plain.said)-1]
			if with := saved.said[len(saved.said)-1]; got != with || follows && got != want {
				t.Fatalf("%s brings about\n%swith checkpoints\n%swant\n%s", describe(o), got, with, want)
			}
			switch g.IntN(16) {
			case 0:
				saved.checkpoint()
			case 1:
				saved.checkpoint()
				saved.load()
			case 2:
				saved.crash()
			}
			for _, w := range []*world{plain, saved} {
				w.check()
				if !follows {
					continue
				}
				if err := g.m.compare(w, g.ids); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
