package httppush

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

func TestPlainRequest(t *testing.T) {
	url, seen := recorder(t, answerWith(200, "ok"))
	deadline := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	defer cancel()
	r, _ := serveRunner(t, users(url+"/base/"), Options{})
	a := attemptAt(ctx, &edda.Message{
		Type: "login", To: edda.Address{Name: "users", Key: "a/b ü%"}, ContentType: "text/csv", Payload: []byte("a,b"),
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", TraceState: "k=v",
		Headers: edda.Headers{
			{Name: "x-one", Value: "1"}, {Name: "X-One", Value: "2"}, {Name: "User-Agent", Value: "me"},
			{Name: "Edda-Http-Method", Value: "PUT"}, {Name: "Edda-Http-Params", Value: "id=7"}, // of a route
			// Not the caller's to set, or no headers at all.
			{Name: "Edda-Attempt", Value: "9"}, {Name: "webhook-id", Value: "x"}, {Name: "Content-Length", Value: "1"},
			{Name: "Content-Type", Value: "x/y"}, {Name: "Host", Value: "x"}, {Name: "Transfer-Encoding", Value: "chunked"},
			{Name: "Connection", Value: "x-hop"}, {Name: "X-Hop", Value: "1"}, {Name: "Traceparent", Value: "x"},
			{Name: "bad name", Value: "1"}, {Name: "X-Bad", Value: "1\r\nX-Injected: 1"},
		},
	}, state{})
	r.start(a)
	if out := a.outcome(t); out.Err != nil {
		t.Fatal(out.Err)
	}
	g := <-seen
	if g.method != "POST" || g.uri != "/base/login" || g.body != "a,b" {
		t.Errorf("the endpoint got %s %s %q", g.method, g.uri, g.body)
	}
	sent, err := time.Parse(time.RFC3339, g.header.Get("Edda-Deadline"))
	if err != nil || !sent.Equal(deadline.Round(0)) || !strings.HasSuffix(g.header.Get("Edda-Deadline"), "Z") {
		t.Errorf("got Edda-Deadline %s, want %s", g.header.Get("Edda-Deadline"), deadline.UTC())
	}
	g.header.Del("Edda-Deadline")
	want := http.Header{
		"Content-Type": {"text/csv"}, "Content-Length": {"3"}, "User-Agent": {"me"}, "X-One": {"1", "2"}, "Edda-Http-Method": {"PUT"}, "Edda-Http-Params": {"id=7"},
		"Edda-Request-Id": {a.d.Message.ID.String()}, "Edda-Key": {"a%2Fb%20%C3%BC%25"}, "Edda-Fence": {"77"}, "Edda-Attempt": {"3"},
		"Traceparent": {a.d.Message.TraceParent}, "Tracestate": {"k=v"},
	}
	for name, values := range want {
		if !slices.Equal(g.header[name], values) {
			t.Errorf("got %s %q, want %q", name, g.header[name], values)
		}
	}
	for name, values := range g.header {
		if want[name] == nil {
			t.Errorf("got %s %q, which nobody asked for", name, values)
		}
	}
	select {
	case <-a.wasTaken:
	default:
		t.Error("the attempt was not taken")
	}
}

func TestBalancedHasNeitherKeyNorFence(t *testing.T) {
	url, seen := recorder(t, answerWith(200, "ok"))
	try1(t, echo(url), &edda.Message{}, nil)
	g := <-seen
	if g.header["Edda-Key"] != nil || g.header["Edda-Fence"] != nil || g.header["Content-Type"] != nil || g.body != "" {
		t.Errorf("got %+v", g)
	}
	if g.header.Get("User-Agent") != "edda" || g.header.Get("Content-Length") != "0" {
		t.Errorf("got %v", g.header)
	}
}

