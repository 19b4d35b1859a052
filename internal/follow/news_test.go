package follow_test

import (
	"testing"

	"github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
)

var ref = stream.Ref{Namespace: "ns", Name: "s"}

// Who watches is told once for each batch in which something has changed.
func TestTell(t *testing.T) {
	var n follow.News
	var s follow.Stream
	told := [2]int{}
	a, b := follow.NewWatch(func() { told[0]++ }), follow.NewWatch(func() { told[1]++ })
	n.Change(nil)
	n.Change(&s)
	n.Watch(ref, &s, a)
	n.Watch(ref, nil, b)
	n.Tell()
	n.Change(&s)
	n.Change(&s)
	if told != [2]int{} || s.Changes() != 3 {
		t.Errorf("told %v of %d changes before the batch is done with", told, s.Changes())
	}
	n.Tell()
	n.Tell()
	if told != [2]int{1, 1} {
		t.Errorf("told %v, want once each", told)
	}
	a.Stop()
	n.Unwatch(ref, b)
	n.Change(&s)
	n.Tell()
	if told != [2]int{1, 1} || n.Watched() != 1 {
		t.Errorf("told %v, %d streams are watched", told, n.Watched())
	}
	n.Unwatch(ref, a)
	n.Unwatch(ref, a)
	if n.Watched() != 0 {
		t.Error("a stream is watched by nobody")
	}
}

// A stream that is not there yet can be watched: who does hears that it is made, and of
// what happens in it then.
func TestWatchWhatIsNotThere(t *testing.T) {
	var n follow.News
	told := 0
	if n.Create(ref) != nil || n.Made() != 1 {
		t.Error("a stream that nobody watches has news")
	}
	n.Watch(ref, nil, follow.NewWatch(func() { told++ }))
	s := n.Create(ref)
	n.Tell()
	if s == nil || told != 1 || s.Changes() != 1 || n.Made() != 2 {
		t.Fatalf("told %d times, of %d streams", told, n.Made())
	}
	n.Change(s)
	n.Tell()
	if told != 2 {
		t.Errorf("told %d times, want twice", told)
	}
}

func TestCloseNews(t *testing.T) {
	var n follow.News
	told := 0
	n.Watch(ref, nil, follow.NewWatch(func() { told++ }))
	n.Close()
	n.Close()
	if told != 1 || n.Watched() != 0 {
		t.Errorf("told %d times, want once", told)
	}
}
