package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The floor of workers elsewhere is an empty echo on a gRPC stream between two
// processes.
var echoDesc = grpc.StreamDesc{StreamName: "Echo", ServerStreams: true, ClientStreams: true, Handler: echoStream}

var echoServiceDesc = grpc.ServiceDesc{ServiceName: "bench.Echo", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{echoDesc}}

func echoStream(_ any, s grpc.ServerStream) error {
	for {
		m := new(emptypb.Empty)
		if err := s.RecvMsg(m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

// echoChild serves the echo until ctx ends.
func echoChild(ctx context.Context, stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	s.RegisterService(&echoServiceDesc, nil)
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	if _, err := fmt.Fprintln(stdout, l.Addr()); err != nil {
		return err
	}
	return s.Serve(l)
}

// openRPCFloor readies the row rpc-floor: each caller has a stream of one
// connection.
func openRPCFloor(ctx context.Context, e *env, inFlight int) (_ *driver, err error) {
	if e.Child == nil {
		return nil, errNoChild
	}
	p, err := e.launch(ctx, roleEcho, "")
	if err != nil {
		return nil, err
	}
	c, err := grpc.NewClient(p.said, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.kill()
		return nil, err
	}
	stop := func() error {
		defer p.kill()
		return c.Close()
	}
	streams := make([]grpc.ClientStream, inFlight)
	for i := range streams {
		if streams[i], err = c.NewStream(ctx, &echoDesc, "/bench.Echo/Echo"); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	return &driver{op: func(_ context.Context, caller int) error {
		m := new(emptypb.Empty)
		if err := streams[caller].SendMsg(m); err != nil {
			return err
		}
		return streams[caller].RecvMsg(m)
	}, close: stop}, nil
}
