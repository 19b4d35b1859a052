package node

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	channelfold "github.com/edda-io/edda/internal/fold/channel"
	groupfold "github.com/edda-io/edda/internal/fold/group"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/fold/request"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	servicefold "github.com/edda-io/edda/internal/fold/service"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/follow"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// partition is one unit of order. Its goroutine owns everything in it but the
// inbox: it takes what has come in, proposes records, has them appended, and
// applies them once they are durable.
type partition struct {
	n     *Node
	id    engine.Partition
	in    *inbox
	table *store.PartitionTable
	// halted is closed with the node's. Callers wait on this one, so that those of all
	// partitions do not meet at one channel's lock.
	halted chan struct{}

	env      fold.Env
	fold     *fold.Fold
	requests *request.Machine
	outbox   *outbox.Machine
	sagas    *sagafold.Machine
	streams  *streamfold.Machine
	groups   *groupfold.Machine
	channels *channelfold.Machine
	services *servicefold.Machine // partition 0 alone

	epoch    engine.Epoch
	next     engine.Position
	building *batch
	spare    []*batch
	inFlight int       // batches handed to the engine
	arrived  time.Time // when the last one came back
	last     int64

	recent     [recentRequests]*request.Request // ended, and not kept
	recentNext int

	alarm   *time.Timer // rings the inbox
	alarmAt int64       // for when it is set; past when it has rung

	timers   timers
	ready    map[queue]*ready
	lanes    map[uint64]*lane
	ackLanes int // lanes with a number to acknowledge
	ackAt    int64
	bytes    int      // what the node last heard of the requests' memory
	quiesce  []func() // called once nothing is in flight
	barriers []barrier

	readers map[uint64][]*partReader // of parts, by the Seq of their request

	sagaWaiters map[sagafold.Ref][]*sagaWaiter
	stepEnds    map[stepRef]int // steps whose end is on its way into the log, and how often
	rehearsal   rehearsal       // of those ends
	sagasDue    int             // records on their way because of a deadline

	tails       *follow.Tails // where readers of streams wait
	news        follow.News   // for those who follow streams
	awaiting    map[streamfold.Ref]awaiters
	streamBytes int                 // what the node last heard of the streams' memory
	starts      []record.GroupStart // room for those of one record
	firsts      []uint32            // likewise, for firstOfKeys

	// broken says that a batch could not be applied: nothing may follow it.
	broken    bool
	unapplied []*batch // that came back after the partition ended

	unfinished atomic.Int64 // requests, for whoever watches
}

// batch is a run of records on its way through the engine, with what proposed
// each.
type batch struct {
	engine.Batch
	p         *partition
	proposals []proposal
	size      int
	begun     time.Time
	result    engine.Result
	ahead     []ahead // what other partitions get already
}

// proposal is what a record came from. At most one of call and then is set.
type proposal struct {
	call    *call
	attempt *Attempt
	// then is called with the effects of the record, or with the error that kept it
	// out of the log.
	then func([]request.Effect, error)
	// slot is reserved for what the record starts.
	slot *host
	// from is the partition that sent the record.
	from *delivery
	// saga is set when the record may change sagas, and something is to be done about
	// that.
	saga *sagaPart
	// stream is set when somebody waits for what the record does to a stream.
	stream *streamPart
	// quiet says that nothing follows from the record soon.
	quiet bool
	// group is whoever changes a group by the record.
	group *groupChange
	// channel is whoever changes a channel by the record.
	channel *channelChange
	// deliveries are slots for the messages that the record appends.
	deliveries deliverySlots
}

// live is what the node hangs on to an unfinished request.
type live struct {
	req     *request.Request
	svc     *service
	waiters []*call
	first   [1]*call // room for waiters, of which there is one most of the time
	attempt *Attempt // running
	version string   // of the worker that tried it last
	spared  uint8    // how often a worker went away before it had taken it
	// closing says that a record which ends the attempt or the request is on its
	// way, so that no other is proposed.
	closing bool
	names   bool  // a stranger; the registry is told when it does no more
	waiting bool  // for a slot
	back    int64 // when the attempt, which was handed back, is released; zero: at once, or there is none
	backs   uint8 // how often attempts were handed back, one after the other, as far as that matters
	absent  int64 // when the attempt at a step fails for want of a service, if there is none by then
	queue   queue // where, while waiting
	at      int64
	slot    int    // in the timers
	res     result // once the request has ended
}

func liveOf(r *request.Request) *live {
	l, _ := r.Aux.(*live)
	return l
}

