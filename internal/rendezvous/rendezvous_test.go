package rendezvous_test

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rendezvous"
)

// Workers of other languages compute the same.
func TestKnownScores(t *testing.T) {
	if got := rendezvous.Hash("worker-1"); got != 0x24913ec59027ebed {
		t.Errorf("Hash = %#x", got)
	}
	if got := rendezvous.Score("worker-1", 42); got != 0x1d1613cb3627b692 {
		t.Errorf("Score = %#x", got)
	}
}

func keys(n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = edda.Address{Namespace: "default", Name: "users", Key: fmt.Sprint(i)}.Hash()
	}
	return all
}

func workers(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("w%d", i)
	}
	return all
}

func TestSharesAreEven(t *testing.T) {
	count := map[string]int{}
	for _, k := range keys(100_000) {
		count[rendezvous.Owner(workers(10), k)]++
	}
	for w, n := range count {
		if n < 9_500 || n > 10_500 {
			t.Errorf("%s has %d of 100,000 keys, want about 10,000", w, n)
		}
	}
}

func TestJoiningMovesOnlyItsShare(t *testing.T) {
	moved := 0
	for _, k := range keys(100_000) {
		before, after := rendezvous.Owner(workers(10), k), rendezvous.Owner(workers(11), k)
		if before == after {
			continue
		}
		moved++
		if after != "w10" {
			t.Fatalf("a key moved from %s to %s, which was there before", before, after)
		}
	}
	if moved < 8_600 || moved > 9_600 {
		t.Errorf("%d of 100,000 keys moved, want about 9,090", moved)
	}
}

func TestNobody(t *testing.T) {
	if got := rendezvous.Owner(nil, 1); got != "" {
		t.Errorf("Owner = %q, want none", got)
	}
}
