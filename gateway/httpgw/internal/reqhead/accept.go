package reqhead

import (
	"strconv"
	"strings"
)

// EventStream is the media type of server-sent events.
const EventStream = "text/event-stream"

// AcceptsEvents reports whether Accept names text/event-stream.
func AcceptsEvents(accept []string) bool { return Accepts(accept, EventStream) }

// Accepts reports whether Accept names a media type, and not as what is not wanted.
func Accepts(accept []string, mediaType string) bool {
	for _, v := range accept {
		for v != "" {
			var item string
			item, v = cutUnquoted(v, ',')
			name, params := cutUnquoted(item, ';')
			if equalToken(name, mediaType) && !refusedByWeight(params) {
				return true
			}
		}
	}
	return false
}

// refusedByWeight reports whether the parameters of an accepted type have the
// weight zero.
func refusedByWeight(params string) bool {
	for params != "" {
		var item string
		item, params = cutUnquoted(params, ';')
		if name, value := cutUnquoted(item, '='); equalToken(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			return err == nil && q == 0
		}
	}
	return false
}

func equalToken(s, want string) bool { return strings.EqualFold(strings.TrimSpace(s), want) }

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
