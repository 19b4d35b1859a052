package httpgw

import (
	"encoding/json"
	"net/http"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// json answers with a document.
func (x *exchange) json(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.document(status, b)
	return nil
}

// document answers with JSON. What the node says of itself is never cached.
func (x *exchange) document(status int, b []byte) {
	x.status = status
	httpio.Document(x.w, x.r, status, b)
}

// noContent answers 204.
func (x *exchange) noContent() error {
	x.write(http.StatusNoContent, nil)
	return nil
}

// write sends status and body. A body that the status or the method does not
// allow is left out.
func (x *exchange) write(status int, b []byte) {
	x.status = status
	httpio.Write(x.w, x.r, status, b)
}

// accepted answers 202: the request is stored, and its reply is to be fetched.
func (g *Gateway) accepted(x *exchange, a *edda.Ack, applied string) {
	if applied != "" {
		x.w.Header()["Preference-Applied"] = []string{applied}
	}
	x.status = http.StatusAccepted
	httpio.Accepted(x.w, x.r, a, x.namespace)
}

// requestPath returns where a request is found.
func (x *exchange) requestPath(id string) string { return httpio.RequestPath(x.namespace, id) }

// list is a page of a list.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// page answers with a list, whose items are never null.
func page[T any](x *exchange, items []T, next string) error {
	if items == nil {
		items = []T{}
	}
	return x.json(http.StatusOK, list[T]{Items: items, Next: next})
}

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
