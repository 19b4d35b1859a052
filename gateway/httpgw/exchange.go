package httpgw

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"go.opentelemetry.io/otel/trace"
)

// exchange is one request on its way through the gateway.
type exchange struct {
	w         http.ResponseWriter
	r         *http.Request
	route     *route
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

// query returns the request's parameters.
func (x *exchange) query() (url.Values, error) { return reqhead.Query(x.r.URL) }

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
