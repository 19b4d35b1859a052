// Package route is for handlers whose messages come from web requests by a route: it
// reads from a message what the request was. The payload is the request's body.
//
//	func get(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
//		id, page := route.Param(m, "id"), route.Query(m).Get("page")
//
// A route adds the headers below and those of the request to the message; workers in other
// languages read them as they are. Whoever may call the service itself may send such
// headers too: like the payload they say what a caller wants, not who it is. That is the
// message's principal.
package route

import (
	"net/url"

	"github.com/edda-io/edda"
)

// Headers of a message that was made of a request. One that would be empty is left out.
const (
	// HeaderMethod is the request's method, such as GET.
	HeaderMethod = "Edda-Http-Method"
	// HeaderPath is the path as it was sent, percent-encoded.
	HeaderPath = "Edda-Http-Path"
	// HeaderParams are the parameters of the path, in the form of a query: id=42&rest=a%2Fb.
	HeaderParams = "Edda-Http-Params"
	// HeaderQuery is the query as it was sent, without the question mark.
	HeaderQuery = "Edda-Http-Query"
)

// Method returns the request's method; "" when the message came otherwise.
func Method(m *edda.Message) string { return m.Headers.Get(HeaderMethod) }

// Path returns the request's path as it was sent, percent-encoded; "" when the message
// came otherwise.
func Path(m *edda.Message) string { return m.Headers.Get(HeaderPath) }

// Param returns a parameter of the path, decoded; "" when the route has none of the
// name.
func Param(m *edda.Message, name string) string { return values(m, HeaderParams).Get(name) }

// Query returns the parameters of the query. It is empty, not nil, when there are none;
// what is malformed in it is left out. The caller owns it.
func Query(m *edda.Message) url.Values { return values(m, HeaderQuery) }

func values(m *edda.Message, header string) url.Values {
	v, _ := url.ParseQuery(m.Headers.Get(header)) // which returns what is sound
	return v
}
