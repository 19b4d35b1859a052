package group

import (
	"math/rand/v2"
	"testing"
)

// bytesSource makes choices of the fuzzer's bytes, one of each; when they are used up,
// any will do.
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

// The fuzzer chooses records that make sense, and now and then changes a byte of one.
// Until then groups keep their promises; after it a record is refused or understood, and
// what must hold of any state holds, with checkpoints, restarts and crashes as without.
func FuzzChoices(f *testing.F) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		b := make([]byte, 600)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		src := &bytesSource{b[:min(len(b), 2000)], rand.NewPCG(0, 0)}
		g := newGen(t, rand.New(src))
		saved := newWorld(t, g.w.setup)
		damaged := false
		for len(src.b) > 0 {
			rec := g.make()
			if g.chance(1) {
				rec[g.IntN(len(rec))] ^= byte(1 + g.IntN(255))
				damaged = true
			}
			err := g.w.try(rec)
			if err2 := saved.try(rec); (err == nil) != (err2 == nil) {
				t.Fatalf("without a checkpoint %v, with one %v", err, err2)
			}
			if err != nil {
				if !damaged {
					t.Fatal(err)
				}
				return
			}
			last := len(saved.said) - 1
			if g.w.said[last] != saved.said[last] {
				t.Fatalf("record %d brings about\n%swith checkpoints\n%s", last+1, g.w.said[last], saved.said[last])
			}
			switch g.IntN(12) {
			case 0:
				saved.checkpoint()
			case 1:
				saved.reload()
			case 2:
				saved.crash()
			}
			if !damaged {
				g.c.applied()
			}
			g.w.check()
			saved.check()
			saved.same(g.w)
		}
		if !damaged {
			g.drain(g.c.applied)
		}
	})
}
