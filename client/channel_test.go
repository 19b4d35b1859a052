package client_test

import (
	"context"
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/node"
)

// said returns a publication of messages with these ids.
func said(channel string, ids ...string) *edda.Append {
	a := &edda.Append{Channel: channel}
	for _, id := range ids {
		a.Messages = append(a.Messages, edda.StreamMessage{ID: id, Type: "said", Payload: []byte(id)})
	}
	return a
}

// To publish does the same whether the node is in this process or in one of its own.
func TestPublish(t *testing.T) {
	n := open(t)
	if _, _, err := n.SetChannel(t.Context(), edda.ChannelSpec{Name: "floor"}); err != nil {
		t.Fatal(err)
	}
	offset := uint64(0)
	for name, b := range map[string]interface {
		Append(ctx context.Context, a *edda.Append) (*edda.AppendAck, error)
	}{"here": n, "remote": dial(t, serve(t, n), client.Options{})} {
		for _, replayed := range []bool{false, true} {
			ack, err := b.Append(t.Context(), said("floor", name, name+"2"))
			want := []edda.Appended{
				{ID: name, Shard: edda.DefaultShard, Offset: offset, Replayed: replayed}, {ID: name + "2", Shard: edda.DefaultShard, Offset: offset + 1, Replayed: replayed},
			}
			if err != nil || !slices.Equal(ack.Items, want) || ack.Position == "" {
				t.Errorf("%s: got %+v, %v, want %+v", name, ack, err, want)
			}
		}
		offset += 2
		_, err := b.Append(t.Context(), said("nobody", "x"))
		wantReason(t, err, edda.NoChannel)
		if got, want := err.Error(), `publish to nobody: there is no channel "nobody" in the namespace "default"`; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		both := said("floor", "x")
		both.Stream = "s"
		_, err = b.Append(t.Context(), both)
		wantReason(t, err, edda.BadValue)
	}
}

// What a handler elsewhere publishes is part of its outcome.
func TestPublishFromAWorker(t *testing.T) {
	// In one partition what is published is there with the reply.
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop(context.Background())
	if _, _, err := n.SetChannel(t.Context(), edda.ChannelSpec{Name: "floor"}); err != nil {
		t.Fatal(err)
	}
	s := edda.NewOrdered("crier")
	edda.Handle(s, "cry", func(ctx *edda.Context, id string) (string, error) {
		return id, ctx.Publish("floor", edda.StreamMessage{ID: id})
	})
	url := serve(t, n)
	host(t, url, s)
	c := dial(t, url, client.Options{}).Client()
	for i, id := range []string{"a", "b"} {
		m := &edda.Message{To: edda.Address{Name: "crier", Key: id}, Type: "cry", ContentType: "application/json", Payload: []byte(`"` + id + `"`)}
		if _, err := c.Call(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		ack, err := n.Append(t.Context(), said("floor", id))
		if err != nil || !ack.Items[0].Replayed || ack.Items[0].Offset != uint64(i) {
			t.Errorf("got %+v, %v, want that it was published before", ack, err)
		}
	}
}
