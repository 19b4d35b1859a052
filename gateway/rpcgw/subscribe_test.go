package rpcgw

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// fakeSubscription hands out batches, one at a time, and then nothing. It is at the place
// after the last message, unless it is told to be elsewhere.
type fakeSubscription struct {
	edda.Subscription
	batches []edda.LiveBatch
	fails   error // after the batches
	gap     bool
	closed  atomic.Bool

	mu   sync.Mutex // guards from
	from edda.From
}

func (s *fakeSubscription) moveTo(from edda.From) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = from
}

func (s *fakeSubscription) Take(context.Context, int) (b edda.LiveBatch, err error) {
	if len(s.batches) == 0 {
		return b, s.fails
	}
	b, s.batches = s.batches[0], s.batches[1:]
	if n := len(b.Messages); n > 0 {
		s.moveTo(b.Messages[n-1].From)
	}
	return b, nil
}

func (s *fakeSubscription) From() edda.From {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from
}

func (s *fakeSubscription) Gap() bool { return s.gap }
func (s *fakeSubscription) Close()    { s.closed.Store(true) }

func (f *fakeChannels) Subscribe(_ context.Context, s *edda.Subscribe) (edda.Subscription, error) {
	f.notef("subscribe to %s%s as %s", s.Stream, s.Channel, s.Principal)
	f.mu.Lock()
	f.subscribed = s
	f.mu.Unlock()
	if f.subscription == nil {
		return nil, &edda.Error{Op: "subscribe", Reason: edda.NoChannel, Err: errors.New("there is none")}
	}
	return f.subscription, nil
}

func live(from string, bytes int) *edda.LiveMessage {
	m := &edda.LiveMessage{From: edda.From(from), Message: placed()}
	m.Message.Stream, m.Message.Payload = "orders", make([]byte, bytes)
	return m
}

// liveStream is the stream of a caller.
type liveStream struct {
	grpc.ServerStream
	ctx  context.Context
	sent chan *eddav1.LiveMessages
}

func (s *liveStream) Context() context.Context { return s.ctx }

