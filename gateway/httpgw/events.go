package httpgw

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// heartbeat is how often a stream of events says that it is still there.
const heartbeat = 15 * time.Second

// partEnd is what the event "end" says of a reply.
type partEnd struct {
	RequestID   edda.ID `json:"requestId"`
	Attempts    int     `json:"attempts"`
	Status      int     `json:"status"`
	ContentType string  `json:"contentType,omitempty"`
	Size        int     `json:"size"`
}

// nextPart is what a reader of parts came to.
type nextPart struct {
	part edda.Part
	err  error
}

// events answers with the parts of a reply that come after one, each as an event
// (the WHATWG's server-sent events), and then with how the request ended. When
// nothing comes within the wait, that is the end.
func (g *Gateway) events(x *exchange, id edda.ID, after edda.PartID, wait time.Duration) error {
	x.waits, x.id = true, id
	x.w.Header()["Cache-Control"] = httpio.NoStore
	s := stream{x: x}
	defer s.close()
	s.begin(reqhead.EventStream)
	if x.r.Method == http.MethodHead || s.write(nil) != nil {
		return nil
	}
	ctx, expire := x.whileKnown()
	defer expire()
	ctx, cancel := context.WithCancelCause(ctx)
	next, left := make(chan nextPart), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(next)
		for part, err := range g.calls.Parts(ctx, x.namespace, id, after) {
			select {
			case next <- nextPart{part, err}:
			case <-left:
				return
			}
		}
	})
	defer wg.Wait()
	defer close(left)
	defer cancel(nil)
	came := patience(wait, cancel)
	defer came()
	g.tell(x, &s, next, came)
	return nil
}

// tell writes an event for each part, and one for the end. It returns when there
// are no more, or nobody listens. It calls came with each that comes.
func (g *Gateway) tell(x *exchange, s *stream, next <-chan nextPart, came func()) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var event []byte
		last := false
		select {
		case <-beat.C:
			event = []byte(": still here\n\n")
		case n, more := <-next:
			came()
			last = !more || n.err != nil
			switch {
			case !more:
				event = g.endEvent(x)
			case n.err != nil:
				event = g.errorEvent(x, n.err)
			default:
				event = g.partEvent(x, &n.part)
			}
		}
		if s.write(event) != nil || last {
			return
		}
	}
}

func (g *Gateway) partEvent(x *exchange, p *edda.Part) []byte {
	data, err := json.Marshal(newPartItem(p))
	if err != nil {
		return g.errorEvent(x, err)
	}
	name := "part"
	if p.Reset {
		name = "reset"
	}
	return appendEvent(p.ID().String(), name, data)
}

// endEvent says with which reply the request has ended.
func (g *Gateway) endEvent(x *exchange) []byte {
	r, err := g.calls.Request(x.r.Context(), x.namespace, x.id)
	if err != nil {
		return g.errorEvent(x, err)
	}
	end := partEnd{RequestID: r.ID, Attempts: r.Attempts}
	if r.Reply != nil {
		end.Status, end.ContentType, end.Size = r.Reply.Status, r.Reply.ContentType, r.Reply.Size
	}
	data, err := json.Marshal(&end)
	if err != nil {
		return g.errorEvent(x, err)
	}
	return appendEvent("", "end", data)
}

// errorEvent says why there are no more parts, in a problem document.
func (g *Gateway) errorEvent(x *exchange, err error) []byte {
	return appendEvent("", "error", httpio.AppendProblem(make([]byte, 0, 256), g.problem(x, err)))
}

// appendEvent makes an event of JSON, in which there are no line breaks.
func appendEvent(id, name string, data []byte) []byte {
	b := make([]byte, 0, len(id)+len(name)+len(data)+32)
	if id != "" {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	b = append(append(b, "event: "...), name...)
	b = append(append(b, "\ndata: "...), data...)
	return append(b, '\n', '\n')
}
