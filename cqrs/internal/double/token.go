package double

import (
	"slices"
	"strings"
)

// token is a piece of a statement: a word, a quoted name, a string, a number or a sign. What is between
// them, spaces and comments, is no token.
type token struct {
	from, to int    // in the statement
	name     string // of a word or a quoted name; "" of others
	quoted   bool
}

// tokensOf splits a statement of SQLite or PostgreSQL.
func tokensOf(s string) []token {
	var all []token
	for i := 0; i < len(s); {
		from := i
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
			continue
		case strings.HasPrefix(s[i:], "--"):
			i = end(s, i, "\n")
			continue
		case strings.HasPrefix(s[i:], "/*"):
			i = end(s, i+2, "*/")
			continue
		case c == '\'':
			i = closing(s, i, c)
			all = append(all, token{from: from, to: i})
		case c == '"' || c == '`':
			i = closing(s, i, c)
			name := strings.ReplaceAll(strings.Trim(s[from:i], string(c)), string(c)+string(c), string(c))
			all = append(all, token{from: from, to: i, name: name, quoted: true})
		case c == '[':
			i = end(s, i, "]")
			all = append(all, token{from: from, to: i, name: strings.Trim(s[from:i], "[]"), quoted: true})
		case isNameByte(c):
			for i < len(s) && isNameByte(s[i]) {
				i++
			}
			all = append(all, token{from: from, to: i, name: s[from:i]})
		default:
			i++
			all = append(all, token{from: from, to: i})
		}
	}
	return all
}

func isNameByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// end is where what begins at i ends, after the mark.
func end(s string, i int, mark string) int {
	if n := strings.Index(s[i:], mark); n >= 0 {
		return i + n + len(mark)
	}
	return len(s)
}

// closing is where a quoted text ends; quotes within it are doubled.
func closing(s string, i int, quote byte) int {
	for i++; i < len(s); i++ {
		if s[i] != quote {
			continue
		}
		if i+1 == len(s) || s[i+1] != quote {
			return i + 1
		}
		i++
	}
	return len(s)
}

func (t token) is(word string) bool { return !t.quoted && strings.EqualFold(t.name, word) }

// quoteName is a name as an identifier.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// renameTables returns a statement that makes a table or an index, with other names for tables: the one
// that it makes or that it is on, those that it refers to, and those that qualify columns. An index
// gets the name that index says. Columns that are called like a table stay.
func renameTables(statement string, names map[string]string, index func(string) string) string {
	s := renamer{statement: statement, tokens: tokensOf(statement), names: names}
	first := 0
	if i := slices.IndexFunc(s.tokens, func(t token) bool { return t.is("TABLE") || t.is("INDEX") }); i >= 0 {
		first = i + 1
		if s.at(first).is("IF") { // IF NOT EXISTS
			first += 3
		}
		first = s.afterSchema(first)
		if s.at(i).is("INDEX") {
			s.put(first, index(s.at(first).name))
			for ; first < len(s.tokens) && !s.at(first).is("ON"); first++ {
				continue
			}
			first = s.afterSchema(first + 1)
		}
		s.rename(first)
	}
	for i := first + 1; i < len(s.tokens); i++ {
		switch {
		case s.at(i).is("REFERENCES"):
			i = s.afterSchema(i + 1)
			s.rename(i)
		case s.sign(i+1) == "." && s.sign(i-1) != ".":
			s.rename(i)
		}
	}
	return s.out + s.statement[s.done:]
}

// renamer copies a statement, token by token.
type renamer struct {
	statement string
	tokens    []token
	names     map[string]string
	out       string
	done      int // what is before it has been copied
}

func (s *renamer) at(i int) token {
	if i < 0 || i >= len(s.tokens) {
		return token{}
	}
	return s.tokens[i]
}

func (s *renamer) sign(i int) string { return s.statement[s.at(i).from:s.at(i).to] }

// afterSchema is the index of the name that may follow a schema at i.
func (s *renamer) afterSchema(i int) int {
	if s.sign(i+1) == "." {
		return i + 2
	}
	return i
}

// rename puts the other name of a table in the place of its name, if that is what token i is.
func (s *renamer) rename(i int) {
	for from, to := range s.names {
		if t := s.at(i); t.name != "" && strings.EqualFold(from, t.name) {
			s.put(i, to)
		}
	}
}

func (s *renamer) put(i int, name string) {
	t := s.at(i)
	s.out += s.statement[s.done:t.from] + quoteName(name)
	s.done = t.to
}
