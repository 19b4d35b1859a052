package examples

import (
	"encoding/json"
	"maps"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

// Greeting is what World answers.
type Greeting struct {
	World string `json:"world"`
}

// World returns a consumer of the stream hello, whose group is worlds. It answers whatever is
// of the type hello with {"world":"I am a stream processor"}, in the stream that the message
// names as its reply-to, under the same id.
func World() *stream.Consumer {
	c := stream.NewConsumer("hello", "worlds")
	stream.Handle(c, "hello", func(*edda.Context, stream.None) (Greeting, error) {
		return Greeting{"I am a stream processor"}, nil
	})
	return c
}

// Data returns an ordered service whose keys are the ids of JSON objects:
//
//	create {"name":"Ada"}  201 {"id":"ada","name":"Ada"}, 409 when there is one
//	read                   200 {"data":{"name":"Ada"}},   404 when there is none
//	update {"name":"Eva"}  200 {"id":"ada","name":"Eva"}, 404 when there is none
//	delete                 200 {"deleted":true}, or false when there was none
//
// What is wrong stands in the reply as {"error":"No existing value found for key ada"}.
func Data() *edda.Service {
	s := edda.NewOrdered("data")
	edda.Handle(s, "create", func(ctx *edda.Context, in object) (*edda.Reply, error) { return put(ctx, in, false) })
	edda.Handle(s, "update", func(ctx *edda.Context, in object) (*edda.Reply, error) { return put(ctx, in, true) })
	edda.Handle(s, "read", func(ctx *edda.Context, _ []byte) (*edda.Reply, error) {
		data, there, err := edda.Get[object](ctx, "data")
		if err != nil || !there {
			return missing(ctx), err
		}
		return jsonReply(200, map[string]object{"data": data}), nil
	})
	edda.Handle(s, "delete", func(ctx *edda.Context, _ []byte) (*edda.Reply, error) {
		_, there, err := ctx.Get("data")
		if err == nil && there {
			err = ctx.Delete("data")
		}
		return jsonReply(200, map[string]bool{"deleted": there}), err
	})
	return s
}

// object is a JSON object, whose values are kept as they came.
type object map[string]json.RawMessage

// put creates an object, or replaces the one that must be there. Nobody is in between: the
// requests of one key come one at a time.
func put(ctx *edda.Context, in object, replace bool) (*edda.Reply, error) {
	_, there, err := ctx.Get("data")
	switch {
	case err != nil:
		return nil, err
	case replace && !there:
		return missing(ctx), nil
	case !replace && there:
		return jsonReply(409, map[string]string{"error": "Existing value found for key " + ctx.Key()}), nil
	}
	if err := edda.Set(ctx, "data", in); err != nil {
		return nil, err
	}
	out := object{"id": edda.JSON(ctx.Key())}
	maps.Copy(out, in)
	status := 200
	if !replace {
		status = 201
	}
	return jsonReply(status, out), nil
}

func missing(ctx *edda.Context) *edda.Reply {
	return jsonReply(404, map[string]string{"error": "No existing value found for key " + ctx.Key()})
}

func jsonReply(status int, v any) *edda.Reply {
	return &edda.Reply{Status: status, ContentType: "application/json", Payload: edda.JSON(v)}
}
