package httpgw

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// fill appends n messages to the shard eu of orders, typed t0, t1, ….
func fill(t testing.TB, f *fakeStreams, n int) {
	t.Helper()
	messages := make([]edda.StreamMessage, n)
	for i := range messages {
		messages[i] = edda.StreamMessage{Type: "t" + strconv.Itoa(i), ContentType: "text/plain", Payload: []byte("hi\nthere")}
	}
	if _, err := f.Append(t.Context(), &edda.Append{Namespace: "default", Stream: "orders", Shard: "eu", Messages: messages}); err != nil {
		t.Fatal(err)
	}
}

func TestReadStream(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{})
	fill(t, f, 5)
	for _, tc := range []struct {
		query string
		read  edda.Read
		got   string // types of items, and next
	}{
		{"shard=eu", edda.Read{Shard: "eu", From: "start", Limit: 100}, "t0 t1 t2 t3 t4 5"},
		{"shard=eu&from=start&limit=2", edda.Read{Shard: "eu", From: "start", Limit: 2}, "t0 t1 2"},
		{"shard=eu&from=3", edda.Read{Shard: "eu", From: "3", Limit: 100}, "t3 t4 5"},
		{"shard=eu&from=end", edda.Read{Shard: "eu", From: "end", Limit: 100}, "5"},
		{"shard=eu&limit=1000", edda.Read{Shard: "eu", From: "start", Limit: 1000}, "t0 t1 t2 t3 t4 5"},
		{"shard=eu&wait=1m", edda.Read{Shard: "eu", From: "start", Limit: 100, Wait: time.Minute}, "t0 t1 t2 t3 t4 5"},
		{"from=2026-01-02T15:04:05Z", edda.Read{Shard: "default", From: "2026-01-02T15:04:05Z", Limit: 100}, "0"},
		{"wait=0s", edda.Read{Shard: "default", From: "start", Limit: 100}, "0"},
	} {
		doc, _ := want(t, g, 200, "GET", "/v1/streams/orders?"+tc.query, "")
		var got []string
		for _, item := range doc["items"].([]any) {
			got = append(got, item.(obj)["type"].(string))
		}
		got = append(got, fmt.Sprint(doc["next"]))
		tc.read.Namespace, tc.read.Stream, tc.read.Bytes = "default", "orders", edda.MaxReadBytes
		if strings.Join(got, " ") != tc.got || f.read != tc.read {
			t.Errorf("%s: got %v, the backend %+v, want %s, %+v", tc.query, got, f.read, tc.got, tc.read)
		}
	}
	doc, _ := want(t, g, 200, "GET", "/v1/streams/orders?shard=eu&from=4", "")
	item := doc["items"].([]any)[0].(obj)
	if doc["first"] != 0.0 || doc["end"] != 5.0 || item["offset"] != 4.0 || item["shard"] != "eu" || item["data"] != "hi\nthere" ||
		item["contentType"] != "text/plain" || item["time"] != "2026-01-02T03:04:05Z" || item["key"] != nil {
		t.Errorf("got %v", doc)
	}
	want(t, g, 200, "HEAD", "/v1/streams/orders?from=start", "")
	refused(t, g, edda.NoStream, "GET", "/v1/ns/shop/streams/orders?from=start", "")
	refused(t, g, edda.BadName, "GET", "/v1/streams/orders?shard=a+b", "")
}

func TestReadCloudEvents(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{})
	want(t, g, 201, "POST", "/v1/streams/orders", eventBatch, "Content-Type: "+eventBatchMedia)
	want(t, g, 201, "POST", "/v1/streams/orders", "hi", "Edda-Id: plain", "Edda-Key: k", "Content-Type: text/plain")
	w := do(g, "GET", "/v1/streams/orders?limit=3", "", "Accept: text/html;q=0.1, application/cloudevents-batch+json")
	const got = `[{"specversion":"1.0","id":"C234","source":"/mycontext","type":"com.example.someevent","datacontenttype":"application/json",` +
		`"time":"2018-04-05T17:31:00Z","comexample":"5","data":{"a":1}},` +
		`{"specversion":"1.0","id":"2","source":"/s","type":"t","datacontenttype":"text/xml","time":"2026-01-02T03:04:05Z","subject":"s","data":"<x/>"},` +
		`{"specversion":"1.0","id":"plain","source":"/v1/streams/orders","type":"message","datacontenttype":"text/plain","time":"2026-01-02T03:04:05Z",` +
		`"partitionkey":"k","data":"hi"}]`
	if w.Code != 200 || w.Body.String() != got {
		t.Errorf("got %s, want %s", w.Body, got)
	}
	if h := w.Header(); h.Get("Content-Type") != eventBatchMedia || h.Get("Edda-First") != "0" || h.Get("Edda-Next") != "3" || h.Get("Edda-End") != "3" {
		t.Errorf("got headers %v", h)
	}
	_, w = want(t, g, 200, "GET", "/v1/streams/orders/messages/C234", "", "Accept: "+eventMedia)
	if !strings.HasPrefix(got[1:], w.Body.String()) || w.Header().Get("Content-Type") != eventMedia {
		t.Errorf("one event: got %s of %s", w.Body, w.Header().Get("Content-Type"))
	}
}

