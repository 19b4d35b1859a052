package httpgw

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// Values of headers that are the same each time. Nobody changes them.
var (
	typeJSON    = []string{"application/json"}
	typeProblem = []string{"application/problem+json"}
	noStore     = []string{"no-store"}
	yes         = []string{"true"}
)

// A body may take bodyTimeout on its way in or out. largeBody is the size above
// which an answer no longer fits into the sockets' buffers, and above which room
// for a body is made as it arrives.
const (
	largeBody   = 64 << 10
	bodyTimeout = 2 * time.Minute
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
	h := x.w.Header()
	h["Content-Type"] = typeJSON
	h["Cache-Control"] = noStore
	x.write(status, b)
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
	bodyless := status == http.StatusNoContent || status == http.StatusNotModified
	head := x.r.Method == http.MethodHead
	// What is small net/http counts itself.
	if !bodyless && (head || len(b) > 2048) {
		x.w.Header()["Content-Length"] = []string{strconv.Itoa(len(b))}
	}
	if status != http.StatusOK || head || len(b) == 0 {
		x.w.WriteHeader(status)
	}
	if bodyless || head || len(b) == 0 {
		return
	}
	if len(b) < largeBody {
		_, _ = x.w.Write(b) // an error says that the caller is gone
		return
	}
	c := http.NewResponseController(x.w)
	if c.SetWriteDeadline(time.Now().Add(bodyTimeout)) == nil {
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	}
	_, _ = x.w.Write(b)
}

// accepted answers 202: the request is stored, and its reply is to be fetched.
func (g *Gateway) accepted(x *exchange, a *edda.Ack, applied string) {
	id := a.ID.String()
	path := x.requestPath(id)
	h := x.w.Header()
	v := [...]string{path, applied, id, a.Position, string(a.Durability)}
	h["Location"] = v[0:1:1]
	if applied != "" {
		h["Preference-Applied"] = v[1:2:2]
	}
	h["Edda-Request-Id"] = v[2:3:3]
	h["Edda-Position"] = v[3:4:4]
	h["Edda-Durability"] = v[4:5:5]

	b := make([]byte, 0, 192)
	b = append(b, `{"id":`...)
	b = jsondata.AppendString(b, id)
	b = append(b, `,"position":`...)
	b = jsondata.AppendString(b, a.Position)
	b = append(b, `,"durability":`...)
	b = jsondata.AppendString(b, string(a.Durability))
	b = append(b, `,"acceptedAt":"`...)
	b = a.AcceptedAt.UTC().AppendFormat(b, time.RFC3339Nano)
	x.document(http.StatusAccepted, append(b, '"', '}'))
}

// requestPath returns where a request is found.
func (x *exchange) requestPath(id string) string {
	if x.namespace == edda.DefaultNamespace {
		return "/v1/requests/" + id
	}
	return "/v1/ns/" + x.namespace + "/requests/" + id
}

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
