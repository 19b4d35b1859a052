package routegw

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/httpheader"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/route"
)

// content is what a message gets of a request.
type content struct {
	headers     edda.Headers
	contentType string
	payload     []byte
	// idempotencyKey is what Idempotency-Key says.
	idempotencyKey string
}

// content reads the request.
func (x *exchange) content() (c content, err error) {
	if c.idempotencyKey, err = x.idempotencyKey(); err != nil {
		return c, err
	}
	if vs := x.r.Header["Content-Type"]; len(vs) > 0 {
		c.contentType = vs[0]
		if err := httpio.CheckText("Content-Type", c.contentType); err != nil {
			return c, err
		}
	}
	if err := httpio.CheckText("the query", x.r.URL.RawQuery); err != nil {
		return c, err
	}
	if c.headers, err = x.headers(); err != nil {
		return c, err
	}
	if c.payload, err = httpio.Body(x.w, x.r, x.route.MaxBody); err != nil {
		return c, err
	}
	if x.route.schema != nil {
		if err := x.route.schema.Check(c.contentType, c.payload); err != nil {
			return c, err
		}
	}
	if x.route.Payload == Request {
		err = x.document(&c)
	}
	return c, err
}

func (x *exchange) idempotencyKey() (string, error) {
	vs := x.r.Header["Idempotency-Key"]
	switch len(vs) {
	case 0:
		return "", nil
	case 1:
		return httpio.IdempotencyKey(vs[0])
	default:
		return "", refuse(edda.BadValue, "Idempotency-Key is given more than once")
	}
}

// headers returns the headers of the message: what the request was, unless that is in
// the payload, and those that it had, in the order of their names.
func (x *exchange) headers() (edda.Headers, error) {
	all := make(edda.Headers, 0, len(x.r.Header)+4)
	for name, values := range x.r.Header {
		if !x.passes(name) {
			continue
		}
		for _, v := range values {
			if err := httpio.CheckText(name, v); err != nil {
				return nil, err
			}
			all = append(all, edda.Header{Name: name, Value: v})
		}
	}
	if len(all) > 1 { // a header has no order of its own, and what is stored must not be left to chance
		slices.SortStableFunc(all, func(a, b edda.Header) int { return strings.Compare(a.Name, b.Name) })
	}
	if x.route.Payload == Request {
		return all, nil
	}
	all = append(all,
		edda.Header{Name: route.HeaderMethod, Value: x.r.Method},
		edda.Header{Name: route.HeaderPath, Value: x.r.URL.EscapedPath()},
	)
	if len(x.route.pattern.params) > 0 {
		all = append(all, edda.Header{Name: route.HeaderParams, Value: x.paramsText()})
	}
	if x.r.URL.RawQuery != "" {
		all = append(all, edda.Header{Name: route.HeaderQuery, Value: x.r.URL.RawQuery})
	}
	return all, nil
}

// passes reports whether the message gets a header of the request.
func (x *exchange) passes(name string) bool {
	if x.route.headers != nil {
		return x.route.headers[name]
	}
	switch name {
	case "Authorization", "Cookie", "Content-Type", "Host", "Idempotency-Key", "Traceparent", "Tracestate", "Expect":
		return false
	}
	return !httpheader.OfConnection(name) && !strings.HasPrefix(name, "Edda-") && !slices.Contains(x.g.opts.KeyHeaders, name) &&
		!x.ofConnection(name)
}

// ofConnection reports whether the request's Connection names a header.
func (x *exchange) ofConnection(name string) bool {
	for _, v := range x.r.Header["Connection"] {
		if httpheader.Listed(v, name) {
			return true
		}
	}
	return false
}

// paramsText returns the parameters of the path in the form of a query.
func (x *exchange) paramsText() string {
	var b strings.Builder
	b.Grow(64)
	for i, name := range x.route.pattern.params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(x.params[i]))
	}
	return b.String()
}

// document makes of the content one JSON document. The headers of the request are in it,
// and not in those of the message.
func (x *exchange) document(c *content) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	headers, err := jsondata.Headers(c.headers).MarshalJSON()
	if err != nil {
		return err
	}
	b := make([]byte, 0, 256+len(c.payload)+len(headers))
	b = jsondata.AppendString(append(b, `{"method":`...), x.r.Method)
	b = jsondata.AppendString(append(b, `,"path":`...), x.r.URL.EscapedPath())
	b = append(b, `,"params":{`...)
	for i, name := range x.route.pattern.params {
		b = jsondata.AppendString(separate(b), name)
		b = jsondata.AppendString(append(b, ':'), x.params[i])
	}
	b = appendQuery(append(b, `},"query":{`...), q)
	b = append(append(b, `},"headers":`...), headers...)
	if c.contentType != "" {
		b = jsondata.AppendString(append(b, `,"contentType":`...), c.contentType)
	}
	switch d := jsondata.Encode(c.contentType, c.payload); {
	case d.Value != nil:
		b = append(append(b, `,"data":`...), d.Value...)
	case d.Base64 != nil:
		b = base64.StdEncoding.AppendEncode(append(b, `,"dataBase64":"`...), d.Base64)
		b = append(b, '"')
	}
	c.headers, c.contentType, c.payload = nil, "application/json", append(b, '}')
	return nil
}

func appendQuery(b []byte, q url.Values) []byte {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		b = append(jsondata.AppendString(separate(b), name), ':', '[')
		for _, v := range q[name] {
			b = jsondata.AppendString(separate(b), v)
		}
		b = append(b, ']')
	}
	return b
}

// separate appends a comma unless something begins here.
func separate(b []byte) []byte {
	if c := b[len(b)-1]; c == '{' || c == '[' {
		return b
	}
	return append(b, ',')
}

// query returns the parameters of the query.
func (x *exchange) query() (url.Values, error) {
	q, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, refuse(edda.BadValue, "the query is malformed")
	}
	return q, nil
}
