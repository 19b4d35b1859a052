package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/setting"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/gateway/wsgw"
)

// door is what all gateways of a server have in common.
type door struct {
	*setting.Node
	authenticator auth.Authenticator
	listen        []string
	registry      *prometheus.Registry
	tracer        trace.TracerProvider
	logger        *slog.Logger
}

// gateways makes the gateways of a node, and returns the one that has the port.
func (v *server) gateways(d *door) (surface *httpgw.Gateway, err error) {
	if v.live, err = wsgw.New(v.node, d.liveOptions()); err != nil {
		return nil, err
	}
	o := httpgw.Options{
		Authenticator: d.authenticator, KeyHeaders: d.KeyHeaders, Listen: d.listen, MaxBody: int64(d.Limits.PayloadBytes),
		MaxBehind: d.Live.MaxBehind, Live: v.live, Pages: v.sites.pages, Origins: d.Origins, SlowWarning: d.SlowWarning,
		Gatherer: d.registry, Registerer: d.registry, TracerProvider: d.tracer, Logger: d.logger,
	}
	if len(d.Routes) > 0 {
		if o.Routes, err = routegw.New(routegw.Backends{Calls: v.node, Streams: v.node}, d.routeOptions()); err != nil {
			return nil, err
		}
	}
	if surface, err = httpgw.New(v.node, o); err != nil {
		return nil, err
	}
	v.rpc, err = rpcgw.New(v.node, rpcgw.Options{
		Authenticator: d.authenticator, Listen: d.listen, Heartbeat: d.Heartbeat, Lifetime: d.Lifetime,
		Registerer: d.registry, TracerProvider: d.tracer, Logger: d.logger,
	})
	return surface, err
}

func (d *door) liveOptions() wsgw.Options {
	o := d.Live
	o.Authenticator, o.KeyHeaders, o.Listen, o.Origins = d.authenticator, d.KeyHeaders, d.listen, d.Origins
	o.Registerer, o.Logger = d.registry, d.logger
	return o
}

func (d *door) routeOptions() routegw.Options {
	o := routegw.Options{
		Routes: d.Routes, MaxBody: int64(d.Limits.PayloadBytes), SlowWarning: d.SlowWarning,
		Authenticator: d.authenticator, KeyHeaders: d.KeyHeaders, Listen: d.listen,
		Registerer: d.registry, TracerProvider: d.tracer, Logger: d.logger,
	}
	if len(d.Origins) > 0 {
		o.CORS = &routegw.CORS{Origins: d.Origins}
	}
	return o
}

// sites are the directories that pages are in. No link in one leads out of it.
type sites struct {
	pages []httpgw.Page
	roots []*os.Root
}

// open opens the directories. Whatever comes, the caller closes them.
func (s *sites) open(pages []setting.Page) error {
	for _, p := range pages {
		root, err := os.OpenRoot(p.Dir)
		if err != nil {
			return cli.WrongUse("pages: the directory of %s is %s", p.Path, setting.WhyNotOpened(p.Dir, err))
		}
		s.roots = append(s.roots, root)
		s.pages = append(s.pages, httpgw.Page{Path: p.Path, Files: root.FS()})
	}
	return nil
}

func (s *sites) close() error {
	var errs []error
	for _, r := range s.roots {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
