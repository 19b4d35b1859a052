package sagadraw

import (
	"testing"
	"time"

	"github.com/edda-io/edda"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "<0.1ms", 450 * time.Microsecond: "0.4ms", 9990 * time.Microsecond: "9.9ms", 12 * time.Millisecond: "12ms", 9999 * time.Millisecond: "9.9s",
		59900 * time.Millisecond: "59s", 61 * time.Second: "1m1s", 25 * time.Hour: "25h0m", 49*time.Hour + time.Minute: "2d1h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

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
