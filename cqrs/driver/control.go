package driver

import (
	"fmt"
	"strings"
)

// controlError says which statement was refused.
type controlError struct{ statement string }

// Error implements error.
func (e controlError) Error() string {
	return fmt.Sprintf("%s was refused: %v; an error that is returned undoes all that was done, and Tx.Savepoint is for trying something",
		e.statement, ErrControl)
}

// Unwrap returns ErrControl.
func (controlError) Unwrap() error { return ErrControl }

// control returns the first statement of a query that begins or ends a transaction, "" when it has
// none. What stands in strings, comments and the bodies of functions is no statement.
func control(query string) string {
	s := scanner{rest: query}
	body := false // a function or trigger may be made here, whose body ends with END
	for {
		switch word := s.word(); word {
		case "BEGIN", "COMMIT", "ABORT":
			return word
		case "END":
			if !body {
				return word
			}
		case "START", "PREPARE":
			if s.word() == "TRANSACTION" {
				return word + " TRANSACTION"
			}
		case "ROLLBACK":
			next := s.word()
			if next == "WORK" || next == "TRANSACTION" {
				next = s.word()
			}
			if next != "TO" {
				return word
			}
		case "CREATE":
			body = true
		}
		if !s.nextStatement() {
			return ""
		}
	}
}

// scanner goes through SQL.
type scanner struct{ rest string }

// word returns the word that comes next, in capitals; "" when something else does.
func (s *scanner) word() string {
	s.skipSpace()
	n := 0
	for n < len(s.rest) && (isLetter(s.rest[n]) || n > 0 && isDigit(s.rest[n])) {
		n++
	}
	word := s.rest[:n]
	s.rest = s.rest[n:]
	return strings.ToUpper(word)
}

// nextStatement goes behind the next semicolon, and reports whether there is one.
func (s *scanner) nextStatement() bool {
	if strings.IndexByte(s.rest, ';') < 0 {
		return false
	}
	for {
		s.skipSpace()
		if s.rest == "" {
			return false
		}
		switch c := s.rest[0]; {
		case c == ';':
			s.rest = s.rest[1:]
			return true
		case c == '\'', c == '"':
			s.skipQuoted(c, false)
		case c == '$':
			s.skipDollar()
		case isLetter(c), isDigit(c):
			n := 1
			for n < len(s.rest) && (isLetter(s.rest[n]) || isDigit(s.rest[n]) || s.rest[n] == '$') {
				n++
			}
			escapes := s.rest[:n] == "e" || s.rest[:n] == "E"
			if s.rest = s.rest[n:]; escapes && strings.HasPrefix(s.rest, "'") {
				s.skipQuoted('\'', true)
			}
		default:
			s.rest = s.rest[1:]
		}
	}
}

// skipSpace goes behind white space and comments.
func (s *scanner) skipSpace() {
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\r\n\f\v")
		switch {
		case strings.HasPrefix(s.rest, "--"):
			_, s.rest, _ = strings.Cut(s.rest, "\n")
		case strings.HasPrefix(s.rest, "/*"):
			s.skipComment()
		default:
			return
		}
	}
}

// skipComment goes behind a comment, in which there may be others.
func (s *scanner) skipComment() {
	for depth := 0; s.rest != ""; {
		switch {
		case strings.HasPrefix(s.rest, "/*"):
			depth++
			s.rest = s.rest[2:]
		case strings.HasPrefix(s.rest, "*/"):
			depth--
			if s.rest = s.rest[2:]; depth == 0 {
				return
			}
		default:
			s.rest = s.rest[1:]
		}
	}
}

// skipQuoted goes behind a string or a quoted name. A quote in it is written twice.
func (s *scanner) skipQuoted(quote byte, escapes bool) {
	i := 1
	for i < len(s.rest) {
		switch {
		case s.rest[i] == '\\' && escapes, strings.HasPrefix(s.rest[i:], string([]byte{quote, quote})):
			i++
		case s.rest[i] == quote:
			s.rest = s.rest[i+1:]
			return
		}
		i++
	}
	s.rest = ""
}

// skipDollar goes behind a string such as $$…$$ or $body$…$body$, or a parameter.
func (s *scanner) skipDollar() {
	n := 1
	for n < len(s.rest) && (isLetter(s.rest[n]) || n > 1 && isDigit(s.rest[n])) {
		n++
	}
	if n == len(s.rest) || s.rest[n] != '$' {
		s.rest = s.rest[n:]
		return
	}
	tag := s.rest[:n+1]
	_, s.rest, _ = strings.Cut(s.rest[n+1:], tag)
}

func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
