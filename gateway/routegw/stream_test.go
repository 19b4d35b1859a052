package routegw_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/routegw"
)

func TestRequestBecomesStreamMessage(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{}, routegw.Route{
		Route: "POST /{tenant}/orders/{id}", Namespace: "shop", Stream: "orders", Type: "order.placed", Key: "path.id", Shard: "path.tenant",
	})
	w := do(g, "POST", "/acme/orders/7", "two", "Content-Type: text/plain", "Traceparent: "+parent)
	answered(t, w, 200, "done")
	a, m := f.append, &f.append.Messages[0]
	if a.Namespace != "shop" || a.Stream != "orders" || a.Shard != "acme" || a.Principal != edda.Anonymous || len(a.Messages) != 1 {
		t.Errorf("got append %+v", a)
	}
	if m.ID != "" || m.Type != "order.placed" || m.Key != "7" || string(m.Payload) != "two" || m.ContentType != "text/plain" ||
		m.Principal != edda.Anonymous || m.ReplyTo != (edda.Address{Namespace: "shop", Name: "orders.replies"}) || !strings.HasPrefix(m.TraceParent, parent[:36]) {
		t.Errorf("got message %+v", m)
	}
	if got := text(m.Headers); got != "Edda-Http-Method=POST|Edda-Http-Path=/acme/orders/7|Edda-Http-Params=tenant=acme&id=7|" {
		t.Errorf("got headers %s", got)
	}
	for name, v := range map[string]string{"Edda-Id": "made", "Edda-Position": "2-1", "Edda-Durability": "fsync", "Content-Type": "text/plain"} {
		if got := w.Header().Get(name); got != v {
			t.Errorf("got %s %q, want %q", name, got, v)
		}
	}
	do(g, "POST", "/acme/orders/8", "")
	want := edda.StreamSpec{Namespace: "shop", Name: "orders.replies", Retention: edda.Retention{Age: time.Hour}, Dedupe: time.Hour}
	if len(f.made) != 1 || f.made[0].Name != want.Name || f.made[0].Retention != want.Retention || f.made[0].Dedupe != want.Dedupe || f.made[0].Namespace != want.Namespace {
		t.Errorf("got streams %+v, want %+v once", f.made, want)
	}
	refused(t, do(g, "POST", "/acme%0A/orders/8", ""), edda.BadName, "")
}

func TestStreamReplies(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{}, routegw.Route{Route: "POST /x", Stream: "s", ReplyTo: "answers"})
	var reply edda.StreamMessage
	f.await = func(_ context.Context, stream, id string, wait time.Duration) (*edda.StreamMessage, error) {
		if stream != "answers" || id != "made" || wait > 30*time.Second || wait < 25*time.Second {
			t.Errorf("waits for %q of %s for %v", id, stream, wait)
		}
		m := reply
		m.ID = id
		return &m, nil
	}
	for _, tc := range []struct {
		name   string
		reply  edda.StreamMessage
		status int
		body   string
	}{
		{"text", edda.StreamMessage{Type: "reply", Payload: []byte("ok")}, 200, "ok"},
		{"empty", edda.StreamMessage{Type: "reply"}, 204, ""},
		{"a type of its own", edda.StreamMessage{Type: "order.placed", Payload: []byte("ok")}, 200, "ok"},
		{"a status", edda.StreamMessage{Payload: []byte("forbidden"), Headers: edda.Headers{{Name: "edda-status", Value: "403"}, {Name: "X-A", Value: "1"}}}, 403, "forbidden"},
	} {
		reply = tc.reply
		w := do(g, "POST", "/x", "x")
		if w.Code != tc.status || w.Body.String() != tc.body {
			t.Errorf("%s: got %d %s", tc.name, w.Code, w.Body)
		}
		if len(tc.reply.Headers) > 0 && (w.Header().Get("X-A") != "1" || w.Header().Get("Edda-Status") != "") {
			t.Errorf("%s: got headers %v", tc.name, w.Header())
		}
	}
	for _, tc := range []struct {
		name, contentType, payload string
		headers                    edda.Headers
		reason                     edda.Reason
		detail                     string
	}{
		{"dead", "error", `{"reason":"DEAD","message":"tried 10 times"}`, nil, edda.Dead, "tried 10 times"},
		{"failed", "error", `{"reason":"FAILED","message":"NO_FUNDS: empty"}`, nil, edda.Failed, "NO_FUNDS: empty"},
		{"a word of its own", "error", `{"reason":"NO_FUNDS","message":"empty"}`, nil, edda.Failed, "NO_FUNDS: empty"},
		{"no method", "error", `{"reason":"NO_METHOD","message":"none"}`, nil, edda.NoMethod, "none"},
		{"no JSON", "error", `what`, nil, edda.Failed, "what"},
		{"a bad status", "reply", "x", edda.Headers{{Name: "Edda-Status", Value: "1000"}}, edda.Failed, `Edda-Status "1000", must be 200 to 599`},
		{"no status", "reply", "x", edda.Headers{{Name: "Edda-Status", Value: "fine"}}, edda.Failed, `Edda-Status "fine", must be 200 to 599`},
	} {
		reply = edda.StreamMessage{Type: tc.contentType, Payload: []byte(tc.payload), Headers: tc.headers}
		w := do(g, "POST", "/x", "x")
		refused(t, w, tc.reason, tc.detail)
		if w.Header().Get("Edda-Position") != "2-1" || w.Header().Get("Edda-Id") != "made" || w.Header().Get("Edda-Attempts") != "" {
			t.Errorf("%s: got headers %v", tc.name, w.Header())
		}
	}
}

func TestStreamWaitIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{await: func(ctx context.Context, _, _ string, wait time.Duration) (*edda.StreamMessage, error) {
			select {
			case <-time.After(wait):
				return nil, &edda.Error{Reason: edda.NoMessage}
			case <-ctx.Done():
				return nil, &edda.Error{Reason: edda.Timeout, Err: ctx.Err()}
			}
		}}
		f.stored = func(*edda.Append) (*edda.AppendAck, error) {
			time.Sleep(300 * time.Millisecond) // counts too
			return &edda.AppendAck{Items: []edda.Appended{{ID: "made"}}, Position: "2-1"}, nil
		}
		g := serving(t, f, routegw.Options{}, routegw.Route{Route: "GET /", Stream: "s", Wait: time.Second})
		start := time.Now()
		w := do(g, "GET", "/", "")
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
		refused(t, w, edda.Timeout, "message made is stored")
		if w.Header().Get("Edda-Id") != "made" {
			t.Error("the id is not told")
		}
	})
}

// The stream of replies may be deleted while somebody waits, or a reply be gone.
func TestStreamOfRepliesGoes(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{}, routegw.Route{Route: "POST /x", Stream: "s"})
	n := 0
	f.await = func(context.Context, string, string, time.Duration) (*edda.StreamMessage, error) {
		if n++; n == 1 {
			f.made = nil
			return nil, &edda.Error{Reason: edda.NoStream}
		}
		return &edda.StreamMessage{Payload: []byte("ok")}, nil
	}
	answered(t, do(g, "POST", "/x", ""), 200, "ok")
	if n != 2 || len(f.made) != 1 {
		t.Errorf("waited %d times, with streams %+v", n, f.made)
	}
	for reason, want := range map[edda.Reason]edda.Reason{edda.NoMessage: edda.ReplyExpired, edda.Unavailable: edda.Unavailable} {
		f.await = func(context.Context, string, string, time.Duration) (*edda.StreamMessage, error) {
			return nil, &edda.Error{Reason: reason}
		}
		refused(t, do(g, "POST", "/x", ""), want, "")
	}
	f.stored = func(*edda.Append) (*edda.AppendAck, error) {
		return nil, &edda.Error{Reason: edda.NoShard, Err: errors.New("no such shard")}
	}
	w := do(g, "POST", "/x", "")
	refused(t, w, edda.NoShard, "no such shard")
	if w.Header().Get("Edda-Position") != "" {
		t.Error("it has a position and is not stored")
	}
}

