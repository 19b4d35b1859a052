package httpgw

import (
	"github.com/edda-io/edda/gateway/internal/httpio"

	"strconv"
	"strings"
	"time"
)

// preferences are what Prefer (RFC 7240) asks for.
type preferences struct {
	async   bool
	hasWait bool
	wait    time.Duration
	// parts asks for the parts of the reply as they come, and events, which Accept
	// asks for, for each as an event.
	parts, events bool
}

// applied returns the value of Preference-Applied for an asynchronous answer.
func (p preferences) applied() string {
	if !p.hasWait {
		return "respond-async"
	}
	return "respond-async, wait=" + strconv.Itoa(int(p.wait/time.Second))
}

// maxPreferWait is the longest wait, in seconds.
const maxPreferWait = 600

// parsePrefer reads the values of Prefer. The first of several preferences of
// one name counts; one that is malformed is as if it were not there.
func parsePrefer(values []string) preferences {
	var p preferences
	for _, v := range values {
		for v != "" {
			var item string
			item, v = cutUnquoted(v, ',')
			item, _ = cutUnquoted(item, ';') // parameters mean nothing here
			p.add(item)
		}
	}
	return p
}

func (p *preferences) add(item string) {
	name, value := cutUnquoted(item, '=')
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if strings.HasPrefix(value, `"`) {
		var ok bool
		if value, ok = httpio.Unquote(value); !ok {
			return
		}
	}
	switch {
	case strings.EqualFold(name, "respond-async"):
		p.async = p.async || value == ""
	case strings.EqualFold(name, "parts"):
		p.parts = p.parts || value == ""
	case strings.EqualFold(name, "wait") && !p.hasWait:
		if n, ok := seconds(value); ok {
			p.hasWait, p.wait = true, time.Duration(n)*time.Second
		}
	}
}

func seconds(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = 10*n + int(s[i]-'0'); n > maxPreferWait {
			return 0, false
		}
	}
	return n, s != ""
}

// cutUnquoted cuts s at the first separator that is not within quotes.
func cutUnquoted(s string, sep byte) (before, after string) {
	inQuotes := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case inQuotes && c == '\\':
			i++
		case c == '"':
			inQuotes = !inQuotes
		case c == sep && !inQuotes:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
