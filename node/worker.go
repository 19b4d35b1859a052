package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/methodschema"
	"github.com/edda-io/edda/internal/rendezvous"
	"github.com/edda-io/edda/internal/slot"
)

// WorkerSpec describes a worker that is attached to a node.
type WorkerSpec struct {
	// ID is unique among the workers attached; made when empty. It decides which keys
	// the worker gets: one that comes back under its id gets the same ones.
	ID string
	// Version is that of all its services. Of several versions of a service the
	// newest gets new requests; versions compare number by number, 1.10 is above 1.9.
	Version string
	// Labels are for people.
	Labels map[string]string
	// Transport says how the node reaches the worker, for people.
	Transport string
	// Services are those it hosts, at least one.
	Services []edda.ServiceSpec
	// Lifetime is how long the worker may go without a Beat until it is given up;
	// zero means for ever.
	Lifetime time.Duration
	// KeepGroups has the settings of groups that there are stay as they are, whatever the
	// consumers among Services say: for a worker that may not change groups.
	KeepGroups bool
}

// Runner runs attempts for a worker. The node calls it from goroutines that
// everybody waits for, so no method may block or call the node back. Calls may come
// concurrently.
type Runner interface {
	// Start begins an attempt. The runner ends it with Done or HandBack, once.
	Start(a *Attempt)
	// Fenced says that the outcome of an attempt is not wanted any more, and why. It
	// may come for an attempt that has just been ended.
	Fenced(a *Attempt, why error)
	// Members says which workers share the keys of an ordered service that the worker
	// hosts: their ids, ascending.
	Members(service edda.Address, ids []string)
	// Drain says that the worker is given nothing more, and why: stopping, because the
	// node is about to stop, else because somebody wants this worker gone.
	Drain(reason string, stopping bool)
}

// Worker is an attached worker. It is safe for concurrent use.
type Worker struct {
	n      *Node
	spec   WorkerSpec
	runner Runner // nil: this process
	hosts  []*host
	takes  atomic.Bool  // it is given requests
	beaten atomic.Int64 // when it was heard of last, in Unix nanoseconds
	lasts  atomic.Int64 // how long it may go unheard of; zero means for ever

	mu       sync.Mutex // guards what follows; nothing is locked under it
	attempts map[*Attempt]struct{}
	draining bool
	paused   bool
	silent   bool
	unready  bool
	gone     bool
	life     *time.Timer
}

// workers is who is attached.
type workers struct {
	attaching sync.Mutex // held while services are registered, one worker after the other

	mu  sync.Mutex // guards all, and keeps changes of a service's hosts in order; locks of workers and services are taken under it
	all map[string]*Worker
}

// here reports whether the worker is this process.
func (w *Worker) here() bool { return w.runner == nil }

// ID is the worker's id.
func (w *Worker) ID() string { return w.spec.ID }

// Attach attaches a worker. It returns once the worker's services are registered
// durably, and the groups that some of them consume; from then on the worker is given
// requests. The error is an *edda.Error: BadValue or BadName, Exists when the id is in
// use or a service is behind an endpoint, KindInUse when a service is registered as one
// of the other kind and has workers or unfinished requests, GroupFull when a group has
// as many members as it may.
func (n *Node) Attach(ctx context.Context, spec WorkerSpec, r Runner) (*Worker, error) {
	spec.ID = cmp.Or(spec.ID, edda.NewID(0, time.Now()).String())
	op := "attach worker " + spec.ID
	if err := spec.validate(op); err != nil {
		return nil, err
	}
	n.workers.attaching.Lock()
	defer n.workers.attaching.Unlock()
	if err := n.checkFree(op, spec.ID); err != nil {
		return nil, err
	}
	for i := range spec.Services {
		register := n.registerFor
		if spec.Services[i].Group != nil {
			register = n.ensureGroup
		}
		if err := register(ctx, &spec, &spec.Services[i]); err != nil {
			return nil, err
		}
	}
	w := n.newWorker(spec, r)
	if err := n.join(op, w); err != nil {
		return nil, err
	}
	return w, nil
}

