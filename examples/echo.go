package examples

import (
	"strings"

	"github.com/edda-io/edda"
)

// Echo returns a balanced service that takes any method and replies with the
// body, the content type and the X-* headers that it was sent. It has no keys,
// hence no order and no state: each request runs wherever there is room.
func Echo() *edda.Service {
	s := edda.NewBalanced("echo")
	s.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		reply := &edda.Reply{ContentType: m.ContentType, Payload: m.Payload}
		for _, h := range m.Headers {
			if strings.HasPrefix(strings.ToLower(h.Name), "x-") {
				reply.Headers.Add(h.Name, h.Value)
			}
		}
		return reply, nil
	})
	return s
}
