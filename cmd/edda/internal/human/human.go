// Package human writes values as people read them in a terminal, and reads what people
// write. Its functions do no I/O and are safe for concurrent use.
package human

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain is Harmless for a table, in which nothing is "-".
func Plain(s string) string { return cmp.Or(Harmless(s), "-") }

// Harmless makes text that somebody else wrote safe for a terminal and for one line: it
// neither moves the cursor nor changes the order of what is around it.
func Harmless(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// Clip shortens text for a column of a table.
func Clip(s string) string {
	const most = 60
	return ClipTo(s, most)
}

// ClipTo shortens a line to so many columns; 0 is no limit.
func ClipTo(s string, columns int) string {
	if columns <= 0 || utf8.RuneCountInString(s) <= columns {
		return s
	}
	return string([]rune(s)[:columns-1]) + "…"
}

// Counted writes a number of things, of which what is one.
func Counted[N int | uint64](n N, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	default:
		return fmt.Sprintf("%d %ss", n, what)
	}
}

// Size writes a number of bytes for people.
func Size(n uint64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n) / (1 << 10)
	for f >= 1<<10 && len(units) > 1 {
		f, units = f/(1<<10), units[1:]
	}
	return strings.Replace(fmt.Sprintf("%.1f %s", f, units[0]), ".0 ", " ", 1)
}

// ParseNumber reads a number that may end in KiB, MiB or GiB.
func ParseNumber(s string) (int, error) {
	unit := 1
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if digits, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = digits, 1<<(10*(i+1))
		}
	}
	n, err := strconv.Atoi(s)
	if err == nil && n > math.MaxInt/unit {
		err = errors.New("too large")
	}
	return n * unit, err
}
