package wsgw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/edda-io/edda"
)

func TestCalls(t *testing.T) {
	say := edda.NewBalanced("say")
	say.Add(edda.Method{Name: "hello", Handler: func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		r := &edda.Reply{Status: 201, ContentType: "text/plain", Payload: []byte("hi \"" + m.Headers.Get("Name") + "\"")}
		r.Headers = edda.Headers{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "Connection", Value: "close"}, {Name: "Edda-Position", Value: "9"}}
		return r, nil
	}})
	say.Add(edda.Method{Name: "bytes", Handler: func(*edda.Context, *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{ContentType: "application/octet-stream", Payload: []byte("\xff\x00")}, nil
	}})
	say.Add(edda.Method{Name: "nothing", Handler: func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, nil }})
	say.Add(edda.Method{Name: "no", Handler: func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, edda.Final("NO_WAY", "no") }})
	say.Add(edda.Method{Name: "who", Handler: func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return edda.TextReply(200, string(m.Principal)+" "+m.CorrelationID+" "+m.ContentType+" "+m.TraceParent[:35]), nil
	}})
	w := start(t, Options{}, say)
	for _, tc := range []struct{ name, frame, reply string }{
		{"JSON", `"service":"echo","method":"x","data":{"a":[1,2.50]}`, `{"op":"reply","ref":1,"status":200,"contentType":"application/json","attempts":1,"data":{"a":[1,2.50]}}`},
		{"text", `"service":"echo","method":"x","data":"a\n\u0000"`, `{"op":"reply","ref":1,"status":200,"data":"a\n\u0000"}`},
		{"a JSON string", `"service":"echo","method":"x","contentType":"application/json","data":"a"`, `{"op":"reply","ref":1,"status":200,"data":"a","contentType":"application/json"}`},
		{"bytes", `"service":"echo","method":"x","contentType":"image/png","dataBase64":"/wA="`, `{"op":"reply","ref":1,"status":200,"dataBase64":"/wA="}`},
		{"nothing", `"service":"echo","method":"x"`, `{"op":"reply","ref":1,"status":204}`},
		{"status and headers", `"service":"say","method":"hello","headers":{"Name":"you"}`, `{"op":"reply","ref":1,"status":201,"contentType":"text/plain","headers":{"X-A":"1, 2"},"data":"hi \"you\""}`},
		{"bytes back", `"service":"say","method":"bytes"`, `{"op":"reply","ref":1,"status":200,"dataBase64":"/wA="}`},
		{"nothing back", `"service":"say","method":"nothing"`, `{"op":"reply","ref":1,"status":204}`},
		{"a key", `"service":"counter","key":"a/b","method":"add","data":{"n":3}`, `{"op":"reply","ref":1,"status":200,"data":{"value":3}}`},
		{"a handler's status", `"service":"users","key":"u","method":"login","data":{"email":"x"}`, `{"op":"reply","ref":1,"status":403,"data":"forbidden"}`},
		{"an error", `"service":"say","method":"no"`, `{"op":"error","ref":1,"code":"aborted","reason":"FAILED","id":"*","position":"*","attempts":1}`},
		{
			"context", `"service":"say","method":"who","data":1,"correlationId":"c1","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","deadline":"1m"`,
			`{"op":"reply","ref":1,"data":"anonymous c1 application/json 00-0af7651916cd43dd8448eb211c80319c"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := w.dial(t)
			c.send(`{"op":"call","ref":1,` + tc.frame + `}`)
			c.want(`{"op":"ack","ref":1,"id":"*","position":"*"}`)
			c.want(tc.reply)
			c.alive()
		})
	}
	t.Run("without an ack", func(t *testing.T) {
		c := w.dial(t)
		c.send(`{"op":"call","ref":1,"service":"counter","key":"quiet","method":"add","data":{"n":3},"ack":false}`)
		c.want(`{"op":"reply","ref":1,"id":"*","position":"*","status":200,"data":{"value":3}}`)
		c.send(`{"op":"call","ref":1,"service":"say","method":"no","ack":false}`)
		c.want(`{"op":"error","ref":1,"reason":"FAILED","id":"*","position":"*"}`)
		c.alive()
	})
	for _, tc := range []struct{ name, frame, answer string }{
		{"no service", `"service":"nobody","method":"x"`, `{"op":"error","ref":1,"reason":"NO_SERVICE","retryAfter":"*"}`},
		{"no method", `"service":"say","method":"x"`, `{"op":"error","ref":1,"reason":"NO_METHOD"}`},
		{"the deadline is over", `"service":"echo","method":"x","deadline":"-1s"`, `{"op":"error","ref":1,"reason":"DEADLINE"}`},
		{"the deadline is now", `"service":"echo","method":"x","deadline":"0s"`, `{"op":"error","ref":1,"reason":"DEADLINE"}`},
		{"the deadline is long over", `"service":"echo","method":"x","deadline":"0001-01-01T00:00:00Z"`, `{"op":"error","ref":1,"reason":"DEADLINE"}`},
		{"a name that is none", `"service":"a b","method":"x"`, `{"op":"error","ref":1,"reason":"BAD_NAME"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := w.dial(t)
			c.send(`{"op":"call","ref":1,` + tc.frame + `}`)
			c.want(tc.answer)
			c.alive()
		})
	}
}

