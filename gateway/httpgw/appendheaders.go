package httpgw

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

// readAppendHeaders puts what an append's headers say of it into the append, and returns
// what they say of its messages.
func readAppendHeaders(h http.Header, a *edda.Append) (*edda.StreamMessage, error) {
	m := &edda.StreamMessage{Principal: a.Principal}
	for name, values := range h {
		if strings.HasPrefix(name, messageHeader) {
			if err := messageHeaders(name, values, &m.Headers); err != nil {
				return nil, err
			}
		}
	}
	// A header has no order of its own, and what is stored must not be left to chance.
	slices.SortStableFunc(m.Headers, func(a, b edda.Header) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range [...]struct {
		name string
		read func(v string) error
	}{
		{"Edda-Type", given("Edda-Type", &m.Type)},
		{"Edda-Id", given("Edda-Id", &m.ID)},
		{"Edda-Source", given("Edda-Source", &m.Source)},
		{"Edda-Correlation-Id", given("Edda-Correlation-Id", &m.CorrelationID)},
		{"Edda-Shard", given("Edda-Shard", &a.Shard)},
		{"Edda-Key", func(v string) (err error) { m.Key, err = percentKey(v); return err }},
		{"Edda-Reply-To", func(v string) (err error) { m.ReplyTo, err = replyToHeader(a.Namespace, v); return err }},
		{"Edda-Time", func(v string) (err error) { m.Time, err = timeHeader("Edda-Time", v); return err }},
		{"If-Match", func(v string) (err error) { a.IfLast, err = offsetOfTag(v); return err }},
		{"If-None-Match", func(v string) (err error) { a.IfEmpty, err = emptyTag(v); return err }},
	} {
		values, ok := h[f.name]
		switch {
		case !ok:
			continue
		case len(values) > 1:
			return nil, refuse(edda.BadValue, f.name+" is given more than once")
		}
		if err := checkText(f.name, values[0]); err != nil {
			return nil, err
		}
		if err := f.read(values[0]); err != nil {
			return nil, err
		}
	}
	if a.IfLast != nil && a.IfEmpty {
		return nil, refuse(edda.BadValue, "If-Match and If-None-Match exclude each other: an empty shard has no last offset")
	}
	if parents := h["Traceparent"]; parents != nil {
		m.TraceParent, m.TraceState = traceContext(parents, h["Tracestate"])
	}
	return m, nil
}

// given reads text: to leave a choice to the node is to leave the header out.
func given(name string, into *string) func(string) error {
	return func(v string) error {
		if v == "" {
			return refuse(edda.BadValue, name+" is empty")
		}
		*into = v
		return nil
	}
}

// percentKey reads Edda-Key.
func percentKey(v string) (string, error) {
	key, err := url.PathUnescape(v)
	if err != nil {
		return "", refuse(edda.BadName, "Edda-Key has a bad percent-encoding")
	}
	return key, edda.CheckKey(key)
}

func replyToHeader(namespace, v string) (edda.Address, error) {
	a, err := streamjson.ParseReplyTo(namespace, v)
	if err != nil {
		return a, refuse(edda.BadName, "Edda-Reply-To: "+err.Error())
	}
	return a, nil
}

// offsetOfTag reads If-Match.
func offsetOfTag(v string) (*uint64, error) {
	if len(v) > 2 && v[0] == '"' && v[len(v)-1] == '"' {
		if n, err := strconv.ParseUint(v[1:len(v)-1], 10, 64); err == nil {
			return &n, nil
		}
	}
	return nil, refuse(edda.BadValue, `If-Match must be the shard's last offset in quotes, such as "41"`)
}

// emptyTag reads If-None-Match.
func emptyTag(v string) (bool, error) {
	if v != "*" {
		return false, refuse(edda.BadValue, "If-None-Match must be *, for a shard without messages")
	}
	return true, nil
}