func TestPlainReplies(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		header []string
	}{
		{"ok", 200, "fine", []string{"Content-Type", "text/plain"}},
		{"created", 201, "{}", []string{"Content-Type", "application/json", "X-A", "1", "X-A", "2"}},
		{"nothing", 204, "", nil},
		{"redirect", 302, "elsewhere", []string{"Location", "http://127.0.0.1:1/"}},
		{"bad request", 400, "why", nil},
		{"forbidden", 403, "forbidden", []string{"Content-Type", "text/plain; charset=utf-8"}},
		{"not found", 404, "not found", nil},
		{"conflict", 409, "", nil},
		{"final without an error", 200, "x", []string{"Edda-Error", "final"}},
		{"an error that is not final", 404, "x", []string{"Edda-Error", "other"}},
		{"compressed as it came", 200, "\x1f\x8b", []string{"Content-Encoding", "gzip"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url := server(t, answerWith(tc.status, tc.body, append(tc.header, "Connection", "x-hop", "X-Hop", "1", "Edda-Own", "1")...))
			out := try1(t, users(url), &edda.Message{}, state{})
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			if out.Reply.Status != tc.status || string(out.Reply.Payload) != tc.body {
				t.Errorf("got %d %q, want %d %q", out.Reply.Status, out.Reply.Payload, tc.status, tc.body)
			}
			var want edda.Headers
			contentType := ""
			for i := 0; i < len(tc.header); i += 2 {
				switch name, value := tc.header[i], tc.header[i+1]; name {
				case "Content-Type":
					contentType = value
				case "Edda-Error":
				default:
					want.Add(name, value)
				}
			}
			if !slices.Equal(out.Reply.Headers, want) {
				t.Errorf("got headers %v, want %v", out.Reply.Headers, want)
			}
			if contentType != "" && out.Reply.ContentType != contentType {
				t.Errorf("got content type %q, want %q", out.Reply.ContentType, contentType)
			}
		})
	}
}

func TestPlainAttempts(t *testing.T) {
	soon := time.Now().Add(30 * time.Minute).UTC().Format(http.TimeFormat)
	for _, tc := range []struct {
		name     string
		status   int
		header   []string
		final    bool
		min, max time.Duration // of the delay asked for
	}{
		{name: "timeout", status: 408},
		{name: "too early", status: 425},
		{name: "too many", status: 429},
		{name: "internal", status: 500},
		{name: "unavailable", status: 503},
		{name: "last", status: 599},
		{name: "seconds", status: 429, header: []string{"Retry-After", "120"}, min: 2 * time.Minute, max: 2 * time.Minute},
		{name: "now", status: 503, header: []string{"Retry-After", "0"}, min: 1, max: time.Millisecond},
		{name: "too long", status: 503, header: []string{"Retry-After", "86400"}, min: time.Hour, max: time.Hour},
		{name: "much too long", status: 503, header: []string{"Retry-After", "99999999999999999999"}, min: time.Hour, max: time.Hour},
		{name: "date", status: 503, header: []string{"Retry-After", soon}, min: 29 * time.Minute, max: 30 * time.Minute},
		{name: "past date", status: 503, header: []string{"Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"}, min: 1, max: time.Millisecond},
		{name: "neither", status: 503, header: []string{"Retry-After", "soon"}},
		{name: "negative", status: 503, header: []string{"Retry-After", "-5"}},
		{name: "final", status: 404, header: []string{"Edda-Error", "final"}, final: true},
		{name: "final where it would be retried", status: 500, header: []string{"Edda-Error", "final"}, final: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url := server(t, answerWith(tc.status, "no funds", tc.header...))
			out := try1(t, users(url), &edda.Message{}, state{})
			he, ok := errors.AsType[*edda.HandlerError](out.Err)
			if !ok {
				t.Fatalf("got %v, want a *HandlerError", out.Err)
			}
			if he.Final != tc.final || he.RetryAfter < tc.min || he.RetryAfter > tc.max {
				t.Errorf("got %+v, want final %v and a delay from %v to %v", he, tc.final, tc.min, tc.max)
			}
			if !strings.Contains(he.Error(), strconv.Itoa(tc.status)) || !strings.HasSuffix(he.Error(), "no funds") {
				t.Errorf("got text %q", he.Error())
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, tc := range []struct{ name, answer, text string }{
		{"hung up", "", "broke"},
		{"no HTTP", "hello\r\n\r\n", "malformed"},
		{"half a header", "HTTP/1.1 200 OK\r\nContent-Le", "broke"},
		{"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "ended in its middle"},
		{"half a large body", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 70000), "ended in its middle"},
		{"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf", "ended in its middle"},
		{"no status of HTTP", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "999"},
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "101"},
		{"header too large", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "header"},
		{"pending", "HTTP/1.1 202 Accepted\r\nEdda-Pending: true\r\nContent-Length: 0\r\n\r\n", "pending"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url := raw(t, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, tc.answer)
				}
			})
			out := try1(t, users(url), &edda.Message{Payload: []byte("x")}, state{})
			if out.Err == nil || !strings.Contains(out.Err.Error(), tc.text) {
				t.Fatalf("got %v, want a failed attempt that says %q", out.Err, tc.text)
			}
			if he, ok := errors.AsType[*edda.HandlerError](out.Err); ok && he.Final {
				t.Errorf("got a final error: %v", out.Err)
			}
		})
	}
}

