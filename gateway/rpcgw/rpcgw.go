// Package rpcgw is the gRPC surface of a node: the stream of each worker, the
// calls of clients, sagas, streams and channels, and gRPC's health and reflection services. It decodes, calls
// the node and encodes; all rules live in the node. docs/protocol.md is the
// protocol.
//
// A Gateway is safe for concurrent use. Each worker's stream has two goroutines
// and bounded queues of its own, so that a worker who floods, stalls or breaks the
// protocol harms nobody else: it is given up, and its work is given to others.
// Nothing is acknowledged before the node says that it is durable.
package rpcgw

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/option"
	"github.com/edda-io/edda/internal/ownhost"
	"github.com/edda-io/edda/node"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// Defaults of Options, and limits.
const (
	DefaultHeartbeat   = time.Second
	DefaultStall       = 10 * time.Second
	DefaultPing        = 10 * time.Second
	DefaultPingTimeout = 5 * time.Second
	// MaxMessageBytes is the largest message that the gateway takes, and the largest
	// that it sends: 8 MiB.
	MaxMessageBytes = 8 << 20
)

// Options say how a Gateway serves. The zero value works.
type Options struct {
	// Authenticator says who calls and what they may do: auth.Admit is asked at each
	// call, and once for each stream. Nil means that everybody is edda.Anonymous and
	// may do everything. Then Listen must be loopback addresses, calls must be made by
	// one of the node's own names, and none may come from a web page.
	Authenticator auth.Authenticator
	// Listen holds the addresses, HOST:PORT, that the server listens on. Without
	// Authenticator calls under another name are refused; without addresses those
	// under other names than localhost, 127.0.0.1 and [::1] with any port.
	Listen []string
	// Heartbeat is how often workers are to beat. Zero means DefaultHeartbeat.
	Heartbeat time.Duration
	// Lifetime is how long a worker may be silent before what it has is given to
	// others. Zero means three times Heartbeat.
	Lifetime time.Duration
	// Stall is how long a worker may leave what is sent to it unread before its
	// stream ends, and how long it has to register. Zero means DefaultStall.
	Stall time.Duration
	// Ping is how long a connection may be silent before it is asked whether it lives,
	// and PingTimeout how long it then has to answer before it is closed, with the
	// workers that came over it. Zero means DefaultPing and DefaultPingTimeout; gRPC makes
	// at least a second of Ping. They hold where gRPC has the connection for
	// itself.
	Ping, PingTimeout time.Duration
	// Registerer takes the metrics of the gateway. Nil means that there are none.
	Registerer prometheus.Registerer
	// TracerProvider gets a span for each call, send and saga created, which is the parent
	// of the node's own; give it to the node too. There are none when nil.
	TracerProvider trace.TracerProvider
	// Logger is slog.DiscardHandler's when nil.
	Logger *slog.Logger
}

// Gateway serves a node over gRPC.
type Gateway struct {
	eddav1.UnimplementedEddaServiceServer
	eddav1.UnimplementedWorkerServiceServer
	eddav1.UnimplementedSagaServiceServer
	eddav1.UnimplementedStreamServiceServer
	eddav1.UnimplementedChannelServiceServer

	names *ownhost.Names // nil when there are credentials
	node  *node.Node
	backends
	opts Options
	log  *slog.Logger

	metrics *metrics     // nil: nobody wants them
	tracer  trace.Tracer // nil: nobody traces

	// own serves connections that gRPC has for itself, shared requests of connections
	// that net/http has.
	own, shared *grpc.Server
	health      *health.Server

	members members

	routines sync.WaitGroup // of gRPC's streams
	stop     chan struct{}  // closed: batches and tails end
	ended    sync.Once

	mu       sync.Mutex          // guards what follows; nothing is locked under it
	sessions map[string]*session // of attached workers, by id
	live     map[*session]struct{}
	closed   bool // no session begins
}

// backends are what is served: the node, but in tests.
type backends struct {
	calls    edda.Backend
	sagas    edda.SagaBackend
	streams  edda.StreamBackend
	groups   edda.GroupBackend
	channels edda.ChannelBackend
}

// New returns the gateway of a node. The error names the option that makes no
// sense.
func New(n *node.Node, opts Options) (*Gateway, error) {
	return build(n, backends{calls: n, sagas: n, streams: n, groups: n, channels: n}, opts)
}

