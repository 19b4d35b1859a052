package httpgw

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// problem is a problem document as a client sees it.
type problem struct {
	Type      string      `json:"type"`
	Title     string      `json:"title"`
	Status    int         `json:"status"`
	Code      edda.Code   `json:"code"`
	Reason    edda.Reason `json:"reason"`
	Detail    string      `json:"detail"`
	RequestID string      `json:"requestId"`
}

// wantProblem checks that the answer is a problem document that agrees with
// itself and with its headers.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder) problem {
	t.Helper()
	var p problem
	d := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("%d %s is no problem document: %v", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("got content type %q", got)
	}
	if p.Status != w.Code || p.Status != p.Reason.HTTPStatus() || p.Code != p.Reason.Code() {
		t.Errorf("status %d, document %+v do not agree", w.Code, p)
	}
	if p.Title == "" || p.Type != httpio.ProblemType+string(p.Reason) {
		t.Errorf("got title %q and type %q", p.Title, p.Type)
	}
	if id := w.Header().Get("Edda-Request-Id"); id != p.RequestID {
		t.Errorf("got Edda-Request-Id %q and requestId %q", id, p.RequestID)
	}
	return p
}

func wantReason(t *testing.T, w *httptest.ResponseRecorder, reason edda.Reason, detail string) {
	t.Helper()
	p := wantProblem(t, w)
	if p.Reason != reason || !strings.Contains(p.Detail, detail) {
		t.Errorf("got %s %q, want %s that names %q", p.Reason, p.Detail, reason, detail)
	}
}