func TestGetMessage(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{})
	want(t, g, 201, "POST", "/v1/ns/shop/streams/orders", "hi", "Edda-Id: a/b ü")
	doc, _ := want(t, g, 200, "GET", "/v1/ns/shop/streams/orders/messages/a%2Fb%20%c3%bc?wait=30s", "")
	if doc["id"] != "a/b ü" || doc["offset"] != 0.0 || doc["data"] != "hi" || f.wait != 30*time.Second {
		t.Errorf("got %v after a wait of %v", doc, f.wait)
	}
	w := refused(t, g, edda.NoMessage, "GET", "/v1/ns/shop/streams/orders/messages/other", "")
	if p := wantProblem(t, w); w.Code != 404 || p.Detail != `no message has the id "other"` || f.wait != 0 {
		t.Errorf("got %d %q after a wait of %v", w.Code, p.Detail, f.wait)
	}
}

// follower is a reader of events over a connection.
type follower struct {
	*bufio.Scanner
	cancel context.CancelFunc
}

// follow begins to read events of a path, over a network of the bubble's.
func follow(t *testing.T, g http.Handler, path string, headers ...string) *follower {
	t.Helper()
	client, server := net.Pipe()
	l := &oneListener{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conn <- server
	s := NewServer(g, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	ctx, cancel := context.WithCancel(t.Context())
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", reqhead.EventStream)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	res, err := tr.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != reqhead.EventStream {
		t.Fatalf("got %+v, %v", res, err)
	}
	stop := sync.OnceFunc(func() {
		cancel()
		_ = res.Body.Close()
		_ = client.Close()
		close(l.done)
		_ = s.Close()
		<-served
	})
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return &follower{lines, stop}
}

// oneListener gives out one connection.
type oneListener struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error   { return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// event returns the next event or comment, its lines joined by "|"; "" at the end.
func (f *follower) event() string {
	var lines []string
	for f.Scan() {
		if f.Text() == "" {
			break
		}
		lines = append(lines, f.Text())
	}
	return strings.Join(lines, "|")
}

func item(n int, kind string) string {
	return fmt.Sprintf(`id: %d|event: %s|data: {"shard":"eu","offset":%d,"id":"made-0","type":"%s","contentType":"text/plain","time":"2026-01-02T03:04:05Z","data":"hi\nthere"}`, n, kind, n, kind)
}

func TestTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStreams{}
		g := streamsOf(t, f, nil, Options{})
		fill(t, f, 1)
		fill(t, f, 1)
		all := follow(t, g, "/v1/streams/orders?shard=eu&from=start")
		defer all.cancel()
		resumed := follow(t, g, "/v1/streams/orders?shard=eu&from=start", "Last-Event-ID: 0")
		defer resumed.cancel()
		latest := follow(t, g, "/v1/streams/orders?shard=eu")
		defer latest.cancel()
		synctest.Wait()
		begin := time.Now()
		fill(t, f, 1)
		for i := range 3 {
			if got := all.event(); got != item(i, "t0") {
				t.Errorf("from start: got %s, want %s", got, item(i, "t0"))
			}
			if i > 0 {
				if got := resumed.event(); got != item(i, "t0") {
					t.Errorf("after 0: got %s, want %s", got, item(i, "t0"))
				}
			}
		}
		if got := latest.event(); got != item(2, "t0") || !time.Now().Equal(begin) {
			t.Errorf("from the end: got %s at %v, want %s at once", got, time.Since(begin), item(2, "t0"))
		}
		for range 2 {
			if got := latest.event(); got != ": still here" {
				t.Errorf("got %s, want a comment", got)
			}
		}
		if got := time.Since(begin); got != 30*time.Second {
			t.Errorf("two comments came after %v, want 30s", got)
		}
		if err := f.DeleteStream(t.Context(), "default", "orders"); err != nil {
			t.Fatal(err)
		}
		got, rest := latest.event(), latest.event()
		if !strings.HasPrefix(got, `event: edda.error|data: {"type":"urn:edda:problem:NO_STREAM"`) || rest != "" || latest.Err() != nil {
			t.Errorf("got %s, then %q, %v, want the reason and a proper end", got, rest, latest.Err())
		}
	})
}