// liveFor returns the live part of an unfinished request, made when missing.
func (p *partition) liveFor(r *request.Request) *live { return p.liveFrom(r, nil) }

// liveFrom is liveFor for a request that came with a call, if it did.
func (p *partition) liveFrom(r *request.Request, c *call) *live {
	l := liveOf(r)
	if l != nil {
		return l
	}
	l = &live{req: r, slot: -1}
	l.waiters = l.first[:0]
	if c != nil {
		l.svc = c.svc
	} else {
		l.svc, l.names = p.n.named(r.To.Namespace, r.To.Name)
	}
	r.Aux = l
	return l
}

// recentRequests is how many requests that ended without being kept a partition
// remembers.
const recentRequests = 64

// maxBatchBytes is the size of a batch at most, one record aside.
const maxBatchBytes = 8 << 20

// run is the partition's goroutine.
func (p *partition) run() {
	p.alarm = time.AfterFunc(time.Hour, p.in.ring)
	defer p.alarm.Stop()
	defer p.leave()
	var m mail
	for !p.n.halting.Load() {
		p.setAlarm()
		<-p.in.wake
		if p.inFlight > 1 {
			// Under load, let those run who are about to put something in.
			runtime.Gosched()
		}
		p.in.take(&m)
		p.lull(&m)
		err := p.round(&m)
		if err == nil {
			m.reset() // all in it was seen to
			err = p.saveStreams()
		}
		if err != nil {
			p.broken = true
			p.n.fail(fmt.Errorf("partition %d: %w", p.id, err))
			p.turnOut(&m)
			return
		}
	}
}

// unhurried reports whether all that has come in is outcomes that nobody waits
// for.
func (p *partition) unhurried(m *mail) bool {
	if len(m.outcomes) == 0 || len(m.batches)+len(m.calls)+len(m.sagas)+len(m.streams)+len(m.grants)+len(m.deliveries)+len(m.funcs) > 0 {
		return false
	}
	for _, a := range m.outcomes {
		if l := liveOf(a.req); l != nil && len(l.waiters) > 0 || a.told != nil || a.req.Step != nil && !p.othersRun(a, m) {
			return false
		}
	}
	return true
}

// othersRun reports whether nothing follows from the end of a step before others of
// its saga have ended too, which may be about to happen: then one flush does for all.
func (p *partition) othersRun(a *Attempt, m *mail) bool {
	s := a.req.Step
	return len(m.outcomes) == 1 && p.awaitsOthers(stepRef{sagafold.Ref{Namespace: a.req.To.Namespace, ID: s.Saga}, s.Index, s.Undo})
}

// awaitsOthers reports whether nothing follows from the success of a step before others
// of its saga have ended too, as far as is known: their ends are not on their way.
func (p *partition) awaitsOthers(s stepRef) bool {
	return !s.undo && len(p.stepEnds) == 0 && p.sagas.Awaits(s.saga, s.index)
}

// lullTime is how long an outcome that nobody waits for lets others go first, so
// that a caller who sends one request after the other need not wait for the flush
// of an outcome before that of the next request.
const lullTime = 20 * time.Microsecond

// maxYields bounds a lull where the clock stands still.
const maxYields = 100

// lull passes that time while what has come in is unhurried, without keeping anybody
// from running. A timer would take longer.
func (p *partition) lull(m *mail) {
	if !p.unhurried(m) {
		return
	}
	begin := time.Now()
	for range maxYields {
		runtime.Gosched()
		if p.in.more(m) && !p.unhurried(m) || time.Since(begin) > lullTime {
			return
		}
	}
}

// turnOut answers whoever has come in, when nothing is appended any more.
func (p *partition) turnOut(m *mail) {
	for _, f := range m.funcs {
		f()
	}
	for _, w := range m.parts {
		w.landed(p.n.notRunning(opPart))
	}
	for _, c := range m.calls {
		c.refuse(p.n.notRunning(c.op()))
	}
	for _, c := range m.sagas {
		c.finish(p.n.notRunning(c.op))
	}
	for _, w := range m.streams {
		w.refuse(p.n.notRunning(w.op()))
	}
}

