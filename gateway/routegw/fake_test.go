package routegw_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/routegw"
)

var fakeID = edda.NewID(1, time.Unix(1_700_000_000, 0))

// fake is a backend whose answers a test chooses. It remembers the last message, and the
// last append.
type fake struct {
	edda.StreamBackend // nil: what a test does not expect

	mu      sync.Mutex
	message *edda.Message
	append  *edda.Append
	made    []edda.StreamSpec

	call   func(ctx context.Context, m *edda.Message) (*edda.Reply, error)
	send   func(m *edda.Message) (*edda.Ack, error)
	stored func(a *edda.Append) (*edda.AppendAck, error)
	await  func(ctx context.Context, stream, id string, wait time.Duration) (*edda.StreamMessage, error)
}

func (f *fake) Call(ctx context.Context, m *edda.Message) (*edda.Reply, error) {
	f.mu.Lock()
	f.message = m
	f.mu.Unlock()
	if f.call != nil {
		return f.call(ctx, m)
	}
	return &edda.Reply{ContentType: m.ContentType, Payload: m.Payload, RequestID: fakeID, Position: "1-1", Attempts: 1}, nil
}

func (f *fake) Send(_ context.Context, m *edda.Message) (*edda.Ack, error) {
	f.message = m
	if f.send != nil {
		return f.send(m)
	}
	return &edda.Ack{ID: fakeID, Position: "1-1", Durability: edda.Fsync, AcceptedAt: time.Unix(1_700_000_000, 5e8)}, nil
}

func (f *fake) Wait(context.Context, string, edda.ID) (*edda.Reply, error) { panic("nobody waits") }

func (f *fake) Request(context.Context, string, edda.ID) (*edda.Request, error) {
	panic("nobody asks")
}

func (f *fake) Cancel(context.Context, string, edda.ID) (*edda.Request, error) {
	panic("nobody cancels")
}

func (f *fake) Parts(context.Context, string, edda.ID, edda.PartID) iter.Seq2[edda.Part, error] {
	panic("nobody wants parts")
}

func (f *fake) Append(_ context.Context, a *edda.Append) (*edda.AppendAck, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	f.append = a
	if f.stored != nil {
		return f.stored(a)
	}
	id := a.Messages[0].ID
	if id == "" {
		id = "made"
	}
	shard := a.Shard
	if shard == "" {
		shard = edda.DefaultShard
	}
	return &edda.AppendAck{Items: []edda.Appended{{ID: id, Shard: shard, Offset: 41}}, Position: "2-1", Durability: edda.Fsync}, nil
}

func (f *fake) AwaitMessage(ctx context.Context, _, stream, id string, wait time.Duration) (*edda.StreamMessage, error) {
	if f.await != nil {
		return f.await(ctx, stream, id, wait)
	}
	return &edda.StreamMessage{ID: id, Type: "reply", ContentType: "text/plain", Payload: []byte("done")}, nil
}

func (f *fake) Stream(_ context.Context, _, name string) (*edda.Stream, error) {
	for _, s := range f.made {
		if s.Name == name {
			return &edda.Stream{StreamSpec: s}, nil
		}
	}
	return nil, &edda.Error{Reason: edda.NoStream}
}

func (f *fake) SetStream(_ context.Context, s edda.StreamSpec) (*edda.Stream, bool, error) {
	f.made = append(f.made, s)
	return &edda.Stream{StreamSpec: s}, true, nil
}

// serving returns a gateway to a backend with routes.
func serving(t testing.TB, f *fake, opts routegw.Options, routes ...routegw.Route) *routegw.Gateway {
	t.Helper()
	opts.Routes = routes
	opts.Durability = edda.Fsync
	g, err := routegw.New(routegw.Backends{Calls: f, Streams: f}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// do sends one request to a handler. Headers are "Name: value".
func do(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, rd)
	r.Host = "localhost:7400"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// problem is a problem document as a client sees it.
type problem struct {
	Type, Title, Detail, RequestID string
	Status                         int
	Code                           edda.Code
	Reason                         edda.Reason
}

// refused checks that the answer is a problem document with the reason, whose detail has
// the text.
func refused(t testing.TB, w *httptest.ResponseRecorder, reason edda.Reason, detail string) {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("got %d %s, want a problem document: %s", w.Code, w.Body, reason)
	}
	if p.Reason != reason || w.Code != reason.HTTPStatus() || p.Status != w.Code || p.Code != reason.Code() || !strings.Contains(p.Detail, detail) {
		t.Errorf("got %d %s %q, want %s that says %q", w.Code, p.Reason, p.Detail, reason, detail)
	}
}

// answered checks status and body.
func answered(t testing.TB, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || !bytes.Equal(w.Body.Bytes(), []byte(body)) {
		t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, body)
	}
}