// Records and JSON hold UTF-8 alone, HTTP any bytes.
func TestHeadersAreUTF8(t *testing.T) {
	out := try1(t, users(server(t, answerWith(200, "\xff", "X-A", "caf\xe9", "Content-Type", "text/\xff"))), &edda.Message{}, state{})
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	if r := out.Reply; r.Headers.Get("X-A") != "caf?" || r.ContentType != "text/?" || string(r.Payload) != "\xff" {
		t.Errorf("got %+v", r)
	}
}

func TestReplyBounds(t *testing.T) {
	const limit = 200_000
	for _, tc := range []struct {
		size    int
		chunked bool
		fits    bool
	}{
		{limit, false, true}, {limit, true, true}, {limit + 1, false, false}, {limit + 1, true, false}, {100 * limit, true, false}, {0, true, true},
	} {
		t.Run(fmt.Sprint(tc.size, tc.chunked), func(t *testing.T) {
			url := server(t, func(w http.ResponseWriter, _ *http.Request) {
				if tc.chunked {
					_ = http.NewResponseController(w).Flush()
				} else {
					w.Header().Set("Content-Length", strconv.Itoa(tc.size))
				}
				_, _ = io.WriteString(w, strings.Repeat("x", tc.size))
			})
			r, _ := serveRunner(t, users(url), Options{MaxReply: limit})
			a := attemptAt(t.Context(), &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}}, state{})
			r.start(a)
			out := a.outcome(t)
			if tc.fits && (out.Err != nil || len(out.Reply.Payload) != tc.size) {
				t.Errorf("got %v, want a reply of %d bytes", out.Err, tc.size)
			}
			if !tc.fits && (out.Err == nil || !strings.Contains(out.Err.Error(), "more than 200000 bytes")) {
				t.Errorf("got %v, want a refusal", out.Err)
			}
		})
	}
}

// An attempt that was fenced ends, whatever the endpoint is at.
func TestFencedAttemptEnds(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"no answer": func(http.ResponseWriter) {},
		"half a body": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			begun := make(chan struct{})
			url := server(t, func(w http.ResponseWriter, r *http.Request) {
				begin(w)
				close(begun)
				<-r.Context().Done() // the runner hangs up
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			r, _ := serveRunner(t, users(url), Options{})
			a := attemptAt(ctx, &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}}, state{})
			r.start(a)
			<-begun
			fenced := errors.New("fenced")
			cancel(fenced)
			if out := a.outcome(t); !errors.Is(out.Err, fenced) {
				t.Errorf("got %v, want %v", out.Err, fenced)
			}
		})
	}
}

// A peer that accepts and says nothing is an attempt, ended by its timeout.
func TestHalfOpen(t *testing.T) {
	hold := make(chan struct{})
	url := raw(t, func(net.Conn) { <-hold })
	t.Cleanup(func() { close(hold) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, w := serveRunner(t, users(url), Options{})
	a := attemptAt(ctx, &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}}, state{})
	r.start(a)
	if out := a.outcome(t); !errors.Is(out.Err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", out.Err, context.DeadlineExceeded)
	}
	w.stays(t)
}

// verify checks a signature as a receiver of Standard Webhooks would, from its
// specification and not from the code under test.
func verify(key []byte, g got) bool {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", g.header.Get("Webhook-Id"), g.header.Get("Webhook-Timestamp"), g.body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	seconds, err := strconv.ParseInt(g.header.Get("Webhook-Timestamp"), 10, 64)
	fresh := err == nil && time.Since(time.Unix(seconds, 0)).Abs() < 5*time.Minute
	return fresh && slices.Contains(strings.Split(g.header.Get("Webhook-Signature"), " "), want)
}

