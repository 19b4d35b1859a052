package examples

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/edda-io/edda"
)

// Flaky returns an ordered service that takes any method and a body {"fail":k}:
// its first k attempts fail, the next one replies {"attempts":k+1}. {"fail":-1}
// fails always.
//
// An error is one attempt, retried by the service's policy; here five in all,
// 20 ms before the second. Then the request is dead, and waits as a dead letter
// for somebody to retry or drop it. Meanwhile the key goes on with its next
// request.
func Flaky() *edda.Service {
	s := edda.NewOrdered("flaky")
	s.Retry = edda.RetryPolicy{Max: 5, Delay: 20 * time.Millisecond}
	s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var in struct {
			Fail int `json:"fail"`
		}
		if json.Unmarshal(m.Payload, &in) != nil || in.Fail < -1 {
			return edda.TextReply(400, `the body must be {"fail":k}, k at least -1`), nil
		}
		if in.Fail == -1 || ctx.Attempt() <= in.Fail {
			return nil, fmt.Errorf("attempt %d fails, as it was told to", ctx.Attempt())
		}
		return &edda.Reply{
			ContentType: "application/json",
			Payload:     edda.JSON(map[string]int{"attempts": ctx.Attempt()}),
		}, nil
	})
	return s
}
