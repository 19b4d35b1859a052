package httpgw

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

// obj is a JSON object of an answer.
type obj = map[string]any

// fake is a backend whose answers a test chooses, for those that a node gives
// only in trouble. It remembers the last message.
type fake struct {
	message *edda.Message
	call    func(ctx context.Context, m *edda.Message) (*edda.Reply, error)
	send    func(ctx context.Context, m *edda.Message) (*edda.Ack, error)
	wait    func(ctx context.Context, id edda.ID) (*edda.Reply, error)
	parts   []edda.Part
	ended   error // after the parts
}

var fakeID = edda.NewID(1, time.Unix(1_700_000_000, 0))

func (f *fake) Call(ctx context.Context, m *edda.Message) (*edda.Reply, error) {
	f.message = m
	if f.call != nil {
		return f.call(ctx, m)
	}
	return &edda.Reply{
		ContentType: m.ContentType, Payload: m.Payload, Headers: m.Headers, RequestID: fakeID, Position: "1-1", Attempts: 1,
	}, nil
}

func (f *fake) Send(ctx context.Context, m *edda.Message) (*edda.Ack, error) {
	f.message = m
	if f.send != nil {
		return f.send(ctx, m)
	}
	return &edda.Ack{ID: fakeID, Position: "1-1", Durability: edda.Fsync, AcceptedAt: time.Unix(1_700_000_000, 5e8)}, nil
}

func (f *fake) Wait(ctx context.Context, _ string, id edda.ID) (*edda.Reply, error) {
	if f.wait != nil {
		return f.wait(ctx, id)
	}
	<-ctx.Done()
	return nil, &edda.Error{Reason: edda.Timeout}
}

func (f *fake) Request(context.Context, string, edda.ID) (*edda.Request, error) {
	return nil, &edda.Error{Reason: edda.NoRequest}
}

func (f *fake) Cancel(context.Context, string, edda.ID) (*edda.Request, error) {
	return nil, &edda.Error{Reason: edda.NoRequest}
}

func (f *fake) Parts(context.Context, string, edda.ID, edda.PartID) iter.Seq2[edda.Part, error] {
	return func(yield func(edda.Part, error) bool) {
		for i := range f.parts {
			if !yield(f.parts[i], nil) {
				return
			}
		}
		if f.ended != nil {
			yield(edda.Part{}, f.ended)
		}
	}
}

// gatewayOf returns a gateway to a backend alone: its routes that are no calls
// do not work.
func gatewayOf(t testing.TB, f edda.Backend, opts Options) *Gateway {
	t.Helper()
	g, err := build(nil, backends{calls: f, sagas: &fakeSagas{}, streams: &fakeStreams{}, groups: &fakeGroups{}, channels: &fakeChannels{}}, edda.Fsync, opts)
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

// echoing is a fake that remembers nothing, so that many may use it.
type echoing struct{ *fake }

func (echoing) Call(_ context.Context, m *edda.Message) (*edda.Reply, error) {
	return &edda.Reply{ContentType: m.ContentType, Payload: m.Payload, RequestID: fakeID, Position: "1-1", Attempts: 1}, nil
}
