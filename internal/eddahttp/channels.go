package eddahttp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

// Channels are those of the client's namespace, as streams are.

// SetChannel creates a channel, or makes of one that there is what the specification
// says; created says which.
func (c *Client) SetChannel(ctx context.Context, s edda.ChannelSpec) (ch *edda.Channel, created bool, err error) {
	var doc streamjson.Channel
	created, err = c.put(ctx, "set channel "+s.Name, streamjson.NewChannelSpec(&s), &doc, "channels", s.Name)
	if err != nil {
		return nil, false, err
	}
	ch, err = doc.Channel(c.namespace)
	return ch, created, err
}

// Channel returns what is known of a channel.
func (c *Client) Channel(ctx context.Context, name string) (*edda.Channel, error) {
	var doc streamjson.Channel
	if err := c.get(ctx, exchange{op: "show channel " + name, path: c.Path("channels", name)}, &doc); err != nil {
		return nil, err
	}
	return doc.Channel(c.namespace)
}

// Channels lists channels in order of their names. Limit is 100 when zero; after is a
// cursor.
func (c *Client) Channels(ctx context.Context, limit int, after string) (*Page[edda.Channel], error) {
	var docs Page[streamjson.Channel]
	if err := c.get(ctx, exchange{op: "list channels", path: c.Path("channels"), query: Query{Limit: limit, After: after}.values()}, &docs); err != nil {
		return nil, err
	}
	p := &Page[edda.Channel]{Next: docs.Next}
	for i := range docs.Items {
		ch, err := docs.Items[i].Channel(c.namespace)
		if err != nil {
			return nil, err
		}
		p.Items = append(p.Items, *ch)
	}
	return p, nil
}

// DeleteChannel removes a channel with what was published to it, and ends its
// subscriptions.
func (c *Client) DeleteChannel(ctx context.Context, name string) error {
	return c.get(ctx, exchange{op: "remove channel " + name, method: http.MethodDelete, path: c.Path("channels", name), unsure: true}, nil)
}

// Publish publishes messages to a channel, all or none. Of the append Channel and
// Messages count. Of the acknowledgement's items only id and Replayed are known.
func (c *Client) Publish(ctx context.Context, a *edda.Append) (*edda.AppendAck, error) {
	op := "publish to channel " + a.Channel
	x := exchange{op: op, method: http.MethodPost, path: c.Path("channels", a.Channel), header: http.Header{}, unsure: true}
	alone := c.messages(&x, a.Messages)
	res, err := c.do(ctx, x)
	if err != nil {
		return nil, err
	}
	if res.status < 200 || res.status > 299 {
		return nil, c.refusal(op, res)
	}
	ack := &edda.AppendAck{Position: res.header.Get("Edda-Position"), Durability: edda.Durability(res.header.Get("Edda-Durability"))}
	type item struct {
		ID       string `json:"id"`
		Replayed bool   `json:"replayed"`
	}
	var doc struct {
		item
		Items []item `json:"items"`
	}
	if err := c.decode(op, res, &doc); err != nil {
		return nil, err
	}
	if alone {
		ack.Items = []edda.Appended{{ID: doc.ID, Replayed: res.header.Get("Idempotency-Replayed") == "true"}}
	}
	for _, it := range doc.Items {
		ack.Items = append(ack.Items, edda.Appended{ID: it.ID, Replayed: it.Replayed})
	}
	if len(ack.Items) != len(a.Messages) {
		return nil, fmt.Errorf("%s: %s: %w", op, c.base, errNoIDs)
	}
	return ack, nil
}

// ChannelHistory returns messages that a channel keeps, at most limit (1 to 1,000; 100 when
// zero), and where to go on, also for a subscription. From is edda.FromStart when
// empty. Without messages there are no more.
func (c *Client) ChannelHistory(ctx context.Context, channel string, from edda.From, limit int) ([]*edda.LiveMessage, edda.From, error) {
	q := url.Values{}
	if from != "" {
		q.Set("from", string(from))
	}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var doc streamjson.LivePage
	if err := c.get(ctx, exchange{op: "read channel " + channel, path: c.Path("channels", channel, "history"), query: q}, &doc); err != nil {
		return nil, "", err
	}
	items := make([]*edda.LiveMessage, len(doc.Items))
	for i := range doc.Items {
		var err error
		if items[i], err = doc.Items[i].Live(c.namespace); err != nil {
			return nil, "", err
		}
	}
	return items, doc.Next, nil
}

// Presence returns who has subscribed to a channel at the node, in order of names.
func (c *Client) Presence(ctx context.Context, channel string) ([]edda.Presence, error) {
	var ps []edda.Presence
	for q := (url.Values{"limit": {"1000"}}); ; {
		var docs Page[streamjson.Presence]
		if err := c.get(ctx, exchange{op: "see who is in channel " + channel, path: c.Path("channels", channel, "presence"), query: q}, &docs); err != nil {
			return nil, err
		}
		for _, d := range docs.Items {
			ps = append(ps, edda.Presence(d))
		}
		if docs.Next == "" {
			return ps, nil
		}
		q.Set("after", docs.Next)
	}
}
