package httpgw

import (
	"net/url"
	"strings"

	"github.com/edda-io/edda"
)

// maxSegments is the number of segments of the longest route, in a namespace:
// /v1/ns/{namespace}/sagas/{id}/steps/{step}/compensation/retry.
const maxSegments = 9

// segments are the parts of a path between its slashes, percent-decoded.
type segments struct {
	seg [maxSegments]string
	n   int // may be above maxSegments; then no route fits
}

// split splits a path as it was sent. Nothing is cleaned: an empty segment, "."
// and ".." are refused.
func (s *segments) split(u *url.URL) error {
	// Without RawPath, Path has only slashes that were sent as such, and nothing
	// that is still encoded.
	path, encoded := u.Path, false
	if u.RawPath != "" {
		path, encoded = u.EscapedPath(), true
	}
	if path == "" || path[0] != '/' {
		return nil
	}
	if path == "/" {
		return nil
	}
	for rest, more := path[1:], true; more; s.n++ {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if encoded && strings.IndexByte(seg, '%') >= 0 {
			var err error
			if seg, err = url.PathUnescape(seg); err != nil {
				return refuse(edda.BadName, "the path has a bad percent-encoding")
			}
		}
		if seg == "" || seg == "." || seg == ".." {
			return refuse(edda.BadName, `the path has a segment that is empty, "." or ".."`)
		}
		if s.n < maxSegments {
			s.seg[s.n] = seg
		}
	}
	return nil
}
