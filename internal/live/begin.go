package live

import (
	"context"
	"errors"
	"slices"

	"github.com/edda-io/edda"
)

// start is where somebody wants to begin.
type start struct {
	kind edda.PlaceKind // AtEnd, AtStart, AtTime, or zero for a resume point
	time int64
	// point is set for a resume point.
	point point
}

var errOffset = errors.New("an offset is a place in one shard: where all of them are heard it must be a time, or the resume point of a message")

// parseStart reads where somebody wants to begin. The error's reason is BadValue.
func parseStart(f edda.From) (start, error) {
	if len(f) > 0 && f[0] == pointPrefix {
		p, err := parsePoint(f)
		if err != nil {
			return start{}, badValue("place", err)
		}
		return start{point: p}, nil
	}
	p, err := f.Parse()
	switch {
	case err != nil:
		return start{}, err
	case p.Kind == edda.AtOffset:
		return start{}, badValue("place", errOffset)
	case p.Kind == edda.AtTime:
		return start{kind: p.Kind, time: p.Time.UnixNano()}, nil
	}
	return start{kind: p.Kind}, nil
}

func (s *start) resumes() bool { return s.kind == 0 }

// check returns an error when it is a point of other streams.
func (s *start) check(t *Topic) error {
	if !s.resumes() {
		return nil
	}
	for i := range t.Sources {
		if _, known := s.point.place(sourceHash(t.Sources[i].Namespace, t.Sources[i].Stream)); known {
			return nil
		}
	}
	return badValue("place", errors.New("the resume point is of another stream or channel"))
}

// places returns where it is in sources, nil for their ends.
func (s *start) places(c *sources) []Place {
	switch s.kind {
	case edda.AtEnd:
		return nil
	case edda.AtStart:
		return make([]Place, len(c.hashes))
	case edda.AtTime:
		places := make([]Place, len(c.hashes))
		for i := range places {
			places[i] = Place{Time: s.time}
		}
		return places
	}
	places := make([]Place, len(c.hashes))
	for i, h := range c.hashes {
		places[i], _ = s.point.place(h)
	}
	return places
}

// floor is after all that a resume point has behind it of sources that are none of c, or
// were none before. See sources.floor.
func (s *start) floor(c *sources) int64 {
	floor := s.point.latest
	for i := range s.point.parts {
		part := &s.point.parts[i]
		if _, ok := slices.BinarySearch(c.hashes, part.hash); !ok {
			floor = max(floor, part.place.Time+1)
		}
	}
	return floor
}

// find is places, with the ends looked up.
func (s *start) find(ctx context.Context, streams Streams, c *sources) ([]Place, error) {
	if places := s.places(c); places != nil {
		return places, nil
	}
	places := make([]Place, len(c.hashes))
	for i := range places {
		end, err := streams.End(ctx, c.specs[i].Namespace, c.specs[i].Stream)
		if err != nil {
			return nil, err
		}
		places[i] = end
	}
	return places, nil
}
