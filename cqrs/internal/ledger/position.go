package ledger

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in the order of all events of a database. A later event of an
// aggregate has a greater one. As text and JSON it is opaque.
type Position struct {
	// Tx is the transaction's id, 0 where there is one writer; Seq is the row's number.
	Tx, Seq int64
}

// IsZero reports whether p is before all events.
func (p Position) IsZero() bool { return p == Position{} }

// Before reports whether p comes before o in the order of all events.
func (p Position) Before(o Position) bool { return Compare(p, o) < 0 }

// Compare is -1, 0 or 1 when p comes before o, is o, or comes after it.
func Compare(p, o Position) int {
	return cmp.Or(cmp.Compare(p.Tx, o.Tx), cmp.Compare(p.Seq, o.Seq))
}

// String returns the position as text, which ParsePosition reads.
func (p Position) String() string {
	b := strconv.AppendInt(make([]byte, 0, 24), p.Tx, 10)
	return string(strconv.AppendInt(append(b, '.'), p.Seq, 10))
}

// ParsePosition reads what Position.String has written.
func ParsePosition(s string) (Position, error) {
	tx, seq, ok := strings.Cut(s, ".")
	p, errTx := parseNumber(tx)
	q, errSeq := parseNumber(seq)
	if !ok || errTx != nil || errSeq != nil {
		return Position{}, fmt.Errorf("position %q: it must be two numbers, such as 0.42", s)
	}
	return Position{Tx: p, Seq: q}, nil
}

// parseNumber reads a number as String writes it, so that each position has one text.
func parseNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && (n < 0 || strconv.FormatInt(n, 10) != s) {
		err = strconv.ErrSyntax
	}
	return n, err
}

// MarshalText implements encoding.TextMarshaler.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}
