package node_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// The state of a key is shown to whoever asks, as the last outcome left it, from
// memory and from the store.
func TestStateIsShown(t *testing.T) {
	bubble(t, "memory", func(t *testing.T) {
		n := start(t, node.Options{CheckpointBytes: 512}, stateful("things"))
		show := func(to, prefix string) string {
			t.Helper()
			a, err := edda.ParseAddress(to)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := n.State(t.Context(), a, prefix)
			if err != nil {
				t.Fatalf("state of %s: %v", to, err)
			}
			var lines []string
			for _, e := range entries {
				lines = append(lines, e.Name+"="+string(e.Value))
			}
			return strings.Join(lines, " ")
		}
		want := func(to, prefix, state string) {
			t.Helper()
			if got := show(to, prefix); got != state {
				t.Errorf("state of %s under %q: got %q, want %q", to, prefix, got, state)
			}
		}
		want("things/1", "", "")
		do(t, n, "things/1", step{Set: map[string]string{"b": "2", "a": "1", "ab": "3"}})
		do(t, n, "things/2", step{Set: map[string]string{"a": "other"}})
		want("things/1", "", "a=1 ab=3 b=2")
		want("things/1", "a", "a=1 ab=3")
		do(t, n, "things/1", step{Set: map[string]string{"a": "9"}, Err: "final"})
		want("things/1", "a", "a=1 ab=3")
		for i := range 20 { // checkpoints pass
			do(t, n, "things/3", step{Set: map[string]string{"n": fmt.Sprint(i, strings.Repeat(".", 100))}})
		}
		do(t, n, "things/1", step{Delete: []string{"ab"}, Set: map[string]string{"c": "4"}})
		want("things/1", "", "a=1 b=2 c=4")
		want("things/2", "", "a=other")

		_, err := n.State(t.Context(), edda.Address{Name: "things"}, "")
		wantReason(t, err, edda.WrongKind)
		_, err = n.State(t.Context(), edda.Address{Name: "-", Key: "1"}, "")
		wantReason(t, err, edda.BadName)
		stop(t, n)
		_, err = n.State(t.Context(), edda.Address{Name: "things", Key: "1"}, "")
		wantReason(t, err, edda.Draining)
	})
}
