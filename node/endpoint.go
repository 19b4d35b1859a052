package node

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/methodschema"
	"github.com/edda-io/edda/internal/record"
)

// Endpoint is a Runner over a plain HTTP endpoint. The node has one for each
// service that SetEndpoint registered.
type Endpoint interface {
	Runner
	// Change takes another specification of the same service: attempts that begin from
	// now on go by it.
	Change(spec edda.EndpointSpec) error
	// Serve watches the endpoint's health and tells the worker, until ctx ends. It
	// returns when nothing of it runs any more; by then the attempts' contexts have
	// ended. It is called once. Start may be called before, and, for attempts that are
	// given up at once, after it.
	Serve(ctx context.Context, w *Worker)
}

// endpoints are the services behind plain HTTP endpoints that are attached.
// workers.attaching guards all.
type endpoints struct {
	all map[edda.Address]*endpoint
}

// endpoint is one of them.
type endpoint struct {
	run    Endpoint
	w      *Worker
	stop   context.CancelFunc
	served sync.WaitGroup
}

// endpointWorker begins the ids of the workers that endpoints are. No worker of
// somebody else's can have such a one: names that begin with "edda." are reserved.
const endpointWorker = "edda.endpoint."

// SetEndpoint registers a service behind a plain HTTP endpoint, or changes one. It
// returns once that is durable, with the service as it is then; created says that
// the service was not registered before. Where spec has no secret an endpoint keeps
// the one it has; for a new one the node makes it, and the info shows it this once.
//
// The error is an *edda.Error: BadValue or BadName, Exists when other workers host
// the service, KindInUse when it would change its kind with unfinished requests,
// Conflict when the node was opened without Options.Endpoints.
func (n *Node) SetEndpoint(ctx context.Context, spec edda.EndpointSpec) (info *edda.ServiceInfo, created bool, err error) {
	op := "set the endpoint of service " + spec.Name
	if n.opts.Endpoints == nil {
		return nil, false, &edda.Error{Op: op, Reason: edda.Conflict, Err: errors.New("this node runs no endpoints: it was opened without Options.Endpoints")}
	}
	if err := spec.Validate(); err != nil {
		return nil, false, err
	}
	n.workers.attaching.Lock()
	defer n.workers.attaching.Unlock()
	if n.draining.Load() {
		return nil, false, n.notRunning(op)
	}
	svc := n.service(spec.Namespace, spec.Name)
	if err := n.admitEndpoint(ctx, op, svc, &spec); err != nil {
		return nil, false, err
	}
	before := svc.endpoint()
	made := spec.Secret == "" && before == nil
	switch {
	case made:
		spec.Secret = newSecret()
	case spec.Secret == "":
		spec.Secret = before.Secret
	}
	created = !svc.view().registered
	spec = spec.WithDefaults()
	set := endpointSet(&spec)
	if !svc.is(&set) {
		// Whoever asks may go away: what is registered must run.
		if err := n.proposeTo(context.WithoutCancel(ctx), n.parts[0], op, set.AppendTo(nil), nil); err != nil {
			return nil, false, err
		}
	}
	if err := n.runEndpoint(svc, spec); err != nil {
		return nil, false, err
	}
	info, err = n.serviceInfo(ctx, svc)
	if err == nil && made && info.EndpointInfo != nil {
		info.Secret = spec.Secret
	}
	return info, created, err
}

// admitEndpoint refuses an endpoint for a service that is something else.
func (n *Node) admitEndpoint(ctx context.Context, op string, svc *service, spec *edda.EndpointSpec) error {
	if svc.hostedByOthers() {
		return &edda.Error{Op: op, Reason: edda.Exists, Err: errors.New("workers host the service, in this process or elsewhere; stop them first, or take another name")}
	}
	if v := svc.view(); v.registered && v.kind != spec.Kind && n.unfinished(ctx, svc) {
		return &edda.Error{Op: op, Reason: edda.KindInUse,
			Err: fmt.Errorf("it is %s and has unfinished requests; finish or cancel them before it becomes %s", v.kind, spec.Kind)}
	}
	return nil
}

// newSecret makes a secret in the form of Standard Webhooks.
func newSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it cannot fail
	return edda.SecretPrefix + base64.StdEncoding.EncodeToString(key)
}