func TestReply(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{})
	for _, tc := range []struct {
		name   string
		reply  edda.Reply
		status int
		body   string
		want   map[string]string // "-" is absent
	}{
		{"plain", edda.Reply{ContentType: "text/plain", Payload: []byte("ok")}, 200, "ok", map[string]string{
			"Content-Type": "text/plain", "Edda-Request-Id": fakeID.String(), "Edda-Position": "1-7",
			"Edda-Durability": "fsync", "Edda-Attempts": "3", "Idempotency-Replayed": "-",
		}},
		{"empty", edda.Reply{}, 204, "", map[string]string{"Content-Type": "-", "Edda-Position": "1-7"}},
		{"status", edda.Reply{Status: 403, ContentType: "text/plain", Payload: []byte("forbidden")}, 403, "forbidden", nil},
		{"error of its own", edda.Reply{Status: 500, Payload: []byte("boom")}, 500, "boom", map[string]string{"Content-Type": "-"}},
		{"204 with a body", edda.Reply{Status: 204, Payload: []byte("x")}, 204, "", nil},
		{"304 with a body", edda.Reply{Status: 304, Payload: []byte("x")}, 304, "", nil},
		{"replayed", edda.Reply{Status: 201, Replayed: true}, 201, "", map[string]string{"Idempotency-Replayed": "true"}},
		{"headers", edda.Reply{Status: 302, Headers: edda.Headers{
			{Name: "Location", Value: "/elsewhere"}, {Name: "x-custom", Value: "a"}, {Name: "X-Custom", Value: "b"},
			{Name: "Set-Cookie", Value: "c=1"}, {Name: "Set-Cookie", Value: "d=2"},
		}}, 302, "", map[string]string{"Location": "/elsewhere", "X-Custom": "a|b", "Set-Cookie": "c=1|d=2"}},
		{"hop by hop", edda.Reply{Payload: []byte("x"), Headers: edda.Headers{
			{Name: "Connection", Value: "close, X-Hop"}, {Name: "X-Hop", Value: "1"}, {Name: "Keep-Alive", Value: "1"},
			{Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Upgrade", Value: "h2c"}, {Name: "Trailer", Value: "X"},
			{Name: "TE", Value: "x"}, {Name: "Proxy-Authenticate", Value: "x"}, {Name: "content-length", Value: "999"},
			{Name: "Date", Value: "never"}, {Name: "edda-position", Value: "forged"}, {Name: "Edda-Attempts", Value: "0"},
			{Name: "X-Stays", Value: "1"},
		}}, 200, "x", map[string]string{
			"Connection": "-", "X-Hop": "-", "Keep-Alive": "-", "Transfer-Encoding": "-", "Upgrade": "-", "Trailer": "-",
			"Te": "-", "Proxy-Authenticate": "-", "Content-Length": "-", "Date": "-", "Edda-Position": "1-7",
			"Edda-Attempts": "3", "X-Stays": "1",
		}},
		{"no headers", edda.Reply{Payload: []byte("x"), ContentType: "text/plain\r\nX-Evil: 1", Headers: edda.Headers{
			{Name: "X-A", Value: "1\r\nX-Evil: 1"}, {Name: "X-B\r\nX-Evil", Value: "1"}, {Name: "", Value: "1"},
			{Name: "Trailer:X-Evil", Value: "1"}, {Name: "X C", Value: "1"}, {Name: "X-D", Value: "a\x00b"}, {Name: "X-É", Value: "1"},
			{Name: "X-Tab", Value: "a\tb"},
		}}, 200, "x", map[string]string{
			"Content-Type": "-", "X-A": "-", "X-B\r\nX-Evil": "-", "": "-", "Trailer:X-Evil": "-", "X C": "-", "X-D": "-",
			"X-É": "-", "X-Tab": "a\tb", "X-Evil": "-",
		}},
		{"content type as a header", edda.Reply{Payload: []byte("x"), Headers: edda.Headers{{Name: "content-type", Value: "a/b"}}},
			200, "x", map[string]string{"Content-Type": "a/b"}},
		{"content type twice", edda.Reply{Payload: []byte("x"), ContentType: "c/d", Headers: edda.Headers{{Name: "Content-Type", Value: "a/b"}}},
			200, "x", map[string]string{"Content-Type": "c/d"}},
		{"large", edda.Reply{Payload: bytes.Repeat([]byte("x"), 4<<20)}, 200, strings.Repeat("x", 4<<20), map[string]string{"Content-Length": "4194304"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
				r := tc.reply
				r.RequestID, r.Position, r.Attempts = fakeID, "1-7", 3
				return &r, nil
			}
			w := do(g, http.MethodPost, "/v1/call/echo/x", "x")
			if w.Code != tc.status || w.Body.String() != tc.body {
				t.Errorf("got %d and %d bytes, want %d and %d bytes", w.Code, w.Body.Len(), tc.status, len(tc.body))
			}
			for name, want := range tc.want {
				got := "-"
				if v := w.Header()[name]; len(v) > 0 {
					got = strings.Join(v, "|")
				}
				if got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestReplyWithImpossibleStatus(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{})
	for _, status := range []int{-1, 1, 99, 100, 101, 103, 199, 600, 999, 1000, 1 << 30} {
		f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
			return &edda.Reply{Status: status, RequestID: fakeID, Position: "1-7"}, nil
		}
		w := do(g, http.MethodPost, "/v1/call/echo/x", "x")
		wantReason(t, w, edda.Internal, "")
		if w.Header().Get("Edda-Position") != "1-7" {
			t.Errorf("status %d: the position is missing", status)
		}
	}
}

func TestEveryReason(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{})
	for reason := range httpio.Titles {
		f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
			return nil, &edda.Error{
				Op: "call", Reason: reason, RequestID: fakeID, Position: "1-7", Attempts: 2,
				RetryAfter: 1500 * time.Millisecond, Err: errors.New("because \"\x01\xff"),
			}
		}
		w := do(g, http.MethodPost, "/v1/call/echo/x", "x")
		p := wantProblem(t, w)
		if p.Reason != reason || p.RequestID != fakeID.String() {
			t.Errorf("%s: got %+v", reason, p)
		}
		if want := "because \"\x01\ufffd"; p.Detail != want && reason != edda.Internal {
			t.Errorf("%s: got detail %q, want %q", reason, p.Detail, want)
		}
		want := map[string]string{"Edda-Position": "1-7", "Edda-Durability": "fsync", "Idempotency-Replayed": ""}
		switch reason {
		case edda.Failed, edda.Dead, edda.Cancelled, edda.DeadlineExceeded, edda.ReplyExpired:
			want["Edda-Attempts"] = "2"
		default:
			want["Edda-Attempts"] = ""
		}
		switch reason {
		case edda.Overloaded, edda.KeyOverloaded, edda.RateLimited, edda.GroupFull, edda.NoService, edda.Draining, edda.Unavailable:
			want["Retry-After"] = "2"
		default:
			want["Retry-After"] = ""
		}
		for name, v := range want {
			if got := w.Header().Get(name); got != v {
				t.Errorf("%s: got %s %q, want %q", reason, name, got, v)
			}
		}
	}
}

func TestProblemsOfWhatIsNotStored(t *testing.T) {
	f := &fake{call: func(context.Context, *edda.Message) (*edda.Reply, error) {
		return nil, &edda.Error{Reason: edda.NoService}
	}}
	g := gatewayOf(t, f, Options{})
	w := do(g, http.MethodPost, "/v1/call/none/x", "x")
	for _, name := range []string{"Edda-Request-Id", "Edda-Position", "Edda-Durability", "Edda-Attempts"} {
		if v, ok := w.Header()[name]; ok {
			t.Errorf("got %s: %q", name, v)
		}
	}
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("got Retry-After %q, want 1", w.Header().Get("Retry-After"))
	}
	if strings.Contains(w.Body.String(), "null") || strings.Contains(w.Body.String(), "detail") {
		t.Errorf("got %s, want no empty members", w.Body)
	}
	f.call = func(context.Context, *edda.Message) (*edda.Reply, error) { return nil, errors.New("secret path") }
	if w := do(g, http.MethodPost, "/v1/call/none/x", "x"); strings.Contains(w.Body.String(), "secret") {
		t.Errorf("got %s", w.Body)
	} else {
		wantReason(t, w, edda.Internal, "")
	}
}
