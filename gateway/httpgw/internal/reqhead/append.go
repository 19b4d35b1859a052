package reqhead

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/streamjson"
)

// Append puts what an append's headers say of it into the append, and returns what they
// say of its messages.
func Append(h http.Header, a *edda.Append) (*edda.StreamMessage, error) {
	m := &edda.StreamMessage{Principal: a.Principal}
	for name, values := range h {
		var err error
		switch {
		case strings.HasPrefix(name, messageHeader):
			err = messageHeaders(name, values, &m.Headers)
		case strings.HasPrefix(name, "Edda-"), strings.HasPrefix(name, "If-"):
			err = readAppendHeader(name, values, a, m)
		}
		if err != nil {
			return nil, err
		}
	}
	if a.IfLast != nil && a.IfEmpty {
		return nil, refuse(edda.BadValue, "If-Match and If-None-Match exclude each other: an empty shard has no last offset")
	}
	if len(m.Headers) > 1 {
		// A header has no order of its own, and what is stored must not be left to chance.
		slices.SortStableFunc(m.Headers, func(a, b edda.Header) int { return strings.Compare(a.Name, b.Name) })
	}
	if parents := h["Traceparent"]; parents != nil {
		m.TraceParent, m.TraceState = httpio.TraceContext(parents, h["Tracestate"])
	}
	return m, nil
}

// readAppendHeader reads one of the headers that are the surface's.
func readAppendHeader(name string, values []string, a *edda.Append, m *edda.StreamMessage) (err error) {
	var into *string
	switch name {
	case "Edda-Type":
		into = &m.Type
	case "Edda-Id":
		into = &m.ID
	case "Edda-Source":
		into = &m.Source
	case "Edda-Correlation-Id":
		into = &m.CorrelationID
	case "Edda-Shard":
		into = &a.Shard
	case "Edda-Key", "Edda-Producer", "Edda-Number", "Edda-Reply-To", "Edda-Time", "If-Match", "If-None-Match":
	default:
		return nil
	}
	v := values[0]
	if len(values) > 1 {
		return refuse(edda.BadValue, name+" is given more than once")
	}
	if err := httpio.CheckText(name, v); err != nil {
		return err
	}
	switch name {
	case "Edda-Key":
		m.Key, err = percentKey(v)
	case "Edda-Producer":
		a.Producer, err = producerHeader(v)
	case "Edda-Number":
		m.Number, err = numberHeader(v)
	case "Edda-Reply-To":
		m.ReplyTo, err = replyToHeader(a.Namespace, v)
	case "Edda-Time":
		m.Time, err = madeAt(v)
	case "If-Match":
		a.IfLast, err = offsetOfTag(v)
	case "If-None-Match":
		a.IfEmpty, err = emptyTag(v)
	default:
		if *into = v; v == "" {
			err = refuse(edda.BadValue, name+" is empty: leave it out")
		}
	}
	return err
}

// percentKey reads Edda-Key.
func percentKey(v string) (string, error) {
	key, err := url.PathUnescape(v)
	if err != nil {
		return "", refuse(edda.BadName, "Edda-Key has a bad percent-encoding")
	}
	return key, edda.CheckKey(key)
}

// producerHeader reads Edda-Producer. What names there may be the node says.
func producerHeader(v string) (string, error) {
	name, err := url.PathUnescape(v)
	switch {
	case err != nil:
		return "", refuse(edda.BadValue, "Edda-Producer has a bad percent-encoding")
	case name == "":
		return "", refuse(edda.BadValue, "Edda-Producer is empty: leave it out")
	}
	return name, nil
}

// numberHeader reads Edda-Number.
func numberHeader(v string) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n == 0 {
		return 0, refuse(edda.BadValue, "Edda-Number must be a whole number above zero")
	}
	return n, nil
}

func replyToHeader(namespace, v string) (edda.Address, error) {
	a, err := streamjson.ParseReplyTo(namespace, v)
	if err != nil {
		return a, refuse(edda.BadName, "Edda-Reply-To: "+err.Error())
	}
	return a, nil
}

// madeAt reads Edda-Time. Which times there may be the node says.
func madeAt(v string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, v)
	switch {
	case err != nil:
		return t, refuse(edda.BadValue, "Edda-Time must be a time, such as 2026-01-02T15:04:05Z")
	case t.IsZero(): // which is no time to the node
		return t, refuse(edda.BadValue, "Edda-Time must be between 1678 and 2262")
	}
	return t.UTC(), nil
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
