package node

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// applied does what a durable record has brought about.
func (p *partition) applied(pr *proposal) {
	groups := p.groups.Effects()
	p.groupsSet(groups)
	effects := p.requests.Effects()
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case request.Accepted:
			p.admitted(e.Request, pr.call)
		case request.Joined:
			p.joined(e.Request, pr.call)
		case request.Mismatch:
			p.mismatch(e.Request, pr.call)
		case request.Dispatch:
			p.start(e.Request, pr.slotFor(e.Request))
		case request.Ready:
			p.liveFor(e.Request).closing = false
			p.wantSlot(e.Request)
		case request.Arm:
			p.liveFor(e.Request).closing = false
			p.schedule(e.Request)
			p.turnAwayIfStuck(e.Request)
		case request.Spare:
			pr.spare()
		case request.Ended:
			p.ended(e.Request)
		case request.Fenced:
			p.fenced(e.Request, e.Fence)
		case request.KeyStopped:
			p.keyStopped(e.Request)
		case request.Yielded:
			p.wakeReaders(e.Request)
		case request.Stale, request.KeyGone, request.NoLetter, request.LetterDropped:
			// whoever proposed the record is told by then
		}
	}
	p.sagasApplied(pr.saga)
	change := p.streamsApplied(pr)
	p.groupsApplied(groups, pr.group)
	p.channelsApplied(pr.channel)
	if change != nil {
		change.done <- change.err
	}
	pr.deliveries.release()
	if p.services != nil && p.services.Changed() {
		p.n.publish(p.services.Services())
	}
	if pr.then != nil {
		pr.then(effects, nil)
	}
	if pr.from != nil {
		p.received(pr.from)
	}
}

// mismatch refuses a call whose idempotency key or id was used for another
// request. A message that a handler sent has nobody to tell.
func (p *partition) mismatch(known *request.Request, c *call) {
	if c == nil {
		p.n.log.Warn("a message that a handler sent repeats the idempotency key of another one, and is dropped",
			"service", known.To.Name, "key", known.To.Key, "request", known.ID)
		return
	}
	c.refuse(errMismatch(c, known))
}

// admitted acknowledges a request that is new, or a dead letter that is a
// request again.
func (p *partition) admitted(r *request.Request, c *call) {
	l := p.liveFrom(r, c)
	stampMessage(r)
	p.n.metrics.accepted(l.svc)
	if r.Deadline != 0 {
		p.schedule(r)
	}
	p.buryIfDeleted(r, l)
	if c == nil {
		return
	}
	c.accepted(p.placeOf(r, false))
	if !c.waits {
		return
	}
	if err := p.stuck(r, l); err != nil {
		c.refuse(err)
		return
	}
	l.waiters = append(l.waiters, c)
}

// buryIfDeleted makes a dead letter of a request whose service was deleted while
// the request, or the deletion itself, was on its way: nobody would ever handle it.
// Steps of sagas wait for a service that is not there, and are retried; messages of
// streams are there only while their group is, retried letters aside.
func (p *partition) buryIfDeleted(r *request.Request, l *live) {
	if r.Delivery != nil {
		p.buryOrphan(r)
		return
	}
	if r.Step != nil {
		return
	}
	if v := l.svc.view(); !v.registered && !v.hosted && !r.State.Ended() {
		p.proposeEnded(r, failDeleted, nil)
	}
}

// stampMessage tells the handler when the request was accepted, which the record
// of the message could not say. Nobody else has the message yet.
func stampMessage(r *request.Request) {
	if m := r.Message; m != nil && m.Time.IsZero() {
		m.Time = timeOf(r.AcceptedAt)
	}
}

// stuck is why a waiting call cannot hope for a reply, if there is a reason.
func (p *partition) stuck(r *request.Request, l *live) *edda.Error {
	if r.Stopped() {
		return p.errorOf(r, edda.KeyStopped, errKeyStopped)
	}
	if v := l.svc.view(); v.paused && r.Fence == 0 {
		return p.errorOf(r, edda.ServicePaused, errServicePaused)
	}
	return nil
}

// joined makes a call share the outcome of an earlier request.
func (p *partition) joined(r *request.Request, c *call) {
	if c == nil {
		return
	}
	c.accepted(p.placeOf(r, true))
	if r.State.Ended() {
		res := p.resultOf(r, true)
		c.finish(&res)
		return
	}
	if !c.waits {
		return
	}
	l := p.liveFor(r)
	if err := p.stuck(r, l); err != nil {
		c.refuse(err)
		return
	}
	l.addWaiter(c)
}

// addWaiter adds a call, and forgets those that have gone.
func (l *live) addWaiter(c *call) {
	kept := l.waiters[:0]
	for _, w := range l.waiters {
		if !w.gone() {
			kept = append(kept, w)
		}
	}
	l.waiters = append(kept, c)
}

// ended gives an outcome to whoever waits for it.
func (p *partition) ended(r *request.Request) {
	l := liveOf(r)
	if l == nil {
		return
	}
	r.Aux = nil
	p.waitsNoMore(l)
	p.timers.set(l, 0)
	p.n.metrics.ended(l.svc, r.State)
	if l.names {
		p.n.unnamed(l.svc)
	}
	l.res = p.resultOf(r, false)
	res := &l.res
	res.shared = res.shared || len(l.waiters) > 1 || p.n.opts.OnReply != nil
	for _, c := range l.waiters {
		if c.onEnd != nil {
			c.onEnd(r)
		}
	}
	if p.n.opts.OnReply != nil {
		p.n.replied(res, p.requestView(r), l.waiters)
	} else {
		for _, c := range l.waiters {
			c.finish(res)
		}
	}
	p.remember(r)
	p.wakeReaders(r)
}

