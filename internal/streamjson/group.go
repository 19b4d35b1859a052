package streamjson

import (
	"cmp"
	"maps"
	"time"

	"github.com/edda-io/edda"
)

// Group is a consumer group as it stands in JSON.
type Group struct {
	Name              string            `json:"name"`
	Stream            string            `json:"stream"`
	MinMembers        int               `json:"minMembers"`
	MaxMembers        int               `json:"maxMembers,omitempty"`
	ProcessingTimeout string            `json:"processingTimeout"`
	IdleTimeout       string            `json:"idleTimeout"`
	Retry             *edda.RetryInfo   `json:"retry"`
	CreatedAt         time.Time         `json:"createdAt"`
	Cursor            map[string]uint64 `json:"cursor"`
	Lag               uint64            `json:"lag"`
	Pending           int               `json:"pending"`
	Members           []Member          `json:"members"`
}

// Member is a member of a group.
type Member struct {
	Name     string    `json:"name"`
	Leases   int       `json:"leases"`
	LastSeen time.Time `json:"lastSeen,omitzero"`
}

// NewGroup returns how a group stands in JSON, with its defaults.
func NewGroup(g *edda.Group) Group {
	doc := Group{
		Name: g.Name, Stream: g.Stream, MinMembers: max(g.MinMembers, 1), MaxMembers: g.MaxMembers,
		ProcessingTimeout: cmp.Or(g.ProcessingTimeout, edda.DefaultProcessingTimeout).String(),
		IdleTimeout:       cmp.Or(g.IdleTimeout, edda.DefaultIdleTimeout).String(), Retry: retryInfo(g.Retry.WithDefaults()),
		CreatedAt: g.CreatedAt.UTC(), Cursor: maps.Clone(g.Cursor), Lag: g.Lag, Pending: g.Pending, Members: make([]Member, len(g.Members)),
	}
	if doc.Cursor == nil {
		doc.Cursor = map[string]uint64{}
	}
	for i, m := range g.Members {
		doc.Members[i] = Member{m.Name, m.Leases, m.LastSeen.UTC()}
	}
	return doc
}

func retryInfo(p edda.RetryPolicy) *edda.RetryInfo {
	return &edda.RetryInfo{
		Max: p.Max, Delay: p.Delay.String(), MaxDelay: p.MaxDelay.String(), Backoff: p.Backoff, Jitter: max(p.Jitter, 0),
	}
}

// Group returns the group of a namespace that the document is about.
func (d *Group) Group(namespace string) (*edda.Group, error) {
	g := &edda.Group{CreatedAt: d.CreatedAt, Cursor: d.Cursor, Lag: d.Lag, Pending: d.Pending}
	g.Namespace, g.Stream, g.Name, g.MinMembers, g.MaxMembers = namespace, d.Stream, d.Name, d.MinMembers, d.MaxMembers
	for _, m := range d.Members {
		g.Members = append(g.Members, edda.Member(m))
	}
	var err error
	g.ProcessingTimeout, err = duration("processingTimeout", d.ProcessingTimeout, nil)
	g.IdleTimeout, err = duration("idleTimeout", d.IdleTimeout, err)
	if r := d.Retry; r != nil {
		g.Retry = edda.RetryPolicy{Max: r.Max, Backoff: r.Backoff, Jitter: r.Jitter}
		if r.Jitter == 0 {
			g.Retry.Jitter = -1 // zero would be the default
		}
		g.Retry.Delay, err = duration("retry.delay", r.Delay, err)
		g.Retry.MaxDelay, err = duration("retry.maxDelay", r.MaxDelay, err)
	}
	return g, err
}

// GroupSpec is a group to set, as it stands in JSON.
type GroupSpec struct {
	From              edda.From       `json:"from,omitempty"`
	MinMembers        int             `json:"minMembers,omitempty"`
	MaxMembers        int             `json:"maxMembers,omitempty"`
	ProcessingTimeout string          `json:"processingTimeout,omitempty"`
	IdleTimeout       string          `json:"idleTimeout,omitempty"`
	Retry             *edda.RetryInfo `json:"retry,omitempty"`
}

// NewGroupSpec returns what is said of a group that is to be set.
func NewGroupSpec(g *edda.GroupSpec) GroupSpec {
	doc := GroupSpec{From: g.From, MinMembers: g.MinMembers, MaxMembers: g.MaxMembers}
	if g.ProcessingTimeout != 0 {
		doc.ProcessingTimeout = g.ProcessingTimeout.String()
	}
	if g.IdleTimeout != 0 {
		doc.IdleTimeout = g.IdleTimeout.String()
	}
	if g.Retry != (edda.RetryPolicy{}) {
		doc.Retry = retryInfo(g.Retry.WithDefaults())
	}
	return doc
}
