package rpcgw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// grantKey finds the grant of a call in its context.
type grantKey struct{}

func grantOf(ctx context.Context) *auth.Grant { return ctx.Value(grantKey{}).(*auth.Grant) }

// admit finds out who calls. A completion key may take the place of credentials;
// without one it is empty.
func (g *Gateway) admit(ctx context.Context, method, completionKey string) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if a := md[":authority"]; g.names != nil && (len(a) != 1 || !g.names.Host(a[0])) {
		return nil, &edda.Error{Reason: edda.NotAllowed, Err: errors.New("the :authority is not this node's")}
	}
	health := strings.HasPrefix(method, "/"+healthv1.Health_ServiceDesc.ServiceName+"/")
	if health && (g.names == nil || len(md["origin"]) == 0) {
		return ctx, nil // as over HTTP, health is for everybody
	}
	if len(md["origin"]) > 0 {
		// A browser sends what any web page tells it to, from a machine, or with a
		// certificate, that is trusted. No gRPC client sends an origin.
		return nil, &edda.Error{Reason: edda.NotAllowed, Err: errors.New("web pages may not call over gRPC")}
	}
	c, err := auth.Read(md["authorization"], tlsOf(ctx))
	if g.opts.Authenticator == nil {
		c, err = auth.Credential{}, nil // whatever is shown, nobody asked for it
	}
	if err != nil {
		return nil, err
	}
	who := auth.Admit
	if completionKey != "" {
		who = auth.AdmitKey
	}
	grant, err := who(ctx, g.opts.Authenticator, c)
	if err != nil {
		return nil, err
	}
	return context.WithValue(ctx, grantKey{}, grant), nil
}

func (g *Gateway) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	begin := time.Now()
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, g.panicked(info.FullMethod, p)
		}
		g.metrics.ended(info.FullMethod, err, begin)
		err = statusOf(err)
	}()
	finish, _ := req.(*eddav1.FinishStepRequest)
	if ctx, err = g.admit(ctx, info.FullMethod, finish.GetCompletionKey()); err != nil {
		return nil, err
	}
	return handle(ctx, req)
}

func (g *Gateway) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	ended := g.metrics.opened(info.FullMethod)
	defer func() {
		if p := recover(); p != nil {
			err = g.panicked(info.FullMethod, p)
		}
		ended(err)
		err = statusOf(err)
	}()
	ctx, err := g.admit(ss.Context(), info.FullMethod, "")
	if err != nil {
		return err
	}
	return handle(srv, &admitted{ServerStream: ss, ctx: ctx})
}

// admitted is a stream of a caller who is known.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *admitted) Context() context.Context { return s.ctx }

// panicked contains a defect of the gateway or the node to the call that met it.
func (g *Gateway) panicked(where string, p any) error {
	g.log.Error("panic in the gRPC gateway", slog.String("method", where), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	return &edda.Error{Op: where, Reason: edda.Internal, Err: fmt.Errorf("the node met a defect of its own: %v", p)}
}
