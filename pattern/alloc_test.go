//go:build !race

package pattern_test

import (
	"testing"

	"github.com/edda-io/edda/pattern"
)

// The race detector has a sync.Pool lose what is put into it, at random.
func TestMatchingDoesNotAllocate(t *testing.T) {
	s := mixedSet(10_000)
	ids := make([]int, 0, 10_000)
	i := 0
	match := func() {
		ids = s.AppendMatches(ids[:0], subject(i%len(subjects)))
		i++
	}
	if n := testing.AllocsPerRun(1000, match); n != 0 {
		t.Errorf("a set allocates %.0f times", n)
	}
	for i, p := range []*pattern.Pattern{mixed(0), mixed(5), mixed(9), must(pattern.ParseFold("große.:x?.(ÄPFEL|Birnen)")), must(pattern.Parse("*.a.*.z"))} {
		if n := testing.AllocsPerRun(100, func() { p.Match("Große.x.äPFEL"); p.Match("area0.order.created") }); n != 0 {
			t.Errorf("%d: %s allocates %.0f times", i, p, n)
		}
	}
}
