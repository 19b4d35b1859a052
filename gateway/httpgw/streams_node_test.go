package httpgw

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/node"
)

// openStreams returns a gateway to a real node.
func openStreams(t testing.TB) (*Gateway, *node.Node) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.Background()) })
	g, err := New(n, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return g, n
}

func TestStreamsOfANode(t *testing.T) {
	g, _ := openStreams(t)
	first, w := want(t, g, 201, "POST", "/v1/streams/orders", `{"n": 1}`, "Edda-Id: a", "Content-Type: application/json", "If-None-Match: *")
	if w.Header().Get("ETag") != `"0"` || first["shard"] != "default" || first["position"] != w.Header().Get("Edda-Position") {
		t.Errorf("got %v with %v", first, w.Header())
	}
	again, w := want(t, g, 200, "POST", "/v1/streams/orders", "other", "Edda-Id: a", "If-None-Match: *")
	if fmt.Sprint(again) != fmt.Sprint(first) || w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("got %v, want %v", again, first)
	}
	w = refused(t, g, edda.ExpectedOffset, "POST", "/v1/streams/orders", "x", "If-None-Match: *")
	if w.Header().Get("ETag") != `"0"` {
		t.Errorf("got ETag %s", w.Header().Get("ETag"))
	}
	w = refused(t, g, edda.ExpectedOffset, "POST", "/v1/streams/orders", "x", `If-Match: "7"`, "Edda-Shard: empty")
	if w.Header().Get("ETag") != `""` {
		t.Errorf("of an empty shard: got ETag %s", w.Header().Get("ETag"))
	}
	want(t, g, 201, "POST", "/v1/streams/orders", eventBatch, "Content-Type: "+eventBatchMedia, `If-Match: "0"`)
	w = refused(t, g, edda.BadName, "POST", "/v1/streams/orders", `[{},{"key":"."}]`, "Content-Type: "+batchMedia)
	if p := wantProblem(t, w); !strings.Contains(p.Detail, "messages[1]") {
		t.Errorf("got %q, want the index", p.Detail)
	}
	doc, _ := want(t, g, 200, "GET", "/v1/streams/orders?from=1&limit=1", "")
	item := doc["items"].([]any)[0].(obj)
	if doc["next"] != 2.0 || doc["end"] != 3.0 || item["id"] != "C234" || item["headers"].(obj)["ce-comexample"] != "5" ||
		item["time"] != "2018-04-05T17:31:00Z" || item["principal"] != "anonymous" {
		t.Errorf("got %v", doc)
	}
	w = do(g, "GET", "/v1/streams/orders?from=1", "", "Accept: "+eventBatchMedia)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"2","source":"/s","type":"t","datacontenttype":"text/xml"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	doc, _ = want(t, g, 200, "GET", "/v1/streams/orders/messages/a", "")
	if doc["data"].(obj)["n"] != 1.0 || doc["offset"] != 0.0 {
		t.Errorf("got %v", doc)
	}
	refused(t, g, edda.NoMessage, "GET", "/v1/streams/orders/messages/b", "")
	doc, _ = want(t, g, 200, "POST", "/v1/streams/orders/trim", `{"before":2}`)
	if got := doc["offsets"].(obj)["default"].(obj); got["first"] != 2.0 || got["end"] != 3.0 {
		t.Errorf("got %v", doc)
	}
	want(t, g, 200, "PUT", "/v1/streams/orders", `{"shards":["default"]}`)
	refused(t, g, edda.NoShard, "POST", "/v1/streams/orders", "x", "Edda-Shard: eu")
	refused(t, g, edda.NoShard, "GET", "/v1/streams/orders?shard=eu", "")
	want(t, g, 201, "PUT", "/v1/streams/audit", `{"retention":{"count":5}}`)
	doc, _ = want(t, g, 200, "GET", "/v1/streams?limit=1", "")
	if doc["next"] == nil || len(doc["items"].([]any)) != 1 {
		t.Errorf("got %v", doc)
	}
	want(t, g, 204, "DELETE", "/v1/streams/orders", "")
	refused(t, g, edda.NoStream, "GET", "/v1/streams/orders?from=start", "")
	refused(t, g, edda.NoStream, "GET", "/v1/streams/orders", "", wantEvents)
}

// tailOf reads events of a stream of a real node until it has n messages; the rest comes
// out of the scanner.
func tailOf(t *testing.T, url string, n int) *bufio.Scanner {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/streams/orders?from=start", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", reqhead.EventStream)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	s := bufio.NewScanner(res.Body)
	for seen := 0; seen < n && s.Scan(); {
		if strings.HasPrefix(s.Text(), "data: ") {
			seen++
		}
	}
	return s
}

