package httpio

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// Lengths of a traceparent: version, trace id, parent id and flags.
const (
	traceParentLen = 55
	traceStateMax  = 512
	traceStateList = 32
)

// TraceContext returns the W3C trace context of a call: the caller's trace with a span
// of the node's own as the parent of what follows. An invalid traceparent begins
// a new trace, and then the state goes with the old one.
//
// Nothing of it is in the response: the specification has no header for it.
func TraceContext(parents, states []string) (parent, state string) {
	var b [traceParentLen]byte
	copy(b[:], "00-")
	b[35], b[52] = '-', '-'
	if len(parents) == 1 && ValidTraceParent(parents[0]) {
		copy(b[3:35], parents[0][3:35])
		flags := unhex(parents[0][54]) & 3 // sampled, and random trace id; others are not ours to pass on
		b[53], b[54] = '0', '0'+flags
		state = TraceState(states)
	} else {
		putRandom(b[3:19])
		putRandom(b[19:35])
		b[53], b[54] = '0', '0'
	}
	putRandom(b[36:52])
	return string(b[:]), state
}

// putRandom fills 16 hexadecimal digits that are not all zero.
func putRandom(b []byte) {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], rand.Uint64()|1)
	hex.Encode(b, raw[:])
}

// ValidTraceParent reports whether s is a traceparent.
func ValidTraceParent(s string) bool {
	if len(s) < traceParentLen || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version := s[:2]
	switch {
	case version == "ff", version == "00" && len(s) > traceParentLen:
		return false
	case len(s) > traceParentLen && s[traceParentLen] != '-':
		return false
	}
	return isHex(version) && isHex(s[3:35]) && isHex(s[36:52]) && isHex(s[53:55]) &&
		strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}

// isHex reports whether s is lower-case hexadecimal, the only form allowed.
func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// TraceState returns the list that several headers make up, or "" when it is
// malformed or too long to be carried.
func TraceState(values []string) string {
	s := strings.Trim(strings.Join(values, ","), " \t,")
	if s == "" || len(s) > traceStateMax || strings.Count(s, ",") >= traceStateList {
		return ""
	}
	for member := range strings.SplitSeq(s, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue
		}
		key, _, ok := strings.Cut(member, "=")
		if !ok || !isStateKey(key) || !isPrintable(member) {
			return ""
		}
	}
	return s
}

func isStateKey(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("_-*/@", c) < 0 {
			return false
		}
	}
	return s != ""
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
