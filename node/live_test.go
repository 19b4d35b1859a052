package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// subscriber is a subscription in the test's hands.
type subscriber struct {
	edda.Subscription
	more chan struct{} // has a signal when Take may have more
}

// subscribes subscribes, which has to work.
func subscribes(t *testing.T, n *node.Node, s edda.Subscribe) *subscriber {
	t.Helper()
	sub := &subscriber{more: make(chan struct{}, 1)}
	s.Notify = func() {
		select {
		case sub.more <- struct{}{}:
		default:
		}
	}
	var err error
	if sub.Subscription, err = n.Subscribe(t.Context(), &s); err != nil {
		t.Fatalf("subscribe to %s%s: %v", s.Channel, s.Stream, err)
	}
	t.Cleanup(sub.Close)
	return sub
}

// take takes what there is without time going by.
func (s *subscriber) take(t *testing.T) (all []*edda.LiveMessage) {
	t.Helper()
	for {
		synctest.Wait()
		b, err := s.Take(t.Context(), 100)
		if err != nil {
			t.Fatalf("after %d messages: %v", len(all), err)
		}
		if all = append(all, b.Messages...); len(b.Messages) == 0 {
			return all
		}
	}
}

// hears fails the test unless what there is has these payloads.
func (s *subscriber) hears(t *testing.T, want ...string) []*edda.LiveMessage {
	t.Helper()
	all := s.take(t)
	var got []string
	for _, m := range all {
		got = append(got, string(m.Message.Payload))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("heard %q, want %q", got, want)
	}
	return all
}

// ends fails the test unless it has ended for the reason.
func (s *subscriber) ends(t *testing.T, want edda.Reason) {
	t.Helper()
	synctest.Wait()
	select {
	case <-s.more:
	default:
		t.Error("its owner was not told")
	}
	_, err := s.Take(t.Context(), 1)
	wantReason(t, err, want)
}

// A channel hears what is published to it and what the streams that feed it get, whoever
// appends, and its changes at once.
func TestSubscribe(t *testing.T) {
	bubble(t, "subscribe", func(t *testing.T) {
		n := open(t, node.Options{}, ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			return nil, errors.Join(ctx.Publish("floor", messages("h1")...), ctx.Append(&edda.Append{Stream: m.Type, Shard: m.To.Key, Messages: messages("h2")}))
		}))
		orders, bills := edda.ChannelSource{Stream: "orders"}, edda.ChannelSource{Stream: "bills", Patterns: []string{"u"}}
		setChannel(t, n, edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{orders}})
		put(t, n, "orders", "before")
		floor, stream := subscribes(t, n, edda.Subscribe{Channel: "floor"}), subscribes(t, n, edda.Subscribe{Stream: "orders", From: edda.FromStart})
		stream.hears(t, "before")
		put(t, n, "orders", "1")
		time.Sleep(time.Millisecond) // sources that get messages at one time have no order
		publish(t, n, "floor", "2")
		put(t, n, "bills", "3")
		got := floor.hears(t, "1", "2")
		if a, b := got[0], got[1]; a.Message.Stream != "orders" || b.Message.Stream != "" || a.Namespace != edda.DefaultNamespace || b.Message.Offset != 0 {
			t.Errorf("got %+v and %+v", a, b)
		}
		call(t, n, msg("s/eu", "orders", "")).replied(t, 204, "")
		floor.take(t)
		if got := stream.hears(t, "1", "h2"); got[1].Message.Shard != "eu" {
			t.Errorf("got %+v", got[1])
		}

		setChannel(t, n, edda.ChannelSpec{Name: "floor", From: []edda.ChannelSource{bills}})
		put(t, n, "orders", "4")
		put(t, n, "bills", "5")
		putAll(t, n, &edda.Append{Stream: "bills", Messages: []edda.StreamMessage{{Type: "u", Payload: []byte("6")}}})
		time.Sleep(time.Millisecond)
		publish(t, n, "floor", "7")
		floor.hears(t, "6", "7")
		stream.hears(t, "4")
		if c, err := n.Channel(t.Context(), "", "floor"); err != nil || c.Subscribers != 1 {
			t.Errorf("got %+v, %v", c, err)
		}
		if all, _, err := n.Channels(t.Context(), "", 0, ""); err != nil || len(all) != 1 || all[0].Subscribers != 1 {
			t.Errorf("got %+v, %v", all, err)
		}

		if err := n.DeleteChannel(t.Context(), "", "floor"); err != nil {
			t.Fatal(err)
		}
		floor.ends(t, edda.NoChannel)
		if err := n.DeleteStream(t.Context(), "", "orders"); err != nil {
			t.Fatal(err)
		}
		stream.ends(t, edda.NoStream)
		for want, s := range map[edda.Reason]edda.Subscribe{
			edda.NoChannel: {Channel: "floor"}, edda.NoStream: {Stream: "orders"}, edda.BadName: {}, edda.BadValue: {Stream: "bills", From: "7"},
		} {
			_, err := n.Subscribe(t.Context(), &s)
			wantReason(t, err, want)
		}
		last := subscribes(t, n, edda.Subscribe{Stream: "bills"})
		stop(t, n)
		last.ends(t, edda.Unavailable)
		_, err := n.Subscribe(t.Context(), &edda.Subscribe{Stream: "bills"})
		wantReason(t, err, edda.Draining)
	})
}

