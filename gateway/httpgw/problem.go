package httpgw

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// fail answers with a problem document (RFC 9457).
func (g *Gateway) fail(x *exchange, err error) {
	e := g.problem(x, err)
	x.id = e.RequestID
	x.status = httpio.Fail(x.w, x.r, e, g.durability)
}

// problem returns what the sender is told of an error. A defect is for the log.
func (g *Gateway) problem(x *exchange, err error) *edda.Error {
	return httpio.Told(x.r, err, g.log, x.route.template)
}
