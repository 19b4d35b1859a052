package wsgw

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/edda-io/edda"
)

func TestSubscriptions(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{})
		w.live.gap = true
		c := w.dialTo(t, "/v1/ns/shop/live")
		c.send(`{"op":"subscribe","ref":3,"channel":"room","patterns":["a.:b","c"],"from":"start"}`)
		c.want(`{"op":"subscribed","ref":3,"patterns":["a.:b","c"],"from":"p-begin","gap":true}`)
		s := w.live.sub()
		if got := fmt.Sprint(s.want.Namespace, s.want.Channel, s.want.Stream, s.want.Patterns, s.want.From, s.want.Ephemeral, s.want.Principal, s.want.Presence == nil); got !=
			"shoproom[a.:b c]startfalseanonymoustrue" {
			t.Errorf("got %s", got)
		}
		for i := range 3 {
			w.live.publish(message(i, `{"n":1}`))
			c.want(fmt.Sprintf(`{"op":"message","ref":3,"shard":"default","offset":%d,"id":"m%d","type":"t","data":{"n":1},"from":"p%d","principal":"anonymous"}`, i, i, i))
		}
		fed := message(4, "1")
		fed.Message.Stream = "orders"
		w.live.publish(fed)
		c.want(`{"op":"message","ref":3,"stream":"orders","offset":4}`)

		c.send(`{"op":"subscribe","ref":3,"patterns":["d"]}`)
		c.want(`{"op":"subscribed","ref":3,"patterns":["a.:b","c","d"],"from":"*"}`)
		c.send(`{"op":"unsubscribe","ref":3,"patterns":["c"]}`)
		c.want(`{"op":"unsubscribed","ref":3,"patterns":["a.:b","d"]}`)
		c.send(`{"op":"unsubscribe","ref":3,"patterns":["a.:b","d"]}`)
		c.want(`{"op":"unsubscribed","ref":3,"patterns":[]}`)
		settled(t, "the subscription is closed", func() bool { return w.live.open() == 0 })

		c.send(`{"op":"subscribe","ref":3,"stream":"s"}`, `{"op":"unsubscribe","ref":3}`)
		c.want(`{"op":"subscribed","ref":3,"patterns":[]}`)
		c.want(`{"op":"unsubscribed","ref":3,"patterns":[]}`)
		c.alive()
	})
}

func TestEphemeralSubscriptions(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{})
		c := w.dial(t)
		c.send(`{"op":"subscribe","ref":1,"channel":"room","patterns":["t","u"],"lifespan":"ephemeral"}`)
		c.want(`{"op":"subscribed","ref":1,"patterns":["t","u"]}`)
		w.live.publish(message(1, "1"))
		c.want(`{"op":"message","ref":1,"offset":1}`)
		c.want(`{"op":"unsubscribed","ref":1,"patterns":["u"]}`)
		m := message(2, "2")
		m.Message.Type = "u"
		w.live.publish(m)
		c.want(`{"op":"message","ref":1,"offset":2}`)
		c.want(`{"op":"unsubscribed","ref":1,"patterns":[]}`)
		settled(t, "the subscription is closed", func() bool { return w.live.open() == 0 })
		c.send(`{"op":"credit","ref":1,"n":1}`)
		c.want(`{"op":"error","ref":1,"reason":"BAD_VALUE"}`)
	})
}

// A subscription gets no more than it has credit for; the rest stays where it is.
func TestCredit(t *testing.T) {
	w := start(t, Options{})
	c := w.dial(t)
	c.send(`{"op":"subscribe","ref":1,"channel":"room","credit":2}`)
	c.want(`{"op":"subscribed","ref":1}`)
	for i := range 200 {
		w.live.publish(message(i, "1"))
	}
	next := 0
	want := func(n int) {
		t.Helper()
		for range n {
			c.want(fmt.Sprintf(`{"op":"message","ref":1,"offset":%d}`, next))
			next++
		}
		c.alive() // and no more
	}
	want(2)
	s := w.live.sub()
	s.setBehind(1 << 40) // it may not take it, so it is not slow
	c.send(`{"op":"credit","ref":1,"n":1}`)
	want(1)
	c.send(`{"op":"credit","ref":1,"n":100}`, `{"op":"credit","ref":1,"n":10}`)
	want(110)
	s.setBehind(0)
	c.send(`{"op":"credit","ref":1,"n":1000000000}`)
	want(87)
	s.mu.Lock()
	taken := s.taken
	s.mu.Unlock()
	if taken != 200 {
		t.Errorf("%d were taken", taken)
	}
}

