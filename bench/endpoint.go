package bench

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker/httppush"
)

func endpoint(spec edda.EndpointSpec) (node.Endpoint, error) {
	return httppush.New(spec, httppush.Options{})
}

// openEndpoint readies the row endpoint: calls over HTTP to a service behind a
// plain HTTP endpoint in another process.
func openEndpoint(ctx context.Context, e *env, inFlight int) (*driver, error) {
	p, err := e.launchBare(ctx)
	if err != nil {
		return nil, err
	}
	dir, remove, err := e.subdir()
	if err != nil {
		p.kill()
		return nil, err
	}
	n, err := node.Open(ctx, node.Options{Dir: dir, Durability: e.Durability, Endpoints: endpoint})
	if err != nil {
		p.kill()
		remove()
		return nil, err
	}
	s, err := serveNode(n, nil)
	if err != nil {
		p.kill()
		remove()
		return nil, errors.Join(err, stopNode(n))
	}
	stop := func() error {
		defer remove()
		defer p.kill()
		return errors.Join(stopNode(n), s.stop())
	}
	_, _, err = n.SetEndpoint(ctx, edda.EndpointSpec{
		ServiceSpec: edda.ServiceSpec{Name: serviceName, Kind: edda.Ordered, Concurrency: edda.DefaultConcurrency},
		URL:         "http://" + p.said,
	})
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	clients, err := dialAll(s.addr, "/v1/call/"+serviceName+"/"+keyPlace+"/"+methodName, inFlight)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &driver{
		op:    func(_ context.Context, caller int) error { return clients[caller].post() },
		close: func() error { closeAll(clients); return stop() },
	}, nil
}

// openProxyFloor readies the row proxy-floor: a bare reverse proxy to the same
// endpoint.
func openProxyFloor(ctx context.Context, e *env, inFlight int) (*driver, error) {
	p, err := e.launchBare(ctx)
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: p.said})
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: inFlight}
	s, err := serveHTTP(&http.Server{
		Handler: proxy, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	})
	if err != nil {
		p.kill()
		return nil, err
	}
	clients, err := dialAll(s.addr, "/"+keyPlace, inFlight)
	if err != nil {
		p.kill()
		return nil, errors.Join(err, s.stop())
	}
	return &driver{
		op: func(_ context.Context, caller int) error { return clients[caller].post() },
		close: func() error {
			closeAll(clients)
			defer p.kill()
			return s.stop()
		},
	}, nil
}

// launchBare starts the endpoint.
func (e *env) launchBare(ctx context.Context) (*process, error) {
	if e.Child == nil {
		return nil, errNoChild
	}
	return e.launch(ctx, roleBare, "")
}
