package eddahttp_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

func TestStreamRequests(t *testing.T) {
	five := uint64(5)
	ref := edda.GroupRef{Stream: "orders", Group: "mail"}
	for _, s := range []struct {
		name       string
		do         func(context.Context, *eddahttp.Client) error
		want, body string
	}{
		{"set", func(ctx context.Context, c *eddahttp.Client) error {
			_, _, err := c.SetStream(ctx, edda.StreamSpec{Name: "orders", Shards: []string{"eu"}, Retention: edda.Retention{Age: time.Hour}})
			return err
		}, "PUT /v1/streams/orders", `{"shards":["eu"],"retention":{"age":"1h0m0s"}}`},
		{"show", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Stream(ctx, "orders")
			return err
		}, "GET /v1/streams/orders", ""},
		{"list", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Streams(ctx, 5, "x")
			return err
		}, "GET /v1/streams?after=x&limit=5", ""},
		{"remove", func(ctx context.Context, c *eddahttp.Client) error { return c.DeleteStream(ctx, "orders") }, "DELETE /v1/streams/orders", ""},
		{"read", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.ReadStream(ctx, edda.Read{Stream: "orders", Shard: "eu", From: edda.FromOffset(7), Limit: 3, Wait: time.Second})
			return err
		}, "GET /v1/streams/orders?from=7&limit=3&shard=eu&wait=1s", ""},
		{"read all", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.ReadStream(ctx, edda.Read{Stream: "orders"})
			return err
		}, "GET /v1/streams/orders?from=start", ""},
		{"await", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.AwaitMessage(ctx, "replies", "a/b ü", time.Minute)
			return err
		}, "GET /v1/streams/replies/messages/a%2Fb%20%C3%BC?wait=1m0s", ""},
		{"trim", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.TrimStream(ctx, "orders", "eu", edda.FromOffset(9))
			return err
		}, "POST /v1/streams/orders/trim", `{"before":"9","shard":"eu"}`},
		{"append at an offset", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Append(ctx, &edda.Append{Stream: "orders", IfLast: &five, Messages: make([]edda.StreamMessage, 1)})
			return err
		}, "POST /v1/streams/orders", ""},
		{"set a group", func(ctx context.Context, c *eddahttp.Client) error {
			_, _, err := c.SetGroup(ctx, edda.GroupSpec{Stream: "orders", Name: "mail", From: edda.FromStart})
			return err
		}, "PUT /v1/streams/orders/groups/mail", `{"from":"start"}`},
		{"show a group", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Group(ctx, "orders", "mail")
			return err
		}, "GET /v1/streams/orders/groups/mail", ""},
		{"list groups", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Groups(ctx, "orders", 0, "")
			return err
		}, "GET /v1/streams/orders/groups", ""},
		{"remove a group", func(ctx context.Context, c *eddahttp.Client) error { return c.DeleteGroup(ctx, "orders", "mail") },
			"DELETE /v1/streams/orders/groups/mail", ""},
		{"reset a group", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.ResetGroup(ctx, "orders", "mail", "", edda.FromEnd)
			return err
		}, "POST /v1/streams/orders/groups/mail/reset", `{"to":"end"}`},
		{"read as a member", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.ReadGroup(ctx, edda.GroupRead{GroupRef: ref, Member: "m", Max: 2, Wait: time.Second})
			return err
		}, "POST /v1/streams/orders/groups/mail/read", `{"member":"m","max":2,"wait":"1s"}`},
		{"ack", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Ack(ctx, edda.Settle{GroupRef: ref, Leases: []string{"l"}, Error: "no", For: 1})
			return err
		}, "POST /v1/streams/orders/groups/mail/ack", `{"leases":["l"]}`},
		{"reject", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Reject(ctx, edda.Settle{GroupRef: ref, Leases: []string{"l"}, Error: "no", For: time.Second})
			return err
		}, "POST /v1/streams/orders/groups/mail/reject", `{"leases":["l"],"error":"no","for":"1s"}`},
		{"extend", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Extend(ctx, edda.Settle{GroupRef: ref, Leases: []string{"l"}, Error: "no", For: time.Second})
			return err
		}, "POST /v1/streams/orders/groups/mail/extend", `{"leases":["l"],"for":"1s"}`},
	} {
		t.Run(s.name, func(t *testing.T) {
			c, g := fakeNode(t, eddahttp.Options{}, respond(200, `{}`))
			if err := s.do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got := g.method + " " + g.uri; got != s.want || g.body != s.body {
				t.Errorf("node got %s %s, want %s %s", got, g.body, s.want, s.body)
			}
			if got := g.header.Get("Content-Type"); s.body != "" && got != "application/json" {
				t.Errorf("node got Content-Type %q, want application/json", got)
			}
			refusing, _ := fakeNode(t, eddahttp.Options{}, respond(404, `{"status":404,"code":"not_found","reason":"NO_STREAM"}`, "Content-Type", "application/problem+json"))
			if err := s.do(t.Context(), refusing); edda.ReasonOf(err) != edda.NoStream {
				t.Errorf("got %v, want NO_STREAM", err)
			}
			strange, _ := fakeNode(t, eddahttp.Options{}, respond(200, `[`))
			if err := s.do(t.Context(), strange); err == nil && !strings.HasPrefix(s.want, "DELETE") {
				t.Error("an answer that is no JSON passes")
			}
		})
	}
}