// Credit that comes while messages are taken without a limit is not spent on those.
func TestFirstCredit(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{})
		c := w.dial(t)
		c.send(`{"op":"subscribe","ref":1,"channel":"room"}`)
		c.want(`{"op":"subscribed","ref":1}`)
		s := w.live.sub()
		takes := func(n int) func() bool {
			return func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.takes == n
			}
		}
		settled(t, "the end is reached", takes(1))
		hold := make(chan struct{})
		s.mu.Lock()
		s.hold = hold
		s.mu.Unlock()
		for i := range 2 {
			w.live.publish(message(i, "1"))
		}
		settled(t, "messages are taken", takes(2))
		c.send(`{"op":"credit","ref":1,"n":1}`, `{"op":"ping"}`)
		settled(t, "the credit is read", func() bool { return testutil.ToFloat64(w.g.metrics.framesIn) == 3 })
		for i := range 100 {
			w.live.publish(message(2+i, "1"))
		}
		close(hold)
		const first = takeAtOnce // nothing bounded these
		for i := range first {
			c.want(fmt.Sprintf(`{"op":"message","ref":1,"offset":%d}`, i))
		}
		c.want(`{"op":"pong"}`)
		c.want(fmt.Sprintf(`{"op":"message","ref":1,"offset":%d}`, first))
		c.alive() // and no more
	})
}

func TestCreditIsAddedWithPatterns(t *testing.T) {
	w := start(t, Options{})
	c := w.dial(t)
	c.send(`{"op":"subscribe","ref":1,"channel":"room","patterns":["t"],"credit":0}`)
	c.want(`{"op":"subscribed","ref":1}`)
	w.live.publish(message(1, "1"))
	c.alive()
	c.send(`{"op":"subscribe","ref":1,"channel":"room","patterns":["u"],"credit":1}`)
	c.want(`{"op":"subscribed","ref":1,"patterns":["t","u"]}`)
	c.want(`{"op":"message","ref":1,"offset":1}`)
}

// Subscriptions of one connection take turns.
func TestSubscriptionsTakeTurns(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{})
		c := w.dial(t)
		c.send(`{"op":"subscribe","ref":1,"channel":"a"}`)
		c.want(`{"op":"subscribed","ref":1}`)
		first := w.live.sub()
		synctest.Wait() // the first look for messages is over
		hold := make(chan struct{})
		first.mu.Lock()
		first.hold = hold
		first.mu.Unlock()
		c.send(`{"op":"subscribe","ref":2,"channel":"b","credit":0}`)
		c.want(`{"op":"subscribed","ref":2}`)
		const n = 10 * takeAtOnce
		for i := range n {
			w.live.publish(message(i, "1"))
		}
		c.send(`{"op":"credit","ref":2,"n":1000}`, `{"op":"ping"}`)
		settled(t, "the frames are read", func() bool { return testutil.ToFloat64(w.g.metrics.framesIn) == 4 })
		close(hold)
		last, run := "", 0
		for range 2*n + 1 {
			f, err := c.read()
			switch ref := fmt.Sprint(f["ref"]); {
			case err != nil:
				t.Fatal(err)
			case f["op"] == "pong":
			case ref == last:
				run++
			default:
				last, run = ref, 1
			}
			if run > takeAtOnce {
				t.Fatalf("subscription %s had %d in a row", last, run)
			}
		}
	})
}

