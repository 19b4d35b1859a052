package httpgw

import (
	"net/url"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Limits of the parameters that many routes take.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxWait      = 10 * time.Minute
	wantWait     = "a duration from 0s to 10m, such as 30s"
)

// query returns the request's parameters. Unknown ones are ignored, as clients
// of HTTP expect.
func (x *exchange) query() (url.Values, error) {
	if x.r.URL.RawQuery == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, refuse(edda.BadValue, "the query is malformed")
	}
	return q, nil
}

// pageOf reads limit and after.
func pageOf(q url.Values) (node.Page, error) {
	p := node.Page{Limit: defaultLimit, After: q.Get("after")}
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 1 || n > maxLimit {
			return p, refuse(edda.BadValue, "limit must be a number from 1 to 1000")
		}
		p.Limit = n
	}
	return p, nil
}

// waitOf reads wait, zero when there is none.
func (x *exchange) waitOf(q url.Values) (time.Duration, error) {
	if !q.Has("wait") {
		return 0, nil
	}
	d, err := time.ParseDuration(q.Get("wait"))
	if err != nil || d < 0 || d > maxWait {
		return 0, badMember("wait", wantWait)
	}
	x.waits = true
	return d, nil
}

// flagOf reads a parameter that is true or false, false when there is none.
func flagOf(q url.Values, name string) (bool, error) {
	switch v := q.Get(name); {
	case !q.Has(name), v == "false":
		return false, nil
	case v == "true":
		return true, nil
	default:
		return false, refuse(edda.BadValue, name+" must be true or false")
	}
}