// leave closes the inbox and answers whoever is left: with what is certain, where
// something is.
func (p *partition) leave() {
	var m mail
	p.in.close()
	p.in.take(&m)
	p.turnOut(&m)
	p.unapplied = append(p.unapplied, m.batches...)
	if b := p.building; b != nil {
		b.result = engine.Result{Outcome: engine.Unavailable, Err: errNodeStopped}
		p.refuse(b)
	}
	for _, then := range p.quiesce {
		then()
	}
	p.tails.Close(p.n.notRunning("read a stream"))
	p.news.Close()
	p.endAwaiters(nil, p.n.notRunning("await a message"))
}

// close answers those whose records were still in flight when the partition
// left; the engine is closed. What has become durable nobody has seen applied.
func (p *partition) close() {
	var m mail
	p.in.take(&m)
	for _, b := range append(p.unapplied, m.batches...) {
		if b.result.Outcome != engine.Durable {
			p.refuse(b)
			continue
		}
		for i := range b.proposals {
			if s := b.proposals[i].stream; s != nil && s.append != nil {
				s.append.refuse(appendUnknown(s.append))
			}
		}
	}
}

// setAlarm sets the alarm for the next time that matters. One that is set for an
// earlier time is left alone: to be woken for nothing is rare, and cheaper than
// setting it each time.
func (p *partition) setAlarm() {
	at := p.timers.next()
	if due := p.nextSagaDeadline(); due != 0 && (at == 0 || due < at) {
		at = due
	}
	if due := p.streams.NextExpiry(); due != 0 && (at == 0 || due < at) {
		at = due
	}
	if p.ackAt != 0 && (at == 0 || p.ackAt < at) {
		at = p.ackAt
	}
	now := p.now()
	if at == 0 || p.alarmAt > now && p.alarmAt <= at {
		return
	}
	p.alarmAt = at
	p.alarm.Reset(time.Duration(at - time.Now().UnixNano()))
}

// round does everything that has come in. What was durable comes first, because
// the rest depends on it.
func (p *partition) round(m *mail) error {
	p.tick()
	for i, b := range m.batches {
		if err := p.complete(b); err != nil {
			p.unapplied = append(p.unapplied, m.batches[i+1:]...)
			return err
		}
	}
	for _, a := range m.acks {
		p.acked(a)
	}
	for _, g := range m.grants {
		p.granted(g)
	}
	for _, w := range m.parts {
		p.part(w)
	}
	for _, a := range m.outcomes {
		p.outcome(a)
	}
	for i := range m.deliveries {
		p.deliver(&m.deliveries[i])
	}
	p.fire()
	p.fireSagas()
	p.fireExpiries()
	for _, f := range m.funcs {
		f()
	}
	for _, c := range m.sagas {
		p.change(c)
	}
	for _, w := range m.streams {
		p.streamAppend(w)
	}
	for _, c := range m.calls {
		p.call(c)
	}
	p.flush()
	if n := len(m.deliveries); n > 0 {
		p.n.handed.Add(-int64(n))
	}
	p.report()
	return nil
}

// propose adds a record to the batch that is being built.
func (p *partition) propose(rec []byte, pr proposal) {
	b := p.building
	if b != nil && b.size+len(rec) > maxBatchBytes {
		p.append()
		b = nil
	}
	if b == nil {
		b = p.newBatch()
		p.building = b
	}
	var flags record.Flags
	if pr.slot != nil {
		flags = record.FlagStart
	}
	record.Stamp(rec, flags, p.last)
	b.Records = append(b.Records, rec)
	b.proposals = append(b.proposals, pr)
	b.size += len(rec)
	if pr.quiet || pr.slot == nil && pr.saga != nil && pr.saga.awaits {
		b.Quiet++
	}
}

// newBatch returns an empty batch, one that came back if there is one.
func (p *partition) newBatch() *batch {
	if n := len(p.spare); n > 0 {
		b := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return b
	}
	b := &batch{p: p}
	b.Done = b.done
	return b
}

// recycle keeps a batch whose records are applied for the next one.
func (p *partition) recycle(b *batch) {
	if len(p.spare) == maxSpare || cap(b.Records) > maxSpareRecords {
		return
	}
	clear(b.Records)
	clear(b.proposals)
	b.Records, b.proposals, b.size, b.Quiet = b.Records[:0], b.proposals[:0], 0, 0
	b.After, b.ahead = b.After[:0], nil
	p.spare = append(p.spare, b)
}

// A partition keeps a few batches of ordinary size for later.
const (
	maxSpare        = 8
	maxSpareRecords = 256
)

// flush appends what was proposed, with the acknowledgements that were waiting
// for company.
func (p *partition) flush() {
	if p.ackLanes > 0 && (p.building != nil || p.ackAt <= p.now()) {
		p.proposeAcks()
	}
	if p.building != nil {
		p.append()
	}
}