func (s *liveStream) Send(m *eddav1.LiveMessages) error {
	select {
	case s.sent <- m:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// subscribes calls Subscribe as somebody who may do everything, until the credentials end.
func subscribes(ctx context.Context, t *testing.T, f *fakeChannels, expires time.Time, r *eddav1.SubscribeRequest) (sent chan *eddav1.LiveMessages, ended chan error) {
	t.Helper()
	g, err := build(nil, backends{channels: f}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	grant := &auth.Grant{Principal: "ada", Rights: auth.Everything(), Expires: expires}
	s := &liveStream{ctx: context.WithValue(ctx, grantKey{}, grant), sent: make(chan *eddav1.LiveMessages, 20)}
	ended = make(chan error, 1)
	go func() {
		ended <- g.Subscribe(r, s)
		g.Close(context.Background())
	}()
	return s.sent, ended
}

// What is subscribed to is what the caller says, what comes is what there is, and it ends when
// no pattern is left.
func TestSubscribe(t *testing.T) {
	f := oneFloor()
	sub := &fakeSubscription{from: "p0", batches: []edda.LiveBatch{
		{Messages: []*edda.LiveMessage{live("p1", 3), live("p2", 0)}},
		{Gap: true, Messages: []*edda.LiveMessage{live("p3", 0)}, Spent: []string{"a"}},
		{},
		{Messages: []*edda.LiveMessage{live("p4", 0)}, Spent: []string{"b"}, Over: true},
		{Messages: []*edda.LiveMessage{live("p5", 0)}},
	}}
	f.subscription = sub
	r := &eddav1.SubscribeRequest{Namespace: "shop", Channel: "floor", Patterns: []string{"a", "b"}, From: "start", Ephemeral: true}
	sent, ended := subscribes(t.Context(), t, f, time.Time{}, r)
	var got []*eddav1.LiveMessages
	for i := range 4 {
		if i == 3 { // it was at the end, and there is more
			f.subscribed.Notify()
		}
		got = append(got, <-sent)
	}
	if err := <-ended; err != nil || !sub.closed.Load() || len(sent) > 0 {
		t.Errorf("ended with %v, closed %t, %d messages after the last", err, sub.closed.Load(), len(sent))
	}
	view := func(from string, bytes int) *eddav1.LiveMessage {
		m := placedView()
		m.Payload = make([]byte, bytes)
		return &eddav1.LiveMessage{Message: m, Stream: "orders", From: from}
	}
	want := []*eddav1.LiveMessages{
		{From: "p0"},
		{From: "p2", Messages: []*eddav1.LiveMessage{view("p1", 3), view("p2", 0)}},
		{From: "p3", Messages: []*eddav1.LiveMessage{view("p3", 0)}, Gap: true, Spent: []string{"a"}},
		{From: "p4", Messages: []*eddav1.LiveMessage{view("p4", 0)}, Spent: []string{"b"}, Over: true},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreEmptyMessages()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	s := *f.subscribed
	s.Notify = nil
	if diff := cmp.Diff(edda.Subscribe{Namespace: "shop", Channel: "floor", Patterns: []string{"a", "b"}, From: "start", Ephemeral: true, Principal: "ada"}, s); diff != "" {
		t.Errorf("subscribed (-want +got):\n%s", diff)
	}
}

// Large messages are sent one by one, and what belongs to the last of a batch comes with it.
func TestSubscribeInPieces(t *testing.T) {
	f := oneFloor()
	f.subscription = &fakeSubscription{gap: true, fails: errors.New("it is over"), batches: []edda.LiveBatch{{
		Messages: []*edda.LiveMessage{live("p1", liveBytes), live("p2", liveBytes/2), live("p3", liveBytes/4), live("p4", liveBytes/2)}, Spent: []string{"x"},
	}}}
	sent, ended := subscribes(t.Context(), t, f, time.Time{}, new(eddav1.SubscribeRequest))
	if err := <-ended; err == nil || err.Error() != "it is over" {
		t.Errorf("ended with %v", err)
	}
	close(sent)
	var got []string
	for m := range sent {
		got = append(got, fmt.Sprintf("%d to %s gap %t %v", len(m.GetMessages()), m.GetFrom(), m.GetGap(), m.GetSpent()))
	}
	if want := "0 to  gap true [], 1 to p1 gap false [], 2 to p3 gap false [], 1 to p4 gap false [x]"; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}

// Where nothing is for the caller it is told now and then where it would go on; it hears when
// its credentials end, and that the node stops.
func TestSubscribeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := oneFloor()
		sub := &fakeSubscription{from: "p0"}
		f.subscription = sub
		sent, ended := subscribes(t.Context(), t, f, time.Now().Add(5*placeEvery/2), new(eddav1.SubscribeRequest))
		begin := time.Now()
		if m := <-sent; m.GetFrom() != "p0" || time.Since(begin) != 0 {
			t.Errorf("got %v after %v", m, time.Since(begin))
		}
		time.Sleep(placeEvery + time.Second)
		if len(sent) > 0 {
			t.Errorf("got %v, and nothing has changed", <-sent)
		}
		sub.moveTo("p1")
		if m := <-sent; m.GetFrom() != "p1" || time.Since(begin) != 2*placeEvery {
			t.Errorf("got %v after %v", m, time.Since(begin))
		}
		if err := <-ended; edda.ReasonOf(err) != edda.NoCredentials || time.Since(begin) != 5*placeEvery/2 || !sub.closed.Load() {
			t.Errorf("ended with %v after %v, closed %t", err, time.Since(begin), sub.closed.Load())
		}
	})
}

func TestSubscribeRights(t *testing.T) {
	f := oneFloor()
	f.subscription = &fakeSubscription{}
	c := eddav1.NewChannelServiceClient(serveOnly(t, backends{channels: f}, Options{Authenticator: channelTokens(t)}))
	for what, tc := range map[string]struct {
		r   *eddav1.SubscribeRequest
		may []string
	}{
		"channel": {&eddav1.SubscribeRequest{Namespace: "shop", Channel: "floor"}, []string{"subscriber", "ops"}},
		"stream":  {&eddav1.SubscribeRequest{Namespace: "shop", Stream: "orders"}, []string{"caller", "ops"}},
		"both":    {&eddav1.SubscribeRequest{Namespace: "shop", Stream: "orders", Channel: "floor"}, []string{"subscriber", "ops"}},
	} {
		for _, who := range []string{"", "publisher", "subscriber", "ops", "caller", "stranger"} {
			want := edda.NotAllowed
			switch {
			case slices.Contains(tc.may, who):
				want = ""
			case who == "" || who == "stranger":
				want = edda.NoCredentials
			}
			ctx, cancel := context.WithCancel(as(t, who))
			s, err := c.Subscribe(ctx, tc.r)
			if err == nil {
				_, err = s.Recv()
			}
			cancel()
			if r, text := reasonOf(err); r != want {
				t.Errorf("%s by %q: got %s (%s), want %q", what, who, r, text, want)
			}
			if asked := f.take(); want == "" && !strings.HasSuffix(asked, " as "+who) || want != "" && asked != "" {
				t.Errorf("%s by %q: the backend was asked to %q", what, who, asked)
			}
		}
	}
	f.subscription = nil
	s, err := c.Subscribe(as(t, "ops"), &eddav1.SubscribeRequest{Channel: "nowhere"})
	if err == nil {
		_, err = s.Recv()
	}
	if r, text := reasonOf(err); r != edda.NoChannel || text != "there is none" {
		t.Errorf("got %s: %s", r, text)
	}
}
