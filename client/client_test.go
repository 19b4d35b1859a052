package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/internal/freeport"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// What the node says comes back whole.
func TestAnswers(t *testing.T) {
	n := newFakeNode(t)
	n.on(echo)
	c := n.dial(t, client.Options{}).Client()
	got, err := c.Call(t.Context(), msg("users/1", "say", "hello"))
	want := &edda.Reply{Status: 201, ContentType: "text/plain", Headers: edda.Headers{{Name: "X", Value: "y"}}, Payload: []byte("hello"),
		RequestID: edda.ID{2}, Position: "p2", Attempts: 3, Replayed: true}
	if err != nil || !cmp.Equal(got, want, cmpopts.IgnoreUnexported(edda.Reply{})) {
		t.Errorf("reply is %+v, %v", got, err)
	}
	ack, err := c.Send(t.Context(), msg("users/1", "say", "hello"))
	if err != nil || *ack != (edda.Ack{ID: edda.ID{1}, Position: "p1", Durability: edda.Fsync, AcceptedAt: time.Unix(3600, 0).UTC(), Joined: true, Done: true}) {
		t.Errorf("ack is %+v, %v", ack, err)
	}
	id := edda.ID{9}
	n.on(func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
		answer(failure(r, &eddav1.Error{Reason: "DEAD", Message: "it did not work", RequestId: id[:], RetryAfter: int64(time.Second), Position: "p3", Attempts: 4, Replayed: true}))
		return nil
	})
	_, err = c.Call(t.Context(), msg("users/1", "say", "hello"))
	e, _ := errors.AsType[*edda.Error](err)
	if e == nil || e.Reason != edda.Dead || e.Op != "call users/1" || e.Key != "1" || e.RequestID != id || e.RetryAfter != time.Second ||
		e.Position != "p3" || e.Attempts != 4 || !e.Replayed || e.Error() != "call users/1: it did not work" {
		t.Errorf("error is %+v", e)
	}
}

// A message arrives as it was sent, as far as Protocol Buffers can carry it.
func TestMessages(t *testing.T) {
	n := newFakeNode(t)
	got := make(chan *eddav1.Message, 1)
	n.on(func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
		got <- r.GetCall()
		return echo(r, answer)
	})
	c := n.dial(t, client.Options{}).Client().In("shop")
	m := msg("users/ü", "say", "\xff")
	m.Headers = edda.Headers{{Name: "a", Value: "bad\xff"}}
	m.Deadline, m.Due, m.IdempotencyKey, m.TraceParent = time.Unix(5, 0), time.Unix(4, 0), "k", "00-1"
	if _, err := c.Call(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	a := recv(t, got)
	if a.GetNamespace() != "shop" || a.GetService() != "users" || a.GetKey() != "ü" || a.GetType() != "say" || string(a.GetPayload()) != "\xff" ||
		a.GetHeaders()[0].GetValue() != "bad\uFFFD" || a.GetDeadline() != int64(5*time.Second) || a.GetDue() != int64(4*time.Second) ||
		a.GetIdempotencyKey() != "k" || a.GetTraceparent() != "00-1" {
		t.Errorf("message is %v", a)
	}
	m.IdempotencyKey = "\xff"
	_, err := c.Call(t.Context(), m)
	wantReason(t, err, edda.BadValue)
	_, err = c.Call(t.Context(), &edda.Message{To: edda.Address{Name: "users", Key: "\xff"}, Type: "say"})
	wantReason(t, err, edda.BadName)
	_, err = c.Call(t.Context(), &edda.Message{To: edda.Address{Name: "users", Key: "1"}})
	wantReason(t, err, edda.BadName)
}

// Calls of many sizes at once, more than one stream takes.
func TestManyCalls(t *testing.T) {
	n := newFakeNode(t)
	var all sync.WaitGroup
	const calls = 3000
	all.Add(calls)
	n.on(func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
		all.Done() // nobody is answered before all are there
		go func() {
			all.Wait()
			_ = echo(r, answer)
		}()
		return nil
	})
	c := n.dial(t, client.Options{Connections: 1}).Client()
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			payload := fmt.Sprint(i)
			if i%100 == 0 {
				payload = strings.Repeat(payload, 20_000)
			}
			if r, err := c.Call(t.Context(), msg("echo", "say", payload)); err != nil || string(r.Payload) != payload {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	n.on(echo)
	big := strings.Repeat("x", 4<<20)
	if r, err := c.Call(t.Context(), msg("echo", "say", big)); err != nil || string(r.Payload) != big {
		t.Errorf("4 MiB: %v", err)
	}
	_, err := c.Call(t.Context(), msg("echo", "say", big+big))
	wantReason(t, err, edda.TooLarge)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.streams < 4 || n.streams > 6 {
		t.Errorf("%d streams for %d calls, large ones, want 4 or so", n.streams, calls)
	}
}

