package rpcgw

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/node"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// register attaches the worker.
func (s *session) register(r *eddav1.Register) error {
	if r == nil {
		return badFrame("the first frame must be Register")
	}
	spec := node.WorkerSpec{
		ID: r.GetWorkerId(), Version: r.GetVersion(), Labels: r.GetLabels(), Transport: "grpc", Lifetime: s.g.opts.Lifetime,
		KeepGroups: !s.grant.Manage,
	}
	for _, sv := range r.GetServices() {
		ss, err := serviceOf(sv)
		if err != nil {
			return err
		}
		if err := mayHost(s.grant, &ss); err != nil {
			return err
		}
		spec.Services = append(spec.Services, ss)
	}
	w, err := s.attach(spec)
	if err != nil {
		return err
	}
	if !s.joined(w) {
		w.Detach()
		s.g.forget(w.ID(), s)
		return context.Canceled
	}
	s.g.log.Log(s.ctx, slog.LevelInfo, "worker registered", slog.String("worker", w.ID()), slog.String("version", spec.Version),
		slog.String("sdk", r.GetSdk()), slog.String("principal", string(s.grant.Principal)))
	return nil
}

// mayHost returns an error unless the worker may host the service: who consumes a group
// is a member of it.
func mayHost(grant *auth.Grant, s *edda.ServiceSpec) error {
	if s.Group != nil {
		return grant.CheckConsume(s.Namespace, s.Group.Stream)
	}
	return grant.CheckHost(s.Namespace, s.Name)
}

// attach attaches the worker, in place of one of the same principal that fell
// silent: a worker that lost its connection comes back over another one before the
// node can know that the first is broken.
func (s *session) attach(spec node.WorkerSpec) (*node.Worker, error) {
	w, err := s.join(spec)
	if edda.ReasonOf(err) != edda.Exists || spec.ID == "" {
		return w, err
	}
	info, lookup := s.g.node.Worker(spec.ID)
	if lookup == nil && info.State != edda.WorkerSilent {
		return nil, err
	}
	if before := s.g.session(spec.ID); before != nil && before.grant.Principal == s.grant.Principal {
		before.end(&edda.Error{Reason: edda.Exists, Err: errors.New("the worker has connected again")})
		select {
		case <-before.gone:
		case <-s.ctx.Done():
			return nil, context.Cause(s.ctx)
		}
		return s.join(spec)
	}
	return nil, err
}

func (s *session) join(spec node.WorkerSpec) (*node.Worker, error) {
	w, err := s.g.node.Attach(s.ctx, spec, s)
	if err == nil {
		s.g.remember(w.ID(), s)
	}
	return w, err
}

func (g *Gateway) session(id string) *session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions[id]
}

func (g *Gateway) remember(id string, s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sessions[id] = s
}

func (g *Gateway) forget(id string, s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions[id] == s {
		delete(g.sessions, id)
	}
}

// registeredFrame answers Register.
func (s *session) registeredFrame() *eddav1.NodeFrame {
	info := s.g.node.Info()
	return &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Registered{Registered: &eddav1.Registered{
		WorkerId: s.worker.ID(), Heartbeat: int64(s.g.opts.Heartbeat), Lifetime: int64(s.g.opts.Lifetime),
		NodeId: info.ID, NodeVersion: info.Version,
	}}}
}

var kinds = map[eddav1.Kind]edda.Kind{eddav1.Kind_KIND_ORDERED: edda.Ordered, eddav1.Kind_KIND_BALANCED: edda.Balanced}

var onDeads = map[eddav1.OnDead]edda.OnDead{
	eddav1.OnDead_ON_DEAD_CONTINUE: edda.Continue, eddav1.OnDead_ON_DEAD_STOP_KEY: edda.StopKey, eddav1.OnDead_ON_DEAD_PAUSE: edda.Pause,
}

// serviceOf reads what a worker says of a service. The node checks it.
func serviceOf(s *eddav1.Service) (edda.ServiceSpec, error) {
	bad := func(format string, args ...any) (edda.ServiceSpec, error) {
		return edda.ServiceSpec{}, &edda.Error{Op: "check service " + s.GetName(), Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
	}
	out := edda.ServiceSpec{
		Namespace: cmp.Or(s.GetNamespace(), edda.DefaultNamespace), Name: s.GetName(), Kind: kinds[s.GetKind()],
		Concurrency: slots(s.GetConcurrency()), AttemptTimeout: time.Duration(s.GetAttemptTimeout()), OnDead: onDeads[s.GetOnDead()],
		Retry: retryOf(s.GetRetry()),
	}
	if out.OnDead == "" {
		return bad("on_dead is %d, must be 0 (continue), 1 (stop-key) or 2 (pause)", s.GetOnDead())
	}
	if s.GetGroup() != nil {
		out.Group = new(groupSpecOf(s.GetGroup()))
	}
	for _, m := range s.GetMethods() {
		out.Methods = append(out.Methods, m.GetName())
		if m.GetSchema() == "" {
			continue
		}
		if out.Schemas == nil {
			out.Schemas = map[string]string{}
		}
		out.Schemas[m.GetName()] = m.GetSchema()
	}
	return out, nil
}

// slots reads a number of handlers.
func slots(n uint32) int { return int(min(n, math.MaxInt32)) }
