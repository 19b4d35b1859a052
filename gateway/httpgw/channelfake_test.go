package httpgw

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/edda-io/edda"
)

// fakeChannels is a backend of channels that knows one, room, and notes what it was
// asked. When fails is set, that is its answer to everything.
type fakeChannels struct {
	fails error

	mu       sync.Mutex
	asked    []string
	spec     edda.ChannelSpec
	from     edda.From
	limit    int
	wanted   *edda.Subscribe
	names    []string // beside room
	others   int      // who are present beside ada
	messages []*edda.LiveMessage
	// first is the first message kept.
	first  int
	subs   map[*fakeSub]bool
	closed int
	taking chan struct{} // gets one for each Take that returns nothing, unless nil
}

func (f *fakeChannels) ask(method, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, method)
	if f.fails == nil && name != "room" {
		return &edda.Error{Op: method, Reason: edda.NoChannel, Err: fmt.Errorf("there is no channel %q", name)}
	}
	return f.fails
}

func room(namespace, name string) *edda.Channel {
	c := &edda.Channel{CreatedAt: at(1), Subscribers: 3}
	c.Namespace, c.Name, c.History = namespace, name, edda.History{Count: 9}
	c.From = []edda.ChannelSource{{Stream: "orders", Patterns: []string{"paid.*"}}, {Stream: "audit"}}
	return c
}

func (f *fakeChannels) SetChannel(_ context.Context, c edda.ChannelSpec) (*edda.Channel, bool, error) {
	f.spec = c
	f.asked = append(f.asked, "set")
	if err := c.Validate(); f.fails != nil || err != nil {
		return nil, false, cmpErr(f.fails, err)
	}
	return &edda.Channel{ChannelSpec: c, CreatedAt: at(1)}, c.Name != "room", nil
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (f *fakeChannels) Channel(_ context.Context, namespace, name string) (*edda.Channel, error) {
	return room(namespace, name), f.ask("show", name)
}

func (f *fakeChannels) Channels(_ context.Context, namespace string, limit int, after string) ([]edda.Channel, string, error) {
	err := f.ask("list "+strconv.Itoa(limit)+" "+after, "room")
	all := []edda.Channel{*room(namespace, "room")}
	for _, n := range f.names {
		all = append(all, *room(namespace, n))
	}
	return all, "more", err
}

func (f *fakeChannels) DeleteChannel(_ context.Context, _, name string) error {
	if err := f.ask("delete", name); err != nil {
		return err
	}
	f.end(&edda.Error{Op: "subscribe", Reason: edda.NoChannel})
	return nil
}

func (f *fakeChannels) History(_ context.Context, _, channel string, from edda.From, limit int) ([]*edda.LiveMessage, edda.From, error) {
	f.from, f.limit = from, limit
	return f.messages, fakePoint(len(f.messages)), f.ask("history", channel)
}

func (f *fakeChannels) Presence(_ context.Context, _, channel string) ([]edda.Presence, error) {
	ps := []edda.Presence{{Principal: "ada", Since: at(2)}}
	for i := range f.others {
		ps = append(ps, edda.Presence{Principal: edda.Principal(fmt.Sprintf("b%04d", i)), Since: at(2)})
	}
	return ps, f.ask("presence", channel)
}

func fakePoint(n int) edda.From { return edda.From("p" + strconv.Itoa(n)) }

func (f *fakeChannels) Subscribe(_ context.Context, s *edda.Subscribe) (edda.Subscription, error) {
	if err := f.ask("subscribe", s.Channel); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted = s
	sub := &fakeSub{f: f, s: s, next: len(f.messages)}
	switch {
	case s.From == edda.FromStart:
		sub.next = f.first
	case s.From.Resumes():
		n, err := strconv.Atoi(string(s.From[1:]))
		if err != nil || n > len(f.messages) {
			return nil, &edda.Error{Op: "subscribe", Reason: edda.BadValue, Err: fmt.Errorf("%q is no resume point", s.From)}
		}
		sub.gap, sub.next = n < f.first, max(n, f.first)
	}
	if f.subs == nil {
		f.subs = map[*fakeSub]bool{}
	}
	f.subs[sub] = true
	return sub, nil
}

// publish adds a message of a type.
func (f *fakeChannels) publish(messageType string, payload []byte) {
	f.mu.Lock()
	n := len(f.messages)
	m := &edda.LiveMessage{Namespace: "default", From: fakePoint(n + 1), Message: edda.StreamMessage{
		ID: "m" + strconv.Itoa(n), Shard: "default", Offset: uint64(n), Type: messageType, Principal: "ada", ContentType: "text/plain", Payload: payload, Time: at(5),
	}}
	f.messages = append(f.messages, m)
	subs := slices.Collect(maps.Keys(f.subs))
	f.mu.Unlock()
	for _, s := range subs {
		s.s.Notify()
	}
}

// end ends all subscriptions.
func (f *fakeChannels) end(err error) {
	f.mu.Lock()
	subs := slices.Collect(maps.Keys(f.subs))
	for _, s := range subs {
		s.err = err
	}
	f.mu.Unlock()
	for _, s := range subs {
		s.s.Notify()
	}
}

type fakeSub struct {
	f    *fakeChannels
	s    *edda.Subscribe
	next int
	gap  bool
	// current says that it has been at the end.
	current bool
	over    bool
	err     error
}

func (s *fakeSub) Take(ctx context.Context, n int) (edda.LiveBatch, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.err != nil || ctx.Err() != nil {
		return edda.LiveBatch{}, cmpErr(s.err, ctx.Err())
	}
	b := edda.LiveBatch{Over: s.over}
	for ; s.next < len(s.f.messages) && len(b.Messages) < n; s.next++ {
		m := s.f.messages[s.next]
		if len(s.s.Patterns) == 0 || slices.Contains(s.s.Patterns, m.Message.Type) {
			b.Messages = append(b.Messages, m)
		}
	}
	if len(b.Messages) == 0 {
		s.current = true
		if s.f.taking != nil {
			s.f.taking <- struct{}{}
		}
	}
	return b, nil
}

func (s *fakeSub) Add([]string, bool) error { return nil }
func (s *fakeSub) Remove(...string)         {}
func (s *fakeSub) Patterns() []string       { return s.s.Patterns }
func (s *fakeSub) Gap() bool                { return s.gap }

func (s *fakeSub) From() edda.From {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	return fakePoint(s.next)
}

func (s *fakeSub) Behind() int64 {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if !s.current {
		return 0
	}
	n := 0
	for _, m := range s.f.messages[s.next:] {
		n += len(m.Message.Payload)
	}
	return int64(n)
}

func (s *fakeSub) Close() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.f.subs[s] {
		delete(s.f.subs, s)
		s.f.closed++
	}
}

// channelsOf returns a gateway to backends of channels and streams alone.
func channelsOf(t testing.TB, f *fakeChannels, fs *fakeStreams, opts Options) *Gateway {
	t.Helper()
	if fs == nil {
		fs = &fakeStreams{}
	}
	g, err := build(nil, backends{calls: &fake{}, sagas: &fakeSagas{}, streams: fs, groups: &fakeGroups{}, channels: f}, edda.Fsync, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
