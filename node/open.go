package node

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
	"github.com/edda-io/edda/engine/memlog"
	"github.com/edda-io/edda/internal/fold"
	channelfold "github.com/edda-io/edda/internal/fold/channel"
	groupfold "github.com/edda-io/edda/internal/fold/group"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/fold/request"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	servicefold "github.com/edda-io/edda/internal/fold/service"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
	hub "github.com/edda-io/edda/internal/live"
	"github.com/edda-io/edda/internal/methodschema"
	"github.com/edda-io/edda/internal/nodedir"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// Open opens the directory, recovers what was accepted before, registers the
// services, and returns a node that runs. The error is an *edda.Error for bad
// options; a directory that another process has open, that cannot be written, or
// that is damaged is refused, and left as it is.
func Open(ctx context.Context, opts Options) (*Node, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	hosted, err := schemasOf(opts.Services)
	if err != nil {
		return nil, err
	}
	n := &Node{
		opts: opts, log: opts.Logger, tracer: newTracer(&opts), handlers: newTally(), replying: make(chan struct{}, maxReplying), checkpoint: make(chan struct{}, 1),
		halt: make(chan struct{}), halted: make(chan struct{}), done: make(chan struct{}),
	}
	n.registry.init()
	n.workers.all = map[string]*Worker{}
	n.ringer = follow.NewRinger()
	n.hub = n.newHub()
	n.topics = hub.NewSetter(n.hub)
	n.endpoints.all = map[edda.Address]*endpoint{}
	if n.metrics, err = newMetrics(n); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	if err := n.openDisk(); err != nil {
		n.metrics.Unregister()
		return nil, fmt.Errorf("open node: %w", err)
	}
	if err = n.recover(ctx); err == nil {
		err = n.checkKinds()
	}
	if err != nil {
		n.metrics.Unregister()
		return nil, fmt.Errorf("open node: %w", errors.Join(err, n.engine.Close(), n.store.Close()))
	}
	n.host(hosted)
	err = n.begin(ctx)
	for i, s := range opts.Services {
		if err == nil {
			spec := s.Spec()
			if spec.Group != nil {
				err = n.ensureGroup(ctx, nil, &spec)
			} else {
				err = n.register(ctx, &spec, hosted[i])
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open node: %w", errors.Join(err, n.Stop(ctx)))
	}
	n.runEndpoints()
	return n, nil
}

// openDisk opens log and store.
func (n *Node) openDisk() error {
	o := &n.opts
	n.info = edda.NodeInfo{Version: o.Version, Partitions: o.Partitions, Durability: o.Durability, StartedAt: time.Now().UTC()}
	so := store.Options{Partitions: o.Partitions, FS: o.FS, Logger: o.Logger, OnStop: n.fail}
	dir := o.Dir
	if o.Durability == edda.Memory {
		l, err := memlog.Open(memlog.Options{Partitions: o.Partitions})
		if err != nil {
			return err
		}
		n.engine = l
		so.FS, dir = vfs.NewMem(), "memory"
		n.info.ID = edda.NewID(0, time.Now()).String()
	} else {
		for _, d := range []string{"log", "store"} {
			if err := nodedir.Make(o.FS, o.FS.PathJoin(dir, d)); err != nil {
				return fmt.Errorf("make directory %q: %w", dir, err)
			}
		}
		l, err := filelog.Open(o.FS.PathJoin(dir, "log"), filelog.Options{
			FS: o.FS, Durability: o.Durability, Partitions: o.Partitions, MinSegmentBytes: min(int64(o.SegmentBytes), 1<<20), MaxSegmentBytes: int64(o.SegmentBytes),
			Gather: o.gather, Coming: func() bool { return n.handed.Load() > 0 }, Logger: o.Logger,
		})
		if err != nil {
			return err
		}
		n.engine = l
		if n.info.ID, err = nodedir.ID(o.FS, dir); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	s, err := store.Open(o.FS.PathJoin(dir, "store"), so)
	if err != nil {
		return errors.Join(err, n.engine.Close())
	}
	n.store = s
	return nil
}

// recover takes the partitions, and folds what the store does not hold yet.
func (n *Node) recover(ctx context.Context) error {
	ids := make([]engine.Partition, n.opts.Partitions)
	for i := range ids {
		ids[i] = engine.Partition(i)
	}
	owned, err := n.engine.Own(ctx, ids...)
	if err != nil {
		return fmt.Errorf("own partitions: %w", err)
	}
	starts := make([]engine.Start, len(ids))
	for i, id := range ids {
		p, err := n.newPartition(id, owned[i])
		if err != nil {
			return err
		}
		n.parts = append(n.parts, p)
		starts[i] = engine.Start{Partition: id, Position: engine.Position(p.env.Position) + 1}
		if starts[i].Position > owned[i].Next {
			return fmt.Errorf("the store is ahead of its log: partition %d has applied position %d, the log ends at %d; "+
				"was the log of another directory put here, or cut?", id, p.env.Position, owned[i].Next-1)
		}
	}
	if err := n.replay(ctx, starts); err != nil {
		return err
	}
	for i, p := range n.parts {
		if engine.Position(p.env.Position)+1 != owned[i].Next {
			return fmt.Errorf("partition %d: read the log up to position %d, it should end at %d", i, p.env.Position, owned[i].Next-1)
		}
		p.last = p.env.Time
	}
	n.publish(n.parts[0].services.Services())
	n.followGroups()
	return nil
}

func (n *Node) newPartition(id engine.Partition, owned engine.Ownership) (*partition, error) {
	p := &partition{
		n: n, id: id, in: newInbox(), halted: make(chan struct{}), table: n.store.Partition(id), epoch: owned.Epoch, next: owned.Next,
		ready: map[queue]*ready{}, lanes: map[uint64]*lane{}, readers: map[uint64][]*partReader{},
		sagaWaiters: map[sagafold.Ref][]*sagaWaiter{}, stepEnds: map[stepRef]int{},
		tails: follow.NewTails(n.ringer, &n.metrics.Streams.Waiting), awaiting: map[streamfold.Ref]awaiters{},
	}
	p.env = fold.Env{Table: p.table, Partition: uint64(id), Partitions: uint64(n.opts.Partitions)}
	p.outbox = outbox.New(&p.env)
	p.requests = request.New(&p.env, p.outbox)
	p.requests.LimitKept(int64(max(n.opts.Limits.ReplyBytes/n.opts.Partitions, 1)))
	p.sagas = sagafold.New(&p.env, p.outbox, p.requests)
	p.requests.SetSteps(p.sagas)
	p.streams = streamfold.New(&p.env, p.outbox)
	p.requests.SetAppends(p.streams.Send)
	p.sagas.SetStreams(p.streams)
	p.groups = groupfold.New(&p.env, p.streams, p.requests)
	p.streams.SetFeeds(p.groups)
	p.requests.SetDeliveries(p.groups)
	p.channels = channelfold.New(&p.env, p.streams)
	machines := []fold.Machine{p.outbox, p.requests, p.sagas, p.streams, p.groups, p.channels}
	if id == 0 {
		p.services = servicefold.New(&p.env, p.outbox)
		machines = append(machines, p.services)
	}
	f, err := fold.New(&p.env, uint64(p.table.Applied()), machines...)
	p.fold = f
	return p, err
}

// replayers is how many goroutines fold at a start.
const replayers = 4

// longLog is how many bytes of log leave so much garbage that it is given back at
// once.
const longLog = 8 << 20

// replay folds the log from the starts on, in one pass. What the records brought
// about happened long ago.
func (n *Node) replay(ctx context.Context, starts []engine.Start) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var queues [replayers]chan engine.Entry
	for i := range queues {
		queues[i] = make(chan engine.Entry, 256)
		wg.Go(func() {
			for e := range queues[i] {
				if ctx.Err() == nil {
					if err := n.parts[e.Partition].replay(e); err != nil {
						cancel(err)
					}
				}
			}
		})
	}
	var failed error
	read := 0
	for e, err := range n.engine.Read(ctx, starts...) {
		if err != nil {
			failed = fmt.Errorf("read the log: %w", err)
			if errors.Is(err, engine.ErrTrimmed) {
				failed = fmt.Errorf("the store is behind its log, which has forgotten what the store held before; "+
					"was the store removed, or that of an older copy put here? read the log: %w", err)
			}
			break
		}
		queues[e.Partition%replayers] <- e
		for _, rec := range e.Records {
			read += len(rec)
		}
	}
	for _, q := range queues {
		close(q)
	}
	wg.Wait()
	for _, p := range n.parts {
		p.requests.Pack()
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	n.logBytes.Add(int64(read)) // else a node that dies again and again would never write a checkpoint
	if read > longLog {
		debug.FreeOSMemory()
	}
	return failed
}

func (p *partition) replay(e engine.Entry) error {
	for i, rec := range e.Records {
		if err := p.fold.Apply(uint64(e.First)+uint64(i), rec); err != nil {
			return err
		}
		p.requests.Effects()
		p.sagas.Effects()
		p.streams.Effects()
		p.groups.Effects()
		p.channels.Effects()
	}
	p.outbox.Touched()
	return nil
}

// begin starts the partitions, and returns when the log says that they have an
// owner.
func (n *Node) begin(ctx context.Context) error {
	n.started.Store(true)
	owned := make(chan error, len(n.parts))
	for _, p := range n.parts {
		p.recovered(func(_ []request.Effect, err error) { owned <- err })
		p.flush()
		p.report()
	}
	for _, p := range n.parts {
		n.loops.Go(p.run)
	}
	n.loops.Go(n.runCheckpoints)
	n.loops.Go(func() { n.ringer.Run(n.halt) })
	n.loops.Go(func() { n.topics.Run(n.halt, n.topicNotSet) })
	for range n.parts {
		select {
		case err := <-owned:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-n.halt:
			return n.notRunning("start")
		}
	}
	return nil
}

// checkKinds refuses services that have unfinished requests of another kind,
// before their handlers get any of them. The partitions do not run yet.
func (n *Node) checkKinds() error {
	changed := map[edda.Address]edda.Kind{}
	for _, s := range n.opts.Services {
		svc := n.service(s.Namespace, s.Name)
		if v := svc.view(); v.registered && v.kind != s.Kind && !svc.consumer {
			changed[svc.addr] = s.Kind
		}
	}
	if len(changed) == 0 {
		return nil
	}
	for _, p := range n.parts {
		for r := range p.requests.All() {
			if kind := changed[serviceAddress(r.To.Namespace, r.To.Name)]; kind != "" && kind != r.Kind {
				return &edda.Error{Op: "register service " + r.To.Name, Reason: edda.KindInUse,
					Err: fmt.Errorf("it is %s and has unfinished requests; finish or cancel them before it becomes %s", r.Kind, kind)}
			}
		}
	}
	return nil
}

// schemasOf returns the schemas of each service.
func schemasOf(services []*edda.Service) ([]*methodschema.Set, error) {
	all := make([]*methodschema.Set, len(services))
	for i, s := range services {
		var err error
		if all[i], err = methodschema.Of(s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// host makes this process a worker for the services of the options, whose schemas
// are given. The partitions do not run yet.
func (n *Node) host(all []*methodschema.Set) {
	if len(all) == 0 {
		return
	}
	spec := WorkerSpec{ID: n.info.ID, Transport: "in-process"}
	for i, s := range n.opts.Services {
		spec.Services = append(spec.Services, s.Spec())
		n.service(s.Namespace, s.Name).hostHere(&spec.Services[i], all[i])
	}
	w := n.newWorker(spec, nil)
	for i, h := range w.hosts {
		h.def = n.opts.Services[i]
	}
	_ = n.join("host services", w) // the first worker, so its id is free
}

// hostHere shows what this process says of a service until the log says it too.
func (s *service) hostHere(spec *edda.ServiceSpec, sc *methodschema.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case spec.Group == nil:
		s.set, s.schemas = serviceSet(spec, sc), sc
	case !s.registered:
		s.setGroup(spec.Group)
	}
}

// serviceSet is what the log says of a service.
func serviceSet(s *edda.ServiceSpec, sc *methodschema.Set) record.ServiceSet {
	return record.ServiceSet{
		Address: s.Address(), Kind: s.Kind, Methods: s.Methods, Schemas: sc.ForLog(),
		Concurrency: s.Concurrency, AttemptTimeout: s.AttemptTimeout, Retry: s.Retry, OnDead: s.OnDead,
	}
}

// register makes a service known, if the log does not know it as it is.
func (n *Node) register(ctx context.Context, s *edda.ServiceSpec, sc *methodschema.Set) error {
	svc, set := n.service(s.Namespace, s.Name), serviceSet(s, sc)
	if svc.is(&set) {
		return nil
	}
	return n.proposeTo(ctx, n.parts[0], "register service "+s.Name, set.AppendTo(nil), nil)
}

// is reports whether the service is registered just so.
func (s *service) is(set *record.ServiceSet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.set
	return s.registered && a.Kind == set.Kind && slices.Equal(a.Methods, set.Methods) && methodschema.Same(a.Schemas, set.Schemas) &&
		a.Concurrency == set.Concurrency && a.AttemptTimeout == set.AttemptTimeout && a.Retry == set.Retry && a.OnDead == set.OnDead &&
		sameEndpoint(a.Endpoint, set.Endpoint)
}