// Interceptors see subscriptions and messages of channels, and who comes and goes.
func TestLiveInterceptors(t *testing.T) {
	bubble(t, "interceptors", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{
			OnSubscribe: func(_ context.Context, s *edda.Subscribe) error {
				switch s.Principal {
				case "nobody":
					return errRefused
				case "poor":
					return &edda.Error{Reason: edda.Overloaded, Err: errRefused}
				case "clumsy":
					panic("oh")
				case "strange":
					s.Patterns = []string{"a.:"}
				case "half":
					s.Patterns = []string{"u"}
				}
				return nil
			},
			OnPublish: func(namespace, channel string, m *edda.StreamMessage) bool {
				m.Payload = append([]byte(channel+"!"), m.Payload...)
				return m.Type != "secret"
			},
			OnJoin:  func(_, channel string, p edda.Presence) { j.addf("%s+%s", channel, p.Principal) },
			OnLeave: func(_, channel string, p edda.Presence) { j.addf("%s-%s", channel, p.Principal); panic("oh") },
		})
		setChannel(t, n, edda.ChannelSpec{Name: "c", From: []edda.ChannelSource{{Stream: "s"}}})
		put(t, n, "s", "0")
		for who, want := range map[edda.Principal]edda.Reason{
			"nobody": edda.NotAllowed, "poor": edda.Overloaded, "clumsy": edda.Panicked, "strange": edda.BadValue,
		} {
			_, err := n.Subscribe(t.Context(), &edda.Subscribe{Channel: "c", Principal: who})
			wantReason(t, err, want)
		}
		ada, again := subscribes(t, n, edda.Subscribe{Channel: "c", Principal: "ada"}), subscribes(t, n, edda.Subscribe{Channel: "c", Principal: "ada"})
		half := subscribes(t, n, edda.Subscribe{Channel: "c", Principal: "half"})
		raw := subscribes(t, n, edda.Subscribe{Stream: "s"})
		here, err := n.Presence(t.Context(), "", "c")
		if err != nil || len(here) != 2 || here[0].Principal != "ada" || here[1].Principal != "half" || !here[0].Since.Equal(time.Now()) {
			t.Errorf("here are %+v, %v", here, err)
		}
		_, err = n.Presence(t.Context(), "", "d")
		wantReason(t, err, edda.NoChannel)
		for _, typ := range []string{"t", "secret", "u"} {
			putAll(t, n, &edda.Append{Stream: "s", Messages: []edda.StreamMessage{{Type: typ, Payload: []byte(typ)}}})
		}
		ada.hears(t, "c!t", "c!u")
		again.hears(t, "c!t", "c!u")
		half.hears(t, "c!u")
		raw.hears(t, "t", "secret", "u")
		ada.Close()
		again.Close()
		half.Close()
		j.want(t, "c+ada c+half c-ada c-half")
	})
}

