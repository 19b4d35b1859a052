package reqhead

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// Limits of the parameters that many routes take.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	MaxWait      = 10 * time.Minute
	// WantWait says to people what a wait must be.
	WantWait = "a duration from 0s to 10m, such as 30s"
)

// CompletionKey is the parameter that stands for credentials.
const CompletionKey = "completionKey"

// patterns is the one parameter that may be given more than once.
const patterns = "patterns"

// Query returns the parameters of a URL, of which those known may be given once. Unknown
// ones are ignored, as clients of HTTP expect. What stands before a dot in a known one is no
// part of its name.
func Query(u *url.URL, known []string) (url.Values, error) {
	if u.RawQuery == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, refuse(edda.BadValue, "the query is malformed")
	}
	for _, name := range known {
		if name = name[strings.IndexByte(name, '.')+1:]; len(q[name]) > 1 && name != patterns {
			return nil, refuse(edda.BadValue, name+" is given more than once")
		}
	}
	return q, nil
}

// Page is which part of a list is asked for.
type Page struct {
	// Limit is how many items at most.
	Limit int
	// After is the cursor that the page before ended with; empty begins.
	After string
}

// PageOf reads limit and after.
func PageOf(q url.Values) (Page, error) {
	p := Page{Limit: DefaultLimit, After: q.Get("after")}
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 1 || n > MaxLimit {
			return p, refuse(edda.BadValue, "limit must be a number from 1 to 1000")
		}
		p.Limit = n
	}
	return p, nil
}

// Wait reads wait, zero when there is none.
func Wait(q url.Values) (time.Duration, error) {
	if !q.Has("wait") {
		return 0, nil
	}
	d, err := time.ParseDuration(q.Get("wait"))
	if err != nil || d < 0 || d > MaxWait {
		return 0, refuse(edda.BadValue, "wait must be "+WantWait)
	}
	return d, nil
}

// Flag reads a parameter that is true or false, false when there is none.
func Flag(q url.Values, name string) (bool, error) {
	switch v := q.Get(name); {
	case !q.Has(name), v == "false":
		return false, nil
	case v == "true":
		return true, nil
	default:
		return false, refuse(edda.BadValue, name+" must be true or false")
	}
}

// timeOf reads a parameter that is a time, zero when there is none.
func timeOf(q url.Values, name string) (time.Time, error) {
	if !q.Has(name) {
		return time.Time{}, nil
	}
	return timeHeader(name, q.Get(name))
}

// onlyOf refuses parameters that are none of those named: where something is
// removed, one that is misspelt must not be as if it were not there.
func onlyOf(q url.Values, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(names, name) {
			return refuse(edda.BadValue, "there is no parameter "+name+", only "+strings.Join(names, ", "))
		}
	}
	return nil
}

// Place refuses a place in a shard that is none, by the name that the surface has for it.
func Place(name string, from edda.From) error {
	_, err := from.Parse()
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return refuse(e.Reason, name+": "+e.Err.Error())
	}
	return err
}

// LiveFrom reads where among messages as they come a reader begins; the backend says
// which places there are.
func LiveFrom(q url.Values) (edda.From, error) {
	from := q.Get("from")
	if q.Has("from") && from == "" {
		return "", refuse(edda.BadValue, "from is empty: leave it out")
	}
	return edda.From(from), nil
}

// Patterns reads patterns: the parameter can be repeated, and hold several with commas
// between.
func Patterns(q url.Values) ([]string, error) {
	var all []string
	for _, v := range q[patterns] {
		for p := range strings.SplitSeq(v, ",") {
			if p == "" {
				return nil, refuse(edda.BadValue, "patterns has an empty one: leave it out")
			}
			if len(all) == edda.MaxPatterns {
				return nil, refuse(edda.TooLarge, "there are more than "+strconv.Itoa(edda.MaxPatterns)+" patterns")
			}
			all = append(all, p)
		}
	}
	return all, nil
}
