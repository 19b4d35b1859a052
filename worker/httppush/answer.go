package httppush

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/httpheader"
)

// maxRetryAfter is the longest delay that an endpoint may ask for.
const maxRetryAfter = time.Hour

// answer makes the endpoint's answer the outcome of the attempt.
func (t *target) answer(c *edda.Context, res *http.Response) (*edda.Reply, error) {
	switch status := res.StatusCode; {
	case status >= 400 && strings.EqualFold(res.Header.Get("Edda-Error"), "final"):
		return nil, &edda.HandlerError{Message: complaint(res), Final: true}
	case retried(status):
		return nil, &edda.HandlerError{Message: complaint(res), RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	case status < 200 || status > 599:
		return nil, fmt.Errorf("the endpoint answered with status %d, must be 200 to 599", status)
	}
	limit := t.maxReply
	inEnvelope := t.envelope && res.StatusCode < 300
	if inEnvelope {
		limit = maxEnvelope(limit)
	}
	body, err := readBody(res, limit)
	switch {
	case c.Err() != nil:
		return nil, ended(c)
	case err != nil:
		return nil, err
	case strings.EqualFold(res.Header.Get("Edda-Pending"), "true"):
		return nil, edda.ErrPending
	case inEnvelope:
		return t.opened(c, body)
	}
	return &edda.Reply{
		Status: res.StatusCode, Headers: replyHeaders(res.Header), ContentType: utf8Text(res.Header.Get("Content-Type")), Payload: body,
	}, nil
}

// retried reports whether an answer with this status has been an attempt, and not
// a reply.
func retried(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return status >= 500 && status <= 599
	}
}

// retryAfter reads a Retry-After of seconds or a date. Zero means none that makes
// sense; what is past, or now, is the shortest delay there is.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	var d time.Duration
	if seconds, err := strconv.ParseUint(v, 10, 64); err == nil {
		d = time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		d = maxRetryAfter
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	} else {
		return 0
	}
	return min(max(d, 1), maxRetryAfter)
}

// complaint says what an answer that is no reply was, for people.
func complaint(res *http.Response) string {
	const excerpt, drained = 1 << 10, 64 << 10
	text := "the endpoint answered " + strconv.Itoa(res.StatusCode)
	if name := http.StatusText(res.StatusCode); name != "" {
		text += " " + name
	}
	// What is left over unread would cost the connection.
	b, _ := io.ReadAll(io.LimitReader(res.Body, excerpt))
	_, _ = io.CopyN(io.Discard, res.Body, drained)
	if len(b) > 0 {
		text += ": " + utf8Text(string(bytes.TrimSpace(b)))
	}
	return text
}

// readBody reads the whole body. The buffer grows with what arrives, not with what
// was announced.
func readBody(res *http.Response, limit int64) ([]byte, error) {
	const trusted = 64 << 10
	n := res.ContentLength
	switch {
	case n == 0:
		return nil, nil
	case n > limit:
		return nil, tooLarge(limit)
	case n > 0 && n <= trusted:
		b := make([]byte, n)
		if _, err := io.ReadFull(res.Body, b); err != nil {
			return nil, cut(err)
		}
		return b, nil
	}
	var b bytes.Buffer
	b.Grow(int(min(max(n, 512), trusted)))
	if _, err := b.ReadFrom(io.LimitReader(res.Body, limit+1)); err != nil {
		return nil, cut(err)
	}
	if int64(b.Len()) > limit {
		return nil, tooLarge(limit)
	}
	return b.Bytes(), nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("the endpoint's answer has more than %d bytes", limit)
}

func cut(err error) error {
	return fmt.Errorf("the endpoint's answer ended in its middle: %w", broken(err))
}

// replyHeaders returns the headers of an answer that belong to the reply, in
// order of their names.
func replyHeaders(h http.Header) edda.Headers {
	var headers edda.Headers
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if name == "Content-Type" || httpheader.OwnOfReply(name) || namedByConnection(h, name) {
			continue
		}
		for _, v := range h[name] {
			headers = append(headers, edda.Header{Name: name, Value: utf8Text(v)})
		}
	}
	return headers
}

// utf8Text makes a header's value what records and JSON can hold.
func utf8Text(s string) string { return strings.ToValidUTF8(s, "?") }

func namedByConnection(h http.Header, name string) bool {
	for _, v := range h["Connection"] {
		if httpheader.Listed(v, name) {
			return true
		}
	}
	return false
}