// After a connection that broke, a request without an idempotency key may have been
// stored; one with a key is sent again.
func TestBrokenConnection(t *testing.T) {
	n := newFakeNode(t)
	var broken atomic.Int32
	n.on(func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
		if broken.Add(1)%2 == 1 {
			return status.Error(codes.Unavailable, "broken")
		}
		return echo(r, answer)
	})
	c := n.dial(t, client.Options{}).Client()
	for _, m := range []func() error{
		func() error { _, err := c.Call(t.Context(), msg("users/1", "say", "a")); return err },
		func() error { _, err := c.Send(t.Context(), msg("users/1", "say", "a")); return err },
	} {
		broken.Store(0)
		err := m()
		wantReason(t, err, edda.OutcomeUnknown)
		if !strings.Contains(err.Error(), "broken") || !strings.Contains(err.Error(), "call users/1") {
			t.Errorf("error is %v", err)
		}
	}
	broken.Store(0)
	if r, err := c.Call(t.Context(), keyed(msg("users/1", "say", "a"))); err != nil || string(r.Payload) != "a" {
		t.Errorf("with a key: %v", err)
	}
	n.on(func(*eddav1.BatchRequest, func(*eddav1.BatchResponse)) error {
		return status.Error(codes.Unavailable, "broken")
	})
	_, err := c.Call(t.Context(), keyed(msg("users/1", "say", "a")))
	wantReason(t, err, edda.OutcomeUnknown)
}

// Without a node a request is refused after a while; nothing was stored. One that
// comes in time takes it.
func TestNoConnection(t *testing.T) {
	addr := freeport.Address(t)
	conn := dial(t, addr, client.Options{ConnectTimeout: 50 * time.Millisecond})
	_, err := conn.Client().Call(t.Context(), msg("users/1", "say", "a"))
	wantReason(t, err, edda.Unavailable)
	_, err = conn.Client().Request(t.Context(), edda.ID{1})
	wantReason(t, err, edda.Unavailable)
	for _, err := range conn.Client().Parts(t.Context(), edda.ID{1}, edda.PartID{}) {
		wantReason(t, err, edda.Unavailable)
	}
	patient := dial(t, addr, client.Options{}).Client()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = patient.Call(ctx, msg("users/1", "say", "a"))
	wantReason(t, err, edda.Unavailable)
	done := make(chan error, 1)
	go func() {
		_, err := patient.Call(t.Context(), msg("users/1", "say", "a"))
		done <- err
	}()
	newFakeNodeAt(t, addr).on(echo)
	if err := recv(t, done); err != nil {
		t.Error(err)
	}
}

// A caller who waits no longer is told what is known of the request.
func TestWaitIsOver(t *testing.T) {
	n := newFakeNode(t)
	came := make(chan uint64, 10)
	id := edda.ID{7}
	n.on(func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
		if !r.GetForget() {
			came <- r.GetRef()
			return nil
		}
		answer(failure(r, &eddav1.Error{Reason: "TIMEOUT", Message: "the wait was over", RequestId: id[:], Position: "p"}))
		return nil
	})
	c := n.dial(t, client.Options{}).Client()
	call := func() (context.CancelFunc, <-chan error) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := c.Call(ctx, msg("users/1", "say", "a"))
			done <- err
		}()
		recv(t, came)
		return cancel, done
	}
	var err error
	for range 20 { // a node that is slow to say so is not waited for
		cancel, done := call()
		cancel()
		if err = recv(t, done); edda.ReasonOf(err) != edda.OutcomeUnknown {
			break
		}
	}
	wantReason(t, err, edda.Timeout)
	if e, ok := errors.AsType[*edda.Error](err); !ok || e.RequestID != id || e.Position != "p" {
		t.Errorf("error is %+v", e)
	}
	n.on(func(r *eddav1.BatchRequest, _ func(*eddav1.BatchResponse)) error {
		if !r.GetForget() {
			came <- r.GetRef()
		}
		return nil
	})
	cancel, done := call()
	cancel()
	wantReason(t, recv(t, done), edda.OutcomeUnknown) // the node does not say
}

