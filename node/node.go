// Package node runs services on a durable, ordered log: it accepts requests,
// gives them to handlers in the order of each key, retries them, and answers.
//
// A node owns a number of partitions. Each is one goroutine that takes what has
// come in, has it appended to the log as one batch, and applies it once it is
// durable; all partitions share the engine's flushes. Acknowledgements, replies
// and handlers wait for the flush, so nothing leaves before it is durable.
//
// Delivery: an accepted request is handled at least once, in order for its key;
// state, replies and requests sent on change exactly once.
//
// A Node is safe for concurrent use.
package node

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold/request"
	servicefold "github.com/edda-io/edda/internal/fold/service"
	"github.com/edda-io/edda/internal/follow"
	hub "github.com/edda-io/edda/internal/live"
	"github.com/edda-io/edda/internal/seldom"
	"github.com/edda-io/edda/internal/store"
)

// Node is a running node. Open makes one.
type Node struct {
	opts    Options
	log     *slog.Logger
	engine  engine.Engine
	store   *store.Store
	parts   []*partition
	info    edda.NodeInfo
	metrics metrics

	tracer    trace.Tracer // nil: nobody traces
	registry  registry
	workers   workers
	endpoints endpoints
	attempts  atomic.Uint64 // numbers those of workers elsewhere

	bytes atomic.Int64 // memory of unfinished requests
	// streamBytes is the memory of messages of streams that the store has not got yet.
	streamBytes   atomic.Int64
	streamAppends sync.Pool // of *streamAppend
	ringer        *follow.Ringer
	hub           *hub.Hub
	topics        *hub.Setter
	dropped       seldom.Gate // of appends of handlers

	logBytes atomic.Int64 // appended since the last checkpoint
	handed   atomic.Int64 // records of outboxes that were handed over and are about to be appended
	started  atomic.Bool
	draining atomic.Bool

	bells      bells
	clocks     clocks
	handlers   *tally         // handlers and interceptors
	replying   chan struct{}  // holds one of each call of OnReply that runs
	loops      sync.WaitGroup // of partitions and checkpoints
	checkpoint chan struct{}  // one signal that enough was written

	halting  atomic.Bool   // set before halt is closed
	halt     chan struct{} // closed: partitions end
	haltOnce sync.Once
	halted   chan struct{} // closed: partitions have ended, and nothing is in flight
	done     chan struct{} // closed: everything is closed
	stopping atomic.Bool

	saveBatch atomic.Pointer[store.Batch] // between saves, to be used again
	saving    sync.Mutex                  // held while a checkpoint is written

	mu  sync.Mutex // guards err
	err error      // why the node failed, or what Stop met
}

var _ edda.Backend = (*Node)(nil)

// Stop ends the node: it refuses new requests, starts no handler any more, waits
// until those that run have returned or ctx has ended, hands the rest back so
// that they cost no attempt, and closes the directory. It returns when all that
// is done, and again the same error when it is called again.
func (n *Node) Stop(ctx context.Context) error {
	if !n.stopping.CompareAndSwap(false, true) {
		<-n.done
		return n.Err()
	}
	n.draining.Store(true)
	n.hub.Close()
	n.registry.each((*service).drain)
	n.drainWorkers()
	if n.Err() == nil {
		n.drain(ctx)
	}
	n.stopPartitions()
	n.close()
	return n.Err()
}

// drain waits for handlers, hands back what runs when ctx ends, and writes a last
// checkpoint, so that the next start has nothing to read.
func (n *Node) drain(ctx context.Context) {
	// What is on its way into the log may still start handlers.
	n.settle((*partition).quiet)
	_ = n.handlers.wait(ctx) // what runs on is handed back
	n.settle((*partition).handBack)
	if n.opts.Durability != edda.Memory {
		if err := n.writeCheckpoint(); err != nil {
			n.log.Warn("last checkpoint did not work; the next start reads more of the log", "error", err)
		}
	}
}

// settle has every partition do something, and returns when everything is durable.
func (n *Node) settle(what func(p *partition, then func())) {
	var wg sync.WaitGroup
	for _, p := range n.parts {
		wg.Add(1)
		if !p.in.do(func() { what(p, wg.Done) }) {
			wg.Done()
		}
	}
	settled := make(chan struct{})
	go func() { // ends with the partitions at the latest
		wg.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-n.halt:
	}
}

// stopPartitions ends the goroutines of the partitions.
func (n *Node) stopPartitions() {
	n.haltNow()
	n.loops.Wait()
}

// haltNow has the partitions end.
func (n *Node) haltNow() {
	n.haltOnce.Do(func() {
		n.halting.Store(true)
		close(n.halt)
		for _, p := range n.parts {
			p.in.ring()
		}
	})
}