func TestStreamAnswers(t *testing.T) {
	const doc = `{"name":"orders","shards":["eu"],"dedupe":"1h","createdAt":"2026-01-02T03:04:05Z","offsets":{"eu":{"first":1,"end":3,"bytes":9}},"groups":["mail"]}`
	c, _ := fakeNode(t, eddahttp.Options{Namespace: "shop"}, respond(201, doc))
	s, created, err := c.SetStream(t.Context(), edda.StreamSpec{Name: "orders"})
	if err != nil || !created || s.Namespace != "shop" || s.Dedupe != time.Hour || s.Offsets["eu"].End != 3 {
		t.Errorf("got %+v, %v, %v", s, created, err)
	}
	c, _ = fakeNode(t, eddahttp.Options{}, respond(200, `{"items":[`+doc+`],"next":"orders"}`))
	if p, err := c.Streams(t.Context(), 0, ""); err != nil || p.Next != "orders" || len(p.Items) != 1 || p.Items[0].Name != "orders" {
		t.Errorf("got %+v, %v", p, err)
	}
	const item = `{"shard":"eu","offset":4,"id":"x","type":"t","time":"2026-01-02T03:04:05Z","data":"hi","lease":"l","attempt":2}`
	c, _ = fakeNode(t, eddahttp.Options{}, respond(200, `{"items":[`+item+`],"first":1,"next":5,"end":9}`))
	page, err := c.ReadStream(t.Context(), edda.Read{Stream: "orders"})
	if err != nil || page.First != 1 || page.Next != 5 || page.End != 9 || len(page.Messages) != 1 || string(page.Messages[0].Payload) != "hi" {
		t.Errorf("got %+v, %v", page, err)
	}
	ds, err := c.ReadGroup(t.Context(), edda.GroupRead{})
	if err != nil || len(ds) != 1 || ds[0].Lease != "l" || ds[0].Attempt != 2 || ds[0].Offset != 4 {
		t.Errorf("got %+v, %v", ds, err)
	}
	c, _ = fakeNode(t, eddahttp.Options{}, respond(200, `{"done":1,"stale":["b"]}`))
	if s, err := c.Ack(t.Context(), edda.Settle{Leases: []string{"a", "b"}}); err != nil || s.Done != 1 || !reflect.DeepEqual(s.Stale, []string{"b"}) {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := c.AwaitMessage(t.Context(), "orders", "..", 0); edda.ReasonOf(err) != edda.BadName {
		t.Errorf("an id that no path can hold: got %v, want BAD_NAME", err)
	}
}

func TestAppendOne(t *testing.T) {
	c, g := fakeNode(t, eddahttp.Options{Namespace: "shop"}, respond(200, `{"id":"x","shard":"eu","offset":7,"position":"3-9"}`,
		"Idempotency-Replayed", "true", "Edda-Position", "3-9", "Edda-Durability", "fsync"))
	m := edda.StreamMessage{
		ID: "x", Type: "placed", Key: "a/ö", Source: "till", ReplyTo: edda.Address{Namespace: "shop", Name: "r", Key: "eu"},
		Headers: edda.Headers{{Name: "A-B", Value: "1"}}, ContentType: "text/plain", Payload: []byte("hi"), CorrelationID: "story",
		TraceParent: "00-1", TraceState: "a=b", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	ack, err := c.Append(t.Context(), &edda.Append{Stream: "orders", Shard: "eu", IfEmpty: true, Messages: []edda.StreamMessage{m}})
	want := &edda.AppendAck{Items: []edda.Appended{{ID: "x", Shard: "eu", Offset: 7, Replayed: true}}, Position: "3-9", Durability: edda.Fsync}
	if err != nil || !reflect.DeepEqual(ack, want) {
		t.Errorf("got %+v, %v, want %+v", ack, err, want)
	}
	if got := g.method + " " + g.uri + " " + g.body; got != "POST /v1/ns/shop/streams/orders hi" {
		t.Errorf("the node got %s", got)
	}
	for name, want := range map[string]string{
		"Edda-Type": "placed", "Edda-Key": "a%2F%C3%B6", "Edda-Id": "x", "Edda-Source": "till", "Edda-Reply-To": "r/eu", "Edda-Header-A-B": "1",
		"Content-Type": "text/plain", "Edda-Correlation-Id": "story", "Traceparent": "00-1", "Tracestate": "a=b", "Edda-Time": "2026-01-02T03:04:05Z",
		"Edda-Shard": "eu", "If-None-Match": "*", "If-Match": "",
	} {
		if got := g.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// What headers cannot hold as it is, and what is several, goes as a batch.
func TestAppendBatch(t *testing.T) {
	last := uint64(41)
	for name, messages := range map[string][]edda.StreamMessage{
		"several":      make([]edda.StreamMessage, 2),
		"UTF-8":        {{Type: "größe"}},
		"a space":      {{ID: " x"}},
		"a name":       {{Headers: edda.Headers{{Name: "a b", Value: "1"}}}},
		"lower case":   {{Headers: edda.Headers{{Name: "ce-x", Value: "1"}}}},
		"a value":      {{Headers: edda.Headers{{Name: "A", Value: "1\n"}}}},
		"a name twice": {{Headers: edda.Headers{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}}}},
		"an event":     {{ContentType: "Application/CloudEvents+JSON", Payload: []byte("{}")}},
		"a batch":      {{ContentType: "application/vnd.edda.batch+json; x=y", Payload: []byte("{}")}},
		"causation":    {{CausationID: edda.NewID(1, time.Now())}},
	} {
		answer := `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"id":"x","shard":"eu","offset":7},`, len(messages)), ",") + `]}`
		c, g := fakeNode(t, eddahttp.Options{}, respond(201, answer))
		ack, err := c.Append(t.Context(), &edda.Append{Stream: "orders", IfLast: &last, Messages: messages})
		if err != nil || len(ack.Items) != len(messages) || ack.Items[0].Offset != 7 {
			t.Errorf("%s: got %+v, %v", name, ack, err)
		}
		if g.header.Get("Content-Type") != "application/vnd.edda.batch+json" || g.header.Get("If-Match") != `"41"` || !strings.HasPrefix(g.body, "[{") {
			t.Errorf("%s: the node got %s with %v", name, g.body, g.header)
		}
	}
	c, g := fakeNode(t, eddahttp.Options{}, respond(200, `{"items":[{"id":"x","shard":"eu","replayed":true,"unknown":true},{"id":"y","shard":"eu","offset":3}],"last":{"number":9,"offset":3,"id":"y"}}`))
	ack, err := c.Append(t.Context(), &edda.Append{Stream: "orders", Producer: "é", Messages: []edda.StreamMessage{{Number: 7}, {Number: 9}}})
	want := []edda.Appended{{ID: "x", Shard: "eu", Replayed: true, Unknown: true}, {ID: "y", Shard: "eu", Offset: 3}}
	if err != nil || !slices.Equal(ack.Items, want) || ack.Last != (edda.Numbered{Number: 9, Offset: 3, ID: "y"}) {
		t.Errorf("got %+v, %v", ack, err)
	}
	if g.header.Get("Edda-Producer") != "%C3%A9" || !strings.Contains(g.body, `"number":7`) {
		t.Errorf("the node got %s with %v", g.body, g.header)
	}
	c, _ = fakeNode(t, eddahttp.Options{}, respond(201, `{"items":[]}`))
	if _, err := c.Append(t.Context(), &edda.Append{Messages: make([]edda.StreamMessage, 2)}); err == nil || !strings.Contains(err.Error(), "where each message is") {
		t.Errorf("got %v, want an error about the answer", err)
	}
}

func TestExpectedOffset(t *testing.T) {
	for tag, want := range map[string]*edda.OffsetError{`"41"`: {Last: 41}, `""`: {Empty: true}, `x`: nil, "": nil} {
		c, _ := fakeNode(t, eddahttp.Options{}, respond(412, `{"status":412,"code":"failed_precondition","reason":"EXPECTED_OFFSET","detail":"no"}`,
			"Content-Type", "application/problem+json", "ETag", tag))
		_, err := c.Append(t.Context(), &edda.Append{Messages: make([]edda.StreamMessage, 1)})
		got, _ := errors.AsType[*edda.OffsetError](err)
		if edda.ReasonOf(err) != edda.ExpectedOffset || !reflect.DeepEqual(got, want) {
			t.Errorf("ETag %s: got %v, %+v, want EXPECTED_OFFSET, %+v", tag, err, got, want)
		}
	}
}

func TestTailStream(t *testing.T) {
	const two = ": still here\n\nid: 4\nevent: message\ndata: {\"shard\":\"default\",\"offset\":4,\"id\":\"a\",\"type\":\"message\",\"data\":\"x\"}\n\n" +
		"id: 5\nevent: error\ndata: {\"shard\":\"default\",\"offset\":5,\"id\":\"b\",\"type\":\"error\",\"dataBase64\":\"/w==\"}\n\n"
	tail := func(c *eddahttp.Client) (got string, err error) {
		for m, e := range c.TailStream(t.Context(), edda.Read{Stream: "orders", Shard: "eu", From: edda.FromOffset(4)}) {
			if e != nil {
				return got, e
			}
			got += m.Type + "=" + string(m.Payload) + " "
		}
		return got, nil
	}
	for name, tc := range map[string]struct {
		end    string
		reason edda.Reason
		text   string
	}{
		"deleted":   {"event: edda.error\ndata: {\"status\":404,\"code\":\"not_found\",\"reason\":\"NO_STREAM\",\"detail\":\"gone\"}\n\n", edda.NoStream, "gone"},
		"no reason": {"event: edda.error\ndata: {}\n\n", edda.Internal, "without a reason"},
		"no end":    {"", edda.Unavailable, "broke"},
		"no item":   {"event: message\ndata: {\n\n", edda.Internal, "something else than a message"},
		"bad item":  {"event: message\ndata: {\"data\":1}\n\n", edda.BadValue, "data is not a string"},
	} {
		c, g := fakeNode(t, eddahttp.Options{}, streams(two+tc.end))
		got, err := tail(c)
		if edda.ReasonOf(err) != tc.reason || !strings.Contains(err.Error(), tc.text) || got != "message=x error=\xff " {
			t.Errorf("%s: got %q, %v, want %s with %q", name, got, err, tc.reason, tc.text)
		}
		if g.uri != "/v1/streams/orders?from=4&shard=eu" || g.header.Get("Accept") != "text/event-stream" || g.method != http.MethodGet {
			t.Errorf("the node got %+v", g)
		}
	}
	c, _ := fakeNode(t, eddahttp.Options{}, respond(404, `{"status":404,"code":"not_found","reason":"NO_STREAM"}`, "Content-Type", "application/problem+json"))
	if _, err := tail(c); edda.ReasonOf(err) != edda.NoStream {
		t.Errorf("got %v, want NO_STREAM", err)
	}
	c, _ = fakeNode(t, eddahttp.Options{}, respond(200, "hello"))
	if _, err := tail(c); err == nil || !strings.Contains(err.Error(), "is it an Edda node") {
		t.Errorf("got %v, want a doubt about the node", err)
	}
	c, _ = fakeNode(t, eddahttp.Options{}, streams(two))
	for range c.TailStream(t.Context(), edda.Read{Stream: "orders"}) {
		break
	}
}

// silentBody says what it has, and then nothing more until its request is given up.
type silentBody struct {
	ctx  context.Context
	text *strings.Reader
}

func (b *silentBody) Read(p []byte) (int, error) {
	if b.text.Len() > 0 {
		return b.text.Read(p)
	}
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func (*silentBody) Close() error { return nil }

// roundTrip answers instead of a node.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A connection that says nothing for long is given up, but not for what its reader takes
// long to do.
func TestTailOfADeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := eddahttp.New("http://a", eddahttp.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}},
				Body: &silentBody{r.Context(), strings.NewReader("id: 4\nevent: placed\ndata: {\"offset\":4}\n\n")},
			}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var got []string
		for m, err := range c.TailStream(t.Context(), edda.Read{Stream: "orders"}) {
			if err == nil {
				time.Sleep(time.Hour) // it is looked at
				got = append(got, strconv.FormatUint(m.Offset, 10))
				continue
			}
			got = append(got, string(edda.ReasonOf(err)))
			if !strings.Contains(err.Error(), "nothing was heard for 45s") {
				t.Errorf("got %v, want it to say that nothing was heard", err)
			}
		}
		if took, want := time.Since(begin), time.Hour+45*time.Second; strings.Join(got, " ") != "4 UNAVAILABLE" || took != want {
			t.Errorf("got %v after %v, want message 4, an hour, and 45 s later the end", got, took)
		}
	})
}
