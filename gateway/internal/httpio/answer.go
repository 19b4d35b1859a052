package httpio

import (
	"errors"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/httpheader"
	"github.com/edda-io/edda/internal/jsondata"
)

// Values of headers that are the same each time. Nobody changes them.
var (
	TypeJSON    = []string{"application/json"}
	typeProblem = []string{"application/problem+json"}
	NoStore     = []string{"no-store"}
	Yes         = []string{"true"}
)

// A body may take BodyTimeout on its way in or out. LargeBody is the size above
// which an answer no longer fits into the sockets' buffers, and above which room
// for a body is made as it arrives.
const (
	LargeBody   = 64 << 10
	BodyTimeout = 2 * time.Minute
)

// Document answers with JSON. What a node says of itself is never cached.
func Document(w http.ResponseWriter, r *http.Request, status int, b []byte) {
	h := w.Header()
	h["Content-Type"] = TypeJSON
	h["Cache-Control"] = NoStore
	Write(w, r, status, b)
}

// Write sends status and body. A body that the status or the method does not
// allow is left out.
func Write(w http.ResponseWriter, r *http.Request, status int, b []byte) {
	bodyless := status == http.StatusNoContent || status == http.StatusNotModified
	head := r.Method == http.MethodHead
	// What is small net/http counts itself.
	if !bodyless && (head || len(b) > 2048) {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(b))}
	}
	if status != http.StatusOK || head || len(b) == 0 {
		w.WriteHeader(status)
	}
	if bodyless || head || len(b) == 0 {
		return
	}
	if len(b) < LargeBody {
		_, _ = w.Write(b) // an error says that the caller is gone
		return
	}
	c := http.NewResponseController(w)
	if c.SetWriteDeadline(time.Now().Add(BodyTimeout)) == nil {
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	}
	_, _ = w.Write(b)
}

// Accepted answers 202: the request is stored, and its reply is to be fetched.
func Accepted(w http.ResponseWriter, r *http.Request, a *edda.Ack, namespace string) {
	id := a.ID.String()
	path := RequestPath(namespace, id)
	h := w.Header()
	v := [...]string{path, id, a.Position, string(a.Durability)}
	h["Location"] = v[0:1:1]
	h["Edda-Request-Id"] = v[1:2:2]
	h["Edda-Position"] = v[2:3:3]
	h["Edda-Durability"] = v[3:4:4]

	b := make([]byte, 0, 192)
	b = append(b, `{"id":`...)
	b = jsondata.AppendString(b, id)
	b = append(b, `,"position":`...)
	b = jsondata.AppendString(b, a.Position)
	b = append(b, `,"durability":`...)
	b = jsondata.AppendString(b, string(a.Durability))
	b = append(b, `,"acceptedAt":"`...)
	b = a.AcceptedAt.UTC().AppendFormat(b, time.RFC3339Nano)
	Document(w, r, http.StatusAccepted, append(b, '"', '}'))
}

// RequestPath returns where a request is found.
func RequestPath(namespace, id string) string {
	if namespace == edda.DefaultNamespace {
		return "/v1/requests/" + id
	}
	return "/v1/ns/" + namespace + "/requests/" + id
}

// ReplyHeaders sets the headers of an answer that is a handler's reply, and returns its
// status. Durability is left out when it is not known. The error is of a status that no
// answer may have.
func ReplyHeaders(h http.Header, r *edda.Reply, durability string) (int, error) {
	status := r.EffectiveStatus()
	if status < 200 || status > 599 {
		return 0, &edda.Error{
			Reason: edda.Internal, RequestID: r.RequestID, Position: r.Position,
			Err: errors.New("the reply has status " + strconv.Itoa(status)),
		}
	}
	v := [...]string{r.ContentType, r.RequestID.String(), r.Position, durability, strconv.Itoa(r.Attempts)}
	headers(h, r.Headers, v[0:1:1])
	h["Edda-Request-Id"] = v[1:2:2]
	h["Edda-Position"] = v[2:3:3]
	if durability != "" {
		h["Edda-Durability"] = v[3:4:4]
	}
	h["Edda-Attempts"] = v[4:5:5]
	if r.Replayed {
		h["Idempotency-Replayed"] = Yes
	}
	return status, nil
}

// MessagePath returns where the message of a stream with an id is found.
func MessagePath(namespace, stream, id string) string {
	at := "/streams/" + stream + "/messages/" + url.PathEscape(id)
	if namespace == edda.DefaultNamespace {
		return "/v1" + at
	}
	return "/v1/ns/" + namespace + at
}

// Headers sets what a reply says of itself: its headers, but for those that belong to the
// connection or to the gateway, and for those that are none, and its content type.
func Headers(h http.Header, of edda.Headers, contentType string) {
	headers(h, of, []string{contentType})
}

// headers sets what a handler says of its reply: its headers, and the content type.
func headers(h http.Header, headers edda.Headers, contentType []string) {
	copyHeaders(h, headers)
	switch {
	case contentType[0] != "" && httpheader.ValidValue(contentType[0]):
		h["Content-Type"] = contentType
	case len(h["Content-Type"]) == 0:
		h["Content-Type"] = nil // so that net/http does not guess
	}
}

// copyHeaders copies the handler's headers, but for those that belong to the
// connection or to the gateway, those that the gateway has set already, and those that are
// none.
func copyHeaders(h http.Header, headers edda.Headers) {
	var said http.Header // what the gateway has set, kept before the first is added to it
	added := false
	for _, e := range headers {
		if !httpheader.IsToken(e.Name) || !httpheader.ValidValue(e.Value) {
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(e.Name)
		if httpheader.OwnOfReply(name) || httpheader.NamedByConnection(headers, name) {
			continue
		}
		if !added && len(h) > 0 {
			said = maps.Clone(h)
		}
		added = true
		if settled(said, name) {
			continue
		}
		h[name] = append(h[name], e.Value)
	}
}

// settled reports whether a header is not the handler's to set any more: two values for what
// has one mean nothing, and which pages may read an answer is said by one of the two alone.
func settled(said http.Header, name string) bool {
	if len(said) == 0 || name == "Vary" {
		return false
	}
	return said[name] != nil || strings.HasPrefix(name, "Access-Control-") && said["Access-Control-Allow-Origin"] != nil
}
