package routegw

import (
	"errors"
	"fmt"
	"math"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/httpheader"
)

// source is where a value of a message comes from.
type source struct {
	kind sourceKind
	// name is that of the parameter, header or claim, or the text itself.
	name string
	// param is the parameter's number.
	param int
	// what the value is for, in errors.
	what string
}

type sourceKind uint8

const (
	noSource sourceKind = iota
	fromText
	fromPath
	fromQuery
	fromHeader
	fromClaim
	fromPrincipal
)

// parseSource reads where a key or a shard comes from.
func parseSource(what, s string, params []string) (source, error) {
	src := source{what: what}
	word, name, dotted := strings.Cut(s, ".")
	switch {
	case s == "":
		return src, nil
	case s[0] == '\'':
		return src.quoted(s)
	case s == "principal":
		src.kind = fromPrincipal
		return src, nil
	case !dotted:
		src.kind, src.name = fromText, s
		return src, nil
	}
	src.name = name
	switch word {
	case "path":
		return src.ofPath(params)
	case "query":
		src.kind = fromQuery
	case "header":
		src.kind, src.name = fromHeader, textproto.CanonicalMIMEHeaderKey(name)
		if !httpheader.IsToken(name) || src.name == "Host" {
			return src, fmt.Errorf("%q is no header", name)
		}
	case "claim":
		src.kind = fromClaim
	default:
		return src, fmt.Errorf("%q is none of path.NAME, query.NAME, header.NAME, claim.NAME and principal; a text with a dot stands in single quotes", s)
	}
	if name == "" {
		return src, fmt.Errorf("%q has no name after the dot", s)
	}
	return src, nil
}

func (src source) quoted(s string) (source, error) {
	text, ok := strings.CutSuffix(s[1:], "'")
	if !ok || text == "" {
		return src, fmt.Errorf("%s must be a text in single quotes", s)
	}
	src.kind, src.name = fromText, text
	return src, nil
}

func (src source) ofPath(params []string) (source, error) {
	src.kind, src.param = fromPath, slices.Index(params, src.name)
	if src.param < 0 {
		return src, fmt.Errorf("path.%s is no parameter of the path", src.name)
	}
	return src, nil
}

// parseName reads a method or a type: path.NAME, or itself.
func parseName(what, s string, params []string) (source, error) {
	src := source{what: what, kind: fromText, name: s}
	name, ok := strings.CutPrefix(s, "path.")
	if !ok {
		return src, nil
	}
	src.name = name
	return src.ofPath(params)
}

// value returns the value for a request.
func (src *source) value(x *exchange) (string, error) {
	switch src.kind {
	case noSource:
		return "", nil
	case fromText:
		return src.name, nil
	case fromPath:
		if v := x.params[src.param]; v != "" {
			return v, nil
		}
		return "", src.missing("the path's parameter", "is empty")
	case fromQuery:
		return src.ofQuery(x)
	case fromHeader:
		vs := x.r.Header[src.name]
		if len(vs) != 1 || vs[0] == "" {
			return "", src.missing("the header", "must be given once")
		}
		return vs[0], nil
	case fromClaim:
		return src.claim(x.grant)
	default:
		return string(x.grant.Principal), nil
	}
}

func (src *source) ofQuery(x *exchange) (string, error) {
	q, err := x.query()
	if err != nil {
		return "", err
	}
	if vs := q[src.name]; len(vs) == 1 && vs[0] != "" {
		return vs[0], nil
	}
	return "", src.missing("the query's parameter", "must be given once")
}

// claim returns a claim that is a text or a whole number.
func (src *source) claim(g *auth.Grant) (string, error) {
	switch v := g.Claims[src.name].(type) {
	case string:
		if v != "" {
			return v, nil
		}
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10), nil
		}
	}
	return "", &edda.Error{
		Reason: edda.NotAllowed, Err: errors.New("the credentials have no claim " + src.name + ", which is the " + src.what),
	}
}

func (src *source) missing(what, why string) error {
	return refuse(edda.BadValue, what+" "+src.name+" "+why+": it is the "+src.what)
}