// What a channel has kept is read as its subscribers get it.
func TestHistory(t *testing.T) {
	bubble(t, "history", func(t *testing.T) {
		n := start(t, node.Options{})
		setChannel(t, n, edda.ChannelSpec{Name: "c", From: []edda.ChannelSource{{Stream: "s"}}})
		publish(t, n, "c", "1")
		time.Sleep(time.Millisecond)
		put(t, n, "s", "2", "3")
		time.Sleep(time.Millisecond)
		publish(t, n, "c", "4")
		var got []string
		var from edda.From
		for range 3 {
			items, next, err := n.History(t.Context(), "", "c", from, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range items {
				got = append(got, string(m.Message.Payload))
			}
			from = next
		}
		if fmt.Sprint(got) != "[1 2 3 4]" {
			t.Errorf("got %v", got)
		}
		late := subscribes(t, n, edda.Subscribe{Channel: "c", From: from})
		put(t, n, "s", "5")
		late.hears(t, "5")
		for want, f := range map[edda.Reason]func() error{
			edda.NoChannel: func() error { _, _, err := n.History(t.Context(), "", "d", "", 0); return err },
			edda.BadName:   func() error { _, _, err := n.History(t.Context(), "", "", "", 0); return err },
			edda.BadValue:  func() error { _, _, err := n.History(t.Context(), "", "c", "", 1001); return err },
		} {
			wantReason(t, f(), want)
		}
	})
}

// hearing is a subscriber that goes on across restarts.
type hearing struct {
	from  edda.From
	got   []string // "stream/shard:offset"
	slow  time.Duration
	early bool // it leaves and comes back all the time
	gaps  bool // there may be some
	all   []*edda.LiveMessage
}

// hear listens until it is time, and to the end if it is that already.
func (h *hearing) hear(t *testing.T, n *node.Node, until time.Time) {
	once := !time.Now().Before(until)
	for {
		s := subscribes(t, n, edda.Subscribe{Channel: "c", From: h.from})
		if s.Gap() && !h.gaps {
			t.Error("there is a gap")
		}
		for rest := time.NewTimer(time.Until(until)); ; {
			b, err := s.Take(t.Context(), 7)
			if err != nil {
				t.Error(err)
				return
			}
			for _, m := range b.Messages {
				h.got = append(h.got, fmt.Sprintf("%s/%s:%d", m.Message.Stream, m.Message.Shard, m.Message.Offset))
				h.from = m.From
			}
			h.all = append(h.all, b.Messages...)
			if len(b.Messages) > 0 {
				time.Sleep(h.slow)
				if h.early {
					break
				}
				continue
			}
			h.from = s.From()
			if once {
				synctest.Wait()
				select {
				case <-s.more:
					continue
				default:
					return
				}
			}
			select {
			case <-s.more:
				continue
			case <-rest.C:
			}
			break
		}
		s.Close()
		if !once && !time.Now().Before(until) {
			return
		}
	}
}

// Publishers, producers and handlers feed a channel while the node is lost again and again.
// Every subscriber, quick, slow or restless, gets every message once, in the order of each
// shard, and nothing that is lost.
func TestLiveManyCrashes(t *testing.T) {
	bubble(t, "crashes", func(t *testing.T) {
		o := node.Options{CheckpointBytes: 10_000, Partitions: 4}
		service := func() *edda.Service {
			return ordered("h", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				return nil, errors.Join(ctx.Publish("c", messages(m.ID.String()+"=h")...), ctx.Append(&edda.Append{Stream: "s1", Shard: m.To.Key, Messages: messages(m.ID.String() + "=h")}))
			})
		}
		d := newDisk()
		n := d.open(t, o, service())
		setChannel(t, n, edda.ChannelSpec{Name: "c", From: []edda.ChannelSource{{Stream: "s1"}, {Stream: "s2"}}})
		stop(t, n)
		rng := randFor(t)
		hearers := []*hearing{{}, {slow: 300 * time.Microsecond}, {early: true}, {slow: 10 * time.Microsecond}}
		for _, h := range hearers {
			h.from = edda.FromStart
		}
		for round := range 6 {
			n := d.open(t, o, service())
			until := time.Now().Add(time.Duration(1+rng.IntN(2000)) * time.Microsecond)
			var feeders, readers sync.WaitGroup
			for i := range 4 {
				feeders.Go(func() { feedChannel(t, n, i, round, until.Add(time.Millisecond)) })
			}
			for _, h := range hearers {
				readers.Go(func() { h.hear(t, n, until) })
			}
			readers.Wait()
			left := &disk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})}
			feeders.Wait()
			_ = n.Stop(ended(t))
			d = left
		}
		n = d.open(t, o, service())
		defer stop(t, n)
		synctest.Wait()
		want := map[string]uint64{}
		for _, name := range []string{"s1", "s2", edda.ChannelStream("c")} {
			for shard, end := range node.Ends(t, n, name) {
				want[strings.TrimPrefix(name, edda.ChannelStream("c"))+"/"+shard] = end
			}
		}
		for i, h := range hearers {
			h.slow, h.early = 0, false
			h.hear(t, n, time.Now())
			next := map[string]uint64{}
			for _, at := range h.got {
				shard, offset, _ := strings.Cut(at, ":")
				if fmt.Sprint(next[shard]) != offset {
					t.Fatalf("subscriber %d: %s comes after offset %d", i, at, next[shard])
				}
				next[shard]++
			}
			if fmt.Sprint(next) != fmt.Sprint(want) {
				t.Errorf("subscriber %d heard %v, want %v", i, next, want)
			}
		}
		if len(hearers[0].got) < 100 {
			t.Errorf("%d messages: nothing was tested", len(hearers[0].got))
		}
	})
}

