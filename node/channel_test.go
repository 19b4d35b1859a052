package node_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// setChannel creates or changes a channel, which has to work.
func setChannel(t *testing.T, n *node.Node, spec edda.ChannelSpec) (*edda.Channel, bool) {
	t.Helper()
	ch, created, err := n.SetChannel(t.Context(), spec)
	if err != nil {
		t.Fatalf("set channel %s: %v", spec.Name, err)
	}
	return ch, created
}

// publish publishes messages with these payloads, which has to work.
func publish(t *testing.T, n *node.Node, channel string, payloads ...string) *edda.AppendAck {
	t.Helper()
	return putAll(t, n, &edda.Append{Channel: channel, Messages: messages(payloads...)})
}

// A channel is set, changed, listed and removed, and keeps what is published.
func TestChannel(t *testing.T) {
	bubble(t, "channel", func(t *testing.T) {
		n := start(t, node.Options{})
		begun := time.Now()
		spec := edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"order.*"}}}}
		ch, created := setChannel(t, n, spec)
		want := spec.WithDefaults()
		if !created || !reflect.DeepEqual(ch.ChannelSpec, want) || !ch.CreatedAt.Equal(begun) || ch.Subscribers != 0 {
			t.Errorf("created %v: got %+v, want %+v", created, ch, want)
		}
		if ack := publish(t, n, "floor", "a", "b"); ack.Position == "" || ack.Items[1].Offset != 1 || ack.Items[1].Shard != edda.DefaultShard {
			t.Errorf("got %+v", ack)
		}
		time.Sleep(time.Second)
		want.From, want.History.Count = nil, 3
		if ch, created = setChannel(t, n, want); created || !reflect.DeepEqual(ch.ChannelSpec, want) || !ch.CreatedAt.Equal(begun) {
			t.Errorf("created %v: got %+v, want %+v", created, ch, want)
		}
		publish(t, n, "floor", "c", "d")
		if got, want := kept(t, n, "floor"), "1:b 2:c 3:d [1 4 4]"; got != want {
			t.Errorf("the channel keeps %q, want %q", got, want)
		}
		if again, err := n.Channel(t.Context(), "", "floor"); err != nil || !reflect.DeepEqual(again, ch) {
			t.Errorf("got %+v, %v, want %+v", again, err, ch)
		}
		if err := n.DeleteChannel(t.Context(), "", "floor"); err != nil {
			t.Fatal(err)
		}
		wantReason(t, n.DeleteChannel(t.Context(), "", "floor"), edda.NoChannel)
		_, err := n.Channel(t.Context(), "", "floor")
		wantReason(t, err, edda.NoChannel)
		_, err = n.Append(t.Context(), &edda.Append{Channel: "floor", Messages: messages("e")})
		wantReason(t, err, edda.NoChannel)
		if text := err.Error(); !strings.HasPrefix(text, "publish to floor: ") {
			t.Errorf("got the error %q", text)
		}
		setChannel(t, n, spec)
		publish(t, n, "floor", "f")
		if got, want := kept(t, n, "floor"), "0:f [0 1 1]"; got != want {
			t.Errorf("made again the channel keeps %q, want %q", got, want)
		}
	})
}

// kept is what a channel keeps, as shown writes it.
func kept(t *testing.T, n *node.Node, channel string) string {
	t.Helper()
	page, err := node.ReadOwn(t.Context(), n, edda.Read{Stream: edda.ChannelStream(channel)})
	if err != nil {
		t.Fatalf("read what channel %s keeps: %v", channel, err)
	}
	return shown(page)
}

// A published id counts as on a stream.
func TestChannelRepeats(t *testing.T) {
	bubble(t, "repeats", func(t *testing.T) {
		n := start(t, node.Options{})
		setChannel(t, n, edda.ChannelSpec{Name: "floor"})
		first := publish(t, n, "floor", "x=1", "2")
		again := publish(t, n, "floor", "x=other")
		if it := again.Items[0]; !it.Replayed || it.Offset != 0 || again.Position != first.Position {
			t.Errorf("got %+v, want %+v", again, first)
		}
		time.Sleep(edda.DefaultDedupe + time.Minute)
		if it := publish(t, n, "floor", "x=3").Items[0]; it.Replayed {
			t.Errorf("after %s got %+v", edda.DefaultDedupe, it)
		}
	})
}

