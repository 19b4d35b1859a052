package worker_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
	"github.com/edda-io/edda/worker"
)

// A payload that the method's check refuses does not reach the handler, and fails for
// good.
func TestCheck(t *testing.T) {
	n := newFakeNode(t)
	var handled, gained atomic.Int64
	s := edda.NewOrdered("users")
	s.Add(edda.Method{
		Name: "add",
		Check: func(contentType string, payload []byte) error {
			switch string(payload) {
			case "bad":
				return errors.New("it is bad")
			case "media":
				return &edda.Error{Reason: edda.BadMediaType, Err: errors.New("no " + contentType)}
			case "panic":
				panic("oops")
			}
			return nil
		},
		Handler: func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
			handled.Add(1)
			return echo(c, m)
		},
	})
	n.run(worker.Options{OnGain: func(edda.Address) { gained.Add(1) }}, s)
	k, _ := n.registered()
	for i, tc := range []struct {
		payload string
		want    *eddav1.Failure
	}{
		{"bad", &eddav1.Failure{Reason: "SCHEMA", Message: "it is bad", Final: true}},
		{"media", &eddav1.Failure{Reason: "BAD_MEDIA_TYPE", Message: "no text/plain", Final: true}},
		{"panic", &eddav1.Failure{Reason: "PANIC", Message: "the method's check panicked: oops", Final: true}},
		{"good", nil},
	} {
		k.send(dispatch(uint64(i), "users/1", "add", tc.payload))
		out := k.outcome()
		if out.GetFailure().String() != tc.want.String() {
			t.Errorf("%s: got %v, want %v", tc.payload, out, tc.want)
		}
		if want := tc.want == nil; (handled.Load() > 0) != want || (gained.Load() > 0) != want {
			t.Errorf("%s: %d handled, %d keys gained", tc.payload, handled.Load(), gained.Load())
		}
	}
	if handled.Load() != 1 {
		t.Errorf("%d handled, want 1", handled.Load())
	}
}
