package httpgw

import (
	"net/http"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/jsonbody"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/internal/streamjson"
)

func (g *Gateway) listStreams(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	items, next, err := g.streams.Streams(x.r.Context(), x.namespace, p.Limit, p.After)
	if err != nil {
		return err
	}
	items = slices.DeleteFunc(items, func(s edda.Stream) bool { return !x.grant.MaySeeStream(x.namespace, s.Name) })
	docs := make([]streamjson.Stream, len(items))
	for i := range items {
		docs[i] = streamjson.NewStream(&items[i])
	}
	return page(x, docs, next)
}

// getStream answers with what the stream is, or with messages when the request says
// which.
func (g *Gateway) getStream(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	if x.asksForMessages(q) {
		return g.readStream(x, q)
	}
	s, err := g.streams.Stream(x.r.Context(), x.namespace, x.args[0])
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, streamjson.NewStream(s))
}

// putStream creates a stream, or makes of one that there is what the body says: what is
// not in it has its default again.
func (g *Gateway) putStream(x *exchange) error {
	s := edda.StreamSpec{Namespace: x.namespace, Name: x.args[0]}
	err := g.objectOrNothing(x, jsonbody.Members{
		"shards": jsonbody.Value("shards", &s.Shards, "an array of names"),
		"retention": jsonbody.Within("retention", jsonbody.Members{
			"age":   jsonbody.Positive("retention.age", &s.Retention.Age),
			"count": jsonbody.AtLeast1("retention.count", &s.Retention.Count),
			"bytes": jsonbody.AtLeast1("retention.bytes", &s.Retention.Bytes),
		}),
		"dedupe": jsonbody.Positive("dedupe", &s.Dedupe),
	})
	if err != nil {
		return err
	}
	set, created, err := g.streams.SetStream(x.r.Context(), s)
	if err != nil {
		return err
	}
	return x.made(created, x.streamPath(s.Name), streamjson.NewStream(set))
}

// made answers with a document that was made, or changed.
func (x *exchange) made(created bool, path string, doc any) error {
	if !created {
		return x.json(http.StatusOK, doc)
	}
	x.w.Header()["Location"] = []string{path}
	return x.json(http.StatusCreated, doc)
}

// streamPath returns where a stream is found.
func (x *exchange) streamPath(name string) string {
	if x.namespace == edda.DefaultNamespace {
		return "/v1/streams/" + name
	}
	return "/v1/ns/" + x.namespace + "/streams/" + name
}

func (g *Gateway) deleteStream(x *exchange) error {
	if err := g.streams.DeleteStream(x.r.Context(), x.namespace, x.args[0]); err != nil {
		return err
	}
	return x.noContent()
}

// trimStream removes the messages before a place, and answers with what the stream is
// then.
func (g *Gateway) trimStream(x *exchange) error {
	var before edda.From
	var shard string
	err := g.object(x, jsonbody.Members{"before": jsonbody.Place("before", &before), "shard": jsonbody.Text("shard", &shard)})
	if err != nil {
		return err
	}
	if before == "" {
		return jsonbody.Bad("before", jsonbody.WantPlace)
	}
	s, err := g.streams.TrimStream(x.r.Context(), x.namespace, x.args[0], shard, before)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, streamjson.NewStream(s))
}
