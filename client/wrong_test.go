package client_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/internal/freeport"
	"github.com/edda-io/edda/internal/testca"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// warnings is a handler that keeps why there was no connection, where it warns of it.
type warnings struct {
	slog.Handler
	mu  *sync.Mutex
	why *[]string
}

func newWarnings() warnings { return warnings{slog.DiscardHandler, new(sync.Mutex), new([]string)} }

func (warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "why" {
			w.mu.Lock()
			defer w.mu.Unlock()
			*w.why = append(*w.why, a.Value.String())
		}
		return true
	})
	return nil
}

func (w warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(*w.why)
}

// A client that cannot get through to a node says so at once, and what would be
// right; nothing was stored.
func TestWrongForGood(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	cert, key := ca.Issue(t, t.TempDir(), "node", nil)
	encryption, err := auth.ServerTLS(auth.ServerTLSOptions{CertFile: cert, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	secure := newFakeNodeAt(t, "127.0.0.1:0", grpc.Creds(credentials.NewTLS(encryption)))
	secureURL := "https" + strings.TrimPrefix(secure.url, "http")
	stranger, err := auth.ClientTLS(auth.ClientTLSOptions{CAFile: other.File})
	if err != nil {
		t.Fatal(err)
	}
	plain := newFakeNode(t).url
	site := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(site.Close)
	for name, c := range map[string]struct {
		url  string
		o    client.Options
		text string
	}{
		"TLS to a node without": {"https" + strings.TrimPrefix(plain, "http"), client.Options{}, "connect to " + plain},
		"a wrong CA":            {secureURL, client.Options{TLS: stranger}, "is not trusted here"},
		"an HTTP server":        {site.URL, client.Options{}, "speaks HTTP/1, so it is no node"},
	} {
		log := newWarnings()
		c.o.Logger, c.o.ConnectTimeout = slog.New(log), time.Hour
		conn, err := client.Dial(c.url, c.o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		m := &edda.Message{To: edda.Address{Name: "echo"}, Type: "say"}
		_, called := conn.Call(ctx, m)
		_, looked := conn.Request(ctx, "", edda.ID{1})
		_, created := conn.CreateSaga(ctx, &edda.SagaSpec{})
		for what, err := range map[string]error{"call": called, "look up": looked, "create a saga": created} {
			if edda.ReasonOf(err) != edda.NoRoute || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %s: %v\nwant NO_ROUTE with %q", name, what, err, c.text)
			}
		}
		cancel()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if got := log.all(); len(got) > 1 {
			t.Errorf("%s: the log has %q, want one", name, got)
		}
	}
}

// That nobody listens is said once, however long that lasts, and again after there
// was a connection.
func TestWrongForNow(t *testing.T) {
	n := newFakeNodeAt(t, freeport.Address(t))
	n.on(answerAll)
	log := newWarnings()
	conn, err := client.Dial(n.url, client.Options{Logger: slog.New(log), ConnectTimeout: 300 * time.Millisecond, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	call := func() error {
		_, err := conn.Call(t.Context(), &edda.Message{To: edda.Address{Name: "echo"}, Type: "say"})
		return err
	}
	callUntil := func() {
		t.Helper()
		err := call()
		for start := time.Now(); edda.ReasonOf(err) == edda.Unavailable && time.Since(start) < patience; {
			err = call() // a connection may take longer
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	callUntil()
	addr := strings.TrimPrefix(n.url, "http://")
	for round := range 2 {
		n.server.Stop()
		_ = call() // it may go out with the last breath of the connection
		for range 3 {
			if err := call(); edda.ReasonOf(err) != edda.Unavailable || !strings.Contains(err.Error(), "nobody listens at "+addr) {
				t.Errorf("got %v, want UNAVAILABLE because nobody listens", err)
			}
		}
		var said int
		for _, why := range log.all() {
			if strings.Contains(why, "nobody listens") {
				said++
			}
		}
		if said != round+1 {
			t.Errorf("in round %d the log has %q, want that nobody listens %d times", round, log.all(), round+1)
		}
		n = newFakeNodeAt(t, addr)
		n.on(answerAll)
		callUntil()
	}
}

// answerAll answers every call.
func answerAll(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
	answer(&eddav1.BatchResponse{Ref: r.GetRef(), Response: &eddav1.BatchResponse_Reply{Reply: &eddav1.CallResponse{
		Reply: &eddav1.Reply{Status: 200},
	}}})
	return nil
}
