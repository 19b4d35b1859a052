package wsgw

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/edda-io/edda"
)

func TestFlood(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{Rate: 1, Burst: 5})
		c := w.dial(t)
		for range 5 {
			c.send(`{"op":"ping"}`)
			c.want(`{"op":"pong"}`)
		}
		c.send(`{"op":"ping","ref":7}`)
		c.want(`{"op":"error","ref":7,"code":"resource_exhausted","reason":"RATE_LIMITED","retryAfter":"1s"}`)
		go func() {
			for c.ws.Write(t.Context(), websocket.MessageText, []byte(`{"op":"ping"}`)) == nil {
			}
		}()
		for {
			if _, err := c.read(); err != nil {
				if got := websocket.CloseStatus(err); got != closeNotAllowed {
					t.Errorf("got %v, want close %d", err, closeNotAllowed)
				}
				break
			}
		}
		w.dial(t).alive()
	})
}

func TestFloodOfPings(t *testing.T) {
	w := start(t, Options{Rate: 1, Burst: 5})
	c := w.rawDial(t)
	go func() {
		for {
			if _, err := c.conn.Write(frameBytes(fin|opPing, "x")); err != nil {
				return
			}
		}
	}()
	if got := c.closed(); got != closeNotAllowed {
		t.Errorf("got close %d, want %d", got, closeNotAllowed)
	}
}

// A client that reads nothing of its answers is not read from any more, and then given up;
// the others go on.
func TestWhoDoesNotReadIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		registry := prometheus.NewRegistry()
		w := start(Options{WriteTimeout: 200 * time.Millisecond, MaxBuffered: 64 << 10, Registerer: registry})
		c := w.rawDial(t)
		call := frameBytes(fin|opText, `{"op":"call","ref":1,"service":"echo","method":"x","data":"`+strings.Repeat("x", 1<<20)+`"}`)
		for {
			_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
			if _, err := c.conn.Write(call); err != nil {
				break
			}
		}
		settled(t, "it is gone", func() bool {
			w.g.mu.Lock()
			defer w.g.mu.Unlock()
			return len(w.g.live) == 0
		})
		w.dial(t).alive()
		if n := testutil.ToFloat64(w.g.metrics.ended.WithLabelValues("1006")); n != 1 {
			t.Errorf("%v connections broke", n)
		}
	})
}

// A subscriber that falls behind, though it has credit, is told and closed; the others go on.
func TestSlowSubscriber(t *testing.T) {
	w := start(t, Options{MaxBehind: 1000})
	slow := w.dial(t)
	slow.send(`{"op":"subscribe","ref":"s","channel":"room"}`)
	slow.want(`{"op":"subscribed","ref":"s"}`)
	w.live.sub().setBehind(1001)
	quick := w.dial(t)
	quick.send(`{"op":"subscribe","ref":"q","channel":"room"}`)
	quick.want(`{"op":"subscribed","ref":"q"}`)
	w.live.publish(message(1, "1"))
	slow.want(`{"op":"message","ref":"s"}`)
	slow.want(`{"op":"error","ref":"s","code":"resource_exhausted","reason":"SLOW"}`)
	slow.wantClose(closeTryLater)
	quick.want(`{"op":"message","ref":"q"}`)
	quick.alive()
}

// A connection whose other end is gone without a word is found out.
func TestHalfOpen(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{Ping: 30 * time.Millisecond})
		c := w.rawDial(t) // which answers no ping
		pings := 0
		for {
			first, _, err := c.frame()
			if err != nil {
				break
			}
			if first == fin|opPing {
				pings++
			}
		}
		if pings != 2 {
			t.Errorf("it was asked %d times, want 2", pings)
		}
	})
}

// Who answers pings stays, however long it is silent.
func TestSilentClientsStay(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{Ping: 200 * time.Millisecond})
		c := w.rawDial(t)
		for range 5 {
			for {
				first, payload, err := c.frame()
				if err != nil {
					t.Fatal(err)
				}
				if first == fin|opPing {
					c.write(frameBytes(fin|0xa, string(payload))...)
					break
				}
			}
		}
	})
}

func TestMetrics(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		registry := prometheus.NewRegistry()
		w := start(Options{Registerer: registry})
		c := w.dial(t)
		c.send(`{"op":"subscribe","ref":1,"channel":"room"}`, `{"op":"nope"}`)
		c.want(`{"op":"subscribed"}`)
		c.want(`{"op":"error"}`)
		m := w.g.metrics
		for name, got := range map[string]struct{ got, want float64 }{
			"connections": {testutil.ToFloat64(m.connections), 1}, "subscriptions": {testutil.ToFloat64(m.subscriptions), 1},
			"frames in": {testutil.ToFloat64(m.framesIn), 2}, "refused": {testutil.ToFloat64(m.frames.WithLabelValues("BAD_VALUE")), 1},
		} {
			if got.got != got.want {
				t.Errorf("%s: got %v, want %v", name, got.got, got.want)
			}
		}
		_ = c.ws.Close(websocket.StatusNormalClosure, "")
		settled(t, "it is counted", func() bool {
			return testutil.ToFloat64(m.ended.WithLabelValues("1000")) == 1 && testutil.ToFloat64(m.connections) == 0 && testutil.ToFloat64(m.subscriptions) == 0
		})
		answeredOver(t, w.transport(), handshake(t, w.url("/v1/live"), "Upgrade", ""))
		if n := testutil.ToFloat64(m.upgrades.WithLabelValues("BAD_VALUE")); n != 1 {
			t.Errorf("%v upgrades were refused", n)
		}
		if _, err := build(backends{}, Options{Registerer: registry}); err != nil {
			t.Errorf("a second gateway: %v", err)
		}
	})
}

// stuck is a backend that stores no call as long as somebody waits for it.
type stuck struct{ caller }

func (stuck) CallAcked(ctx context.Context, _ *edda.Message, _ func(*edda.Ack)) (*edda.Reply, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// Calls that wait for others of their key when the connection ends are not counted any more.
func TestMetricsOfCallsThatNeverGo(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{})
		w.g.calls = stuck{w.g.calls}
		c := w.dial(t)
		for ref := range 3 {
			c.send(fmt.Sprintf(`{"op":"call","ref":%d,"service":"gate","key":"a","method":"pass"}`, ref))
		}
		c.alive()
		m := w.g.metrics
		if n := testutil.ToFloat64(m.calls); n != 3 {
			t.Errorf("%v calls are under way", n)
		}
		_ = c.ws.Close(websocket.StatusNormalClosure, "")
		settled(t, "it is counted", func() bool { return testutil.ToFloat64(m.connections) == 0 })
		if n := testutil.ToFloat64(m.calls); n != 0 {
			t.Errorf("%v calls are under way when nobody is there", n)
		}
	})
}
