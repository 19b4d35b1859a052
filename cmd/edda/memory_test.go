package main

import (
	"runtime"
	"testing"
)

func TestHeadroom(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	h := keepHeadroom()
	steps := []struct {
		what string
		used int
		want bool
	}{
		{"a small heap", 40 << 20, true},
		{"a heap at the bound", 64 << 20, true},
		{"a large heap", 65 << 20, false},
		{"a heap that has become smaller", 20 << 20, false},
		{"a small heap without it", 10 << 20, true},
	}
	for _, s := range steps {
		h.adjust(s.used)
		if got := h.ballast.Load() != nil; got != s.want {
			t.Errorf("after %s of %d bytes there is headroom: %v, want %v", s.what, s.used, got, s.want)
		}
	}
}

// TestHeadroomFollowsTheHeap fills the heap and sees that a collection takes the
// headroom away.
func TestHeadroomFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	h := keepHeadroom()
	full := make([][]byte, 0, 96)
	for range cap(full) {
		full = append(full, make([]byte, 1<<20))
	}
	// Cleanups run in a goroutine of the runtime, some time after a collection.
	for h.ballast.Load() != nil && t.Context().Err() == nil {
		runtime.GC()
	}
	runtime.KeepAlive(full)
}

func TestHeadroomIsLeftToWhoeverSetsGOGC(t *testing.T) {
	t.Setenv("GOGC", "100")
	if keepHeadroom().ballast.Load() != nil {
		t.Error("there is headroom though GOGC is set")
	}
}
