package edda

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Place is what a From says.
type Place struct {
	Kind PlaceKind
	// Offset is set for AtOffset.
	Offset uint64
	// Time is set for AtTime.
	Time time.Time
}

// PlaceKind is one of the kinds of places in a stream.
type PlaceKind uint8

// The kinds of places.
const (
	// AtStart is the first message that is kept.
	AtStart PlaceKind = iota + 1
	// AtEnd is the next message to come.
	AtEnd
	// AtOffset is the message at an offset, or the first one kept if that comes later.
	AtOffset
	// AtTime is the first message that was appended at a time or later.
	AtTime
)

// Parse reads what From says: "start", "end", an offset in decimal digits, or a time in
// RFC 3339. The error's reason is BadValue; the empty From is one, because what it
// stands for depends on its use.
func (f From) Parse() (Place, error) {
	switch {
	case f == FromStart:
		return Place{Kind: AtStart}, nil
	case f == FromEnd:
		return Place{Kind: AtEnd}, nil
	case f != "" && strings.Trim(string(f), "0123456789") == "":
		return f.parseOffset()
	}
	t, err := time.Parse(time.RFC3339Nano, string(f))
	switch {
	case err != nil:
		return Place{}, badOf("place", BadValue, "%q is no place in a stream, must be %q, %q, an offset in decimal digits, or a time like %q",
			clip(string(f)), FromStart, FromEnd, "2006-01-02T15:04:05Z")
	case t.Before(earliest) || t.After(latest):
		return Place{}, badOf("place", BadValue, "the time is %q, must be between 1678 and 2262", f)
	}
	return Place{Kind: AtTime, Time: t}, nil
}

func (f From) parseOffset() (Place, error) {
	n, err := strconv.ParseUint(string(f), 10, 64)
	if err != nil {
		return Place{}, badOf("place", BadValue, "the offset %q is too large, at most %d is allowed", clip(string(f)), uint64(math.MaxUint64))
	}
	return Place{Kind: AtOffset, Offset: n}, nil
}