// fail stops the node because of an error it cannot go on with.
func (n *Node) fail(err error) {
	if !n.started.Load() {
		return // whoever opens the node hears of it
	}
	n.mu.Lock()
	first := n.err == nil
	n.err = errors.Join(n.err, err)
	n.mu.Unlock()
	if first {
		n.log.Error("node stops", "error", err)
	}
	n.haltNow()
	go func() { _ = n.Stop(context.Background()) }() // owned by whoever calls Stop, which waits for the same end
}

// close lets go of the directory. What is not in the store yet is in the log.
func (n *Node) close() {
	err := n.engine.Close()
	for _, p := range n.parts {
		p.close()
	}
	close(n.halted)
	for _, p := range n.parts {
		close(p.halted)
	}
	n.endEndpoints()
	if n.Err() != nil {
		err = nil // the first failure says more
	}
	err = errors.Join(err, n.store.Close())
	n.metrics.Unregister()
	n.mu.Lock()
	n.err = errors.Join(n.err, err)
	n.mu.Unlock()
	close(n.done)
}

// Done is closed when the node has stopped, by Stop or by a failure that Err
// then tells.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err is the failure that stopped the node, or nil.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Ready is nil when the node takes requests; else it says why not.
func (n *Node) Ready() error {
	select {
	case <-n.halt:
		return n.notRunning("check the node")
	default:
	}
	if n.draining.Load() {
		return n.notRunning("check the node")
	}
	return nil
}

// Info describes the node.
func (n *Node) Info() edda.NodeInfo { return n.info }

// Client returns a client of the node, in the default namespace, as Anonymous.
func (n *Node) Client() *edda.Client { return edda.NewClient(n) }

// appended counts what goes into the log, and asks for a checkpoint in time.
func (n *Node) appended(bytes int) {
	if n.logBytes.Add(int64(bytes)) >= int64(n.opts.CheckpointBytes) {
		n.askCheckpoint()
	}
}

// askCheckpoint has a checkpoint written, unless that is about to happen.
func (n *Node) askCheckpoint() {
	select {
	case n.checkpoint <- struct{}{}:
	default:
	}
}

// anywhere returns an address hash at random.
func (n *Node) anywhere() uint64 { return rand.Uint64() }

// chance returns a number in [0,1).
func (n *Node) chance() float64 { return rand.Float64() }

// position is how a place in the log is shown.
func position(p engine.Partition, pos uint64) string {
	b := strconv.AppendUint(make([]byte, 0, 24), uint64(p), 10)
	b = append(b, '-')
	return string(strconv.AppendUint(b, pos, 10))
}

func (at *place) position() string { return position(at.part, at.pos) }

// placeOf is where a request is.
func (p *partition) placeOf(r *request.Request, joined bool) place {
	return place{id: r.ID, part: p.id, pos: r.Position(), at: r.AcceptedAt, joined: joined, done: r.State.Ended()}
}

// ack acknowledges a request.
func (n *Node) ack(at *place) *edda.Ack {
	return &edda.Ack{
		ID: at.id, Position: at.position(), Durability: n.info.Durability, AcceptedAt: timeOf(at.at), Joined: at.joined, Done: at.done,
	}
}

// resultOf is the outcome of a request that has ended.
func (p *partition) resultOf(r *request.Request, replayed bool) result {
	return result{
		place: p.placeOf(r, replayed), attempts: r.Attempts, state: r.State, failure: r.Failure,
		reply: r.Reply, gone: r.State == edda.StateSucceeded && r.Reply == nil, key: r.To.Key, shared: r.KeepUntil != 0,
	}
}

// quiet calls then once everything that was proposed is durable.
func (p *partition) quiet(then func()) {
	if p.broken {
		then()
		return
	}
	p.flush()
	if p.inFlight == 0 {
		then()
		return
	}
	p.quiesce = append(p.quiesce, then)
}

// handBack ends the attempts that still run without counting them, and calls
// then once that is durable.
func (p *partition) handBack(then func()) {
	for r := range p.requests.All() {
		if l := liveOf(r); l != nil && l.attempt != nil && !l.closing {
			p.releaseAttempt(l)
		}
	}
	p.quiet(then)
}

// publish shows the registered services to everybody.
func (n *Node) publish(all []servicefold.Service) {
	paused := n.registry.publish(all)
	for _, s := range paused {
		n.log.Warn("service paused", "service", s.addr.Name, "namespace", s.addr.Namespace)
		for _, p := range n.parts {
			p.in.do(func() { p.turnAwayWaiting(s, edda.ServicePaused, errServicePaused) })
		}
	}
}