func (p *partition) append() {
	b := p.building
	p.building = nil
	b.Partition, b.Epoch, b.First = p.id, p.epoch, p.next
	p.next += engine.Position(len(b.Records))
	p.inFlight++
	b.begun = time.Now()
	p.n.appended(b.size)
	if len(b.ahead) > 0 {
		p.n.handed.Add(int64(len(b.ahead))) // so that the engine waits for what comes of it
	}
	p.n.engine.Append(&b.Batch)
	for i := range b.ahead {
		p.n.parts[b.ahead[i].to].in.delivery(b.ahead[i].delivery)
	}
}

// complete applies a batch that came back from the engine.
func (p *partition) complete(b *batch) error {
	p.inFlight--
	p.arrived = time.Now()
	p.n.metrics.Appends.Observe(p.arrived.Sub(b.begun).Seconds())
	if b.result.Outcome != engine.Durable {
		p.refuse(b)
		return fmt.Errorf("append: %w", &appendError{b.result})
	}
	p.settle(b) // before anybody is answered, who then may come again
	for i, rec := range b.Records {
		pr := &b.proposals[i]
		if pr.call != nil {
			p.requests.Hint(pr.call.msg, pr.call.addr)
		}
		if err := p.fold.Apply(uint64(b.First)+uint64(i), rec); err != nil {
			p.unapplied = append(p.unapplied, b)
			return err
		}
		p.applied(pr)
	}
	for i := range b.ahead {
		if !p.foresaw(&b.ahead[i]) {
			return fmt.Errorf("what partition %d was handed is not what came of it", b.ahead[i].to)
		}
	}
	p.tails.Ring()
	p.news.Tell()
	end := b.First + engine.Position(len(b.Records))
	p.recycle(b)
	for _, to := range p.outbox.Touched() {
		p.pump(to)
	}
	p.pass(end)
	if p.inFlight == 0 && p.building == nil {
		for _, then := range p.quiesce {
			then()
		}
		p.quiesce = nil
	}
	return nil
}

// settle makes room for other calls.
func (p *partition) settle(b *batch) {
	calls, bytes := 0, 0
	for i := range b.proposals {
		switch pr := &b.proposals[i]; {
		case pr.call != nil:
			calls++
			bytes += len(b.Records[i])
		case pr.saga != nil && pr.saga.change != nil:
			c, size := pr.saga.change.size()
			calls += c
			bytes += size
		case pr.stream != nil && pr.stream.append != nil:
			calls++
			bytes += pr.stream.append.size
		}
	}
	if calls > 0 {
		p.in.settled(calls, bytes)
	}
}

// refuse tells everybody in a batch that did not become durable what became of
// it.
func (p *partition) refuse(b *batch) {
	p.settle(b) // before anybody is answered, who then may come again
	err := &appendError{b.result}
	for i := range b.proposals {
		pr := &b.proposals[i]
		switch {
		case pr.call != nil:
			pr.call.refuse(err.forCall(pr.call))
		case pr.then != nil:
			pr.then(nil, err.forCall(nil))
		case pr.saga != nil && pr.saga.change != nil:
			pr.saga.change.finish(err.forSaga(pr.saga.change))
		case pr.stream != nil && pr.stream.append != nil:
			pr.stream.append.refuse(err.forAppend(pr.stream.append))
		case pr.stream != nil:
			pr.stream.change.done <- err.forCall(nil)
		case pr.group != nil:
			pr.group.done <- err.forCall(nil)
		case pr.channel != nil:
			pr.channel.done <- err.forCall(nil)
		}
	}
}

// report tells the node how many requests there are and how much memory they
// take.
func (p *partition) report() {
	if grown := p.sagas.Grown(); grown > 0 {
		p.n.appended(grown)
	}
	if grown := p.groups.Grown(); grown > 0 {
		p.n.appended(grown)
	}
	if now := p.requests.Bytes(); now != p.bytes {
		p.n.bytes.Add(int64(now - p.bytes))
		p.bytes = now
	}
	if now := p.streams.Bytes(); now != p.streamBytes {
		p.n.streamBytes.Add(int64(now - p.streamBytes))
		p.streamBytes = now
	}
	p.unfinished.Store(int64(p.requests.Count()))
}

// done is called by the engine.
func (b *batch) done(_ *engine.Batch, r engine.Result) {
	b.result = r
	b.p.in.batch(b)
}
