package live_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
)

// Changes are heard in their order, whoever waits for that, and none is left when the
// setter ends.
func TestSetter(t *testing.T) {
	bubble(t, "order", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own"), edda.Subscribe{Channel: "c"})
		l.take(9)
		st := live.NewSetter(h)
		halt := make(chan struct{})
		var running sync.WaitGroup
		st.Set(channel(2, "own", "t"))
		heard := st.Set(channel(3, "own", "s"))
		select {
		case <-heard:
			t.Error("the hub was told before the setter runs")
		default:
		}
		running.Go(func() { st.Run(halt, func(_ live.Topic, err error) { t.Error(err) }) })
		<-heard
		f.append("t", "x", "a", 1)
		f.append("s", "x", "a", 1)
		l.take(9, "s/x/0")
		close(halt)
		running.Wait()
		<-st.Set(channel(4, "own", "t"))
		f.append("t", "x", "a", 1)
		f.append("s", "x", "a", 1)
		l.take(9, "s/x/1")
	})
	bubble(t, "what came before the end", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own"), edda.Subscribe{Channel: "c"})
		l.take(9)
		st := live.NewSetter(h)
		halt := make(chan struct{})
		close(halt)
		heard := st.Set(channel(2, "own", "t"))
		st.Run(halt, func(_ live.Topic, err error) { t.Error(err) })
		<-heard
		f.append("t", "x", "a", 1)
		l.take(9, "t/x/0")
	})
	bubble(t, "what the hub does not hear of", live.Options{}, func(s *stage) {
		t, f, h := s.T, s.f, s.h
		l := subscribe(t, h, channel(1, "own"), edda.Subscribe{Channel: "c"})
		l.take(9)
		f.err = errors.New("not now")
		st := live.NewSetter(h)
		halt := make(chan struct{})
		close(halt)
		heard := st.Set(channel(2, "own", "t"))
		var failed []uint64
		st.Run(halt, func(to live.Topic, err error) {
			if !errors.Is(err, f.err) {
				t.Errorf("got %v, want %v", err, f.err)
			}
			failed = append(failed, to.Version)
		})
		<-heard
		if len(failed) != 1 || failed[0] != 2 {
			t.Errorf("got that %v failed, want that 2 did", failed)
		}
		f.err = nil
	})
}