// A tail ends properly, and says why, when its stream is removed and when the node stops.
// A producer that numbers its messages may send them again at any time.
func TestNumbersOfANode(t *testing.T) {
	g, n := openStreams(t)
	producer := []string{"Edda-Producer: r%C3%A9lay"}
	one := func(number, etag string, status int) obj {
		t.Helper()
		doc, w := want(t, g, status, "POST", "/v1/streams/orders", "x", append(producer, "Edda-Number: "+number)...)
		if w.Header().Get("ETag") != etag || (w.Header().Get("Idempotency-Replayed") == "true") != (status == 200) {
			t.Errorf("number %s is answered with %v", number, w.Header())
		}
		return doc
	}
	first := one("7", `"0"`, 201)
	if last := first["last"].(obj); last["number"] != 7.0 || last["offset"] != 0.0 || last["id"] != first["id"] {
		t.Errorf("got %v", first)
	}
	if again := one("7", `"0"`, 200); again["offset"] != 0.0 || again["unknown"] != nil {
		t.Errorf("got %v", again)
	}
	if passed := one("3", "", 200); passed["offset"] != nil || passed["unknown"] != true || passed["last"].(obj)["number"] != 7.0 {
		t.Errorf("got %v", passed)
	}
	doc, w := want(t, g, 201, "POST", "/v1/streams/orders", `[{"number":6},{"number":7},{"number":18446744073709551615,"id":"z"}]`, append(producer, "Content-Type: "+batchMedia)...)
	items := doc["items"].([]any)
	if items[0].(obj)["unknown"] != true || items[1].(obj)["offset"] != 0.0 || items[2].(obj)["offset"] != 1.0 || w.Header().Get("ETag") != `"1"` || doc["last"].(obj)["id"] != "z" {
		t.Errorf("got %v with %v", doc, w.Header())
	}
	want(t, g, 201, "POST", "/v1/streams/orders", event, append(producer, "Edda-Number: 1", "Edda-Shard: eu", "Content-Type: "+eventMedia)...)
	st, err := n.Stream(t.Context(), "", "orders")
	if err != nil || st.Offsets["default"].End != 2 || st.Offsets["eu"].End != 1 {
		t.Errorf("got %+v, %v", st, err)
	}
}

func TestTailOfANodeEnds(t *testing.T) {
	for reason, end := range map[edda.Reason]func(n *node.Node) error{
		edda.NoStream: func(n *node.Node) error { return n.DeleteStream(context.Background(), "", "orders") },
		edda.Draining: func(n *node.Node) error { return n.Stop(context.Background()) },
	} {
		t.Run(string(reason), func(t *testing.T) {
			g, n := openStreams(t)
			s := httptest.NewServer(g)
			defer s.Close()
			want(t, g, 201, "POST", "/v1/streams/orders", `[{},{}]`, "Content-Type: "+batchMedia)
			tail := tailOf(t, s.URL, 2)
			want(t, g, 201, "POST", "/v1/streams/orders", "three")
			for tail.Scan() && !strings.Contains(tail.Text(), "three") {
			}
			if err := end(n); err != nil {
				t.Fatal(err)
			}
			var rest []string
			for tail.Scan() {
				rest = append(rest, tail.Text())
			}
			got := strings.Join(rest, "|")
			if tail.Err() != nil || !strings.HasPrefix(got, "|event: edda.error|data: ") || !strings.Contains(got, `"reason":"`+string(reason)+`"`) {
				t.Errorf("got %s, %v, want %s and a proper end", got, tail.Err(), reason)
			}
		})
	}
}

