package cloudevents

import (
	"encoding/base64"
	"mime"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// AppendEvent appends a message as an event in the JSON format. Source is that of
// messages that have none.
func AppendEvent(b []byte, source string, m *edda.StreamMessage) []byte {
	b = append(b, `{"specversion":"1.0"`...)
	b = appendText(b, "id", m.ID)
	b = appendText(b, "source", sourceOf(source, m))
	b = appendText(b, "type", m.Type)
	kind, params, err := mime.ParseMediaType(m.ContentType)
	if err == nil {
		b = appendText(b, "datacontenttype", m.ContentType)
	}
	b = append(b, `,"time":"`...)
	b = append(m.Time.UTC().AppendFormat(b, time.RFC3339Nano), '"')
	b = appendData(appendExtensions(b, m), kind, params["charset"], m)
	return append(b, '}')
}

// AppendEvents appends messages as a batch.
func AppendEvents(b []byte, source string, messages []edda.StreamMessage) []byte {
	b = append(b, '[')
	for i := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendEvent(b, source, &messages[i])
	}
	return append(b, ']')
}

// sourceOf returns a reference, which sources of messages need not be.
func sourceOf(source string, m *edda.StreamMessage) string {
	switch {
	case m.Source == "":
		return source
	case isReference(m.Source):
		return m.Source
	default:
		return (&url.URL{Path: m.Source}).String()
	}
}

// appendExtensions appends what is a header, and the key.
func appendExtensions(b []byte, m *edda.StreamMessage) []byte {
	seen := map[string]bool{}
	subject := ""
	for _, h := range m.Headers {
		name := strings.ToLower(h.Name)
		if name = strings.TrimPrefix(name, HeaderPrefix); len(name) == len(h.Name) || seen[name] || own(name) ||
			!isAttribute(name) || checkValue(name, h.Value) != nil {
			continue
		}
		if name == "subject" {
			if subject = h.Value; subject == "" {
				continue
			}
		}
		seen[name] = true
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = jsondata.AppendString(b, h.Value)
	}
	if m.Key != subject {
		b = appendText(b, "partitionkey", m.Key)
	}
	return b
}

// own reports whether an attribute is said by something else than a header.
func own(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "datacontenttype", "time", "partitionkey", "data":
		return true
	}
	return false
}

// appendData appends the payload in the way that its content type asks for.
func appendData(b []byte, kind, charset string, m *edda.StreamMessage) []byte {
	utf := utf8.Valid(m.Payload) && (charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "us-ascii"))
	_, sub, _ := strings.Cut(kind, "/")
	isJSON := sub == "json" || strings.HasSuffix(sub, "+json")
	switch {
	case len(m.Payload) == 0:
		return b
	case utf && isJSON && jsondata.CanStand(m.Payload):
		return append(append(b, `,"data":`...), m.Payload...)
	case utf && kind != "" && !isJSON:
		return appendText(b, "data", string(m.Payload))
	}
	b = append(b, `,"data_base64":"`...)
	return append(base64.StdEncoding.AppendEncode(b, m.Payload), '"')
}

func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return jsondata.AppendString(b, value)
}
