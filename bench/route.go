package bench

import (
	"context"
	"errors"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/stream"
)

// The paths of the rows of routes.
const (
	servicePath = "/bench/service/"
	streamPath  = "/bench/stream/"
)

// serveRoutes serves a node with the routes of the rows.
func serveRoutes(n *node.Node) (*server, error) {
	routes, err := routegw.New(routegw.Backends{Calls: n, Streams: n}, routegw.Options{Routes: []routegw.Route{
		{Route: "POST " + servicePath + "{key}", Service: serviceName, Method: methodName, Key: "path.key"},
		{Route: "POST " + streamPath + "{key}", Stream: streamName, Type: methodName, Key: "path.key"},
	}})
	if err != nil {
		return nil, err
	}
	return serveNode(n, routes)
}

// openRoute readies the row route: the load of the row http through a route.
func openRoute(ctx context.Context, e *env, inFlight int) (*driver, error) {
	return openOnRoutes(ctx, e, servicePath, inFlight)
}

// openRouteStream readies the row route-stream: the same through a stream and a
// consumer of it, whose reply is the response.
func openRouteStream(ctx context.Context, e *env, inFlight int) (*driver, error) {
	c := stream.NewConsumer(streamName, groupName)
	c.On(methodName, func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Status: 200, ContentType: m.ContentType, Payload: m.Payload}, nil
	})
	svc, err := c.Service()
	if err != nil {
		return nil, err
	}
	return openOnRoutes(ctx, e, streamPath, inFlight, svc)
}

func openOnRoutes(ctx context.Context, e *env, path string, inFlight int, more ...*edda.Service) (*driver, error) {
	return openOnNode(ctx, e, func(n *node.Node) (func(context.Context, int) error, func() error, error) {
		s, err := serveRoutes(n)
		if err != nil {
			return nil, nil, err
		}
		clients, err := dialAll(s.addr, path+keyPlace, inFlight)
		if err != nil {
			return nil, nil, errors.Join(err, s.stop())
		}
		return func(_ context.Context, caller int) error { return clients[caller].post() },
			func() error { closeAll(clients); return s.stop() }, nil
	}, more...)
}