// Channels are listed by name, and their own streams are not.
func TestChannelList(t *testing.T) {
	bubble(t, "list", func(t *testing.T) {
		n := start(t, node.Options{})
		long := "z" + strings.Repeat("y", edda.MaxNameBytes-1)
		for i := range 25 {
			setChannel(t, n, edda.ChannelSpec{Name: fmt.Sprintf("c%02d", i)})
		}
		setChannel(t, n, edda.ChannelSpec{Name: long})
		setChannel(t, n, edda.ChannelSpec{Namespace: "other", Name: "c"})
		publish(t, n, long, "a")
		put(t, n, "e", "a")
		put(t, n, "f", "a")
		var names []string
		for after := ""; ; {
			page, next, err := n.Channels(t.Context(), "", 10, after)
			if err != nil || len(page) > 10 {
				t.Fatalf("%d channels, %v", len(page), err)
			}
			for _, c := range page {
				names = append(names, c.Name)
			}
			if after = next; next == "" {
				break
			}
		}
		if len(names) != 26 || names[0] != "c00" || names[24] != "c24" || names[25] != long {
			t.Errorf("got %d channels: %q", len(names), names)
		}
		page, next, err := n.Streams(t.Context(), "", 2, "")
		if err != nil || len(page) != 2 || page[0].Name != "e" || page[1].Name != "f" || next != "" {
			t.Errorf("got the streams %+v and the cursor %q, %v", page, next, err)
		}
		_, _, err = n.Channels(t.Context(), "", 1001, "")
		wantReason(t, err, edda.BadValue)
		_, _, err = n.Channels(t.Context(), "", 1, "no cursor")
		wantReason(t, err, edda.BadValue)
	})
}

// A channel's own stream is out of reach.
func TestChannelStreamIsTheNodesOwn(t *testing.T) {
	bubble(t, "own", func(t *testing.T) {
		n := start(t, node.Options{})
		setChannel(t, n, edda.ChannelSpec{Name: "floor"})
		own, ctx := edda.ChannelStream("floor"), t.Context()
		_, err := n.Stream(ctx, "", own)
		wantReason(t, err, edda.BadName)
		_, _, err = n.SetStream(ctx, edda.StreamSpec{Name: own})
		wantReason(t, err, edda.BadName)
		wantReason(t, n.DeleteStream(ctx, "", own), edda.BadName)
		_, err = n.Append(ctx, &edda.Append{Stream: own, Messages: messages("a")})
		wantReason(t, err, edda.BadName)
		_, err = n.ReadStream(ctx, edda.Read{Stream: own})
		wantReason(t, err, edda.BadName)
		_, err = n.TrimStream(ctx, "", own, "", "1")
		wantReason(t, err, edda.BadName)
		_, err = n.AwaitMessage(ctx, "", own, "x", 0)
		wantReason(t, err, edda.BadName)
		_, _, err = n.SetGroup(ctx, edda.GroupSpec{Stream: own, Name: "g"})
		wantReason(t, err, edda.BadName)
		_, _, err = n.SetChannel(ctx, edda.ChannelSpec{Name: "c", From: []edda.ChannelSource{{Stream: own}}})
		wantReason(t, err, edda.BadName)
		_, err = n.Append(ctx, &edda.Append{Stream: "s", Messages: []edda.StreamMessage{{ReplyTo: edda.Address{Name: own}}}})
		wantReason(t, err, edda.BadName)
	})
}

// What handlers publish is there with the reply, whichever partition the channel is in;
// what is for a channel that is not there is dropped.
func TestChannelOfHandlers(t *testing.T) {
	bubble(t, "handlers", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		n := start(t, node.Options{Partitions: 8, Metrics: reg}, ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			for i := range 8 {
				if err := ctx.Publish(fmt.Sprint("c", i), messages(m.Type+"=v")...); err != nil {
					return nil, err
				}
			}
			return nil, ctx.Publish("nobody", messages("x")...)
		}))
		for i := range 8 {
			setChannel(t, n, edda.ChannelSpec{Name: fmt.Sprint("c", i)})
		}
		for range 2 { // the second has the same ids
			call(t, n, msg("s/1", "h", "")).replied(t, 204, "")
		}
		synctest.Wait()
		for i := range 8 {
			if got, want := kept(t, n, fmt.Sprint("c", i)), "0:v [0 1 1]"; got != want {
				t.Errorf("channel %d keeps %q, want %q", i, got, want)
			}
		}
		_, err := node.ReadOwn(t.Context(), n, edda.Read{Stream: edda.ChannelStream("nobody")})
		wantReason(t, err, edda.NoStream)
		if got := metric(t, reg, "edda_stream_dropped_total", ""); got != 2 {
			t.Errorf("%v appends were dropped, want 2", got)
		}
	})
}
