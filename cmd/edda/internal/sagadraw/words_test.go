package sagadraw

import (
	"testing"

	"github.com/edda-io/edda"
)

func TestWhat(t *testing.T) {
	queue := &edda.QueueSpec{Stream: "rooms", Success: "cleaned", Failure: "dirty"}
	for want, step := range map[string]edda.Step{
		"hotels/7 book":        {Service: "hotels", Key: "7", Method: "book"},
		"saga trip~stay":       {SagaID: "trip~stay"},
		"stream rooms clean":   {Queue: queue, Method: "clean"},
		"stream rooms/7 clean": {Queue: queue, Key: "7", Method: "clean"},
	} {
		if got := what(&step); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		lines int
		want  []string
	}{
		{"", 3, nil},
		{"a bc", 3, []string{"a bc"}},
		{"one two three", 3, []string{"one", "two", "three"}},
		{"one two three", 2, []string{"one", "two…"}},
		{"unbreakable", 3, []string{"unbr…"}},
	} {
		got := wrap(c.text, 5, c.lines)
		if len(got) != len(c.want) {
			t.Errorf("%q in %d lines: got %q, want %q", c.text, c.lines, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q in %d lines: got %q, want %q", c.text, c.lines, got, c.want)
			}
		}
	}
}