func TestIdempotentCallsReplay(t *testing.T) {
	w := start(t, Options{})
	frame := `{"op":"call","ref":1,"service":"counter","key":"k","method":"add","data":{"n":1},"idempotencyKey":"once"}`
	var first map[string]any
	for i := range 3 {
		c := w.dial(t) // each over a connection of its own
		c.send(frame)
		ack := c.want(`{"op":"ack","ref":1}`)
		reply := c.want(`{"op":"reply","ref":1,"status":200,"data":{"value":1},"attempts":1}`)
		if i == 0 {
			first = ack
			continue
		}
		if ack["id"] != first["id"] || ack["position"] != first["position"] || reply["replayed"] != true {
			t.Errorf("got %v and %v, want what the first one was, replayed", ack, reply)
		}
	}
	c := w.dial(t)
	c.send(strings.Replace(frame, `"n":1`, `"n":2`, 1))
	c.want(`{"op":"error","ref":1,"reason":"IDEMPOTENCY_MISMATCH"}`)
}

// The calls of one key are handled in the order in which they were sent, however many are
// on their way; those of others do not wait for them.
func TestCallsOfAKeyKeepTheirOrder(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{}
	list := edda.NewOrdered("list")
	list.Add(edda.Method{Name: "add", Handler: func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		mu.Lock()
		defer mu.Unlock()
		got[m.To.Key] = append(got[m.To.Key], string(m.Payload))
		return nil, nil
	}})
	w := start(t, Options{MaxCalls: 1000}, list)
	c := w.dial(t)
	const n = 300
	for i := range n {
		c.send(fmt.Sprintf(`{"op":"call","ref":%d,"service":"list","key":"k%d","method":"add","data":%d}`, i, i%3, i))
	}
	for range 2 * n {
		f, err := c.read()
		if err != nil || f["op"] != "ack" && f["op"] != "reply" {
			t.Fatal(f, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for k := range 3 {
		for i, v := range got[fmt.Sprintf("k%d", k)] {
			if want := fmt.Sprint(3*i + k); v != want {
				t.Fatalf("key %d: the %dth was %s, want %s", k, i, v, want)
			}
		}
	}
	if got := len(got["k0"]) + len(got["k1"]) + len(got["k2"]); got != n {
		t.Errorf("got %d calls, want %d", got, n)
	}
}

// gate is a service whose handlers wait until a test lets them go.
type gate struct {
	*edda.Service
	entered, open chan struct{}
	cancelled     chan struct{}
	done          chan string
}

func newGate() *gate {
	g := &gate{edda.NewOrdered("gate"), make(chan struct{}, 100), make(chan struct{}), make(chan struct{}, 100), make(chan string, 100)}
	g.Add(edda.Method{Name: "pass", Handler: func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		g.entered <- struct{}{}
		select {
		case <-g.open:
			g.done <- m.To.Key
			return edda.TextReply(200, "through"), nil
		case <-c.Done():
			g.cancelled <- struct{}{}
			return nil, c.Err()
		}
	}})
	return g
}

func TestCallsAreCancelled(t *testing.T) {
	g := newGate()
	w := start(t, Options{}, g.Service)
	c := w.dial(t)
	c.send(`{"op":"call","ref":1,"service":"gate","key":"a","method":"pass"}`)
	c.want(`{"op":"ack","ref":1}`)
	<-g.entered
	c.send(`{"op":"cancel","ref":1}`)
	c.want(`{"op":"error","ref":1,"code":"canceled","reason":"CANCELLED"}`)
	<-g.cancelled
	// At once, before it is known to be stored.
	c.send(`{"op":"call","ref":1,"service":"gate","key":"b","method":"pass"}`, `{"op":"cancel","ref":1}`)
	c.want(`{"op":"ack","ref":1}`)
	c.want(`{"op":"error","ref":1,"reason":"CANCELLED"}`)
	c.send(`{"op":"cancel","ref":1}`)
	c.want(`{"op":"error","ref":1,"reason":"NO_REQUEST"}`)
	close(g.open)
	c.alive()
}

func TestADisconnectCancelsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		g := newGate()
		w := start(Options{}, g.Service)
		c := w.dial(t)
		c.send(`{"op":"call","ref":1,"service":"gate","key":"a","method":"pass"}`, `{"op":"call","ref":2,"service":"gate","key":"a","method":"pass"}`)
		c.want(`{"op":"ack","ref":1}`)
		c.want(`{"op":"ack","ref":2}`)
		<-g.entered
		_ = c.ws.CloseNow()
		settled(t, "the connection is gone", func() bool {
			w.g.mu.Lock()
			defer w.g.mu.Unlock()
			return len(w.g.live) == 0
		})
		close(g.open)
		for range 2 {
			if key := <-g.done; key != "a" {
				t.Errorf("got %q", key)
			}
		}
	})
}

