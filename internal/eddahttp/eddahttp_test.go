package eddahttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

const requestID = "0190a5c1-7b2e-7000-8000-000000000001"

// got is what the node saw of a request.
type got struct {
	method, uri, body string
	header            http.Header
}

// fakeNode answers everything with one answer and notes what it was asked.
func fakeNode(t *testing.T, o eddahttp.Options, answer http.HandlerFunc) (*eddahttp.Client, *got) {
	t.Helper()
	g := &got{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		*g = got{r.Method, r.RequestURI, string(b), r.Header}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	c, err := eddahttp.New(s.URL+"/", o)
	if err != nil {
		t.Fatal(err)
	}
	return c, g
}

func respond(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestCallSaysEverythingInItsHeaders(t *testing.T) {
	c, g := fakeNode(t, eddahttp.Options{Token: "s3cret", Namespace: "blue"}, respond(403, "forbidden",
		"Edda-Request-Id", requestID, "Edda-Position", "7", "Edda-Attempts", "2", "Edda-Durability", "fsync",
		"Idempotency-Replayed", "true", "Content-Type", "text/plain", "X-Own", "1"))
	a, err := c.Call(t.Context(), eddahttp.Call{
		To: edda.Address{Name: "users", Key: "a/b c%"}, Method: "login",
		Headers:     edda.Headers{{Name: "X-One", Value: "1"}},
		ContentType: "text/csv", Payload: []byte("a,b"),
		IdempotencyKey: "k1", CorrelationID: "story", Delay: time.Second, Deadline: time.Minute,
		Async: true, Wait: 1500 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "/v1/ns/blue/call/users/a%2Fb%20c%25/login"; g.method != "POST" || g.uri != want || g.body != "a,b" {
		t.Errorf("node got %s %s %q, want POST %s %q", g.method, g.uri, g.body, want, "a,b")
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer s3cret", "Content-Type": "text/csv", "Idempotency-Key": "k1",
		"Edda-Correlation-Id": "story", "Edda-Delay": "1s", "Edda-Deadline": "1m0s",
		"Prefer": "respond-async, wait=2", "Edda-Header-X-One": "1",
	} {
		if got := g.header.Get(name); got != want {
			t.Errorf("node got %s %q, want %q", name, got, want)
		}
	}
	r := a.Reply
	if a.Ack != nil || r.Status != 403 || string(r.Payload) != "forbidden" || r.ContentType != "text/plain" ||
		r.RequestID.String() != requestID || r.Position != "7" || r.Attempts != 2 || !r.Replayed || a.Durability != edda.Fsync {
		t.Errorf("got answer %+v with reply %+v", a, r)
	}
	if len(r.Headers) != 1 || r.Headers.Get("X-Own") != "1" {
		t.Errorf("got headers %v, want X-Own alone", r.Headers)
	}
}

func TestAcknowledgementIsNoReply(t *testing.T) {
	ack := `{"id":"` + requestID + `","position":"7","durability":"fsync","acceptedAt":"2026-01-02T03:04:05Z","later":1}`
	c, _ := fakeNode(t, eddahttp.Options{}, respond(202, ack, "Edda-Request-Id", requestID))
	a, err := c.Call(t.Context(), eddahttp.Call{To: edda.Address{Name: "slow"}, Method: "x", Async: true})
	if err != nil || a.Reply != nil || a.Ack.ID.String() != requestID || a.Ack.Durability != edda.Fsync {
		t.Errorf("got %+v, %v, want an acknowledgement", a, err)
	}
	// A handler may reply 202 too; then attempts were made.
	c, _ = fakeNode(t, eddahttp.Options{}, respond(202, "queued", "Edda-Request-Id", requestID, "Edda-Attempts", "1"))
	a, err = c.Reply(t.Context(), edda.ID{1}, time.Second)
	if err != nil || a.Reply == nil || a.Reply.Status != 202 {
		t.Errorf("got %+v, %v, want a reply", a, err)
	}
}

func TestProblemsBecomeErrors(t *testing.T) {
	doc := `{"type":"about:blank","title":"Dead","status":500,"code":"aborted","reason":"DEAD","detail":"spent","requestId":"` + requestID + `"}`
	c, _ := fakeNode(t, eddahttp.Options{}, respond(500, doc, "Content-Type", "application/problem+json",
		"Edda-Attempts", "5", "Edda-Position", "9", "Retry-After", "2"))
	_, err := c.Call(t.Context(), eddahttp.Call{To: edda.Address{Name: "flaky", Key: "1"}, Method: "go"})
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		t.Fatalf("got error %v, want *edda.Error", err)
	}
	if e.Reason != edda.Dead || e.Attempts != 5 || e.Position != "9" || e.RetryAfter != 2*time.Second ||
		e.RequestID.String() != requestID || e.Error() != "call flaky/1 go: spent" {
		t.Errorf("got error %+v", e)
	}
}

func TestHandlersMayReplyProblems(t *testing.T) {
	c, _ := fakeNode(t, eddahttp.Options{}, respond(422, `{"title":"no funds"}`, "Content-Type", "application/problem+json",
		"Edda-Request-Id", requestID, "Edda-Attempts", "1"))
	a, err := c.Call(t.Context(), eddahttp.Call{To: edda.Address{Name: "pay", Key: "1"}, Method: "go"})
	if err != nil || a.Reply == nil || a.Reply.Status != 422 {
		t.Errorf("got %+v, %v, want the handler's reply", a, err)
	}
}

func TestOthersAreNoNodes(t *testing.T) {
	c, _ := fakeNode(t, eddahttp.Options{}, respond(404, "<html>", "Content-Type", "text/html"))
	if _, err := c.Services(t.Context(), eddahttp.Query{}); err == nil || !strings.Contains(err.Error(), "is it an Edda node?") {
		t.Errorf("got error %v, want a doubt", err)
	}
	if _, err := c.Call(t.Context(), eddahttp.Call{To: edda.Address{Name: "echo"}, Method: "x"}); err == nil ||
		!strings.Contains(err.Error(), "is it an Edda node?") {
		t.Errorf("got error %v, want a doubt", err)
	}
}

func TestBrokenConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	l.Close()
	c, err := eddahttp.New(nobody, eddahttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	call := eddahttp.Call{To: edda.Address{Name: "echo"}, Method: "x"}
	if _, err := c.Call(t.Context(), call); edda.ReasonOf(err) != edda.Unavailable {
		t.Errorf("nobody listens: got error %v, want %s", err, edda.Unavailable)
	}

	c, _ = fakeNode(t, eddahttp.Options{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := c.Call(t.Context(), call); edda.ReasonOf(err) != edda.OutcomeUnknown {
		t.Errorf("broken after it was sent: got error %v, want %s", err, edda.OutcomeUnknown)
	}
	if _, err := c.Services(t.Context(), eddahttp.Query{}); edda.ReasonOf(err) != edda.Unavailable {
		t.Errorf("a read: got error %v, want %s", err, edda.Unavailable)
	}
}

func TestManagement(t *testing.T) {
	id, err := edda.ParseID(requestID)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		name string
		do   func(context.Context, *eddahttp.Client) error
		want string
	}{
		{"request", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Request(ctx, id, time.Second)
			return err
		},
			"GET /v1/requests/" + requestID + "?wait=1s"},
		{"requests", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Requests(ctx, eddahttp.Query{Service: "users", Key: "a&b", State: edda.Retrying, Limit: 5, After: "x"})
			return err
		}, "GET /v1/requests?after=x&key=a%26b&limit=5&service=users&state=retrying"},
		{"cancel", func(ctx context.Context, c *eddahttp.Client) error { _, err := c.Cancel(ctx, id); return err },
			"POST /v1/requests/" + requestID + "/cancel"},
		{"dead letters", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.DeadLetters(ctx, eddahttp.Query{Reason: "DEAD"})
			return err
		}, "GET /v1/deadletters?reason=DEAD"},
		{"dead letter", func(ctx context.Context, c *eddahttp.Client) error { _, err := c.DeadLetter(ctx, id); return err },
			"GET /v1/deadletters/" + requestID},
		{"retry", func(ctx context.Context, c *eddahttp.Client) error { return c.RetryDeadLetter(ctx, id) },
			"POST /v1/deadletters/" + requestID + "/retry"},
		{"drop", func(ctx context.Context, c *eddahttp.Client) error { return c.DropDeadLetter(ctx, id) },
			"DELETE /v1/deadletters/" + requestID},
		{"services", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Services(ctx, eddahttp.Query{})
			return err
		},
			"GET /v1/services"},
		{"service", func(ctx context.Context, c *eddahttp.Client) error { _, err := c.Service(ctx, "users"); return err },
			"GET /v1/services/users"},
		{"pause", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.PauseService(ctx, "users")
			return err
		},
			"POST /v1/services/users/pause"},
		{"resume", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.ResumeService(ctx, "users")
			return err
		},
			"POST /v1/services/users/resume"},
		{"resume key", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.ResumeKey(ctx, "users", "a/b")
			return err
		},
			"POST /v1/services/users/keys/a%2Fb/resume"},
		{"delete", func(ctx context.Context, c *eddahttp.Client) error { return c.DeleteService(ctx, "users", true) },
			"DELETE /v1/services/users?force=true"},
		{"put", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.PutService(ctx, "users", map[string]any{"kind": "ordered"})
			return err
		}, "PUT /v1/services/users"},
		{"workers", func(ctx context.Context, c *eddahttp.Client) error {
			_, err := c.Workers(ctx, eddahttp.Query{Limit: 5})
			return err
		}, "GET /v1/workers?limit=5"},
		{"worker", func(ctx context.Context, c *eddahttp.Client) error { _, err := c.Worker(ctx, "a/b"); return err },
			"GET /v1/workers/a%2Fb"},
		{"drain worker", func(ctx context.Context, c *eddahttp.Client) error { _, err := c.DrainWorker(ctx, "w1"); return err },
			"POST /v1/workers/w1/drain"},
		{"pause worker", func(ctx context.Context, c *eddahttp.Client) error { _, err := c.PauseWorker(ctx, "w1"); return err },
			"POST /v1/workers/w1/pause"},
		{"resume worker", func(ctx context.Context, c *eddahttp.Client) error { _, err := c.ResumeWorker(ctx, "w1"); return err },
			"POST /v1/workers/w1/resume"},
		{"node", func(ctx context.Context, c *eddahttp.Client) error { _, err := c.Node(ctx); return err }, "GET /v1/node"},
	} {
		t.Run(s.name, func(t *testing.T) {
			c, g := fakeNode(t, eddahttp.Options{}, respond(200, `{}`))
			if err := s.do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got := g.method + " " + g.uri; got != s.want {
				t.Errorf("node got %s, want %s", got, s.want)
			}
		})
	}
}

func TestNewRefusesWhatIsNoURL(t *testing.T) {
	for _, u := range []string{"", "localhost:7400", "ftp://x", "http://", "http://x?y", ":", "http://x/#f"} {
		if _, err := eddahttp.New(u, eddahttp.Options{}); err == nil {
			t.Errorf("New(%q) went well, want an error", u)
		}
	}
	if _, err := eddahttp.New("http://x", eddahttp.Options{Namespace: "a/b"}); err == nil {
		t.Error("a malformed namespace went well, want an error")
	}
}
