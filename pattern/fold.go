package pattern

import (
	"unicode"
	"unicode/utf8"
)

// appendFolded appends s with each letter replaced by the one that stands for all of its
// cases. Bytes that are no UTF-8 stay as they are.
func appendFolded(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			b = append(b, lower(c))
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[i])
		} else {
			b = utf8.AppendRune(b, fold(r))
		}
		i += n
	}
	return b
}

// foldsTo reports whether folding s gives folded.
func foldsTo(s, folded string) bool {
	var letter [utf8.UTFMax]byte
	for len(s) > 0 {
		n := 1
		if c := s[0]; c < utf8.RuneSelf {
			if folded == "" || folded[0] != lower(c) {
				return false
			}
			folded = folded[1:]
		} else {
			_, n = utf8.DecodeRuneInString(s)
			f := appendFolded(letter[:0], s[:n])
			if len(folded) < len(f) || folded[:len(f)] != string(f) {
				return false
			}
			folded = folded[len(f):]
		}
		s = s[n:]
	}
	return folded == ""
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// fold returns the smallest of the cases of a letter outside of ASCII that is outside of
// ASCII as well: the sign of Kelvin is not a k.
func fold(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if f >= utf8.RuneSelf {
			least = min(least, f)
		}
	}
	return least
}
