package live_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
	"github.com/edda-io/edda/pattern"
)

// bubble runs a case with a clock of its own, on a hub that is closed in the end. What is
// left behind fails it.
func bubble(t *testing.T, name string, o live.Options, f func(s *stage)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fk := newFake()
			h := live.New(fk, o)
			f(&stage{t, fk, h})
			h.Close()
			h.Close()
			if n := fk.watched(); n > 0 {
				t.Errorf("%d streams are still watched", n)
			}
		})
	})
}

// stage is where a case is played.
type stage struct {
	*testing.T
	f *fake
	h *live.Hub
}

// stream is the topic of a stream.
func stream(name string) live.Topic {
	return live.Topic{Namespace: "default", Name: name, Sources: []live.Source{{Namespace: "default", Stream: name}}}
}

// channel is the topic of a channel with streams that feed it; "own" is its own, and what
// follows a space is a pattern.
func channel(version uint64, from ...string) live.Topic {
	t := live.Topic{Namespace: "default", Name: "c", Channel: true, Version: version}
	for _, f := range from {
		name, pat, _ := strings.Cut(f, " ")
		s := live.Source{Namespace: "default", Stream: name, Own: name == "own"}
		if pat != "" {
			p, err := pattern.Parse(pat)
			if err != nil {
				panic(err)
			}
			s.Patterns = []*pattern.Pattern{p}
		}
		t.Sources = append(t.Sources, s)
	}
	return t
}

// listener is a subscription and what it is told.
type listener struct {
	edda.Subscription
	t    *testing.T
	told int
}

// subscribe subscribes, and closes it when the test ends.
func subscribe(t *testing.T, h *live.Hub, to live.Topic, s edda.Subscribe) *listener {
	t.Helper()
	l := &listener{t: t}
	s.Notify = func() { l.told++ }
	sub, err := h.Subscribe(t.Context(), to, &s)
	if err != nil {
		t.Fatalf("subscribe to %s: %v", to.Name, err)
	}
	l.Subscription = sub
	t.Cleanup(sub.Close)
	return l
}

// take takes up to n messages, of which want are the ids, once all is quiet.
func (l *listener) take(n int, want ...string) edda.LiveBatch {
	l.t.Helper()
	synctest.Wait()
	b, err := l.Take(context.Background(), n)
	if err != nil {
		l.t.Fatalf("take: %v", err)
	}
	got := ids(b.Messages)
	if !slices.Equal(got, want) {
		l.t.Errorf("take(%d) got %q, want %q", n, got, want)
	}
	return b
}

func ids(list []*edda.LiveMessage) []string {
	got := make([]string, 0, len(list))
	for _, m := range list {
		got = append(got, m.Message.ID)
	}
	return got
}

// refused subscribes in vain.
func refused(t *testing.T, h *live.Hub, to live.Topic, s edda.Subscribe, want edda.Reason, text string) {
	t.Helper()
	sub, err := h.Subscribe(t.Context(), to, &s)
	if err == nil {
		sub.Close()
	}
	if edda.ReasonOf(err) != want || !strings.Contains(err.Error(), text) {
		t.Errorf("subscribing got %v, want %s with %q", err, want, text)
	}
}
