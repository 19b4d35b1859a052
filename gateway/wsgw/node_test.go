package wsgw

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/edda-io/edda"
)

// listener follows a channel over connections that break again and again.
type listener struct {
	w    *world
	rng  *rand.Rand
	from string
	next map[string]uint64 // by stream and shard
	got  int
}

// errTorn: the listener broke the connection itself.
var errTorn = errors.New("torn")

// follow reads over one connection until the listener has had enough of it, or has got all.
func (l *listener) follow(ctx context.Context, all int) error {
	ws, _, err := websocket.Dial(ctx, l.w.url("/v1/live"), &websocket.DialOptions{Subprotocols: []string{Subprotocol}}) //nolint:bodyclose // the connection has it
	if err != nil {
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	credit := 1 + l.rng.IntN(50)
	sub, err := json.Marshal(map[string]any{"op": "subscribe", "ref": 1, "channel": "room", "from": cmp.Or(l.from, "start"), "credit": credit})
	if err != nil {
		return err
	}
	if err := ws.Write(ctx, websocket.MessageText, sub); err != nil {
		return err
	}
	for patience := l.rng.IntN(200); l.got < all; patience-- {
		if patience < 0 {
			return errTorn
		}
		_, b, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		var f struct {
			Op, Stream, Shard, From string
			Offset                  uint64
		}
		if err := json.Unmarshal(b, &f); err != nil {
			return err
		}
		switch f.Op {
		case "subscribed":
			l.from = f.From
			continue
		case "message":
		default:
			return fmt.Errorf("got %s", b)
		}
		place := f.Stream + "/" + f.Shard
		if want := l.next[place]; f.Offset != want {
			return fmt.Errorf("got offset %d of %s, want %d", f.Offset, place, want)
		}
		l.next[place]++
		l.from = f.From
		l.got++
		if credit--; credit == 0 {
			credit = 1 + l.rng.IntN(50)
			if err := ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"op":"credit","ref":1,"n":%d}`, credit)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Whoever goes on from where it was gets each message once and in order, however often its
// connection breaks.
func TestExactlyOnceOverReconnects(t *testing.T) {
	w := startReal(t, Options{})
	for _, name := range []string{"orders", "users"} {
		if _, _, err := w.node.SetStream(t.Context(), edda.StreamSpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.node.SetChannel(t.Context(), edda.ChannelSpec{
		Name: "room", From: []edda.ChannelSource{{Stream: "orders"}, {Stream: "users", Patterns: []string{"user.:what"}}},
		History: edda.History{Count: 1_000_000},
	}); err != nil {
		t.Fatal(err)
	}
	const each, listeners = 300, 6
	sources := []edda.Append{
		{Channel: "room"}, {Stream: "orders"}, {Stream: "orders", Shard: "b"}, {Stream: "users", Shard: "c"},
	}
	var wg sync.WaitGroup
	for _, a := range sources {
		wg.Go(func() {
			for i := range each {
				a := a
				a.Messages = []edda.StreamMessage{{Type: "user.made", Payload: fmt.Append(nil, i)}}
				if _, err := w.node.Append(t.Context(), &a); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range listeners {
		seed := rand.Uint64()
		l := &listener{w: w, rng: rand.New(rand.NewPCG(seed, uint64(i))), next: map[string]uint64{}}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // for all of it
			defer cancel()
			for {
				err := l.follow(ctx, each*len(sources))
				if errors.Is(err, errTorn) {
					continue
				}
				if err != nil {
					t.Errorf("seed %d: after %d messages: %v", seed, l.got, err)
				}
				return
			}
		})
	}
	wg.Wait()
}

func TestPatternsAndPresence(t *testing.T) {
	k := newKeys()
	k.set("t-ada", everything("ada"))
	k.set("t-bob", everything("bob"))
	w := startReal(t, Options{Authenticator: k})
	if _, _, err := w.node.SetChannel(t.Context(), edda.ChannelSpec{Name: "room"}); err != nil {
		t.Fatal(err)
	}
	ada := w.dial(t, "Authorization", "Bearer t-ada")
	ada.send(`{"op":"subscribe","ref":1,"channel":"room","patterns":["a.:x","a.b"],"presence":true}`)
	ada.want(`{"op":"subscribed","ref":1,"patterns":["a.:x","a.b"]}`)
	ada.want(`{"op":"join","ref":1,"principal":"ada"}`)
	bob := w.dial(t, "Authorization", "Bearer t-bob")
	bob.send(`{"op":"subscribe","ref":"b","channel":"room","patterns":["c"],"lifespan":"ephemeral","presence":true}`)
	bob.want(`{"op":"subscribed","ref":"b"}`)
	bob.wantAll(`{"op":"join","ref":"b","principal":"ada"}`, `{"op":"join","ref":"b","principal":"bob"}`)
	ada.want(`{"op":"join","ref":1,"principal":"bob"}`)
	for i, typ := range []string{"a.b", "c", "a", "a.c", "c", "a.b.c"} {
		ada.send(fmt.Sprintf(`{"op":"publish","ref":"p%d","channel":"room","type":"%s","data":%d}`, i, typ, i))
	}
	ada.wantAll(`{"op":"ack","ref":"p0"}`, `{"op":"ack","ref":"p1"}`, `{"op":"ack","ref":"p2"}`, `{"op":"ack","ref":"p3"}`, `{"op":"ack","ref":"p4"}`, `{"op":"ack","ref":"p5"}`,
		`{"op":"message","ref":1,"type":"a.b","principal":"ada","data":0}`, `{"op":"message","ref":1,"type":"a.c","data":3}`, `{"op":"leave","ref":1,"principal":"bob"}`)
	bob.want(`{"op":"message","ref":"b","type":"c","data":1}`)
	bob.want(`{"op":"unsubscribed","ref":"b","patterns":[]}`)
	bob.alive()
	if err := w.node.DeleteChannel(t.Context(), "", "room"); err != nil {
		t.Fatal(err)
	}
	ada.want(`{"op":"error","ref":1,"reason":"NO_CHANNEL"}`)
	ada.alive()
}

// A stream's subscription covers all of its shards, from a point on.
func TestStreamSubscription(t *testing.T) {
	w := startReal(t, Options{})
	c := w.dial(t)
	c.send(`{"op":"subscribe","ref":1,"stream":"s"}`)
	c.want(`{"op":"error","ref":1,"reason":"NO_STREAM"}`)
	c.send(`{"op":"append","ref":2,"stream":"s","shard":"a","type":"t","data":1}`, `{"op":"append","ref":3,"stream":"s","shard":"b","type":"t","data":2}`)
	c.want(`{"op":"ack","ref":2}`)
	c.want(`{"op":"ack","ref":3}`)
	c.send(`{"op":"subscribe","ref":1,"stream":"s","from":"start"}`)
	c.want(`{"op":"subscribed","ref":1,"patterns":[]}`)
	first := c.want(`{"op":"message","ref":1,"stream":"s","shard":"a","offset":0,"data":1}`)
	c.want(`{"op":"message","ref":1,"stream":"s","shard":"b","offset":0,"data":2}`)
	c.send(fmt.Sprintf(`{"op":"subscribe","ref":"again","stream":"s","from":%q}`, first["from"]))
	c.want(`{"op":"subscribed","ref":"again"}`)
	c.want(`{"op":"message","ref":"again","shard":"b","offset":0}`)
	c.send(`{"op":"subscribe","ref":4,"stream":"s","from":"nowhere"}`)
	c.want(`{"op":"error","ref":4,"reason":"BAD_VALUE"}`)
	c.send(`{"op":"subscribe","ref":4,"stream":"edda.channel.room"}`)
	c.want(`{"op":"error","ref":4}`)
}