// Who may not come in is told so, and knows that nothing was stored.
func TestRefused(t *testing.T) {
	n := newFakeNode(t)
	n.on(func(*eddav1.BatchRequest, func(*eddav1.BatchResponse)) error {
		return status.Error(codes.Unauthenticated, "who are you")
	})
	n.get = func(string, []byte) (any, error) {
		return nil, refuse(&eddav1.Error{Reason: "NO_REQUEST", Message: "nothing is known"})
	}
	c := n.dial(t, client.Options{}).Client()
	_, err := c.Call(t.Context(), keyed(msg("users/1", "say", "a")))
	wantReason(t, err, edda.NoCredentials)
	_, err = c.Request(t.Context(), edda.ID{1})
	wantReason(t, err, edda.NoRequest)
	_, err = c.Wait(t.Context(), edda.ID{1})
	wantReason(t, err, edda.NoRequest)
}

// Questions are asked again when the connection breaks.
func TestAsksAgain(t *testing.T) {
	n := newFakeNode(t)
	id := edda.ID{5}
	var asked atomic.Int32
	n.get = func(method string, got []byte) (any, error) {
		if string(got) != string(id[:]) {
			return nil, fmt.Errorf("id is %x", got)
		}
		if asked.Add(1)%2 == 1 {
			return nil, status.Error(codes.Unavailable, "broken")
		}
		if method == "wait" {
			return &eddav1.CallResponse{Reply: &eddav1.Reply{Payload: []byte("late")}, RequestId: got, Attempts: 2}, nil
		}
		return &eddav1.RequestInfo{
			Id: got, Namespace: "shop", Service: "users", Key: "1", Method: method, State: "failed", Attempts: 2, Position: "p", Principal: "me",
			CorrelationId: "c", CausationId: id[:], AcceptedAt: 1e9, StartedAt: 2e9, NextAttemptAt: 3e9, CompletedAt: 4e9,
			Error: &eddav1.Error{Reason: "FAILED", Message: "why"}, ReplyStatus: 404, ReplyContentType: "text/plain", ReplySize: 12, HasReply: true,
		}, nil
	}
	c := n.dial(t, client.Options{}).Client()
	if r, err := c.Wait(t.Context(), id); err != nil || string(r.Payload) != "late" || r.RequestID != id || r.Attempts != 2 {
		t.Errorf("wait: %+v, %v", r, err)
	}
	want := edda.Request{
		ID: id, Namespace: "shop", Service: "users", Key: "1", Method: "get", State: edda.StateFailed, Attempts: 2, Position: "p", Principal: "me",
		CorrelationID: "c", CausationID: id, AcceptedAt: time.Unix(1, 0).UTC(), StartedAt: time.Unix(2, 0).UTC(),
		NextAttemptAt: time.Unix(3, 0).UTC(), CompletedAt: time.Unix(4, 0).UTC(),
		Error: &edda.RequestError{Code: edda.CodeAborted, Reason: edda.Failed, Message: "why"},
		Reply: &edda.ReplyInfo{Status: 404, ContentType: "text/plain", Size: 12},
	}
	got, err := c.Request(t.Context(), id)
	if err != nil || !cmp.Equal(*got, want) {
		t.Errorf("request: %v, %s", err, cmp.Diff(want, got))
	}
	if got, err := c.Cancel(t.Context(), id); err != nil || got.Method != "cancel" {
		t.Errorf("cancel: %+v, %v", got, err)
	}
	n.get = func(string, []byte) (any, error) { return nil, status.Error(codes.Unavailable, "broken") }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = c.Wait(ctx, id)
	wantReason(t, err, edda.Timeout)
}

