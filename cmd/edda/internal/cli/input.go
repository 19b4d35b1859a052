package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/human"
)

// Data returns what an argument stands for: itself, or standard input for "-".
func (in *Invocation) Data(arg string) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	return in.ReadStdin()
}

// ReadStdin returns all of standard input.
func (in *Invocation) ReadStdin() ([]byte, error) {
	b, err := io.ReadAll(in.Stdin)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return b, nil
}

// Payload returns what an argument stands for, as Data does, and its content type: what it
// looks like, unless there is one.
func (in *Invocation) Payload(arg, contentType string) (payload []byte, _ string, err error) {
	payload, err = in.Data(arg)
	return payload, cmp.Or(contentType, GuessType(payload)), err
}

// GuessType returns the content type of data that nobody named.
func GuessType(data []byte) string {
	switch {
	case len(data) == 0:
		return ""
	case json.Valid(data):
		return "application/json"
	case utf8.Valid(data):
		return "text/plain; charset=utf-8"
	default:
		return "application/octet-stream"
	}
}

// Document reads JSON from a file, or from standard input for "-".
func (in *Invocation) Document(name string) ([]byte, error) {
	if name == "-" {
		b, err := in.ReadStdin()
		if err != nil {
			return nil, err
		}
		return b, CheckJSON("standard input", b)
	}
	b, err := readFile(name)
	if err != nil {
		return nil, err
	}
	return b, CheckJSON(name, b)
}

// readFile reads a file that the user named.
func readFile(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, &usageError{err}
	}
	return b, nil
}

// CheckJSON says where a document is no JSON.
func CheckJSON(name string, b []byte) error {
	var v json.RawMessage
	err := json.Unmarshal(b, &v)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		read := b[:min(int(e.Offset), len(b))]
		return WrongUse("%s is not JSON: line %d: %v", name, bytes.Count(read, []byte("\n"))+1, err)
	}
	return WrongUse("%s is not JSON: %v", name, err)
}

// AddHeaders reads headers as they stand in flags.
func AddHeaders(to *edda.Headers, headers []string) error {
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return WrongUse("header %q must be 'NAME: VALUE'", h)
		}
		to.Add(name, strings.TrimSpace(value))
	}
	return nil
}

// ParseTime reads a point in time: so long ago, a day in UTC, or a time as RFC 3339
// has it. It is zero for "".
func ParseTime(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := human.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, WrongUse("%s is %q, must be how long ago (90s, 2h, 7d), a day (2026-11-21), or a time (2026-11-21T09:00:00Z)", flag, s)
}
