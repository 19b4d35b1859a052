package httpgw

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/edda-io/edda"
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
	err := g.objectOrNothing(x, members{
		"shards": value("shards", &s.Shards, "an array of names"),
		"retention": within("retention", members{
			"age":   positive("retention.age", &s.Retention.Age),
			"count": above0("retention.count", &s.Retention.Count),
			"bytes": above0("retention.bytes", &s.Retention.Bytes),
		}),
		"dedupe": positive("dedupe", &s.Dedupe),
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
	err := g.object(x, members{"before": placeMember("before", &before), "shard": textMember("shard", &shard)})
	if err != nil {
		return err
	}
	if before == "" {
		return badMember("before", wantPlace)
	}
	s, err := g.streams.TrimStream(x.r.Context(), x.namespace, x.args[0], shard, before)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, streamjson.NewStream(s))
}

// above0 reads a number from 1 on.
func above0[T int | uint64](name string, into *T) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		if isNull(v) || json.Unmarshal(v, into) != nil || *into < 1 {
			return badMember(name, "a number from 1 on")
		}
		return nil
	}
}

// textMember reads text that is not empty: to leave a choice to the node is to leave the
// member out.
func textMember[T ~string](name string, into *T) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		if err := str(name, into)(v); err != nil {
			return err
		}
		if *into == "" {
			return badMember(name, "left out or not empty")
		}
		return nil
	}
}

const wantPlace = `an offset, a time such as "2026-01-02T15:04:05Z", "start" or "end"`

// placeMember reads where in a shard something is to begin.
func placeMember(name string, into *edda.From) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			*into = edda.FromOffset(n)
			return nil
		}
		if v[0] != '"' || json.Unmarshal(v, into) != nil {
			return badMember(name, wantPlace)
		}
		return checkPlace(name, *into)
	}
}

// checkPlace refuses a place that is none, by the name that the surface has for it.
func checkPlace(name string, from edda.From) error {
	_, err := from.Parse()
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return refuse(e.Reason, name+": "+e.Err.Error())
	}
	return err
}

// waitMember reads how long the sender asks to wait.
func (x *exchange) waitMember(into *time.Duration) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		var text string
		if !bytes.HasPrefix(v, []byte(`"`)) || json.Unmarshal(v, &text) != nil {
			return badMember("wait", reqhead.WantWait)
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > reqhead.MaxWait {
			return badMember("wait", reqhead.WantWait)
		}
		*into, x.waits = d, true
		return nil
	}
}