func (s *WorkerSpec) validate(op string) error {
	bad := func(format string, args ...any) error {
		return &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
	}
	if err := edda.CheckName("worker id", s.ID); err != nil {
		return err
	}
	if len(s.Services) == 0 {
		return bad("it hosts no service")
	}
	if s.Lifetime < 0 {
		return bad("lifetime is %v, must be positive", s.Lifetime)
	}
	if len(s.Version) > maxVersionBytes {
		return bad("version has %d bytes, at most %d are allowed", len(s.Version), maxVersionBytes)
	}
	seen := map[edda.Address]bool{}
	for i := range s.Services {
		sv := &s.Services[i]
		if err := sv.Validate(); err != nil {
			return err
		}
		if seen[sv.Address()] {
			return bad("service %s stands twice", sv.Address())
		}
		seen[sv.Address()] = true
		if _, err := methodschema.Compile(sv.Schemas); err != nil {
			return bad("service %s: %w", sv.Name, err)
		}
	}
	return nil
}

// maxVersionBytes bounds a worker's version.
const maxVersionBytes = 128

// registerFor registers a service as a worker describes it, unless workers of a
// newer version have said what it is.
func (n *Node) registerFor(ctx context.Context, spec *WorkerSpec, s *edda.ServiceSpec) error {
	svc := n.service(s.Namespace, s.Name)
	if e := svc.endpoint(); e != nil {
		return &edda.Error{Op: "register service " + s.Name, Reason: edda.Exists,
			Err: fmt.Errorf("it is behind the HTTP endpoint %s; delete that service first, or take another name", e.URL)}
	}
	if v := svc.view(); v.registered && v.kind != s.Kind {
		if svc.attached() || n.unfinished(ctx, svc) {
			return &edda.Error{Op: "register service " + s.Name, Reason: edda.KindInUse,
				Err: fmt.Errorf("it is %s, and has workers or unfinished requests; end them before it becomes %s", v.kind, s.Kind)}
		}
	} else if v.registered && svc.newerThan(spec.Version) {
		return nil
	}
	sc, err := methodschema.Compile(s.Schemas)
	if err != nil {
		return err
	}
	return n.register(ctx, s, sc)
}

// attached reports whether a worker hosts the service, be it given requests or not.
func (s *service) attached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hosts) > 0
}

// newerThan reports whether somebody hosts a version of the service above v.
func (s *service) newerThan(v string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.hosts, func(h *host) bool { return slot.CompareVersions(h.version, v) > 0 })
}

func (n *Node) newWorker(spec WorkerSpec, r Runner) *Worker {
	w := &Worker{n: n, spec: spec, runner: r, attempts: map[*Attempt]struct{}{}}
	w.lasts.Store(int64(spec.Lifetime))
	hash := rendezvous.Hash(spec.ID)
	for i := range spec.Services {
		s := &spec.Services[i]
		h := &host{svc: n.service(s.Namespace, s.Name), w: w, version: spec.Version}
		if h.svc.consumer {
			h.version = "" // any member of a group gets any message
		}
		h.slot.Init(&h.svc.slots, h, h.version, hash, cmp.Or(s.Concurrency, edda.DefaultConcurrency))
		w.hosts = append(w.hosts, h)
	}
	return w
}

// checkFree refuses a worker whose id is in use.
func (n *Node) checkFree(op, id string) error {
	n.workers.mu.Lock()
	defer n.workers.mu.Unlock()
	return n.joinable(op, id)
}

// joinable refuses a worker that cannot join, because its id is in use or because
// nobody would tell it that the node stops. The caller holds workers.mu.
func (n *Node) joinable(op, id string) error {
	switch {
	case n.draining.Load():
		return n.notRunning(op)
	case n.workers.all[id] != nil:
		return &edda.Error{Op: op, Reason: edda.Exists, Err: fmt.Errorf("a worker with id %q is attached already; ids are unique", id)}
	default:
		return nil
	}
}

// room refuses a worker when a group that it is to consume has as many members as it
// may. The caller holds workers.mu.
func (w *Worker) room(op string) error {
	for _, h := range w.hosts {
		if most, full := h.svc.full(); full {
			return errGroupFull(op, h.svc, most)
		}
	}
	return nil
}

// join makes the worker known, and has it given requests.
func (n *Node) join(op string, w *Worker) error {
	n.workers.mu.Lock()
	defer n.workers.mu.Unlock()
	if err := n.joinable(op, w.spec.ID); err != nil {
		return err
	}
	if err := w.room(op); err != nil {
		return err
	}
	n.workers.all[w.spec.ID] = w
	for _, h := range w.hosts {
		if h.svc.consumer { // its group may have been deleted since
			h.svc = n.service(h.svc.addr.Namespace, h.svc.addr.Name)
			h.slot.Move(&h.svc.slots)
		}
		h.svc.mu.Lock()
		h.svc.hosts = append(h.svc.hosts, h)
		h.svc.mu.Unlock()
	}
	w.heard()
	if w.spec.Lifetime > 0 {
		w.life = time.AfterFunc(w.spec.Lifetime, w.checkLife)
	}
	w.takes.Store(true)
	w.regroup()
	return nil
}

