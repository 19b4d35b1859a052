package httpgw

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/node"
)

// TestChannelOfANode goes over all there is of a channel.
func TestChannelOfANode(t *testing.T) {
	g, _ := openStreams(t)
	const room = "/v1/ns/shop/channels/room"
	refused(t, g, edda.NoChannel, "POST", room, "x")
	refused(t, g, edda.NoChannel, "GET", room+"?from=start", "")
	want(t, g, 201, "PUT", room, `{"from":[{"stream":"orders","patterns":["paid.*"]}]}`)
	want(t, g, 200, "PUT", room, `{"from":[{"stream":"orders","patterns":["paid.:by"]}],"history":{"count":3}}`)
	want(t, g, 201, "PUT", "/v1/ns/shop/channels/side", "")
	_, w := want(t, g, 202, "POST", room, `{"n":1}`, "Content-Type: application/json", "Edda-Type: said", "Edda-Id: a")
	if w.Header().Get("Edda-Position") == "" || w.Header().Get("Edda-Durability") != "memory" {
		t.Errorf("got %v", w.Header())
	}
	again, w := want(t, g, 202, "POST", "/v1/ns/shop/channels/side", "x", "Edda-Id: a")
	same, w2 := want(t, g, 202, "POST", "/v1/ns/shop/channels/side", "x", "Edda-Id: a")
	if fmt.Sprint(same) != fmt.Sprint(again) || w.Header().Get("Idempotency-Replayed") != "" || w2.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("got %v, then %v, want the first answer again", again, same)
	}
	doc, _ := want(t, g, 202, "POST", "/v1/ns/shop/channels/side", `[{"id":"a"},{"id":"b"}]`, "Content-Type: "+batchMedia)
	if items := doc["items"].([]any); items[0].(obj)["replayed"] != true || items[0].(obj)["position"] != nil || items[1].(obj)["replayed"] != nil || items[1].(obj)["position"] == nil {
		t.Errorf("got %v", doc)
	}
	for _, kind := range []string{"paid.card", "sent", "paid.card.late"} {
		want(t, g, 201, "POST", "/v1/ns/shop/streams/orders", "x", "Edda-Type: "+kind, "Edda-Shard: "+kind)
	}
	doc, _ = want(t, g, 200, "GET", room+"/history?limit=1", "")
	first := doc["items"].([]any)[0].(obj)
	if first["id"] != "a" || first["type"] != "said" || first["data"].(obj)["n"] != 1.0 || first["stream"] != nil || first["principal"] != "anonymous" {
		t.Errorf("got %v", first)
	}
	doc, _ = want(t, g, 200, "GET", room+"/history?from="+doc["next"].(string), "")
	if items := doc["items"].([]any); len(items) != 1 || items[0].(obj)["stream"] != "orders" || items[0].(obj)["shard"] != "paid.card" {
		t.Errorf("got %v", doc)
	}
	if doc, _ = want(t, g, 200, "GET", room+"/presence", ""); len(doc["items"].([]any)) != 0 {
		t.Errorf("got %v", doc)
	}
	refused(t, g, edda.BadValue, "GET", room+"?from=pAAAA", "")
	refused(t, g, edda.BadValue, "GET", room, "", "Last-Event-ID: pZ")
	refused(t, g, edda.BadValue, "POST", room, "x", "Edda-Shard: eu")
	want(t, g, 204, "DELETE", room, "")
	refused(t, g, edda.NoChannel, "DELETE", room, "")
}

// restarting is a server whose node may be another one each time.
type restarting struct{ g atomic.Pointer[Gateway] }

func (s *restarting) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.g.Load().ServeHTTP(w, r) }

// begin opens the node of a directory, and serves it.
func (s *restarting) begin(t *testing.T, dir string) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: dir, Durability: edda.OS, Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.Background()) })
	g, err := New(n, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.g.Store(g)
	return n
}

// say publishes and appends some messages, numbered on from i, and returns their ids.
func say(t *testing.T, c *eddahttp.Client, i int) []string {
	t.Helper()
	var ids []string
	for range 5 {
		m := func(id string) []edda.StreamMessage {
			ids = append(ids, id)
			return []edda.StreamMessage{{ID: id, Type: "t", Payload: []byte(id)}}
		}
		if _, err := c.Publish(t.Context(), &edda.Append{Channel: "room", Messages: m(fmt.Sprint("own-", i))}); err != nil {
			t.Fatal(err)
		}
		for _, shard := range []string{"eu", "us"} {
			a := &edda.Append{Stream: "orders", Shard: shard, Messages: m(fmt.Sprint(shard, "-", i))}
			if _, err := c.Append(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		i++
	}
	return ids
}

// A reader that comes back with the id of its last event hears each message once and in
// order, however often the node goes meanwhile; and so does one that comes back from any
// event there was.
func TestEventsResumeOverRestarts(t *testing.T) {
	s, dir := &restarting{}, t.TempDir()
	n := s.begin(t, dir)
	server := httptest.NewServer(s)
	defer server.Close()
	c, err := eddahttp.New(server.URL, eddahttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// A stream that came to be after the place of a reader may have been another one before,
	// which that reader would be told.
	if _, _, err := c.SetStream(t.Context(), edda.StreamSpec{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.SetChannel(t.Context(), edda.ChannelSpec{Name: "room", From: []edda.ChannelSource{{Stream: "orders"}}}); err != nil {
		t.Fatal(err)
	}
	const rounds = 4
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	heard, ready := make(chan said, 1000), make(chan struct{}, rounds)
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		for m, err := range c.Subscribe(ctx, eddahttp.Subscribe{Channel: "room", From: edda.FromStart, Gap: func() { t.Error("there is a gap") }}) {
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("the subscription ended: %v", err)
				}
				return
			}
			heard <- said{m.Message.ID, m.From}
			if strings.HasPrefix(m.Message.ID, "own-") && len(ready) < cap(ready) {
				select {
				case ready <- struct{}{}: // it is connected
				default:
				}
			}
		}
	}()
	var ids []string
	for round := range rounds {
		ids = append(ids, say(t, c, 10*round)...)
		if round%2 == 0 {
			<-ready // in every other round it goes while there is more to say
		}
		if err := n.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		n = s.begin(t, dir)
	}
	var all []said
	for range ids {
		all = append(all, <-heard)
	}
	leave()
	<-listened
	if len(heard) > 0 {
		t.Errorf("something was heard twice: %v", <-heard)
	}
	checkHeard(t, "all", idsOf(all), ids)
	for i := 0; i < len(all)-1; i += 7 {
		rest := idsOf(all[i+1:])
		var again []string
		for m, err := range c.Subscribe(t.Context(), eddahttp.Subscribe{Channel: "room", From: all[i].from}) {
			if err != nil {
				t.Fatal(err)
			}
			if again = append(again, m.Message.ID); len(again) == len(rest) {
				break
			}
		}
		checkHeard(t, "after "+all[i].id, again, rest)
	}
}

// said is a message that was heard, and the place after it.
type said struct {
	id   string
	from edda.From
}

func idsOf(all []said) []string {
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].id
	}
	return ids
}

