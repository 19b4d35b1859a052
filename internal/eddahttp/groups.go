package eddahttp

import (
	"context"
	"net/http"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

// SetGroup creates a group, and its stream, or changes one that there is; created says
// which.
func (c *Client) SetGroup(ctx context.Context, g edda.GroupSpec) (gr *edda.Group, created bool, err error) {
	var doc streamjson.Group
	created, err = c.put(ctx, "set group "+g.Service(), streamjson.NewGroupSpec(&g), &doc, "streams", g.Stream, "groups", g.Name)
	if err != nil {
		return nil, false, err
	}
	gr, err = doc.Group(c.namespace)
	return gr, created, err
}

// Group returns what is known of a group.
func (c *Client) Group(ctx context.Context, stream, group string) (*edda.Group, error) {
	return c.group(ctx, exchange{op: "show group " + stream + "/" + group, path: c.Path("streams", stream, "groups", group)})
}

func (c *Client) group(ctx context.Context, x exchange) (*edda.Group, error) {
	var doc streamjson.Group
	if err := c.get(ctx, x, &doc); err != nil {
		return nil, err
	}
	return doc.Group(c.namespace)
}

// Groups lists the groups of a stream in order of their names. Limit is 100 when zero;
// after is a cursor.
func (c *Client) Groups(ctx context.Context, stream string, limit int, after string) (*Page[edda.Group], error) {
	var docs Page[streamjson.Group]
	x := exchange{op: "list groups of " + stream, path: c.Path("streams", stream, "groups"), query: Query{Limit: limit, After: after}.values()}
	if err := c.get(ctx, x, &docs); err != nil {
		return nil, err
	}
	p := &Page[edda.Group]{Next: docs.Next}
	for i := range docs.Items {
		g, err := docs.Items[i].Group(c.namespace)
		if err != nil {
			return nil, err
		}
		p.Items = append(p.Items, *g)
	}
	return p, nil
}

// DeleteGroup removes a group. Its dead letters stay.
func (c *Client) DeleteGroup(ctx context.Context, stream, group string) error {
	return c.get(ctx, exchange{
		op: "remove group " + stream + "/" + group, method: http.MethodDelete, path: c.Path("streams", stream, "groups", group), unsure: true,
	}, nil)
}

// ResetGroup sets the cursor of a shard, of all when it is empty, and takes from the
// members what they have.
func (c *Client) ResetGroup(ctx context.Context, stream, group, shard string, to edda.From) (*edda.Group, error) {
	doc := struct {
		To    edda.From `json:"to"`
		Shard string    `json:"shard,omitempty"`
	}{to, shard}
	return c.group(ctx, c.document("reset group "+stream+"/"+group, http.MethodPost, doc, "streams", stream, "groups", group, "reset"))
}

// ReadGroup gives a member messages, each under a lease, or the first to come within
// Wait.
func (c *Client) ReadGroup(ctx context.Context, r edda.GroupRead) ([]edda.Delivery, error) {
	doc := struct {
		Member string `json:"member"`
		Max    int    `json:"max,omitempty"`
		Wait   string `json:"wait,omitempty"`
	}{Member: r.Member, Max: r.Max}
	if r.Wait > 0 {
		doc.Wait = r.Wait.String()
	}
	x := c.groupPost("read from", doc, r.GroupRef, "read")
	x.unsure = false // what is leased comes again, and nothing is stored
	var page streamjson.Page
	if err := c.get(ctx, x, &page); err != nil {
		return nil, err
	}
	deliveries := make([]edda.Delivery, len(page.Items))
	for i := range page.Items {
		d, err := page.Items[i].Delivery(c.namespace)
		if err != nil {
			return nil, err
		}
		deliveries[i] = d
	}
	return deliveries, nil
}

// Ack says that messages were handled. Error and For do not count.
func (c *Client) Ack(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	return c.settle(ctx, "ack", edda.Settle{GroupRef: s.GroupRef, Leases: s.Leases})
}

// Reject says that handling messages failed.
func (c *Client) Reject(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	return c.settle(ctx, "reject", s)
}

// Extend keeps leases from ending. Error does not count.
func (c *Client) Extend(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	s.Error = ""
	return c.settle(ctx, "extend", s)
}

func (c *Client) settle(ctx context.Context, verb string, s edda.Settle) (*edda.Settled, error) {
	doc := struct {
		Leases []string `json:"leases"`
		Error  string   `json:"error,omitempty"`
		For    string   `json:"for,omitempty"`
	}{Leases: s.Leases, Error: s.Error}
	if s.For > 0 {
		doc.For = s.For.String()
	}
	var out streamjson.Settled
	if err := c.get(ctx, c.groupPost(verb+" leases of", doc, s.GroupRef, verb), &out); err != nil {
		return nil, err
	}
	return &edda.Settled{Done: out.Done, Stale: out.Stale}, nil
}

func (c *Client) groupPost(what string, doc any, g edda.GroupRef, verb string) exchange {
	return c.document(what+" group "+g.Stream+"/"+g.Group, http.MethodPost, doc, "streams", g.Stream, "groups", g.Group, verb)
}