// remember keeps the particulars of a request that nothing is kept of, for whoever
// looks at what has just happened.
func (p *partition) remember(r *request.Request) {
	if r.Letter || r.KeepUntil > p.now() {
		return
	}
	r.Reply = nil
	p.recent[p.recentNext] = r
	p.recentNext = (p.recentNext + 1) % len(p.recent)
}

// recently returns a request that was remembered.
func (p *partition) recently(id edda.ID) *request.Request {
	for _, r := range p.recent {
		if r != nil && r.ID == id {
			return r
		}
	}
	return nil
}

// keyStopped tells everybody who waits for a request of the key that it is
// stopped.
func (p *partition) keyStopped(dead *request.Request) {
	k := p.requests.Key(dead.To)
	if k == nil {
		return
	}
	p.n.log.Warn("key stopped after a dead letter", "service", dead.To.Name, "key", dead.To.Key, "request", dead.ID)
	for r := k.Head(); r != nil; r = k.Next(r) {
		p.turnAway(r, edda.KeyStopped, errKeyStopped)
	}
}

// turnAwayWaiting tells everybody who waits for a request of the service that is
// not running that it does not get on.
func (p *partition) turnAwayWaiting(s *service, reason edda.Reason, err error) {
	for r := range p.requests.All() {
		if l := liveOf(r); l != nil && l.svc == s && r.Fence == 0 {
			p.turnAway(r, reason, err)
		}
	}
}

// turnAway ends the calls that wait for a request; the request stays, and so does
// who merely watches it.
func (p *partition) turnAway(r *request.Request, reason edda.Reason, err error) {
	l := liveOf(r)
	if l == nil {
		return
	}
	kept := l.waiters[:0]
	for _, c := range l.waiters {
		if c.consumes {
			c.refuse(p.errorOf(r, reason, err))
		} else {
			kept = append(kept, c)
		}
	}
	l.waiters = kept
}

// turnAwayIfStuck ends the calls that wait for a request which has stopped getting
// on.
func (p *partition) turnAwayIfStuck(r *request.Request) {
	l := liveOf(r)
	if l == nil || len(l.waiters) == 0 {
		return
	}
	switch {
	case r.Stopped():
		p.turnAway(r, edda.KeyStopped, errKeyStopped)
	case l.svc.view().paused:
		p.turnAway(r, edda.ServicePaused, errServicePaused)
	}
}

// call proposes a request from outside. What can be seen already is answered at
// once; the fold decides the rest.
func (p *partition) call(c *call) {
	if p.n.draining.Load() {
		// Nobody would be there to hear that it is durable.
		p.unwanted(c, p.n.notRunning(c.op()))
		return
	}
	if known, err := p.knownAlready(c); err != nil {
		p.unwanted(c, err)
		return
	} else if known != nil {
		p.in.settled(1, len(c.rec))
		if known.Fingerprint() != c.fingerprint {
			c.refuse(errMismatch(c, known))
			return
		}
		p.joined(known, c)
		return
	}
	var k *request.Key
	if c.kind == edda.Ordered {
		if k = p.requests.KeyAt(c.addr); k != nil && k.Len >= p.n.opts.Limits.KeyQueue {
			p.unwanted(c, errKeyOverloaded(c))
			return
		}
	}
	if p.outbox.Bytes() > p.n.opts.Limits.OutboxBytes {
		p.unwanted(c, errOverloaded(c, "the partition has too much on its way to others"))
		return
	}
	pr := proposal{call: c}
	if k == nil && c.startsNow() {
		pr.slot = c.svc.acquire(c.hash, "")
	}
	p.propose(c.rec, pr)
}

// knownAlready returns the request that a call repeats, as far as the fold has
// it.
func (p *partition) knownAlready(c *call) (*request.Request, *edda.Error) {
	if c.msg.IdempotencyKey == "" {
		return nil, nil
	}
	r, err := p.requests.ByScope(request.Scope(c.msg.To, c.msg.Principal, c.msg.IdempotencyKey), p.now())
	if err != nil {
		return nil, errInternal(c.op(), err)
	}
	return r, nil
}

// unwanted refuses a call that was not proposed.
func (p *partition) unwanted(c *call, err *edda.Error) {
	p.in.settled(1, len(c.rec))
	c.refuse(err)
}

// proposeEnded ends a request from outside its handler.
func (p *partition) proposeEnded(r *request.Request, f record.Failure, then func([]request.Effect, error)) {
	l := p.liveFor(r)
	l.closing = true
	e := record.Ended{Seq: r.Seq, Failure: f, KeepUntil: p.keepUntil(r, l)}
	p.propose(e.AppendTo(nil), proposal{then: then})
}

// keepUntil is until when the outcome of a request is kept.
func (p *partition) keepUntil(r *request.Request, l *live) int64 {
	switch {
	case r.Step != nil || r.Delivery != nil:
		return 0 // its saga, or group, has all that is to be known
	case r.Keep:
		return p.now() + int64(keepReply)
	case len(p.readers[r.Seq]) == 0 && l.delivers():
		return 0
	default:
		return p.now() + int64(keepUndelivered)
	}
}

// delivers reports whether somebody is there who gets the outcome, and has them
// stay for it.
func (l *live) delivers() bool {
	some := false
	for _, c := range l.waiters {
		if c.consumes && c.claim() {
			some = true
		}
	}
	return some
}