// checkHeard checks that each message was heard once, those of a shard in their order.
// Between shards there is none.
func checkHeard(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, shard := range []string{"own-", "eu-", "us-"} {
		of := func(ids []string) []string {
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, shard) })
		}
		if !slices.Equal(of(got), of(want)) {
			t.Errorf("%s: heard %v, want %v", what, of(got), of(want))
		}
	}
}

// Events end properly, and say why, when their channel is removed and when the node stops.
func TestEventsOfANodeEnd(t *testing.T) {
	for reason, end := range map[edda.Reason]func(n *node.Node) error{
		edda.NoChannel:   func(n *node.Node) error { return n.DeleteChannel(context.Background(), "", "room") },
		edda.Unavailable: func(n *node.Node) error { return n.Stop(context.Background()) },
	} {
		t.Run(string(reason), func(t *testing.T) {
			g, n := openStreams(t)
			want(t, g, 201, "PUT", "/v1/channels/room", "")
			told := make(chan *httptest.ResponseRecorder)
			r := httptest.NewRequest(http.MethodGet, "/v1/channels/room?from=start", nil)
			r.Host = "localhost"
			w := &signalling{ResponseRecorder: httptest.NewRecorder(), said: make(chan struct{}, 1)}
			go func() {
				g.ServeHTTP(w, r)
				told <- w.ResponseRecorder
			}()
			want(t, g, 202, "POST", "/v1/channels/room", "three")
			<-w.said
			if err := end(n); err != nil {
				t.Fatal(err)
			}
			body := (<-told).Body.String()
			if !strings.Contains(body, `"data":"three"`) || !strings.Contains(body, "\n\nevent: edda.error\ndata: ") || !strings.Contains(body, `"reason":"`+string(reason)+`"`) {
				t.Errorf("got %s, want %s and a proper end", body, reason)
			}
		})
	}
}

// signalling says once that a message was written.
type signalling struct {
	*httptest.ResponseRecorder
	said chan struct{}
}

func (s *signalling) Write(b []byte) (int, error) {
	n, err := s.ResponseRecorder.Write(b)
	if strings.Contains(string(b), "three") {
		s.said <- struct{}{}
	}
	return n, err
}

// A reader that takes too little is cut off, and comes back to where it was: it hears each
// message once.
func TestSlowReaderOfANodeComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = n.Stop(context.Background()) }()
		g, err := New(n, Options{MaxBehind: 100 << 10})
		if err != nil {
			t.Fatal(err)
		}
		want(t, g, 201, "PUT", "/v1/channels/room", "")
		slow := follow(t, g, "/v1/channels/room")
		defer slow.cancel()
		synctest.Wait()
		const messages = 30
		for range messages {
			want(t, g, 202, "POST", "/v1/channels/room", strings.Repeat("x", 10<<10))
			synctest.Wait()
		}
		heard, last, end := 0, "", ""
		read := func(f *follower) {
			for got := f.event(); got != "" && heard < messages; got = f.event() {
				if id, ok := strings.CutPrefix(got, "id: "); ok {
					last, _, _ = strings.Cut(id, "|")
				}
				if strings.Contains(got, "|event: message|") {
					heard++
				} else if strings.HasPrefix(got, "event: ") {
					end = got
				}
			}
		}
		read(slow)
		if heard >= messages || !strings.Contains(end, `"reason":"SLOW"`) {
			t.Fatalf("it heard %d messages, then %q, want that it was cut off", heard, end)
		}
		back := follow(t, g, "/v1/channels/room", "Last-Event-ID: "+last)
		defer back.cancel()
		synctest.Wait()
		want(t, g, 202, "POST", "/v1/channels/room", "last", "Edda-Type: end")
		missing := messages - heard
		for range missing {
			if got := back.event(); strings.Contains(got, "|event: message|") {
				heard++
			} else if got != "id: "+last {
				t.Errorf("got %.80s", got)
			}
		}
		if got := back.event(); strings.Contains(got, "|event: message|") {
			heard++
		}
		if got := back.event(); heard != messages || !strings.Contains(got, "|event: end|") {
			t.Errorf("it heard %d messages, then %.80s, want %d and the end", heard, got, messages)
		}
	})
}
