package rpcgw

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// fakeSagas is a backend that knows one saga, and notes what it is asked to do.
type fakeSagas struct {
	saga *edda.Saga

	mu     sync.Mutex // guards what follows
	asked  []string   // but Saga, which is asked for rights too
	spec   *edda.SagaSpec
	steps  []edda.StepSpec
	result edda.StepResult
	filter edda.SagaFilter
	waited bool // until its context ended
}

func (f *fakeSagas) notef(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

// find notes what is asked of a saga, and returns it when it is the one.
func (f *fakeSagas) find(what, namespace, id string) (*edda.Saga, error) {
	if what != "" {
		f.notef("%s %s:%s", what, namespace, id)
	}
	if id != f.saga.ID {
		return nil, &edda.Error{Op: "look up saga " + id, Reason: edda.NoSaga, Err: fmt.Errorf("there is no saga %q", id)}
	}
	return f.saga, nil
}

func (f *fakeSagas) CreateSaga(_ context.Context, s *edda.SagaSpec) (*edda.SagaAck, error) {
	f.notef("create")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spec = s
	return &edda.SagaAck{ID: s.ID, State: edda.SagaRunning, Durability: edda.Fsync, Joined: true}, nil
}

func (f *fakeSagas) Saga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	return f.find("", namespace, id)
}

func (f *fakeSagas) WaitSaga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	<-ctx.Done()
	f.mu.Lock()
	f.waited = true
	f.mu.Unlock()
	return f.find("wait", namespace, id)
}

func (f *fakeSagas) Sagas(_ context.Context, filter edda.SagaFilter, limit int, after string) ([]edda.Saga, string, error) {
	if filter.ID != "" && filter.Name == "" { // to see whose it is
		s, err := f.find("", filter.Namespace, filter.ID)
		if err != nil {
			return nil, "", nil
		}
		alone := *s
		alone.Steps = nil
		return []edda.Saga{alone}, "", nil
	}
	f.notef("list %d after %q", limit, after)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.filter = filter
	s := *f.saga
	s.Steps = nil
	return []edda.Saga{s, s}, "more", nil
}

func (f *fakeSagas) StartSaga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	return f.find("start", namespace, id)
}

func (f *fakeSagas) CancelSaga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	return f.find("cancel", namespace, id)
}

func (f *fakeSagas) AddSteps(_ context.Context, namespace, id string, steps []edda.StepSpec) (*edda.Saga, error) {
	f.mu.Lock()
	f.steps = steps
	f.mu.Unlock()
	return f.find("add", namespace, id)
}

func (f *fakeSagas) FinishStep(_ context.Context, namespace, id, step string, r edda.StepResult) (*edda.StepAnswer, error) {
	f.mu.Lock()
	f.result = r
	f.mu.Unlock()
	_, err := f.find("finish "+step, namespace, id)
	return &edda.StepAnswer{Applied: true, State: edda.StepSucceeded}, err
}

func (f *fakeSagas) Compensate(_ context.Context, namespace, id, step string, a edda.CompensationAction) (*edda.Saga, error) {
	return f.find(string(a)+" "+step, namespace, id)
}

func (f *fakeSagas) PruneSagas(_ context.Context, filter edda.SagaFilter) (int, error) {
	f.notef("prune")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.filter = filter
	return 7, nil
}

// serveSagas serves sagas alone until the test ends, and returns a connection.
func serveSagas(t *testing.T, f *fakeSagas, o Options) *grpc.ClientConn {
	t.Helper()
	return serveOnly(t, backends{sagas: f}, o)
}

// serveOnly serves backends until the test ends, and returns a connection.
func serveOnly(t *testing.T, b backends, o Options) *grpc.ClientConn {
	t.Helper()
	g, err := build(nil, b, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	c, err := grpc.NewClient("passthrough:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		g.Close(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return c
}

// sagaTokens are the credentials of the tests: ada's saga is the one there is; bob
// may call all there is; host hosts flights; ops manages.
func sagaTokens(t *testing.T) auth.Authenticator {
	t.Helper()
	var tokens []auth.Token
	for p, r := range map[edda.Principal]auth.Rights{
		"ada":  {Call: []auth.Pattern{"shop:flights", "shop:hotels", "shop:cars"}},
		"bob":  {Call: []auth.Pattern{"*:*"}},
		"host": {Host: []auth.Pattern{"shop:flights"}},
		"ops":  {Manage: true},
	} {
		hash, err := auth.HashToken(string(p))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, auth.Token{Principal: p, SHA256: hash, Rights: r})
	}
	a, err := auth.NewTokens(tokens...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// as is a context with somebody's token; nobody's when empty.
func as(t *testing.T, who string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	if who == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+who)
}

// reasonOf returns the reason and the text of a call's error.
func reasonOf(err error) (edda.Reason, string) {
	for _, d := range status.Convert(err).Details() {
		if e, ok := d.(*eddav1.Error); ok {
			return edda.Reason(e.GetReason()), e.GetMessage()
		}
	}
	if status.Code(err) == codes.OK {
		return "", ""
	}
	return edda.Internal, err.Error()
}
