package examples

import (
	"context"
	"encoding/json"
	"time"

	"github.com/edda-io/edda"
)

// Slow returns a balanced service that takes any method and a body {"ms":N},
// which it replies with after N milliseconds.
//
// It obeys cancellation: when the request is cancelled, its deadline passes, the
// attempt takes too long or the node stops, the context ends, and so does the
// handler. What it returns then no longer matters.
func Slow() *edda.Service {
	s := edda.NewBalanced("slow")
	s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var in struct {
			MS int64 `json:"ms"`
		}
		if json.Unmarshal(m.Payload, &in) != nil || in.MS < 0 {
			return edda.TextReply(400, `the body must be {"ms":N}, N not negative`), nil
		}
		timer := time.NewTimer(time.Duration(in.MS) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
			return &edda.Reply{ContentType: m.ContentType, Payload: m.Payload}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	return s
}
