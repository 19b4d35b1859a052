package httpgw

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

// TestChannelClient checks that the command's client and the gateway mean the same.
func TestChannelClient(t *testing.T) {
	f, fs := &fakeChannels{}, &fakeStreams{}
	s := httptest.NewServer(channelsOf(t, f, fs, Options{}))
	defer s.Close()
	c, err := eddahttp.New(s.URL, eddahttp.Options{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	spec := edda.ChannelSpec{
		Namespace: "shop", Name: "chat", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"a.*"}}, {Stream: "audit"}},
		History: edda.History{Count: 5, Age: time.Hour},
	}
	ch, created, err := c.SetChannel(ctx, spec)
	if err != nil || !created || !reflect.DeepEqual(ch.ChannelSpec, spec) || !reflect.DeepEqual(f.spec, spec) || !ch.CreatedAt.Equal(at(1)) {
		t.Errorf("set: got %+v, %v, %v", ch, created, err)
	}
	if _, created, err = c.SetChannel(ctx, edda.ChannelSpec{Name: "room"}); err != nil || created || f.spec.From != nil || f.spec.History != (edda.History{}) {
		t.Errorf("set to the defaults: got %+v, %v, %v", f.spec, created, err)
	}
	if ch, err = c.Channel(ctx, "room"); err != nil || ch.Subscribers != 3 || ch.From[0].Stream != "orders" || ch.History.Count != 9 || ch.Namespace != "shop" {
		t.Errorf("show: got %+v, %v", ch, err)
	}
	if p, err := c.Channels(ctx, 2, "a"); err != nil || len(p.Items) != 1 || p.Next != "more" || p.Items[0].Name != "room" {
		t.Errorf("list: got %+v, %v", p, err)
	}
	if ps, err := c.Presence(ctx, "room"); err != nil || len(ps) != 1 || ps[0].Principal != "ada" || !ps[0].Since.Equal(at(2)) {
		t.Errorf("presence: got %+v, %v", ps, err)
	}
	f.others = 2500
	if ps, err := c.Presence(ctx, "room"); err != nil || len(ps) != 2501 || ps[2500].Principal != "b2499" {
		t.Errorf("presence of many: got %d, %v", len(ps), err)
	}
	f.others = 0
	one := edda.StreamMessage{Type: "said", ContentType: "text/plain", Payload: []byte("hi")}
	ack, err := c.Publish(ctx, &edda.Append{Channel: "room", Messages: []edda.StreamMessage{one}})
	want := &edda.AppendAck{Items: []edda.Appended{{ID: "made-0"}}, Position: "3-9", Durability: edda.Fsync}
	if err != nil || !reflect.DeepEqual(ack, want) || fs.append.Channel != "room" || fs.append.Namespace != "shop" {
		t.Errorf("publish: got %+v, %v", ack, err)
	}
	if ack, err = c.Publish(ctx, &edda.Append{Channel: "room", Messages: []edda.StreamMessage{one, one}}); err != nil || len(ack.Items) != 2 {
		t.Errorf("publish a batch: got %+v, %v", ack, err)
	}
	f.publish("said", hi)
	f.publish("paid", hi)
	f.messages[1].Message.Stream = "orders"
	items, next, err := c.ChannelHistory(ctx, "room", "p0", 5)
	if err != nil || len(items) != 2 || next != "p2" || f.from != "p0" || f.limit != 5 || items[1].Message.Stream != "orders" ||
		items[0].From != "p1" || items[0].Namespace != "shop" || string(items[0].Message.Payload) != string(hi) {
		t.Errorf("history: got %+v, %s, %v", items, next, err)
	}
	var heard []edda.From
	for m, err := range c.Subscribe(ctx, eddahttp.Subscribe{Channel: "room", From: edda.FromStart, Patterns: []string{"paid", "said"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if heard = append(heard, m.From); len(heard) == 2 {
			break
		}
	}
	if !reflect.DeepEqual(heard, []edda.From{"p1", "p2"}) || !reflect.DeepEqual(f.wanted.Patterns, []string{"paid", "said"}) {
		t.Errorf("subscribe: got %v with %v", heard, f.wanted.Patterns)
	}
	if err := c.DeleteChannel(ctx, "room"); err != nil {
		t.Errorf("remove: got %v", err)
	}
	if _, err := c.Channel(ctx, "none"); edda.ReasonOf(err) != edda.NoChannel {
		t.Errorf("one that there is not: got %v", err)
	}
}

// A subscription goes on where it was when the node has been away, says so, and ends with
// what the node refuses.
func TestClientSubscribesAgain(t *testing.T) {
	f := &fakeChannels{}
	s := httptest.NewServer(channelsOf(t, f, nil, Options{}))
	defer s.Close()
	c, err := eddahttp.New(s.URL, eddahttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.publish("said", hi)
	lost, gaps := 0, 0
	var heard []edda.From
	for m, err := range c.Subscribe(t.Context(), eddahttp.Subscribe{
		Channel: "room", From: edda.FromStart, Gap: func() { gaps++ },
		Lost: func(err error, in time.Duration) {
			if lost++; edda.ReasonOf(err) != edda.Unavailable || in <= 0 || in > time.Second {
				t.Errorf("lost: got %v, in %v", err, in)
			}
			if lost == 2 {
				f.first = 3
			}
		},
	}) {
		if err != nil {
			if edda.ReasonOf(err) != edda.NoChannel {
				t.Errorf("got %v", err)
			}
			break
		}
		heard = append(heard, m.From)
		switch len(heard) {
		case 1, 2: // it is cut off, and more comes meanwhile
			f.end(&edda.Error{Op: "subscribe", Reason: edda.Unavailable})
			f.publish("said", hi)
			if len(heard) == 2 {
				f.publish("said", hi)
			}
		case 3:
			if err := f.DeleteChannel(t.Context(), "", "room"); err != nil {
				t.Error(err)
			}
		}
	}
	if want := []edda.From{"p1", "p2", "p4"}; !reflect.DeepEqual(heard, want) || lost != 2 || gaps != 1 {
		t.Errorf("heard %v, lost %d times, %d gaps, want %v, 2, 1", heard, lost, gaps, want)
	}
	for _, err := range c.Subscribe(t.Context(), eddahttp.Subscribe{Channel: "none"}) {
		if edda.ReasonOf(err) != edda.NoChannel {
			t.Errorf("one that there is not: got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	for _, err := range c.Subscribe(ctx, eddahttp.Subscribe{Channel: "room", From: edda.FromStart, Lost: func(error, time.Duration) { cancel() }}) {
		switch {
		case err == nil:
			f.end(&edda.Error{Op: "subscribe", Reason: edda.Draining})
		case !errors.Is(err, context.Canceled):
			t.Errorf("when nobody listens any more: got %v", err)
		}
	}
	cancel()
	s.Close()
	for _, err := range c.Subscribe(t.Context(), eddahttp.Subscribe{Channel: "room"}) {
		if edda.ReasonOf(err) != edda.Unavailable {
			t.Errorf("without a node: got %v", err)
		}
	}
}
