package streamjson

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

// Stream is a stream as it stands in JSON.
type Stream struct {
	Name string `json:"name"`
	// Shards are those that there may be, where they are listed.
	Shards []string `json:"shards,omitempty"`
	// Retention is nil when everything is kept.
	Retention *Retention         `json:"retention,omitempty"`
	Dedupe    string             `json:"dedupe"`
	CreatedAt time.Time          `json:"createdAt"`
	Offsets   map[string]Offsets `json:"offsets"`
	Groups    []string           `json:"groups"`
}

// Retention is what is kept; members that are not set do not bound it.
type Retention struct {
	Age   string `json:"age,omitempty"`
	Count uint64 `json:"count,omitempty"`
	Bytes uint64 `json:"bytes,omitempty"`
}

// Offsets are what there is in a shard.
type Offsets struct {
	First uint64 `json:"first"`
	End   uint64 `json:"end"`
	Bytes uint64 `json:"bytes"`
}

// NewStream returns how a stream stands in JSON.
func NewStream(s *edda.Stream) Stream {
	doc := Stream{
		Name: s.Name, Shards: s.Shards, Retention: newRetention(s.Retention), Dedupe: cmp.Or(s.Dedupe, edda.DefaultDedupe).String(),
		CreatedAt: s.CreatedAt.UTC(), Offsets: make(map[string]Offsets, len(s.Offsets)), Groups: slices.Clone(s.Groups),
	}
	if doc.Groups == nil {
		doc.Groups = []string{}
	}
	for shard, o := range s.Offsets {
		doc.Offsets[shard] = Offsets(o)
	}
	return doc
}

func newRetention(r edda.Retention) *Retention {
	if r == (edda.Retention{}) {
		return nil
	}
	doc := &Retention{Count: r.Count, Bytes: r.Bytes}
	if r.Age > 0 {
		doc.Age = r.Age.String()
	}
	return doc
}

// Stream returns the stream of a namespace that the document is about.
func (d *Stream) Stream(namespace string) (*edda.Stream, error) {
	s := &edda.Stream{CreatedAt: d.CreatedAt, Offsets: make(map[string]edda.Offsets, len(d.Offsets)), Groups: d.Groups}
	s.Namespace, s.Name, s.Shards = namespace, d.Name, d.Shards
	for shard, o := range d.Offsets {
		s.Offsets[shard] = edda.Offsets(o)
	}
	var err error
	if d.Retention != nil {
		s.Retention = edda.Retention{Count: d.Retention.Count, Bytes: d.Retention.Bytes}
		s.Retention.Age, err = duration("retention.age", d.Retention.Age, err)
	}
	s.Dedupe, err = duration("dedupe", d.Dedupe, err)
	return s, err
}

// NewSpec returns what is said of a stream that is to be set.
func NewSpec(s *edda.StreamSpec) Spec {
	doc := Spec{Shards: s.Shards, Retention: newRetention(s.Retention)}
	if s.Dedupe != 0 {
		doc.Dedupe = s.Dedupe.String()
	}
	return doc
}

// Spec is a stream to set, as it stands in JSON.
type Spec struct {
	Shards    []string   `json:"shards,omitempty"`
	Retention *Retention `json:"retention,omitempty"`
	Dedupe    string     `json:"dedupe,omitempty"`
}

// duration reads a duration that may be missing, unless there was an error before.
func duration(name, s string, err error) (time.Duration, error) {
	if s == "" || err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%s is no duration: %w", name, err)
	}
	return d, nil
}
