package cqrs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What follows is checked before a command runs, so that it is refused alike whatever the database
// is: PostgreSQL would refuse it when all is done.

// checkText says why a text cannot be kept.
func checkText(s string) error {
	switch {
	case !utf8.ValidString(s):
		return errors.New("it is not UTF-8")
	case strings.ContainsRune(s, 0):
		return errors.New("it has a NUL")
	}
	return nil
}

// checkJSON says why JSON cannot be kept.
func checkJSON(raw json.RawMessage) error {
	switch {
	case !json.Valid(raw):
		return fmt.Errorf("it is no JSON: %s", clip(raw))
	case !utf8.Valid(raw):
		return errors.New("it is not UTF-8")
	}
	return nil
}

// checkMetadata says which metadata cannot be kept.
func checkMetadata(all map[string]json.RawMessage) error {
	for name, v := range all {
		if slices.Contains(takenMetadata, name) {
			return fmt.Errorf("the metadata %q is taken; the app fills it in", name)
		}
		if err := errors.Join(checkText(name), checkJSON(v)); err != nil {
			return fmt.Errorf("the metadata %q: %w", name, err)
		}
	}
	return nil
}

// checkExplain says why an explanation cannot be kept; none can. There is an index on it, which takes
// letters alone.
func checkExplain(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	err := checkJSON(raw)
	if err == nil && !hasLetters(raw) {
		err = errors.New(`it has \u0000, or half of a pair such as \ud83d\ude00`)
	}
	return err
}

// hasLetters reports whether what is escaped in valid JSON as \u is of letters: it is not NUL, and not
// half of a pair.
func hasLetters(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return true
		}
		raw = raw[i:]
		n := 2 // such as \n
		if raw[1] == 'u' {
			n = 6
			switch c := escaped(raw); {
			case c == 0, isLow(c):
				return false
			case 0xd800 <= c && c < 0xdc00:
				if n = 12; !bytes.HasPrefix(raw[6:], []byte(`\u`)) || !isLow(escaped(raw[6:])) {
					return false
				}
			}
		}
		raw = raw[n:]
	}
}

// escaped is what \u at the beginning stands for.
func escaped(raw []byte) uint64 {
	c, _ := strconv.ParseUint(string(raw[2:6]), 16, 16) // it is valid
	return c
}

// isLow reports whether it is the second half of a pair.
func isLow(c uint64) bool { return 0xdc00 <= c && c < 0xe000 }
