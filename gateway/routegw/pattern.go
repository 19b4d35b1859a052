package routegw

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/edda-io/edda/internal/option"
)

// maxParams is how many parameters a pattern may have, so that those of a request have
// their place in it.
const maxParams = 8

// pattern is where a route is served, in the form of net/http's ServeMux.
type pattern struct {
	text   string
	method string // "" for every one
	path   string
	segs   []segment
	// params are the names of the parameters, in order.
	params []string
}

// segment is what stands between two slashes of a pattern.
type segment struct {
	kind segmentKind
	// text is what a literal segment is, decoded, or the name of a parameter; that of the
	// rest of a path may be empty.
	text string
}

type segmentKind uint8

const (
	literal segmentKind = iota
	param               // {name}
	rest                // {name...}, or nothing after a last slash
	nothing             // {$}: nothing after a last slash, and nothing else
)

// parsePattern reads a pattern. What is one net/http says, so that there is one language.
func parsePattern(s string) (*pattern, error) {
	if s == "" {
		return nil, option.Bad("Route", "is empty, must be a method and a path, such as GET /users/{id}")
	}
	p := &pattern{text: s, path: s}
	if method, path, ok := strings.Cut(s, " "); ok {
		p.method, p.path = method, strings.TrimLeft(path, " \t")
	}
	switch {
	case !strings.HasPrefix(p.path, "/"):
		return nil, errors.New("it must be a method and a path that begins with a slash, such as GET /users/{id}: hosts are not distinguished")
	case p.method == http.MethodConnect || p.method != strings.ToUpper(p.method):
		return nil, fmt.Errorf("the method %s must be one such as GET, in capital letters", p.method)
	}
	if err := accepted(http.NewServeMux(), s); err != nil {
		return nil, fmt.Errorf("%w: must be a method and a path, such as GET /users/{id}", err)
	}
	for text := range strings.SplitSeq(p.path[1:], "/") {
		seg, err := parseSegment(text)
		if err != nil {
			return nil, err
		}
		p.segs = append(p.segs, seg)
		if seg.kind == param || seg.kind == rest && seg.text != "" {
			p.params = append(p.params, seg.text)
		}
	}
	if len(p.params) > maxParams {
		return nil, fmt.Errorf("it has %d parameters, at most %d are allowed", len(p.params), maxParams)
	}
	return p, nil
}

func parseSegment(text string) (segment, error) {
	name, wild := strings.CutPrefix(text, "{")
	name = strings.TrimSuffix(name, "}")
	switch {
	case text == "": // the last one: net/http has no others
		return segment{kind: rest}, nil
	case text == "{$}":
		return segment{kind: nothing}, nil
	case wild && strings.HasSuffix(name, "..."):
		return segment{kind: rest, text: strings.TrimSuffix(name, "...")}, nil
	case wild:
		return segment{kind: param, text: name}, nil
	}
	s, err := url.PathUnescape(text)
	if err == nil && (s == "." || s == "..") {
		err = fmt.Errorf("the segment %s is never asked for", s)
	}
	return segment{kind: literal, text: s}, err
}

// accepted tries a pattern in a mux of net/http.
func accepted(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = plain(fmt.Sprint(p), pattern)
		}
	}()
	mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
	return nil
}

// plain returns what net/http says of a pattern, without where it was said.
func plain(why, pattern string) error {
	if _, last, ok := strings.Cut(why, "):\n"); ok {
		why = last // of two patterns: which requests both are for
	}
	why = strings.TrimPrefix(why, fmt.Sprintf("parsing %q: ", pattern))
	if where, what, ok := strings.Cut(why, ": "); ok && strings.HasPrefix(where, "at offset ") {
		why = what
	}
	why = strings.TrimPrefix(why, "http: ")
	return errors.New(strings.TrimSuffix(strings.ReplaceAll(why, "\n", " "), "."))
}

// conflict says which of the patterns another one cannot be told from, and why.
func conflict(with []*pattern, p *pattern) (string, error) {
	for _, other := range with {
		mux := http.NewServeMux()
		if err := accepted(mux, other.text); err != nil {
			return other.text, err
		}
		if err := accepted(mux, p.text); err != nil {
			return other.text, err
		}
	}
	return "", nil
}
