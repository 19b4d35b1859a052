package client_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
)

// What a method's check refuses is not stored where the node has the check, and fails
// for good in a worker elsewhere; the handler never gets it.
func TestCheckHereAndElsewhere(t *testing.T) {
	var handled atomic.Int64
	service := func() *edda.Service {
		s := edda.NewBalanced("strict")
		s.Add(edda.Method{
			Name:  "do",
			Check: func(string, []byte) error { return errors.New("it is bad") },
			Handler: func(*edda.Context, *edda.Message) (*edda.Reply, error) {
				handled.Add(1)
				return nil, nil
			},
		})
		return s
	}
	_, err := open(t, service()).Client().Call(t.Context(), msg("strict", "do", "x"))
	wantReason(t, err, edda.BadSchema)

	url := serve(t, open(t))
	host(t, url, service())
	_, err = dial(t, url, client.Options{}).Client().Call(t.Context(), msg("strict", "do", "x"))
	wantReason(t, err, edda.Failed)
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Attempts != 1 || !strings.Contains(e.Error(), "SCHEMA: it is bad") {
		t.Errorf("got %v after %d attempts, want SCHEMA after one", err, e.Attempts)
	}
	if n := handled.Load(); n != 0 {
		t.Errorf("the handler got %d", n)
	}
}
