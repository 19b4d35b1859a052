package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// heard notes a batch.
func heard(b *edda.LiveBatch) string {
	var words []string
	for _, m := range b.Messages {
		words = append(words, m.Message.Stream+"/"+m.Message.ID)
	}
	if b.Gap {
		words = append(words, "gap")
	}
	for _, p := range b.Spent {
		words = append(words, fmt.Sprintf("spent %q", p))
	}
	if b.Over {
		words = append(words, "over")
	}
	return strings.Join(words, " ")
}

// Listen goes on where it was, without the patterns that are spent, says what the node says,
// and ends as it does.
func TestListen(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{})
	asked := make(chan *eddav1.SubscribeRequest, 10)
	message := func(id, stream, from string) []*eddav1.LiveMessage {
		return []*eddav1.LiveMessage{{Message: &eddav1.StreamMessage{Id: id, Offset: 7, Payload: []byte(id)}, Stream: stream, From: from}}
	}
	n.channelsOf.subscribe = func(r *eddav1.SubscribeRequest, send func(*eddav1.LiveMessages) error) error {
		asked <- r
		switch r.GetFrom() {
		case "end":
			return send(&eddav1.LiveMessages{From: "p0"}) // and it ends for no reason
		case "p0":
			return errors.Join(send(&eddav1.LiveMessages{From: "p0"}), send(&eddav1.LiveMessages{From: "p1", Messages: message("a", "orders", "p1"), Spent: []string{"x"}}))
		case "p1":
			return errors.Join(send(&eddav1.LiveMessages{From: "p2", Gap: true}), send(&eddav1.LiveMessages{From: "p3"}))
		case "p3":
			return send(&eddav1.LiveMessages{From: "p4", Messages: message("b", "", "p4"), Spent: []string{"y"}, Over: true})
		}
		return refuse(&eddav1.Error{Reason: "NO_CHANNEL", Message: "from " + r.GetFrom()})
	}
	var got []string
	for b, err := range c.Listen(t.Context(), edda.Subscribe{Namespace: "shop", Channel: "floor", Patterns: []string{"x", "y"}, Ephemeral: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, heard(&b))
		for _, m := range b.Messages {
			if m.Namespace != "shop" || m.Message.Offset != 7 || string(m.Message.Payload) != m.Message.ID || !m.From.Resumes() {
				t.Errorf("got %+v", m)
			}
		}
	}
	if all := strings.Join(got, ", "); all != `, orders/a spent "x", gap, /b spent "y" over` {
		t.Errorf("heard %s", all)
	}
	for i, want := range []string{"x y", "x y", "y", "y"} {
		r := recv(t, asked)
		if got := strings.Join(r.GetPatterns(), " "); got != want || r.GetChannel() != "floor" || r.GetNamespace() != "shop" || !r.GetEphemeral() {
			t.Errorf("time %d: asked for %v, want the patterns %s", i, r, want)
		}
	}
	for range c.Listen(t.Context(), edda.Subscribe{Stream: "s"}) {
		break // which ends it
	}
	for _, err := range c.Listen(t.Context(), edda.Subscribe{Channel: "floor", From: "p9"}) {
		wantReason(t, err, edda.NoChannel)
	}
	for _, err := range c.Listen(t.Context(), edda.Subscribe{Channel: "floor", From: "7"}) {
		wantReason(t, err, edda.BadValue)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range c.Listen(ctx, edda.Subscribe{Channel: "floor"}) {
		wantReason(t, err, edda.Timeout)
	}
}

// Who listens hears what is published and what comes to the streams that feed the channel,
// from the place where the first batch found it, until the channel is removed.
func TestListenToANode(t *testing.T) {
	n := open(t)
	c := dial(t, serve(t, n), client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, err := range c.Listen(ctx, edda.Subscribe{Channel: "floor"}) {
		wantReason(t, err, edda.NoChannel)
	}
	spec := edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"t"}}}}
	if _, _, err := c.SetChannel(ctx, spec); err != nil {
		t.Fatal(err)
	}
	publish := func(a *edda.Append) {
		t.Helper()
		if _, err := c.Append(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	publish(said("floor", "before"))
	begun := false
	var got []string
	var last error
	for b, err := range c.Listen(ctx, edda.Subscribe{Channel: "floor", Patterns: []string{"said", "t"}}) {
		if last = err; err != nil {
			break
		}
		if !begun {
			begun = true
			publish(said("floor", "a", "b"))
		}
		for _, m := range b.Messages {
			got = append(got, m.Message.Stream+"/"+m.Message.ID)
			switch m.Message.ID {
			case "b":
				publish(one("orders", "c"))
			case "c":
				if err := c.DeleteChannel(ctx, "", "floor"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	wantReason(t, last, edda.NoChannel)
	if all := strings.Join(got, " "); all != "/a /b orders/c" {
		t.Errorf("heard %s", all)
	}
}

// Every message comes once, in order, while connections break.
func TestListenWhileConnectionsBreak(t *testing.T) {
	n := open(t)
	if _, _, err := n.SetChannel(t.Context(), edda.ChannelSpec{Name: "floor"}); err != nil {
		t.Fatal(err)
	}
	w := newWire(t, serve(t, n))
	c := dial(t, w.url(), client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const many = 500
	var producing sync.WaitGroup
	produce := sync.OnceFunc(func() {
		producing.Go(func() {
			for i := range many {
				if _, err := n.Append(ctx, said("floor", fmt.Sprint(i))); err != nil {
					t.Error(err)
					return
				}
				if i%50 == 0 {
					w.cut()
				}
			}
		})
	})
	defer producing.Wait()
	next := 0
	for b, err := range c.Listen(ctx, edda.Subscribe{Channel: "floor"}) {
		if err != nil {
			t.Fatal(err)
		}
		produce() // all of it after the first batch
		for _, m := range b.Messages {
			if m.Message.ID != fmt.Sprint(next) {
				t.Fatalf("got %s, want %d", m.Message.ID, next)
			}
			next++
		}
		if b.Gap {
			t.Error("there was a gap")
		}
		if next == many {
			break
		}
	}
}

// Who reads slowly is sent no more than the connection holds, keeps nobody waiting, and misses
// nothing.
func TestListenSlowly(t *testing.T) {
	n := open(t)
	if _, _, err := n.SetChannel(t.Context(), edda.ChannelSpec{Name: "floor"}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, serve(t, n), client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const many, bytes = 80, 256 << 10 // 20 MiB, more than windows and rings hold
	next, begun := 0, false
	for b, err := range c.Listen(ctx, edda.Subscribe{Channel: "floor"}) {
		if err != nil {
			t.Fatal(err)
		}
		if !begun {
			begun = true
			for i := range many { // while nobody reads
				a := said("floor", fmt.Sprint(i))
				a.Messages[0].Payload = make([]byte, bytes)
				if _, err := n.Append(ctx, a); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, m := range b.Messages {
			if m.Message.ID != fmt.Sprint(next) || len(m.Message.Payload) != bytes {
				t.Fatalf("got %s with %d bytes, want %d", m.Message.ID, len(m.Message.Payload), next)
			}
			next++
		}
		if next == many {
			break
		}
	}
}