// No producer ends the tails of others.
func TestMessagesOfAStreamAreNoEventsOfTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStreams{}
		g := streamsOf(t, f, nil, Options{})
		a := &edda.Append{Namespace: "default", Stream: "orders", Shard: "eu", Messages: []edda.StreamMessage{{Type: "edda.error", Payload: []byte("{}")}}}
		if _, err := f.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		r := follow(t, g, "/v1/streams/orders?shard=eu&from=start")
		defer r.cancel()
		if got := r.event(); !strings.HasPrefix(got, "id: 0|event: message|data: {") || !strings.Contains(got, `"type":"edda.error"`) {
			t.Errorf("got %s, want the event named message", got)
		}
	})
}

// Comments come every 15 s also when messages do.
func TestTailCommentsAmongMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStreams{}
		fill(t, f, 1)
		r := follow(t, streamsOf(t, f, nil, Options{}), "/v1/streams/orders?shard=eu")
		defer r.cancel()
		synctest.Wait()
		var got []string
		read := make(chan struct{})
		go func() {
			defer close(read)
			for range 10 {
				kind, _, _ := strings.Cut(r.event(), "|")
				got = append(got, kind)
			}
		}()
		for range 8 {
			time.Sleep(4 * time.Second)
			fill(t, f, 1)
			synctest.Wait()
		}
		<-read
		const want = "id: 1 id: 2 id: 3 : still here id: 4 id: 5 id: 6 id: 7 : still here id: 8"
		if strings.Join(got, " ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}

// A reader that takes nothing holds up nobody, has nothing collected for it, and is let
// go after a while.
func TestTailSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStreams{}
		g := streamsOf(t, f, nil, Options{})
		fill(t, f, 1)
		slow := follow(t, g, "/v1/streams/orders?shard=eu&from=start")
		defer slow.cancel()
		quick := follow(t, g, "/v1/streams/orders?shard=eu")
		defer quick.cancel()
		synctest.Wait()
		for i := range 300 {
			fill(t, f, 1)
			if got := quick.event(); got != item(i+1, "t0") {
				t.Fatalf("the quick reader got %s, want %s", got, item(i+1, "t0"))
			}
		}
		time.Sleep(httpio.BodyTimeout + time.Second)
		n := 0
		for got := slow.event(); got != ""; got = slow.event() {
			n++
		}
		if n > 200 || slow.Err() == nil {
			t.Errorf("the slow reader got %d events, %v, want that it was given up", n, slow.Err())
		}
	})
}

// A stream of events ends with the credentials, and with the request.
func TestTailEndsWithTheCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		f := &fakeStreams{}
		fill(t, f, 1)
		g := streamsOf(t, f, nil, Options{Authenticator: auth.Func(func(context.Context, auth.Credential) (*auth.Grant, error) {
			return &auth.Grant{Principal: "ada", Rights: auth.Everything(), Expires: end}, nil
		})})
		w := do(g, http.MethodGet, "/v1/streams/orders", "", wantEvents, "Authorization: Bearer x")
		if !time.Now().Equal(end) || !strings.Contains(w.Body.String(), `"reason":"NO_CREDENTIALS","detail":"the credentials have expired"`) {
			t.Errorf("at %v got %s, want it to end at %v with the reason", time.Now(), w.Body, end)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gone := httptest.NewRequest(http.MethodGet, "/v1/streams/orders", nil).WithContext(ctx)
		gone.Header.Set("Accept", reqhead.EventStream)
		gone.Host = "localhost"
		v := httptest.NewRecorder()
		streamsOf(t, f, nil, Options{}).ServeHTTP(v, gone)
		if v.Code != 200 {
			t.Errorf("a reader that leaves: got %d %s", v.Code, v.Body)
		}
		if w := do(streamsOf(t, f, nil, Options{}), http.MethodHead, "/v1/streams/orders", "", wantEvents); w.Code != 200 || w.Body.Len() > 0 {
			t.Errorf("HEAD: got %d %s", w.Code, w.Body)
		}
	})
}
