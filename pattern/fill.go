package pattern

import (
	"fmt"
	"strings"
)

// Fill returns the type that the pattern stands for once each parameter has a value:
// test.:id.created with 42 is test.42.created. Get is asked for the value of each
// parameter, in their order, as often as it is there, and says whether it has one. Where
// it has none, an optional parameter is left out. A value must be one segment.
//
// The error says which parameter has no value, or one that is empty or has a dot; or that
// the pattern has a * or alternatives, which stand for many types.
func (p *Pattern) Fill(get func(name string) (string, bool)) (string, error) {
	var b strings.Builder
	written := false
	for i, s := range p.segs {
		value, ok, err := s.fill(get)
		switch {
		case err != nil:
			return "", fmt.Errorf("pattern %q: segment %d %w", p.text, i+1, err)
		case !ok:
			continue
		case written:
			b.WriteByte('.')
		}
		b.WriteString(value)
		written = true
	}
	if !written {
		return "", fmt.Errorf("pattern %q: none of its parameters has a value, nothing is left", p.text)
	}
	return b.String(), nil
}

// fill returns what is written for the segment, and whether anything is.
func (s *segment) fill(get func(string) (string, bool)) (value string, ok bool, err error) {
	switch s.kind {
	case wild:
		return "", false, fmt.Errorf("is %s, which stands for many types", s.name)
	case text:
		if len(s.texts) > 1 {
			return "", false, fmt.Errorf("has alternatives, which stand for many types")
		}
		return s.name, true, nil
	}
	switch value, ok = get(s.name); {
	case !ok && s.kind == optional:
		return "", false, nil
	case !ok:
		return "", false, fmt.Errorf("has no value: nothing is known of :%s", s.name)
	case value == "":
		return "", false, fmt.Errorf("has an empty value for :%s", s.name)
	case strings.Contains(value, "."):
		return "", false, fmt.Errorf("has the value %q for :%s, which must be one segment, without dots", value, s.name)
	}
	return value, true, nil
}
