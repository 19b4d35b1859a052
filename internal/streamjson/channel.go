package streamjson

import (
	"cmp"
	"time"

	"github.com/edda-io/edda"
)

// Channel is a channel as it stands in JSON.
type Channel struct {
	Name        string    `json:"name"`
	From        []Source  `json:"from"`
	History     History   `json:"history"`
	CreatedAt   time.Time `json:"createdAt"`
	Subscribers int       `json:"subscribers"`
}

// ChannelSpec is a channel to set, as it stands in JSON.
type ChannelSpec struct {
	From    []Source `json:"from,omitempty"`
	History *History `json:"history,omitempty"`
}

// Source is a stream that feeds a channel.
type Source struct {
	Stream   string   `json:"stream"`
	Patterns []string `json:"patterns,omitempty"`
}

// History is what a channel keeps.
type History struct {
	Count uint64 `json:"count,omitempty"`
	Age   string `json:"age,omitempty"`
}

// NewChannel returns how a channel stands in JSON, with its defaults.
func NewChannel(c *edda.Channel) Channel {
	return Channel{
		Name: c.Name, From: newSources(c.From), CreatedAt: c.CreatedAt.UTC(), Subscribers: c.Subscribers,
		History: History{
			Count: cmp.Or(c.History.Count, edda.DefaultHistoryCount), Age: cmp.Or(c.History.Age, edda.DefaultHistoryAge).String(),
		},
	}
}

// newSources returns an array, which is empty where nothing feeds the channel.
func newSources(from []edda.ChannelSource) []Source {
	docs := make([]Source, len(from))
	for i, s := range from {
		docs[i] = Source(s)
	}
	return docs
}

// NewChannelSpec returns what is said of a channel that is to be set.
func NewChannelSpec(c *edda.ChannelSpec) ChannelSpec {
	doc := ChannelSpec{From: newSources(c.From)}
	if c.History != (edda.History{}) {
		doc.History = &History{Count: c.History.Count}
		if c.History.Age != 0 {
			doc.History.Age = c.History.Age.String()
		}
	}
	return doc
}

// Channel returns the channel of a namespace that the document is about.
func (d *Channel) Channel(namespace string) (*edda.Channel, error) {
	c := &edda.Channel{CreatedAt: d.CreatedAt, Subscribers: d.Subscribers}
	c.Namespace, c.Name, c.History.Count = namespace, d.Name, d.History.Count
	for _, s := range d.From {
		c.From = append(c.From, edda.ChannelSource(s))
	}
	var err error
	c.History.Age, err = duration("history.age", d.History.Age, nil)
	return c, err
}

// Presence is a principal who has subscribed to a channel.
type Presence struct {
	Principal edda.Principal `json:"principal"`
	Since     time.Time      `json:"since"`
}

// NewPresence returns how principals who have subscribed stand in JSON.
func NewPresence(ps []edda.Presence) []Presence {
	docs := make([]Presence, len(ps))
	for i, p := range ps {
		docs[i] = Presence{p.Principal, p.Since.UTC()}
	}
	return docs
}