func feedChannel(t *testing.T, n *node.Node, by, round int, until time.Time) {
	for i := 0; time.Now().Before(until); i++ {
		a := &edda.Append{Channel: "c", Messages: messages(fmt.Sprintf("%d-%d-%d=x", round, by, i))}
		shard := fmt.Sprint("s", i*i%5)
		switch by {
		case 0:
			_, _ = n.Client().Send(t.Context(), msg("h/"+shard, "h", ""))
		case 1, 2:
			a.Channel, a.Stream, a.Shard = "", fmt.Sprint("s", by), shard
			fallthrough
		default:
			_, _ = n.Append(t.Context(), a)
		}
		time.Sleep(time.Duration(by+1) * 13 * time.Microsecond)
	}
}

// A stream that feeds a channel is removed and made again while producers append to it. Who
// listens gets nothing twice, nothing out of order, and all of the last one.
func TestLiveDeletes(t *testing.T) {
	bubble(t, "deletes", func(t *testing.T) {
		n := start(t, node.Options{CheckpointBytes: 5_000})
		setChannel(t, n, edda.ChannelSpec{Name: "c", From: []edda.ChannelSource{{Stream: "s"}}})
		rng := randFor(t)
		h := &hearing{from: edda.FromStart, gaps: true}
		stopped, all := make(chan struct{}), sync.WaitGroup{}
		all.Go(func() {
			for {
				select {
				case <-stopped:
					return
				default:
					h.hear(t, n, time.Now().Add(time.Millisecond))
				}
			}
		})
		const streams = 40
		for made := range streams {
			var producers sync.WaitGroup
			for i, count := range []int{rng.IntN(20), rng.IntN(20), rng.IntN(20)} {
				producers.Go(func() {
					for range count {
						putAll(t, n, &edda.Append{Stream: "s", Shard: fmt.Sprint("s", i), Messages: messages(fmt.Sprint(made))})
						time.Sleep(time.Duration(20*i) * time.Microsecond)
					}
				})
			}
			producers.Wait()
			if err := n.DeleteStream(t.Context(), "", "s"); err != nil && edda.ReasonOf(err) != edda.NoStream {
				t.Fatal(err)
			}
		}
		put(t, n, "s", slices.Repeat([]string{fmt.Sprint(streams)}, 3)...)
		close(stopped)
		all.Wait()
		h.hear(t, n, time.Now())
		of, next := 0, map[string]uint64{}
		for _, m := range h.all {
			made, err := strconv.Atoi(string(m.Message.Payload))
			if err != nil || made < of {
				t.Fatalf("a message of stream %d, %v, comes after one of stream %d", made, err, of)
			}
			if made > of {
				of = made
				clear(next)
			}
			if m.Message.Offset != next[m.Message.Shard] {
				t.Fatalf("message %d of shard %s of stream %d comes after message %d", m.Message.Offset, m.Message.Shard, made, next[m.Message.Shard])
			}
			next[m.Message.Shard]++
		}
		if of != streams || next[edda.DefaultShard] != 3 || len(h.all) < 100 {
			t.Errorf("of the last stream came %d messages, of all %d", next[edda.DefaultShard], len(h.all))
		}
	})
}