func build(n *node.Node, b backends, opts Options) (*Gateway, error) {
	opts.Heartbeat = cmp.Or(opts.Heartbeat, DefaultHeartbeat)
	opts.Lifetime = cmp.Or(opts.Lifetime, 3*opts.Heartbeat)
	opts.Stall = cmp.Or(opts.Stall, DefaultStall)
	opts.Ping = cmp.Or(opts.Ping, DefaultPing)
	opts.PingTimeout = cmp.Or(opts.PingTimeout, DefaultPingTimeout)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	bad := func(name option.Name, format string, args ...any) (*Gateway, error) {
		return nil, option.Refuse(option.Bad(name, format, args...))
	}
	switch {
	case opts.Heartbeat < 0:
		return bad("Heartbeat", "is %v, must be positive", opts.Heartbeat)
	case opts.Lifetime < opts.Heartbeat:
		return bad("Lifetime", "is %v, must be at least the %s, %v", opts.Lifetime, option.Name("Heartbeat"), opts.Heartbeat)
	case opts.Ping < 0:
		return bad("Ping", "is %v, must be positive", opts.Ping)
	case opts.PingTimeout < 0:
		return bad("PingTimeout", "is %v, must be positive", opts.PingTimeout)
	case opts.Stall < 0:
		return bad("Stall", "is %v, must be positive", opts.Stall)
	}
	names, err := ownhost.New(opts.Listen)
	if opts.Authenticator != nil {
		names, err = nil, nil // any address will do
	}
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		names: names, node: n, backends: b, opts: opts, log: opts.Logger, health: health.NewServer(),
		stop: make(chan struct{}), sessions: map[string]*session{}, live: map[*session]struct{}{},
	}
	for _, name := range []string{
		"", eddav1.EddaService_ServiceDesc.ServiceName, eddav1.WorkerService_ServiceDesc.ServiceName, eddav1.SagaService_ServiceDesc.ServiceName,
		eddav1.StreamService_ServiceDesc.ServiceName, eddav1.ChannelService_ServiceDesc.ServiceName,
	} {
		g.health.SetServingStatus(name, healthv1.HealthCheckResponse_SERVING)
	}
	if g.metrics, err = newMetrics(opts.Registerer); err != nil {
		return nil, err
	}
	if opts.TracerProvider != nil {
		g.tracer = opts.TracerProvider.Tracer(tracerName)
	}
	g.own, g.shared = g.server(grpc.Creds(handshaken{})), g.server()
	return g, nil
}

// Bounds of a connection that gRPC has for itself.
const (
	maxStreams      = 16 << 10
	maxHeaderBytes  = 64 << 10
	minClientPing   = time.Second
	readBufferBytes = 4 << 10 // most connections are idle, most of the time
	streamWindow    = 1 << 20 // what a peer may send before a stream is read
	connWindow      = 4 << 20
)

// server returns a gRPC server with all services.
func (g *Gateway) server(opts ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(append(opts,
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.WaitForHandlers(true),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ReadBufferSize(readBufferBytes),
		// Windows of a fixed size, because to find out the best one gRPC answers what comes
		// with a ping of its own, when whoever is to hear of it should be woken.
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		// A peer that is gone without a word is found out, whatever its streams do.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: g.opts.Ping, Timeout: g.opts.PingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(g.unary),
		grpc.StreamInterceptor(g.stream),
	)...)
	eddav1.RegisterEddaServiceServer(s, g)
	eddav1.RegisterWorkerServiceServer(s, g)
	eddav1.RegisterSagaServiceServer(s, g)
	eddav1.RegisterStreamServiceServer(s, g)
	eddav1.RegisterChannelServiceServer(s, g)
	healthv1.RegisterHealthServer(s, g.health)
	reflection.Register(s)
	return s
}

// Serve serves gRPC alone on a listener, until Close. TLS connections must come as
// *tls.Conn, or with a method ConnectionState, handshake done.
func (g *Gateway) Serve(l net.Listener) error { return g.own.Serve(l) }

// ServeHTTP answers a gRPC request on a connection that net/http has, HTTP/2 and
// shared with others. It is slower than what Serve does.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.shared.ServeHTTP(w, r) }

// Drain tells whoever asks for the health of the node that it is about to stop.
// Calls are answered as before. It comes before the node is stopped.
func (g *Gateway) Drain() { g.health.Shutdown() }

// Close ends every stream and call: first the streams of workers, whose work the
// node must have taken back by then, then calls, which have until ctx ends. It
// returns when nothing of the gateway runs any more. A second call does nothing.
func (g *Gateway) Close(ctx context.Context) {
	g.ended.Do(func() {
		g.health.Shutdown()
		close(g.stop)
		g.endSessions()
		graceful := make(chan struct{})
		go func() { // ends when Stop does, which is called in any case
			g.own.GracefulStop()
			close(graceful)
		}()
		select {
		case <-graceful:
		case <-ctx.Done():
		}
		g.own.Stop()
		g.shared.Stop()
		<-graceful
		g.routines.Wait()
	})
}
