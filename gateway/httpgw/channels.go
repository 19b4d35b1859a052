package httpgw

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/internal/streamjson"
	"go.opentelemetry.io/otel/attribute"
)

func (g *Gateway) listChannels(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	items, next, err := g.channels.Channels(x.r.Context(), x.namespace, p.Limit, p.After)
	if err != nil {
		return err
	}
	items = slices.DeleteFunc(items, func(c edda.Channel) bool { return !x.grant.MaySeeChannel(x.namespace, c.Name) })
	docs := make([]streamjson.Channel, len(items))
	for i := range items {
		docs[i] = streamjson.NewChannel(&items[i])
	}
	return page(x, docs, next)
}

// getChannel answers with what the channel is, or with its messages as they come when
// the request says so.
func (g *Gateway) getChannel(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	if q.Has("patterns") || q.Has("from") || x.r.Header.Get(lastEvent) != "" || reqhead.AcceptsEvents(x.r.Header["Accept"]) {
		return g.subscribe(x, q)
	}
	c, err := g.channels.Channel(x.r.Context(), x.namespace, x.args[0])
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, streamjson.NewChannel(c))
}

// putChannel creates a channel, or makes of one that there is what the body says: what
// is not in it has its default again.
func (g *Gateway) putChannel(x *exchange) error {
	c := edda.ChannelSpec{Namespace: x.namespace, Name: x.args[0]}
	err := g.objectOrNothing(x, jsonbody.Members{
		"from": sources(&c.From),
		"history": jsonbody.Within("history", jsonbody.Members{
			"count": jsonbody.AtLeast1("history.count", &c.History.Count),
			"age":   jsonbody.Positive("history.age", &c.History.Age),
		}),
	})
	if err != nil {
		return err
	}
	set, created, err := g.channels.SetChannel(x.r.Context(), c)
	if err != nil {
		return err
	}
	return x.made(created, x.channelPath(c.Name), streamjson.NewChannel(set))
}

// sources reads the streams that feed a channel.
func sources(into *[]edda.ChannelSource) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		var list []json.RawMessage
		if jsonbody.IsNull(v) || json.Unmarshal(v, &list) != nil {
			return jsonbody.Bad("from", `an array of streams, such as [{"stream":"orders"}]`)
		}
		if len(list) > edda.MaxChannelSources {
			return refuse(edda.TooLarge, "from has "+strconv.Itoa(len(list))+" streams, at most "+strconv.Itoa(edda.MaxChannelSources)+" are allowed")
		}
		*into = make([]edda.ChannelSource, len(list))
		for i := range list {
			name, s := "from["+strconv.Itoa(i)+"]", &(*into)[i]
			err := jsonbody.Within(name, jsonbody.Members{
				"stream":   jsonbody.String(name+".stream", &s.Stream),
				"patterns": jsonbody.Value(name+".patterns", &s.Patterns, "an array of patterns"),
			})(list[i])
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// channelPath returns where a channel is found.
func (x *exchange) channelPath(name string) string {
	if x.namespace == edda.DefaultNamespace {
		return "/v1/channels/" + name
	}
	return "/v1/ns/" + x.namespace + "/channels/" + name
}

func (g *Gateway) deleteChannel(x *exchange) error {
	if err := g.channels.DeleteChannel(x.r.Context(), x.namespace, x.args[0]); err != nil {
		return err
	}
	return x.noContent()
}

// getPresence answers with a page of those who have subscribed. The cursor is the last
// one's name.
func (g *Gateway) getPresence(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	pg, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	ps, err := g.channels.Presence(x.r.Context(), x.namespace, x.args[0])
	if err != nil {
		return err
	}
	from, found := slices.BinarySearchFunc(ps, edda.Principal(pg.After), func(p edda.Presence, after edda.Principal) int {
		return cmp.Compare(p.Principal, after)
	})
	if found {
		from++
	}
	next := ""
	if ps = ps[from:]; len(ps) > pg.Limit {
		ps = ps[:pg.Limit]
		next = string(ps[len(ps)-1].Principal)
	}
	return page(x, streamjson.NewPresence(ps), next)
}

// getHistory answers with messages that are kept. There is always a next: it is where a
// subscription goes on, too.
func (g *Gateway) getHistory(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	from, err := reqhead.LiveFrom(q)
	if err != nil {
		return err
	}
	items, next, err := g.channels.History(x.r.Context(), x.namespace, x.args[0], from, p.Limit)
	if err != nil {
		return err
	}
	b := append(make([]byte, 0, 4<<10), `{"items":[`...)
	for i, m := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.Encoded(streamjson.Live)...)
	}
	b = append(b, `],"next":`...)
	x.document(http.StatusOK, append(jsondata.AppendString(b, string(next)), '}'))
	return nil
}

// publish publishes the message that the request is, or those that are in its body.
func (g *Gateway) publish(x *exchange) error {
	a := &edda.Append{Namespace: x.namespace, Channel: x.args[0], Principal: x.grant.Principal}
	for _, name := range [...]string{"Edda-Shard", "If-Match", "If-None-Match"} {
		if x.r.Header.Values(name) != nil {
			return refuse(edda.BadValue, name+" is for streams: a channel has no shards")
		}
	}
	many, err := g.readMessages(x, a, attribute.String("edda.channel", a.Channel))
	if err != nil {
		return err
	}
	if len(a.Messages) == 0 { // a batch of no CloudEvents is one
		x.document(http.StatusAccepted, []byte(`{"items":[]}`))
		return nil
	}
	if err := x.mayAppend(a); err != nil {
		return err
	}
	ack, err := g.streams.Append(x.r.Context(), a)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h["Edda-Position"] = []string{ack.Position}
	h["Edda-Durability"] = []string{string(ack.Durability)}
	replayed := !slices.ContainsFunc(ack.Items, func(a edda.Appended) bool { return !a.Replayed })
	if replayed {
		h["Idempotency-Replayed"] = httpio.Yes
	}
	x.document(http.StatusAccepted, published(ack, many, replayed))
	return nil
}

// published says of messages that they were published, or all of them before.
func published(ack *edda.AppendAck, many, replayed bool) []byte {
	if !many {
		item := ack.Items[0]
		item.Replayed = false // the answer is the first one's
		return streamjson.AppendPublished(make([]byte, 0, 96), &item, ack.Position)
	}
	b := append(make([]byte, 0, 96*len(ack.Items)), `{"items":[`...)
	for i := range ack.Items {
		if i > 0 {
			b = append(b, ',')
		}
		at := ack.Position
		if ack.Items[i].Replayed && !replayed {
			at = "" // it is in an earlier record, and not known here
		}
		b = streamjson.AppendPublished(b, &ack.Items[i], at)
	}
	return append(b, ']', '}')
}