func TestTooManyCallsUnderWay(t *testing.T) {
	g := newGate()
	w := start(t, Options{MaxCalls: 2}, g.Service)
	c := w.dial(t)
	c.send(`{"op":"call","ref":1,"service":"gate","key":"a","method":"pass"}`, `{"op":"call","ref":2,"service":"gate","key":"b","method":"pass"}`)
	c.wantAll(`{"op":"ack","ref":1}`, `{"op":"ack","ref":2}`)
	c.send(`{"op":"call","ref":3,"service":"gate","key":"c","method":"pass"}`)
	c.want(`{"op":"error","ref":3,"reason":"OVERLOADED"}`)
	close(g.open)
	c.wantAll(`{"op":"reply","ref":1}`, `{"op":"reply","ref":2}`)
	c.send(`{"op":"call","ref":3,"service":"gate","key":"c","method":"pass"}`)
	c.want(`{"op":"ack","ref":3}`)
	c.want(`{"op":"reply","ref":3,"data":"through"}`)
}

func TestRepliesInParts(t *testing.T) {
	parts := edda.NewBalanced("parts")
	parts.Add(edda.Method{Name: "count", Handler: func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		for i := range 3 {
			if err := edda.Yield(c, i); err != nil {
				return nil, err
			}
		}
		return edda.TextReply(200, "done"), nil
	}})
	parts.Add(edda.Method{Name: "stop", Handler: func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		return nil, errors.Join(edda.Yield(c, 1), edda.Final("ENOUGH", "enough"))
	}})
	w := start(t, Options{}, parts)
	c := w.dial(t)
	c.send(`{"op":"call","ref":1,"service":"parts","method":"count","parts":true}`)
	c.want(`{"op":"ack","ref":1}`)
	for i := range 3 {
		c.want(fmt.Sprintf(`{"op":"part","ref":1,"number":"1.%d","attempt":1,"contentType":"application/json","data":%d}`, i+1, i))
	}
	c.want(`{"op":"reply","ref":1,"status":200,"data":"done"}`)
	c.send(`{"op":"call","ref":1,"service":"parts","method":"count"}`) // who does not ask gets the reply alone
	c.want(`{"op":"ack","ref":1}`)
	c.want(`{"op":"reply","ref":1,"status":200,"data":"done"}`)
}