// TestGroupOfANode has two members share a stream over HTTP.
func TestGroupOfANode(t *testing.T) {
	g, _ := openStreams(t)
	const at = "/v1/streams/orders/groups/mail"
	_, w := want(t, g, 201, "PUT", at, `{"maxMembers":2,"retry":{"max":2,"delay":"1ms","jitter":0}}`)
	if w.Header().Get("Location") != at {
		t.Errorf("got Location %q", w.Header().Get("Location"))
	}
	want(t, g, 201, "POST", "/v1/streams/orders", `[{"key":"a","data":"a0"},{"key":"a","data":"a1"},{"key":"b","data":"b0"}]`, "Content-Type: "+batchMedia)
	read := func(member string) (data, leases []string) {
		t.Helper()
		doc, _ := want(t, g, 200, "POST", at+"/read", `{"member":"`+member+`","wait":"5s"}`)
		for _, it := range doc["items"].([]any) {
			data = append(data, fmt.Sprint(it.(obj)["data"], "#", it.(obj)["attempt"]))
			leases = append(leases, it.(obj)["lease"].(string))
		}
		return data, leases
	}
	quoted := func(leases []string) string { return `"` + strings.Join(leases, `","`) + `"` }
	got, leases := read("one")
	all := strings.Join(got, " ")
	if !strings.Contains(all, "a0#1") || !strings.Contains(all, "b0#1") {
		t.Fatalf("got %v, want the first of each key at least", got)
	}
	doc, _ := want(t, g, 200, "GET", at, "")
	if member := doc["members"].([]any)[0].(obj); doc["lag"] != 3.0 || member["name"] != "one" || member["leases"] != float64(len(leases)) {
		t.Errorf("got %v", doc)
	}
	doc, _ = want(t, g, 200, "POST", at+"/extend", `{"leases":[`+quoted(leases)+`],"for":"1m"}`)
	if doc["done"] != float64(len(leases)) {
		t.Errorf("extend: got %v", doc)
	}
	doc, _ = want(t, g, 200, "POST", at+"/ack", `{"leases":[`+quoted(leases)+`]}`)
	if doc["done"] != float64(len(leases)) || len(doc["stale"].([]any)) > 0 {
		t.Errorf("ack: got %v", doc)
	}
	doc, _ = want(t, g, 200, "POST", at+"/ack", `{"leases":[`+quoted(leases)+`]}`)
	if doc["done"] != 0.0 || len(doc["stale"].([]any)) != len(leases) {
		t.Errorf("ack again: got %v", doc)
	}
	if len(leases) < 3 {
		_, rest := read("two")
		want(t, g, 200, "POST", at+"/ack", `{"leases":[`+quoted(rest)+`]}`)
	}
	want(t, g, 201, "POST", "/v1/streams/orders", "bad", "Edda-Id: bad")
	for attempt := 1; attempt <= 2; attempt++ {
		got, leases = read("two")
		if len(got) != 1 || got[0] != fmt.Sprint("bad#", attempt) {
			t.Fatalf("attempt %d: got %v", attempt, got)
		}
		want(t, g, 200, "POST", at+"/reject", `{"leases":[`+quoted(leases)+`],"error":"no stock"}`)
	}
	doc, _ = want(t, g, 200, "GET", "/v1/deadletters", "")
	if letters := doc["items"].([]any); len(letters) != 1 || letters[0].(obj)["service"] != "orders/mail" || !strings.Contains(letters[0].(obj)["detail"].(string), "no stock") {
		t.Errorf("got dead letters %v", doc)
	}
	w = refused(t, g, edda.GroupFull, "POST", at+"/read", `{"member":"three"}`)
	if w.Header().Get("Retry-After") == "" {
		t.Error("GROUP_FULL has no Retry-After")
	}
	doc, _ = want(t, g, 200, "POST", at+"/reset", `{"to":"start"}`)
	if doc["cursor"].(obj)["default"] != 0.0 || doc["lag"] != 4.0 {
		t.Errorf("reset: got %v", doc)
	}
	doc, _ = want(t, g, 200, "GET", "/v1/streams/orders/groups", "")
	if len(doc["items"].([]any)) != 1 {
		t.Errorf("list: got %v", doc)
	}
	want(t, g, 204, "DELETE", at, "")
	refused(t, g, edda.NoGroup, "POST", at+"/read", `{"member":"one"}`)
}

// Many tails see each message once and in order, while many append, and one that takes
// nothing is there too.
func TestTailsOfANode(t *testing.T) {
	const producers, each, tails = 4, 150, 6
	g, _ := openStreams(t)
	s := httptest.NewServer(g)
	t.Cleanup(s.Close) // after the tail that takes nothing is given up
	c, err := eddahttp.New(s.URL, eddahttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, g, 201, "POST", "/v1/streams/orders", "first")
	_ = tailOf(t, s.URL, 1) // and no more
	var wg sync.WaitGroup
	for range tails {
		wg.Go(func() {
			next := uint64(0)
			for m, err := range c.TailStream(t.Context(), edda.Read{Stream: "orders", From: edda.FromStart}) {
				if err != nil || m.Offset != next {
					t.Errorf("got message %d, %v, want %d", m.Offset, err, next)
					return
				}
				if next++; next == producers*each+1 {
					return
				}
			}
		})
	}
	payload := []byte(strings.Repeat("x", 1000))
	for range producers {
		wg.Go(func() {
			for range each {
				if _, err := c.Append(t.Context(), &edda.Append{Stream: "orders", Messages: []edda.StreamMessage{{Payload: payload}}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
