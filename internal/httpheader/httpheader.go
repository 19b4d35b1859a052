// Package httpheader knows which headers of HTTP belong to whom: what may stand
// in one at all, and which are of the connection and not of the message.
//
// The functions keep no state and are safe for concurrent use.
package httpheader

import (
	"strings"

	"github.com/edda-io/edda"
)

// IsToken reports whether s is a token of RFC 9110, as names of headers are.
func IsToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// ValidValue reports whether s can be the value of a header.
func ValidValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// OfConnection reports whether a header, named in its canonical form, is between
// the two ends of one connection: the hop-by-hop ones, and those that say how
// this very message is framed.
func OfConnection(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade", "Content-Length":
		return true
	default:
		return false
	}
}

// OwnOfReply reports whether a header of a reply, named in its canonical form, is
// not the handler's to set: those of the connection, the date, and Edda's.
func OwnOfReply(name string) bool {
	return name == "Date" || OfConnection(name) || strings.HasPrefix(name, "Edda-")
}

// NamedByConnection reports whether the headers Connection of the message name
// this one, which makes it hop-by-hop too.
func NamedByConnection(headers edda.Headers, name string) bool {
	for _, e := range headers {
		if strings.EqualFold(e.Name, "Connection") && Listed(e.Value, name) {
			return true
		}
	}
	return false
}

// Listed reports whether a list of names, separated by commas, has the name.
func Listed(list, name string) bool {
	for n := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(n), name) {
			return true
		}
	}
	return false
}
