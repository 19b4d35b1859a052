package httpgw

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/jsondata"
	"go.opentelemetry.io/otel/trace"
)

// exchange is one request on its way through the gateway.
type exchange struct {
	w         http.ResponseWriter
	r         *http.Request
	route     *route
	op        *op // of the route; nil before it is found
	namespace string
	// grant is who sent it, and what they may do; nil where nobody is asked.
	grant *auth.Grant
	// args are the path's parameters in their order.
	args [3]string
	// status is what was answered, for the metrics.
	status int
	// waits says that the sender asked to wait, so that time says nothing.
	waits bool
	// id is the request that a call made, for the log.
	id edda.ID
	// span is that of a call; nil when nobody traces.
	span trace.Span
}

// query returns the request's parameters. Those that the operation has are given once.
func (x *exchange) query() (url.Values, error) { return reqhead.Query(x.r.URL, x.op.doc.Query) }

// waitOf reads how long the sender asks to wait, zero when it does not.
func (x *exchange) waitOf(q url.Values) (time.Duration, error) {
	wait, err := reqhead.Wait(q)
	x.waits = x.waits || err == nil && q.Has("wait")
	return wait, err
}

// refuse returns an error whose text is all there is to say.
func refuse(reason edda.Reason, detail string) error {
	return &edda.Error{Reason: reason, Err: errors.New(detail)}
}

// object reads the body of a request of the node's own, which is one JSON object.
func (g *Gateway) object(x *exchange, known jsonbody.Members) error {
	b, err := g.jsonBody(x)
	if err != nil {
		return err
	}
	return known.Read(b, "the body must be a JSON object")
}

// objectOrNothing is object for a body that may be empty.
func (g *Gateway) objectOrNothing(x *exchange, known jsonbody.Members) error {
	b, err := g.jsonBody(x)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return err
	}
	return known.Read(b, "the body must be a JSON object, or empty")
}

// noBody reads the body of a request of the node's own that has no members.
func (g *Gateway) noBody(x *exchange) error { return g.objectOrNothing(x, nil) }

// jsonBody reads a body that says it is JSON, or says nothing.
func (g *Gateway) jsonBody(x *exchange) ([]byte, error) {
	b, err := httpio.Body(x.w, x.r, g.opts.MaxBody)
	if err != nil {
		return nil, err
	}
	if t := x.r.Header.Get("Content-Type"); t != "" && len(b) > 0 && !jsondata.IsJSON(t) {
		return nil, refuse(edda.BadMediaType, "the body must be application/json")
	}
	return b, nil
}

// waitMember reads how long the sender asks to wait.
func (x *exchange) waitMember(into *time.Duration) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		var text string
		if !bytes.HasPrefix(v, []byte(`"`)) || json.Unmarshal(v, &text) != nil {
			return jsonbody.Bad("wait", reqhead.WantWait)
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > reqhead.MaxWait {
			return jsonbody.Bad("wait", reqhead.WantWait)
		}
		*into, x.waits = d, true
		return nil
	}
}