func TestPresence(t *testing.T) {
	w := start(t, Options{})
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.live.present = []edda.Presence{{Principal: "ada", Since: since}}
	c := w.dial(t)
	c.send(`{"op":"subscribe","ref":1,"channel":"room","presence":true}`)
	c.want(`{"op":"subscribed","ref":1}`)
	c.want(`{"op":"join","ref":1,"principal":"ada","since":"2026-01-02T03:04:05Z"}`)
	s := w.live.sub()
	s.want.Presence(edda.Presence{Principal: "bob", Since: since}, true)
	s.want.Presence(edda.Presence{Principal: "bob", Since: since}, false)
	c.want(`{"op":"join","ref":1,"principal":"bob","since":"*"}`)
	c.want(`{"op":"leave","ref":1,"principal":"bob","since":"*"}`)
	c.send(`{"op":"unsubscribe","ref":1}`)
	c.want(`{"op":"unsubscribed","ref":1}`)
	s.want.Presence(edda.Presence{Principal: "eve", Since: since}, true)
	c.alive()
}

func TestSubscriptionsThatAreRefused(t *testing.T) {
	w := start(t, Options{MaxSubscriptions: 2})
	c := w.dial(t)
	w.live.refuse = &edda.Error{Op: "subscribe to room", Reason: edda.NoChannel, Err: errors.New("there is no such channel")}
	c.send(`{"op":"subscribe","ref":1,"channel":"room"}`)
	c.want(`{"op":"error","ref":1,"code":"not_found","reason":"NO_CHANNEL","detail":"there is no such channel"}`)
	w.live.refuse = &edda.Error{Reason: edda.NotAllowed, Err: errors.New("by the interceptor")} // which is no matter of credentials
	c.send(`{"op":"subscribe","ref":1,"channel":"room"}`)
	c.want(`{"op":"error","ref":1,"reason":"NOT_ALLOWED"}`)
	w.live.refuse = nil
	c.send(`{"op":"subscribe","ref":1,"channel":"a"}`, `{"op":"subscribe","ref":2,"channel":"b"}`, `{"op":"subscribe","ref":3,"channel":"c"}`)
	c.want(`{"op":"subscribed","ref":1}`)
	c.want(`{"op":"subscribed","ref":2}`)
	c.want(`{"op":"error","ref":3,"reason":"OVERLOADED"}`)
	w.live.sub().end(&edda.Error{Reason: edda.NoChannel, Err: errors.New("it was deleted")})
	c.want(`{"op":"error","ref":2,"reason":"NO_CHANNEL","detail":"it was deleted"}`)
	c.send(`{"op":"subscribe","ref":2,"channel":"c"}`) // its ref and its room are free
	c.want(`{"op":"subscribed","ref":2}`)
}

func TestManyPatterns(t *testing.T) {
	c := start(t, Options{}).dial(t)
	patterns := `["p` + strings.Repeat(`","p`, edda.MaxPatterns-1) + `"]`
	for i := range maxPatternsOfAll / edda.MaxPatterns {
		c.send(fmt.Sprintf(`{"op":"subscribe","ref":%d,"channel":"a","patterns":%s}`, i, patterns))
		c.want(`{"op":"subscribed"}`)
	}
	c.send(`{"op":"subscribe","ref":"x","channel":"a","patterns":["p"]}`)
	c.want(`{"op":"error","ref":"x","reason":"OVERLOADED"}`)
	c.send(`{"op":"subscribe","ref":"x","channel":"a","patterns":` + strings.Replace(patterns, `"]`, `","p"]`, 1) + `}`)
	c.want(`{"op":"error","ref":"x","reason":"BAD_VALUE"}`)
}

// A broken connection ends its subscriptions.
func TestSubscriptionsEndWithTheirConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{})
		c := w.dial(t)
		c.send(`{"op":"subscribe","ref":1,"channel":"a"}`, `{"op":"subscribe","ref":2,"stream":"b"}`)
		c.want(`{"op":"subscribed","ref":1}`)
		c.want(`{"op":"subscribed","ref":2}`)
		_ = c.ws.CloseNow()
		settled(t, "they are closed", func() bool { return w.live.open() == 0 })
		if s := w.live.sub(); s.closed != 1 {
			t.Errorf("it was closed %d times", s.closed)
		}
	})
}