// endpointSet is what the log says of a service behind an endpoint.
func endpointSet(e *edda.EndpointSpec) record.ServiceSet {
	set := serviceSet(&e.ServiceSpec, &methodschema.Set{})
	set.Endpoint = &record.Endpoint{
		URL: e.URL, Protocol: e.Protocol, HealthPath: e.HealthPath, HealthInterval: e.HealthInterval, Secret: e.Secret,
	}
	return set
}

// endpointSpec is endpointSet the other way round.
func endpointSpec(s *record.ServiceSet) *edda.EndpointSpec {
	if s.Endpoint == nil {
		return nil
	}
	return &edda.EndpointSpec{
		ServiceSpec: edda.ServiceSpec{
			Namespace: s.Address.Namespace, Name: s.Address.Name, Kind: s.Kind, Methods: s.Methods,
			Concurrency:    min(s.Concurrency, edda.MaxConcurrency), // earlier nodes took any
			AttemptTimeout: s.AttemptTimeout, Retry: s.Retry, OnDead: s.OnDead,
		},
		URL: s.Endpoint.URL, Protocol: s.Endpoint.Protocol,
		HealthPath: s.Endpoint.HealthPath, HealthInterval: s.Endpoint.HealthInterval, Secret: s.Endpoint.Secret,
	}
}

// endpoint returns the endpoint that the service is registered with, nil when there
// is none.
func (s *service) endpoint() *edda.EndpointSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.registered {
		return nil
	}
	return endpointSpec(&s.set)
}

// hostedByOthers reports whether a worker that is no endpoint hosts the service.
func (s *service) hostedByOthers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.hosts, func(h *host) bool {
		_, endpoint := h.w.runner.(Endpoint)
		return !endpoint
	})
}

func sameEndpoint(a, b *record.Endpoint) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// runEndpoint has the service's endpoint run as it is specified now. The caller
// holds workers.attaching.
func (n *Node) runEndpoint(svc *service, spec edda.EndpointSpec) error {
	if e := n.endpoints.all[svc.addr]; e != nil {
		if err := e.run.Change(spec); err != nil {
			return err
		}
		e.w.set(func() { e.w.draining = false }) // whoever sets an endpoint wants it to work
		return e.w.SetConcurrency(svc.addr, spec.Concurrency)
	}
	run, err := n.opts.Endpoints(spec)
	if err != nil {
		return err
	}
	w := n.newWorker(WorkerSpec{
		ID: endpointWorker + svc.addr.String(), Transport: "http", Services: []edda.ServiceSpec{spec.ServiceSpec},
	}, run)
	if err := n.join("run the endpoint of service "+svc.addr.Name, w); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &endpoint{run: run, w: w, stop: stop}
	e.served.Go(func() { run.Serve(ctx, w) })
	n.endpoints.all[svc.addr] = e
	return nil
}

// runEndpoints has those run that the log knows. One that this release cannot run
// waits for one that can.
func (n *Node) runEndpoints() {
	n.workers.attaching.Lock()
	defer n.workers.attaching.Unlock()
	n.registry.each(func(s *service) {
		spec := s.endpoint()
		if spec == nil {
			return
		}
		err := errors.New("the node was opened without Options.Endpoints")
		if n.opts.Endpoints != nil {
			err = n.runEndpoint(s, *spec)
		}
		if err != nil {
			n.log.Error("endpoint cannot run; its requests wait", "service", s.addr.Name, "namespace", s.addr.Namespace, "error", err)
		}
	})
}

// endEndpoint ends the service's endpoint, if it has one. The caller holds
// workers.attaching.
func (n *Node) endEndpoint(a edda.Address) {
	e := n.endpoints.all[a]
	if e == nil {
		return
	}
	delete(n.endpoints.all, a)
	e.w.Detach()
	e.stop()
	e.served.Wait()
}

// endEndpoints ends all. The partitions have ended, and those who waited for them
// have been told: somebody who holds workers.attaching may have been one.
func (n *Node) endEndpoints() {
	n.workers.attaching.Lock()
	defer n.workers.attaching.Unlock()
	for _, e := range n.endpoints.all {
		e.w.giveUp()
		e.stop()
	}
	for _, e := range n.endpoints.all {
		e.served.Wait()
	}
	clear(n.endpoints.all)
}