// A thousand subscribers all get everything in order, and one that takes nothing holds up
// none of them; what it missed is there for it later.
func TestThousandSubscribers(t *testing.T) {
	bubble(t, "thousand", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		n := start(t, node.Options{Metrics: reg})
		setChannel(t, n, edda.ChannelSpec{Name: "c", History: edda.History{Count: 5000}})
		const count, subscribers = 3000, 1000 // more messages than a ring has
		slow := subscribes(t, n, edda.Subscribe{Channel: "c"})
		var all sync.WaitGroup
		for range subscribers {
			s := subscribes(t, n, edda.Subscribe{Channel: "c"})
			all.Go(func() {
				for got := uint64(0); got < count; {
					b, err := s.Take(t.Context(), 100)
					if err != nil {
						t.Error(err)
						return
					}
					for _, m := range b.Messages {
						if m.Message.Offset != got {
							t.Errorf("got offset %d, want %d", m.Message.Offset, got)
							return
						}
						got++
					}
					if len(b.Messages) == 0 {
						<-s.more
					}
				}
			})
		}
		var publishers sync.WaitGroup
		for range 3 {
			publishers.Go(func() {
				for range count / 3 / 10 {
					publish(t, n, "c", slices.Repeat([]string{"x"}, 10)...)
					time.Sleep(time.Millisecond) // when everybody waits
				}
			})
		}
		publishers.Wait()
		all.Wait()
		if walked := metric(t, reg, "edda_live_walked_total", ""); walked > count {
			t.Errorf("%v messages were read from where they are stored", walked)
		}
		if got := slow.take(t); len(got) != count {
			t.Errorf("the slow one got %d", len(got))
		}
		for name, want := range map[string]float64{
			"edda_live_subscriptions": subscribers + 1, "edda_live_topics": 1, "edda_live_messages_total": count,
			"edda_live_delivered_total": count * (subscribers + 1), "edda_live_delivered_bytes_total": count * (subscribers + 1), "edda_live_withheld_total": 0,
		} {
			if got := metric(t, reg, name, ""); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if walked := metric(t, reg, "edda_live_walked_total", ""); walked < count/2 {
			t.Errorf("the slow one read %v messages from where they are stored", walked)
		}
	})
}

// To give a message to one more subscriber costs no memory.
func TestDeliveryAllocatesLittle(t *testing.T) {
	n := start(t, node.Options{Partitions: 1})
	setChannel(t, n, edda.ChannelSpec{Name: "c"})
	const subscribers, rounds, batch = 200, 50, 10
	subs := make([]*subscriber, subscribers)
	for i := range subs {
		subs[i] = subscribes(t, n, edda.Subscribe{Channel: "c"})
	}
	payloads := slices.Repeat([]string{"x"}, batch)
	ctx := t.Context()
	allocs := testing.AllocsPerRun(rounds, func() {
		if _, err := n.Append(ctx, &edda.Append{Channel: "c", Messages: messages(payloads...)}); err != nil {
			t.Error(err)
		}
		for _, s := range subs {
			for got := 0; got < batch; {
				b, err := s.Take(ctx, 100)
				if err != nil {
					t.Error(err)
					return
				}
				if got += len(b.Messages); len(b.Messages) == 0 {
					<-s.more
				}
			}
		}
	})
	if each := allocs / (subscribers * batch); each > 0.3 {
		t.Errorf("a message that is delivered allocates %.2f times", each)
	} else {
		t.Logf("%.3f allocations for each message that is delivered", each)
	}
}