// No reply reaches a socket that did not ask for it (D12), also when the refs are the same.
func TestRepliesGoToWhoAsked(t *testing.T) {
	w := start(t, Options{})
	const sockets, calls = 20, 50
	var wg sync.WaitGroup
	for s := range sockets {
		c := w.dial(t)
		wg.Go(func() {
			for i := range calls {
				f := fmt.Sprintf(`{"op":"call","ref":%d,"service":"echo","method":"x","data":"%d-%d"}`, i, s, i)
				if err := c.ws.Write(t.Context(), websocket.MessageText, []byte(f)); err != nil {
					t.Error(err)
					return
				}
			}
			for range 2 * calls {
				f, err := c.read()
				if err != nil {
					t.Error(err)
					return
				}
				if f["op"] == "reply" && f["data"] != fmt.Sprintf("%d-%s", s, f["ref"].(json.Number)) {
					t.Errorf("socket %d got %v", s, f)
				}
			}
		})
	}
	wg.Wait()
}

func TestDelayedCalls(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		w := start(Options{})
		c := w.dial(t)
		begin := time.Now()
		c.send(`{"op":"call","ref":1,"service":"echo","method":"x","delay":"100ms"}`, `{"op":"call","ref":2,"service":"echo","method":"x"}`)
		c.wantAll(`{"op":"ack","ref":1}`, `{"op":"ack","ref":2}`, `{"op":"reply","ref":2}`)
		c.want(`{"op":"reply","ref":1}`)
		if took := time.Since(begin); took != 100*time.Millisecond {
			t.Errorf("the reply came after %v, want 100ms", took)
		}
	})
}

// What a call that is under way is told when the node is drained.
func TestDrain(t *testing.T) {
	g := newGate()
	w := start(t, Options{}, g.Service)
	idle, busy := w.dial(t), w.dial(t)
	idle.alive()
	busy.send(`{"op":"call","ref":1,"service":"gate","key":"a","method":"pass"}`, `{"op":"subscribe","ref":"s","channel":"room"}`)
	busy.wantAll(`{"op":"ack","ref":1}`, `{"op":"subscribed","ref":"s"}`)
	<-g.entered
	drained := make(chan error, 1)
	go func() { drained <- w.g.Drain(context.WithoutCancel(t.Context())) }()
	idle.want(`{"op":"drain"}`)
	idle.wantClose(closeRestart)
	busy.want(`{"op":"drain"}`)
	busy.send(`{"op":"call","ref":2,"service":"echo","method":"x"}`, `{"op":"subscribe","ref":3,"channel":"room"}`, `{"op":"append","ref":4,"stream":"s","type":"t"}`)
	for _, ref := range []string{"2", "3", "4"} {
		busy.want(`{"op":"error","ref":` + ref + `,"reason":"DRAINING"}`)
	}
	if status, reason, _ := answered(t, handshake(t, w.url("/v1/live"))); status != 503 || reason != edda.Draining {
		t.Errorf("got %d %s for a new connection", status, reason)
	}
	w.live.publish(message(1, "1")) // goes on until the end
	busy.want(`{"op":"message","ref":"s","offset":1}`)
	close(g.open)
	busy.want(`{"op":"reply","ref":1,"data":"through"}`)
	busy.wantClose(closeRestart)
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
	if err := w.g.Drain(t.Context()); err != nil {
		t.Errorf("drain again: %v", err)
	}
}

func TestDrainDoesNotWaitForEver(t *testing.T) {
	g := newGate()
	w := start(t, Options{}, g.Service)
	c := w.dial(t)
	c.send(`{"op":"call","ref":1,"service":"gate","key":"a","method":"pass"}`)
	c.want(`{"op":"ack","ref":1}`)
	<-g.entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- w.g.Drain(ctx) }()
	c.want(`{"op":"drain"}`)
	c.wantClose(closeRestart)
	if err := <-drained; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v", err)
	}
	close(g.open)
	<-g.done // the call goes on
}