func TestStreamAsync(t *testing.T) {
	for _, tc := range []struct{ namespace, replyTo, location string }{
		{"", "", ""},
		{"", "answers", "/v1/streams/answers/messages/made"},
		{"shop", "answers", "/v1/ns/shop/streams/answers/messages/made"},
	} {
		f := &fake{await: func(context.Context, string, string, time.Duration) (*edda.StreamMessage, error) {
			t.Error("it waits")
			return nil, errors.New("waited")
		}}
		g := serving(t, f, routegw.Options{}, routegw.Route{Route: "POST /x", Namespace: tc.namespace, Stream: "s", ReplyTo: tc.replyTo, Async: true})
		w := do(g, "POST", "/x", "x")
		answered(t, w, 202, `{"id":"made","shard":"default","offset":41,"position":"2-1"}`)
		if got := w.Header().Get("Location"); got != tc.location {
			t.Errorf("got Location %s, want %s", got, tc.location)
		}
		if got := f.append.Messages[0].ReplyTo.Name; got != tc.replyTo || (len(f.made) == 1) != (tc.replyTo != "") {
			t.Errorf("got reply-to %q and streams %v", got, f.made)
		}
	}
}

// An idempotency key is one principal's: who names it gets the reply.
func TestStreamIdempotency(t *testing.T) {
	var first *edda.Append
	f := &fake{}
	f.stored = func(a *edda.Append) (*edda.AppendAck, error) {
		item := edda.Appended{ID: a.Messages[0].ID, Shard: "default", Offset: 7}
		if first == nil {
			first = a
		} else {
			item.Replayed = item.ID == first.Messages[0].ID
		}
		return &edda.AppendAck{Items: []edda.Appended{item}, Position: "2-7"}, nil
	}
	f.await = func(_ context.Context, stream, id string, _ time.Duration) (*edda.StreamMessage, error) {
		if stream == "s" {
			m := first.Messages[0]
			return &m, nil
		}
		return &edda.StreamMessage{ID: id, Payload: []byte("ok")}, nil
	}
	g := serving(t, f, routegw.Options{Authenticator: auth.Func(func(_ context.Context, c auth.Credential) (*auth.Grant, error) {
		return &auth.Grant{Principal: edda.Principal(c.Token), Rights: auth.Everything()}, nil
	})}, routegw.Route{Route: "POST /x", Stream: "s"})
	post := func(who, body string) (code int, replayed, id string) {
		w := do(g, "POST", "/x", body, "Authorization: Bearer "+who, "Idempotency-Key: k")
		return w.Code, w.Header().Get("Idempotency-Replayed"), f.append.Messages[0].ID
	}
	code, replayed, id := post("ada", "1")
	if code != 200 || replayed != "" || id == "" || strings.Contains(id, "ada") {
		t.Errorf("first: got %d, replayed %q, id %q", code, replayed, id)
	}
	if code, replayed, again := post("ada", "1"); code != 200 || replayed != "true" || again != id {
		t.Errorf("again: got %d, replayed %q, id %q", code, replayed, again)
	}
	if code, replayed, other := post("eve", "1"); code != 200 || replayed != "" || other == id {
		t.Errorf("another principal: got %d, replayed %q, id %q", code, replayed, other)
	}
	if code, _, _ := post("ada", "2"); code != 422 {
		t.Errorf("another body: got %d, want 422", code)
	}
}

// A key that was used for a message in one shard is not answered for another: there the
// message would silently be missing.
func TestStreamIdempotencyOfAnotherShard(t *testing.T) {
	var first *edda.Append
	f := &fake{}
	f.stored = func(a *edda.Append) (*edda.AppendAck, error) {
		replayed := first != nil
		if !replayed {
			first = a
		}
		return &edda.AppendAck{
			Items: []edda.Appended{{ID: first.Messages[0].ID, Shard: first.Shard, Offset: 7, Replayed: replayed}}, Position: "2-7",
		}, nil
	}
	f.await = func(context.Context, string, string, time.Duration) (*edda.StreamMessage, error) {
		m := first.Messages[0]
		return &m, nil
	}
	g := serving(t, f, routegw.Options{}, routegw.Route{Route: "POST /x", Stream: "s", Shard: "header.X-Tenant", Async: true})
	post := func(tenant string) *httptest.ResponseRecorder {
		return do(g, "POST", "/x", "1", "X-Tenant: "+tenant, "Idempotency-Key: k")
	}
	if w := post("eu"); w.Code != 202 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("first: got %d %s", w.Code, w.Body)
	}
	if w := post("eu"); w.Code != 202 || w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: got %d %s", w.Code, w.Body)
	}
	refused(t, post("us"), edda.IdempotencyMismatch, "another message")
}
