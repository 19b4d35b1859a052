package rpcgw_test

import (
	"context"
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/internal/testca"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// grants knows a few tokens.
func grants(t *testing.T) auth.Authenticator {
	t.Helper()
	known := map[string]*auth.Grant{
		"caller": {Principal: "ada", Rights: auth.Rights{Call: []auth.Pattern{"echo"}}},
		"other":  {Principal: "bob", Rights: auth.Rights{Call: []auth.Pattern{"*"}}},
		"worker": {Principal: "w", Rights: auth.Rights{Host: []auth.Pattern{"ec*"}, Read: []auth.Pattern{"orders"}}},
		"root":   {Principal: "root", Rights: auth.Everything()},
	}
	brief := sync.OnceValue(func() *auth.Grant { // from when it is first shown
		return &auth.Grant{Principal: "w", Rights: auth.Rights{Host: []auth.Pattern{"*"}}, Expires: time.Now().Add(3 * time.Second)}
	})
	return auth.Func(func(_ context.Context, c auth.Credential) (*auth.Grant, error) {
		if c.Token == "brief" {
			return brief(), nil
		}
		if g := known[c.Token]; g != nil {
			return g, nil
		}
		return nil, auth.ErrUnknown
	})
}

func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// Where nobody is asked for credentials, a web page must not get in by a name of its
// own that it points at this machine.
func TestForeignNames(t *testing.T) {
	s := serve(t, options{services: []*edda.Service{echo()}})
	own, foreign := s.dial(t), s.dial(t, grpc.WithAuthority("evil.example"))
	page := metadata.AppendToOutgoingContext(within(t), "origin", "http://evil.example")
	for name, c := range map[string]struct {
		ctx  context.Context
		conn *grpc.ClientConn
		want codes.Code
	}{
		"its own":              {within(t), own, codes.OK},
		"a foreign :authority": {within(t), foreign, codes.PermissionDenied},
		"a web page":           {page, own, codes.PermissionDenied},
	} {
		_, err := eddav1.NewEddaServiceClient(c.conn).Call(c.ctx, &eddav1.CallRequest{Message: message("say", "x")})
		if status.Code(err) != c.want {
			t.Errorf("%s: a call got %v, want %s", name, err, c.want)
		}
		_, err = healthv1.NewHealthClient(c.conn).Check(c.ctx, &healthv1.HealthCheckRequest{})
		if status.Code(err) != c.want {
			t.Errorf("%s: a look at health got %v, want %s", name, err, c.want)
		}
	}
}

func TestClientsNeedTheRight(t *testing.T) {
	closed := echo()
	closed.Name = "closed"
	s := serve(t, options{Options: rpcgw.Options{Authenticator: grants(t)}, services: []*edda.Service{echo(), closed}})
	c, ctx := s.client(t), within(t)
	call := func(ctx context.Context, service string) error {
		m := message("say", "x")
		m.Service = service
		_, err := c.Call(ctx, &eddav1.CallRequest{Message: m})
		return err
	}
	wantStatus(t, "no token", call(ctx, "echo"), codes.Unauthenticated, edda.NoCredentials)
	wantStatus(t, "a wrong token", call(as(ctx, "x"), "echo"), codes.Unauthenticated, edda.NoCredentials)
	wantStatus(t, "two tokens", call(as(as(ctx, "caller"), "caller"), "echo"), codes.Unauthenticated, edda.NoCredentials)
	wantStatus(t, "a service that is not allowed", call(as(ctx, "caller"), "closed"), codes.PermissionDenied, edda.NotAllowed)
	wantStatus(t, "a worker", call(as(ctx, "worker"), "echo"), codes.PermissionDenied, edda.NotAllowed)
	wantStatus(t, "a web page", call(metadata.AppendToOutgoingContext(as(ctx, "root"), "origin", "https://x"), "echo"), codes.PermissionDenied, edda.NotAllowed)
	if err := call(as(ctx, "caller"), "echo"); err != nil {
		t.Error(err)
	}
	ack, err := c.Send(as(ctx, "caller"), &eddav1.SendRequest{Message: &eddav1.Message{Type: "say", Service: "echo", Principal: "root"}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Get(as(ctx, "caller"), &eddav1.GetRequest{Id: ack.GetId()})
	if err != nil || info.GetPrincipal() != "ada" {
		t.Errorf("sent by %s, %v, want ada", info.GetPrincipal(), err)
	}
	for what, err := range map[string]error{
		"get":    second(c.Get(as(ctx, "other"), &eddav1.GetRequest{Id: ack.GetId()})),
		"cancel": second(c.Cancel(as(ctx, "other"), &eddav1.GetRequest{Id: ack.GetId()})),
		"wait":   second(c.Wait(as(ctx, "other"), &eddav1.WaitRequest{Id: ack.GetId()})),
	} {
		wantStatus(t, what+" of another's request", err, codes.PermissionDenied, edda.NotAllowed)
	}
	if _, err := c.Get(as(ctx, "root"), &eddav1.GetRequest{Id: ack.GetId()}); err != nil {
		t.Errorf("who manages: %v", err)
	}
	if _, err := healthv1.NewHealthClient(s.dial(t)).Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("health is for everybody: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestWorkersNeedTheRight(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Authenticator: grants(t)}})
	open := func(token string) *link {
		stream, err := eddav1.NewWorkerServiceClient(s.dial(t)).Work(as(within(t), token))
		if err != nil {
			t.Fatal(err)
		}
		return &link{t: t, stream: stream}
	}
	stranger := open("x")
	wantStatus(t, "a stranger", stranger.receive(), codes.Unauthenticated, edda.NoCredentials)
	w := open("worker")
	w.register("w1", balanced("echo"), balanced("users"))
	if e, st := w.ends(); e.GetReason() != "NOT_ALLOWED" || st.Code() != codes.PermissionDenied {
		t.Errorf("users: %v", e)
	}
	w = open("worker")
	w.register("w1", balanced("echo"))
	w.next("Registered", func(f *eddav1.NodeFrame) bool { return f.GetRegistered() != nil })
	brief := open("brief")
	brief.register("w2", balanced("echo"))
	brief.next("Registered", func(f *eddav1.NodeFrame) bool { return f.GetRegistered() != nil })
	if e, _ := brief.ends(); e.GetReason() != "NO_CREDENTIALS" {
		t.Errorf("when the credentials expire: %v", e)
	}
}

// Whoever may read a stream consumes a group of it, which is made for that, and finds it
// as those made it who may manage.
func TestConsumersMayNotChangeTheGroup(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Authenticator: grants(t)}})
	consume := func(token, id string, g *eddav1.GroupSpec) {
		t.Helper()
		stream, err := eddav1.NewWorkerServiceClient(s.dial(t)).Work(as(within(t), token))
		if err != nil {
			t.Fatal(err)
		}
		g.Stream, g.Name = "orders", "mail"
		w := &link{t: t, stream: stream}
		w.register(id, &eddav1.Service{Name: "orders/mail", Kind: eddav1.Kind_KIND_ORDERED, Concurrency: 1, Group: g})
		w.next("Registered", func(f *eddav1.NodeFrame) bool { return f.GetRegistered() != nil })
	}
	want := func(what string, most int, timeout time.Duration) {
		t.Helper()
		g, err := s.node.Group(t.Context(), edda.GroupRef{Stream: "orders", Group: "mail"})
		if err != nil || g.MaxMembers != most || g.ProcessingTimeout != timeout {
			t.Errorf("%s: got %+v, %v, want at most %d members, %v each", what, g, err, most, timeout)
		}
	}
	consume("worker", "w1", &eddav1.GroupSpec{MaxMembers: 5, ProcessingTimeout: int64(time.Minute)})
	want("made by a worker", 5, time.Minute)
	consume("worker", "w2", &eddav1.GroupSpec{MaxMembers: 2, MinMembers: 2})
	want("said otherwise by a worker", 5, time.Minute)
	consume("root", "w3", &eddav1.GroupSpec{MaxMembers: 4})
	want("said otherwise by a worker that may manage", 4, time.Minute)
}

// Over TLS everything is as without it, and a certificate is a credential.
func TestTLS(t *testing.T) {
	ca, dir := testca.New(t), t.TempDir()
	cert, key := ca.Issue(t, dir, "node", nil)
	mine, mineKey := ca.Issue(t, dir, "ada", nil)
	server, err := auth.ServerTLS(auth.ServerTLSOptions{CertFile: cert, KeyFile: key, ClientCAFile: ca.File})
	if err != nil {
		t.Fatal(err)
	}
	clients := func(o auth.ClientTLSOptions) *tls.Config {
		o.CAFile = ca.File
		c, err := auth.ClientTLS(o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	certificates, err := auth.NewCertificates(auth.CertificateOptions{Rights: func(edda.Principal) auth.Rights { return auth.Everything() }})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, options{
		Options: rpcgw.Options{Authenticator: certificates}, tls: server,
		client: clients(auth.ClientTLSOptions{CertFile: mine, KeyFile: mineKey}),
	})
	w := s.join(t, "w1", balanced("echo"))
	c := s.client(t)
	ack, err := c.Send(within(t), &eddav1.SendRequest{Message: message("say", "hello")})
	if err != nil {
		t.Fatal(err)
	}
	d := w.dispatch()
	if p := d.GetMessage().GetPrincipal(); p != "ada" {
		t.Errorf("principal %q, want ada", p)
	}
	w.send(reply(d.GetAttemptId(), "back"))
	r, err := c.Wait(within(t), &eddav1.WaitRequest{Id: ack.GetId()})
	if err != nil || string(r.GetReply().GetPayload()) != "back" {
		t.Errorf("got %v, %v", r, err)
	}
	s.tls = clients(auth.ClientTLSOptions{})
	_, err = s.client(t).Get(within(t), &eddav1.GetRequest{Id: ack.GetId()})
	wantStatus(t, "without a certificate", err, codes.Unauthenticated, edda.NoCredentials)
}
