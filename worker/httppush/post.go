package httppush

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/httpheader"
	"github.com/edda-io/edda/route"
)

// try is one attempt on its way to one target.
type try struct {
	attempt
	t *target
	// unreached is why there was no connection, so that nothing was sent; answered
	// says that the endpoint has said something.
	unreached error
	answered  bool
}

// invoke makes the attempt. What an answer asks for passes through a
// *edda.Context, which bounds and completes it as it does for handlers in
// process.
func (y *try) invoke() edda.Outcome {
	spec := &y.t.spec
	service := edda.Service{Name: spec.Name, Namespace: spec.Namespace, Kind: spec.Kind}
	service.HandleAny(y.handle)
	return service.Invoke(y.Context(), y.Dispatch())
}

func (y *try) handle(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
	if len(m.Frames) > 0 {
		return nil, edda.Final("FRAMES", "the payload has further frames, which an HTTP endpoint cannot get")
	}
	t, body, contentType := y.t, m.Payload, m.ContentType
	if t.envelope {
		var err error
		if body, err = t.envelopeOf(c); err != nil {
			return nil, err
		}
		contentType = "application/json"
	}
	res, err := y.roundTrip(c, t.request(c, m, contentType, body))
	if err != nil {
		return nil, err
	}
	y.answered = true
	defer func() { _ = res.Body.Close() }() // it was read to its end, or its error is known
	return t.answer(c, res)
}

// request returns the request that an attempt is.
func (t *target) request(c *edda.Context, m *edda.Message, contentType string, body []byte) *http.Request {
	u := t.methodURL(m.Type)
	r := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Header: t.header(c, m, contentType, body),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: http.NoBody, ContentLength: int64(len(body)),
	}
	if len(body) > 0 {
		// The transport sends it anew when a connection that had been idle turns out to
		// be closed before anything was written to it.
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return r
}

func (t *target) header(c *edda.Context, m *edda.Message, contentType string, body []byte) http.Header {
	h := make(http.Header, 16+len(m.Headers))
	if !t.envelope {
		addHeaders(h, m.Headers)
	}
	id := m.ID.String()
	// One array backs the values of what every request has.
	v := [...]string{contentType, id, strconv.Itoa(c.Attempt()), m.TraceParent, m.TraceState, "", "", "", "", ""}
	if contentType != "" && httpheader.ValidValue(contentType) {
		h["Content-Type"] = v[0:1:1]
	}
	h["Edda-Request-Id"] = v[1:2:2]
	h["Edda-Attempt"] = v[2:3:3]
	if m.TraceParent != "" {
		h["Traceparent"] = v[3:4:4]
		if m.TraceState != "" {
			h["Tracestate"] = v[4:5:5]
		}
	}
	if t.ordered {
		v[5], v[6] = url.PathEscape(m.To.Key), strconv.FormatUint(c.Fence(), 10)
		h["Edda-Key"], h["Edda-Fence"] = v[5:6:6], v[6:7:7]
	}
	if deadline, ok := c.Deadline(); ok {
		v[7] = deadline.UTC().Format(time.RFC3339Nano)
		h["Edda-Deadline"] = v[7:8:8]
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = userAgent
	}
	if t.signed {
		v[8] = strconv.FormatInt(time.Now().Unix(), 10)
		v[9] = t.sign(id, v[8], body)
		h["Webhook-Id"], h["Webhook-Timestamp"], h["Webhook-Signature"] = v[1:2:2], v[8:9:9], v[9:10:10]
	}
	return h
}

var userAgent = []string{"edda"}

// sign returns the signature of Standard Webhooks.
func (t *target) sign(id, timestamp string, body []byte) string {
	mac := t.mac()
	defer t.macs.Put(mac)
	var room [128]byte
	signed := append(append(append(append(room[:0], id...), '.'), timestamp...), '.')
	_, _ = mac.Write(signed) // a hash takes everything
	_, _ = mac.Write(body)
	sum := mac.Sum(room[:0])
	const version = "v1,"
	b := make([]byte, 0, len(version)+base64.StdEncoding.EncodedLen(len(sum)))
	return string(base64.StdEncoding.AppendEncode(append(b, version...), sum))
}

// addHeaders adds the caller's headers, but for those that are not theirs to set
// and those that are none.
func addHeaders(h http.Header, headers edda.Headers) {
	for _, e := range headers {
		if !httpheader.IsToken(e.Name) || !httpheader.ValidValue(e.Value) {
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(e.Name)
		if reserved(name) || httpheader.NamedByConnection(headers, name) {
			continue
		}
		h[name] = append(h[name], e.Value)
	}
}

// reserved reports whether a header of the request is the node's to set.
func reserved(name string) bool {
	switch name {
	case "Host", "Content-Type", "Expect", "Traceparent", "Tracestate":
		return true
	case route.HeaderMethod, route.HeaderPath, route.HeaderParams, route.HeaderQuery: // what a web request was
		return false
	default:
		return httpheader.OfConnection(name) || strings.HasPrefix(name, "Edda-") || strings.HasPrefix(name, "Webhook-")
	}
}

// roundTrip sends the request. When there is no connection to send it over it
// notes that beside the error.
func (y *try) roundTrip(c *edda.Context, r *http.Request) (*http.Response, error) {
	// The transport may ask for a connection more than once: the last time counts.
	asked, connected := false, false
	ctx := httptrace.WithClientTrace(c, &httptrace.ClientTrace{
		GetConn: func(string) { asked, connected = true, false },
		GotConn: func(httptrace.GotConnInfo) {
			connected = true
			y.Taken()
		},
	})
	res, err := y.t.transport.RoundTrip(r.WithContext(ctx))
	switch {
	case err == nil:
		return res, nil
	case c.Err() != nil:
		return nil, ended(c)
	case asked && !connected:
		y.unreached = err
		return nil, err
	default:
		return nil, fmt.Errorf("the endpoint did not answer: %w", broken(err))
	}
}

// ended is the error of an attempt whose context has ended.
func ended(ctx context.Context) error {
	return fmt.Errorf("the attempt was over before the endpoint had answered: %w", context.Cause(ctx))
}

// broken words the error of a connection that ended where something should come.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection broke")
	}
	return err
}