// regroup has the worker's services choose anew who gets what. The caller holds
// workers.mu.
func (w *Worker) regroup() {
	for _, h := range w.hosts {
		w.n.regroup(h.svc)
	}
}

func (n *Node) regroup(s *service) {
	s.mu.Lock()
	was := s.slots.Hosted()
	again := s.regroup()
	left := was && !s.slots.Hosted()
	if left {
		s.lefts++
	}
	lefts := s.lefts
	tell := s.set.Kind == edda.Ordered && !s.telling && slices.ContainsFunc(s.hosts, func(h *host) bool { return !h.w.here() })
	s.telling = s.telling || tell
	delay := min(time.Duration(len(s.hosts))*tellDelay, maxTellDelay)
	s.mu.Unlock()
	if tell {
		time.AfterFunc(delay, func() { n.tell(s) })
	}
	for _, w := range again {
		p := n.parts[w]
		p.in.do(func() { p.chooseAgain(s) })
	}
	if left {
		n.strand(s, lefts)
	}
}

// Many workers that come one after the other are told of each other once, not each
// time: the more there are, the later.
const (
	tellDelay    = time.Millisecond // for each host of the service
	maxTellDelay = 2 * time.Second
)

// tell tells the workers of an ordered service who they are.
func (n *Node) tell(s *service) {
	n.workers.mu.Lock()
	defer n.workers.mu.Unlock()
	ids, hosts := s.members()
	for _, h := range hosts {
		if !h.w.here() {
			h.w.runner.Members(s.addr, ids)
		}
	}
}

// strand tells those who wait for a service that nobody handles it, once that has
// lasted a while. lefts is the service's.
func (n *Node) strand(s *service, lefts int) {
	time.AfterFunc(n.opts.Limits.NoWorkerWait, func() {
		s.mu.Lock()
		back := s.lefts != lefts || s.slots.Hosted()
		s.mu.Unlock()
		if back {
			return
		}
		for _, p := range n.parts {
			p.in.do(func() { p.turnAwayWaiting(s, edda.NoWorker, errNoWorker) })
		}
	})
}

// set changes what decides whether the worker is given requests, and has that take
// effect.
func (w *Worker) set(change func()) {
	w.n.workers.mu.Lock()
	defer w.n.workers.mu.Unlock()
	w.mu.Lock()
	change()
	takes := !w.draining && !w.paused && !w.silent && !w.unready && !w.gone
	w.mu.Unlock()
	if w.takes.Swap(takes) != takes {
		w.regroup()
	}
}

// drainWorkers tells the workers that the node is about to stop.
func (n *Node) drainWorkers() {
	n.workers.mu.Lock()
	defer n.workers.mu.Unlock()
	for _, w := range n.workers.all {
		if !w.here() {
			w.runner.Drain("the node stops", true)
		}
	}
}

// begin hands an attempt to the worker.
func (w *Worker) begin(a *Attempt) {
	if w.here() {
		w.n.handlers.add()
		go a.run()
		return
	}
	a.id = w.n.attempts.Add(1)
	a.hold = &edda.WorkerHold{
		Request: a.req.ID, Service: a.req.To.Name, Key: a.req.To.Key, Method: a.req.Method, Attempt: a.number, Since: a.started.UTC(),
	}
	w.n.handlers.add()
	w.mu.Lock()
	ended := w.gone || w.silent
	if !ended {
		w.attempts[a] = struct{}{}
	}
	w.mu.Unlock()
	switch {
	case ended:
		a.HandBack()
	case a.msg != nil && a.step == nil:
		a.trace()
		w.runner.Start(a)
	default:
		if m, ok := w.runner.(*member); ok {
			m.fetches(1)
		}
		w.n.handlers.Go(a.fetch)
	}
}

// fetch begins an attempt at a worker elsewhere whose message the table has, or is
// yet to be checked.
func (a *Attempt) fetch() {
	if m, ok := a.host.w.runner.(*member); ok {
		defer m.fetches(-1)
	}
	switch {
	case a.load() && !a.refused():
		a.trace()
		a.host.w.runner.Start(a)
	case a.settle():
		a.end()
	default:
		a.late() // it was given up, and its message may be gone for that reason
	}
}

func (w *Worker) forget(a *Attempt) {
	w.mu.Lock()
	delete(w.attempts, a)
	w.mu.Unlock()
}
