package node_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Whoever leaves before the partition has looked shares nothing with it. The race
// detector tells.
func TestLeavingBeforeTheAnswer(t *testing.T) {
	s := ordered("s", fail)
	s.Retry = once
	n := start(t, node.Options{}, s)
	id := send(t, n, keyed(msg("s/k", "m", "x"), "key")).ID
	answerOf(n.Client().Wait(t.Context(), id)).refused(t, edda.Dead)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	ask := map[string]func() (any, error){
		"request":     func() (any, error) { return n.Request(gone, "", id) },
		"wait":        func() (any, error) { return n.WaitRequest(gone, "", id, 1) },
		"cancel":      func() (any, error) { return n.Cancel(gone, "", id) },
		"dead letter": func() (any, error) { return n.DeadLetter(gone, "", id) },
		"service":     func() (any, error) { return n.Service(gone, "", "s") },
		"dead letters": func() (any, error) {
			l, _, err := n.DeadLetters(gone, node.DeadLetterFilter{}, node.Page{})
			return l, err
		},
		"dead requests": func() (any, error) {
			l, _, err := n.Requests(gone, node.RequestFilter{State: edda.StateDead}, node.Page{})
			return l, err
		},
		"request by key": func() (any, error) {
			l, _, err := n.Requests(gone, node.RequestFilter{Service: "s", Key: "k", IdempotencyKey: "key"}, node.Page{})
			return l, err
		},
	}
	for name, f := range ask {
		for range 200 {
			if got, err := f(); err != nil && fmt.Sprint(got) != "<nil>" && fmt.Sprint(got) != "[]" {
				t.Errorf("%s: got %v beside %v", name, got, err)
			}
		}
	}
}