func TestSignature(t *testing.T) {
	for secret, key := range map[string]string{
		"whsec_c2VjcmV0IG9mIHRoZSB0ZXN0": "secret of the test",
		"just text":                      "just text",
		"c2VjcmV0":                       "c2VjcmV0", // base64 only with its prefix
	} {
		for _, protocol := range []edda.Protocol{edda.Plain, edda.Envelope} {
			url, seen := recorder(t, answerWith(200, "{}"))
			spec := users(url)
			spec.Secret, spec.Protocol = secret, protocol
			for _, payload := range []string{`{"email":"a@x"}`, ""} {
				out := try1(t, spec, &edda.Message{ContentType: "application/json", Payload: []byte(payload)}, state{})
				g := <-seen
				if out.Err != nil || !verify([]byte(key), g) {
					t.Errorf("secret %q, %s: got %v and headers %v", secret, protocol, out.Err, g.header)
				}
				if g.header.Get("Webhook-Id") != g.header.Get("Edda-Request-Id") {
					t.Errorf("got webhook-id %s, want the request's", g.header.Get("Webhook-Id"))
				}
				if verify([]byte("another"), g) {
					t.Error("another key verifies it")
				}
			}
		}
	}
}

// The example that libraries of Standard Webhooks test themselves with.
func TestSignatureOfTheStandard(t *testing.T) {
	spec := users("http://127.0.0.1:1")
	spec.Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	target, err := newTarget(spec, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	for range 2 { // the second with a hash that was used
		if got := target.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestConnectionsAreKept(t *testing.T) {
	conns := make(chan string, 10)
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		conns <- r.RemoteAddr
		status := http.StatusOK
		if r.URL.Path == "/fail" {
			status = http.StatusInternalServerError
		}
		answerWith(status, strings.Repeat("x", 5000))(w, r)
	})
	r, _ := serveRunner(t, users(url), Options{})
	first := ""
	for _, method := range []string{"ok", "fail", "ok"} {
		a := attemptAt(t.Context(), &edda.Message{Type: method, To: edda.Address{Name: "users", Key: "k"}, Payload: []byte("x")}, state{})
		r.start(a)
		a.outcome(t)
		if c := <-conns; first == "" {
			first = c
		} else if c != first {
			t.Errorf("a connection was made anew for %s", method)
		}
	}
}

func TestHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		_, _ = io.Copy(w, r.Body)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it is told of the handshake that failed
	s.StartTLS()
	t.Cleanup(s.Close)
	conf := s.Client().Transport.(*http.Transport).TLSClientConfig
	r, w := serveRunner(t, users(s.URL), Options{TLS: conf})
	for range 3 {
		a := attemptAt(t.Context(), &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}, Payload: []byte("hi")}, state{})
		r.start(a)
		out := a.outcome(t)
		if out.Err != nil || string(out.Reply.Payload) != "hi" || out.Reply.Headers.Get("X-Proto") != "HTTP/2.0" {
			t.Errorf("got %+v, %v", out.Reply, out.Err)
		}
	}
	w.stays(t)

	// Whose certificate nobody knows is not sent anything.
	r, w = serveRunner(t, users(s.URL), Options{})
	a := attemptAt(t.Context(), &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}}, state{})
	r.start(a)
	a.back(t)
	w.want(t, false)
}

func TestFramesAreRefused(t *testing.T) {
	out := try1(t, users("http://127.0.0.1:1"), &edda.Message{Frames: [][]byte{{1}}}, state{})
	if he, ok := errors.AsType[*edda.HandlerError](out.Err); !ok || !he.Final {
		t.Errorf("got %v, want a final error", out.Err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(users("http://a"), Options{MaxReply: -1}); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("got %v, want %s", err, edda.BadValue)
	}
	if _, err := New(users("ftp://a"), Options{}); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("got %v, want %s", err, edda.BadValue)
	}
	r, _ := serveRunner(t, users("http://127.0.0.1:1"), Options{})
	if err := r.Change(users("")); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("got %v, want %s", err, edda.BadValue)
	}
}