// Parts go on after the last one that was read when the connection breaks.
func TestParts(t *testing.T) {
	n := newFakeNode(t)
	var tries []string
	n.parts = func(after string, send func(*eddav1.PartsResponse) error) error {
		tries = append(tries, after)
		part := func(p *eddav1.PartInfo) error {
			return send(&eddav1.PartsResponse{Event: &eddav1.PartsResponse_Part{Part: p}})
		}
		switch len(tries) {
		case 1:
			return errors.Join(part(&eddav1.PartInfo{Number: "1.1", Attempt: 1, ContentType: "text/plain", Payload: []byte("a")}), status.Error(codes.Unavailable, "broken"))
		case 2:
			return status.Error(codes.Unavailable, "broken")
		case 3:
			return errors.Join(part(&eddav1.PartInfo{Number: "2.1", Attempt: 2, Reset_: true}), part(&eddav1.PartInfo{Number: "2.2", Attempt: 2, Payload: []byte("b")}),
				send(&eddav1.PartsResponse{}), send(&eddav1.PartsResponse{Event: &eddav1.PartsResponse_End{End: &eddav1.CallResponse{}}}))
		default:
			return refuse(&eddav1.Error{Reason: "DEAD", Message: "it did not work"})
		}
	}
	c := n.dial(t, client.Options{}).Client()
	var got []string
	for p, err := range c.Parts(t.Context(), edda.ID{1}, edda.PartID{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %t %s %s", p.ID(), p.Reset, p.ContentType, p.Payload))
	}
	if want := []string{"1.1 false text/plain a", "2.1 true  ", "2.2 false  b"}; !cmp.Equal(got, want) {
		t.Errorf("parts are %q, want %q", got, want)
	}
	if want := []string{edda.PartID{}.String(), "1.1", "1.1"}; !cmp.Equal(tries, want) {
		t.Errorf("asked after %q, want %q", tries, want)
	}
	for _, err := range c.Parts(t.Context(), edda.ID{1}, edda.PartID{Attempt: 2, Number: 2}) {
		wantReason(t, err, edda.Dead)
	}
}

// Close ends what waits, once.
func TestClose(t *testing.T) {
	n := newFakeNode(t)
	came := make(chan uint64, 10)
	n.on(func(r *eddav1.BatchRequest, _ func(*eddav1.BatchResponse)) error {
		came <- r.GetRef()
		return nil
	})
	hold := make(chan struct{})
	defer close(hold)
	n.get = func(string, []byte) (any, error) {
		came <- 0
		<-hold
		return nil, status.Error(codes.Unavailable, "broken")
	}
	conn := n.dial(t, client.Options{})
	done := make(chan error, 2)
	go func() {
		_, err := conn.Client().Call(t.Context(), msg("users/1", "say", "a"))
		done <- err
	}()
	recv(t, came)
	waited := make(chan error, 1)
	go func() {
		_, err := conn.Client().Wait(t.Context(), edda.ID{1})
		waited <- err
	}()
	recv(t, came)
	if err := errors.Join(conn.Close(), conn.Close()); err != nil {
		t.Error(err)
	}
	wantReason(t, recv(t, done), edda.OutcomeUnknown)
	wantReason(t, recv(t, waited), edda.Unavailable)
	_, err := conn.Client().Call(t.Context(), msg("users/1", "say", "a"))
	wantReason(t, err, edda.Unavailable)
}

func TestDialRefuses(t *testing.T) {
	for text, o := range map[string]client.Options{"Connections": {Connections: 65}, "ConnectTimeout": {ConnectTimeout: -1}} {
		if _, err := client.Dial("http://h:1", o); edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := client.Dial("localhost", client.Options{})
	wantReason(t, err, edda.BadValue)
}

// The token goes with every stream and call.
func TestToken(t *testing.T) {
	n := newFakeNode(t)
	n.on(echo)
	n.get = func(string, []byte) (any, error) { return &eddav1.RequestInfo{}, nil }
	c := n.dial(t, client.Options{Token: "secret"}).Client()
	_, err1 := c.Call(t.Context(), msg("users/1", "say", "a"))
	_, err2 := c.Request(t.Context(), edda.ID{1})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if want := []string{"Bearer secret", "Bearer secret"}; !cmp.Equal(n.tokens, want) {
		t.Errorf("tokens are %q, want %q", n.tokens, want)
	}
}

// An https URL, or a TLS configuration, secures the connection.
func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	n := newFakeNodeAt(t, "127.0.0.1:0", grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))
	n.on(echo)
	addr := strings.TrimPrefix(n.url, "http://")
	trust := &tls.Config{RootCAs: x509.NewCertPool()}
	trust.RootCAs.AddCert(web.Certificate())
	for _, url := range []string{addr, "https://" + addr} {
		if _, err := dial(t, url, client.Options{TLS: trust, ConnectTimeout: time.Hour}).Client().Call(t.Context(), msg("echo", "say", "a")); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	_, err := dial(t, "https://"+addr, client.Options{ConnectTimeout: time.Hour}).Client().Call(t.Context(), msg("echo", "say", "a"))
	wantReason(t, err, edda.NoRoute)
	if !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the roots: %v", err)
	}
	_, err = client.Dial("http://"+addr, client.Options{TLS: trust})
	wantReason(t, err, edda.BadValue)
}
