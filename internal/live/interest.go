package live

import (
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/pattern"
)

// interest is a pattern that a subscription holds.
type interest struct {
	text      string
	pattern   *pattern.Pattern // nil for all messages
	ephemeral bool
	id        int // in the topic
}

// interests are the patterns that a subscription holds.
type interests struct {
	list      []interest
	all       bool // one of them is for all messages
	ephemeral int  // how many are
	matcher   matcher
}

// parseInterests makes interests of patterns, of none one in all messages.
func parseInterests(patterns []string, ephemeral bool) ([]interest, error) {
	if len(patterns) == 0 {
		return []interest{{ephemeral: ephemeral}}, nil
	}
	list := make([]interest, 0, len(patterns))
	for _, text := range patterns {
		p, err := pattern.Parse(text)
		if err != nil {
			return nil, badValue("subscribe", err)
		}
		list = append(list, interest{text: text, pattern: p, ephemeral: ephemeral})
	}
	return list, nil
}

// missing returns those of more that are not held yet, each once. One that is held stays, for
// ever if either is.
func (in *interests) missing(more []interest) (fresh []interest, err error) {
	for i := range more {
		if in.find(more[i].text) == nil && !slices.ContainsFunc(fresh, more[i].same) {
			fresh = append(fresh, more[i])
		}
	}
	if n := len(in.list) + len(fresh); n > edda.MaxPatterns {
		return nil, badValue("add patterns", fmt.Errorf("it would have %d patterns, at most %d are allowed", n, edda.MaxPatterns))
	}
	for i := range more {
		if held := in.find(more[i].text); held != nil && !more[i].ephemeral {
			held.ephemeral = false
		}
	}
	return fresh, nil
}

// find returns the interest in a pattern, nil when it is not held.
func (in *interests) find(text string) *interest {
	for i := range in.list {
		if in.list[i].text == text {
			return &in.list[i]
		}
	}
	return nil
}

func (i *interest) same(other interest) bool { return i.text == other.text }

// renew makes what follows from the list.
func (in *interests) renew() {
	in.all, in.ephemeral = false, 0
	patterns := make([]*pattern.Pattern, 0, len(in.list))
	for i := range in.list {
		if in.list[i].ephemeral {
			in.ephemeral++
		}
		if in.list[i].pattern == nil {
			in.all = true
		} else {
			patterns = append(patterns, in.list[i].pattern)
		}
	}
	in.matcher = newMatcher(patterns)
	in.matcher.all = in.all
}

// match reports whether a message of a type is wanted.
func (in *interests) match(typ string) bool { return in.matcher.match(typ) }

// spent reports whether an interest is used up by a message of a type.
func (i *interest) spent(typ string) bool {
	return i.ephemeral && (i.pattern == nil || i.pattern.Match(typ))
}

func badValue(op string, err error) error {
	return &edda.Error{Op: op, Reason: edda.BadValue, Err: err}
}
