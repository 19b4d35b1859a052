package sqlitedb

import (
	"strconv"
	"strings"
)

// positional returns a statement whose parameters $1, $2, … are in their order, each there once, with ? in
// their place; any other as it is. The driver finds a parameter that has a name by looking through all
// arguments for each, and makes a text of each one's number: a statement that writes some hundred rows
// would take most of its time for that.
func positional(query string) string {
	var out strings.Builder
	n, done := 0, 0
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == '\'' || c == '"' || c == '`':
			i = after(query, i+1, string(c)) // one that is doubled begins the next
		case c == '[':
			i = after(query, i+1, "]")
		case strings.HasPrefix(query[i:], "--"):
			i = after(query, i, "\n")
		case strings.HasPrefix(query[i:], "/*"):
			i = after(query, i+2, "*/")
		case c == '?' || c == ':' || c == '@':
			return query
		case isName(c) && c != '$':
			for i < len(query) && isName(query[i]) { // a $ may be part of a name
				i++
			}
		case c == '$':
			end := i + 1
			for end < len(query) && isName(query[end]) {
				end++
			}
			if n++; query[i+1:end] != strconv.Itoa(n) {
				return query
			}
			out.WriteString(query[done:i])
			out.WriteByte('?')
			i, done = end, end
		default:
			i++
		}
	}
	return out.String() + query[done:]
}

func isName(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// after is where the next mark from i on ends.
func after(s string, i int, mark string) int {
	if i > len(s) {
		return len(s)
	}
	if n := strings.Index(s[i:], mark); n >= 0 {
		return i + n + len(mark)
	}
	return len(s)
}
