package node

import (
	"math"
	"strings"
	"testing"
)

// A lease can stand on a command line: nothing makes a flag of it.
func TestLeaseIsNoFlag(t *testing.T) {
	for first := range uint64(64) {
		l := lease{group: first<<58 | 1, seq: math.MaxUint64 - first, fence: first}
		s := l.String()
		if strings.Contains(s, "-") {
			t.Errorf("got the lease %q, want none with a dash", s)
		}
		if back, ok := parseLease(s); !ok || back != l {
			t.Errorf("%q was read as %v (%v), want %v", s, back, ok, l)
		}
	}
}
