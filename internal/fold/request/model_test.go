package request

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
)

// model is what a partition is meant to do, said in the simplest way: everything
// is kept for ever in slices, and searched from front to back.
type model struct {
	pos      uint64
	time     int64
	epoch    uint64
	fence    uint64
	all      []*modelRequest                  // every request there ever was
	queues   map[edda.Address][]*modelRequest // of keys
	stopped  map[edda.Address]bool
	state    map[edda.Address]map[string]string
	received map[uint64]uint64
	sent     map[uint64][]string // to each partition, encoded
	acked    map[uint64]uint64
	out      []byte
	told     []toldEndOf
	toldSaid []byte
	number   int // the highest of the requests that the record has made
}

type modelRequest struct {
	view

	step     *record.Step
	delivery *record.Delivery

	scope, fingerprint string
	yielded            modelParts
}

func newModel() *model {
	return &model{
		queues: map[edda.Address][]*modelRequest{}, stopped: map[edda.Address]bool{},
		state: map[edda.Address]map[string]string{}, received: map[uint64]uint64{},
		sent: map[uint64][]string{}, acked: map[uint64]uint64{},
	}
}

func (m *model) say(k EffectKind, r *modelRequest) { m.sayFence(k, r, 0) }

func (m *model) sayFence(k EffectKind, r *modelRequest, fence uint64) {
	e := Effect{Kind: k, Fence: fence}
	if r != nil {
		e.Request = &Request{ID: r.ID, State: r.State, Attempts: r.Attempts, Fence: r.Fence, Due: r.Due}
	}
	m.out = appendEffect(m.out, e)
}

// apply applies one record and returns what it brings about.
func (m *model) apply(o op) string {
	m.pos++
	m.time = max(m.time, o.time)
	m.out, m.toldSaid, m.number = nil, nil, 0
	switch r := o.rec.(type) {
	case *record.Owned:
		m.epoch = r.Epoch
	case *record.Accepted:
		m.accepted(r, o)
	case *record.Dispatched:
		if q := m.find(r.Seq); q != nil && m.ready(q) {
			m.dispatch(q)
		} else {
			m.say(Spare, q)
		}
	case *record.Completed:
		m.completed(r, o)
	case *record.AttemptFailed:
		m.failed(r, o)
	case *record.Ended:
		m.ended(r, o)
	case *record.Due:
		if q := m.find(r.Seq); q != nil && !q.Queued {
			m.enqueue(q, o.start)
		} else {
			m.spare(o)
		}
	case *record.Released:
		if q := m.attempt(r.Seq, r.Fence, o); q != nil {
			m.sayFence(Fenced, q, q.Fence)
			m.uncount(q)
			q.Fence, q.State = 0, edda.Accepted
			if q.Attempts > 0 {
				q.State = edda.Retrying
			}
			m.startOrWait(q, o.start)
		}
	case *record.OutboxAcked:
		m.acked[r.To] = max(m.acked[r.To], r.Number)
	case *record.Letter:
		m.letter(r, o)
	case *record.KeyResumed:
		if !m.stopped[r.Address] {
			m.say(KeyGone, nil)
			m.spare(o)
			break
		}
		delete(m.stopped, r.Address)
		m.startOrWait(m.head(r.Address), o.start)
	case *record.Part:
		m.part(r, o)
	case *record.StepCancelled:
		m.stepCancelled(r, o)
	}
	m.tell()
	return string(m.out) + string(m.toldSaid)
}

func (m *model) spare(o op) {
	if o.start {
		m.say(Spare, nil)
	}
}

// find returns an unfinished request.
func (m *model) find(seq uint64) *modelRequest {
	for _, r := range m.all {
		if r.Seq == seq && !r.State.Ended() {
			return r
		}
	}
	return nil
}

// known returns the last request that can still be asked for and fits.
func (m *model) known(fits func(r *modelRequest) bool) *modelRequest {
	for _, r := range slices.Backward(m.all) {
		if fits(r) && (!r.State.Ended() || r.Letter || r.KeepUntil > m.time) {
			return r
		}
	}
	return nil
}

func (m *model) byID(id edda.ID) *modelRequest {
	return m.known(func(r *modelRequest) bool { return r.ID == id })
}

func (m *model) head(a edda.Address) *modelRequest {
	if q := m.queues[a]; len(q) > 0 {
		return q[0]
	}
	return nil
}

func (m *model) isHead(r *modelRequest) bool {
	return r.Queued && (r.Kind == edda.Balanced || m.head(r.lane()) == r)
}

func (m *model) ready(r *modelRequest) bool {
	return m.isHead(r) && (r.Kind != edda.Ordered || !m.stopped[r.lane()]) && r.Fence == 0 && r.Due <= m.time &&
		(r.Deadline == 0 || m.time < r.Deadline)
}

func (m *model) make(a *record.Accepted, msg *edda.Message, n int) *modelRequest {
	r := &modelRequest{view: view{
		Seq: m.pos<<10 + uint64(n), ID: msg.ID, Causation: msg.CausationID, Hash: a.Hash, Kind: a.Kind, To: msg.To,
		Method: msg.Type, Principal: cmp.Or(msg.Principal, edda.Anonymous), Correlation: msg.CorrelationID,
		State: edda.Accepted, AcceptedAt: m.time, Keep: a.Keep, Message: string(a.Message),
		Step: string(record.AppendStep(nil, 1, a.Step)),
	}, fingerprint: string(a.Fingerprint), step: a.Step}
	r.setDelivery(a.Delivery)
	r.To.Namespace = cmp.Or(r.To.Namespace, edda.DefaultNamespace)
	if msg.IdempotencyKey != "" && a.Delivery == nil {
		r.scope = fmt.Sprintf("%q %q %q", r.To, r.Principal, msg.IdempotencyKey)
	}
	if !msg.Deadline.IsZero() {
		r.Deadline = msg.Deadline.UnixNano()
	}
	if !msg.Due.IsZero() {
		r.Due = msg.Due.UnixNano()
	}
	return r
}

// repeats returns the request that r repeats.
func (m *model) repeats(r *modelRequest, givenID bool) (k *modelRequest, mismatch bool) {
	if r.scope != "" {
		if k = m.known(func(q *modelRequest) bool { return q.scope == r.scope }); k != nil {
			return k, k.fingerprint != r.fingerprint
		}
	}
	if k = m.byID(r.ID); k != nil && (givenID || !k.State.Ended()) {
		return k, k.lane() != r.lane() || k.Principal != r.Principal
	}
	return nil, false
}

func (m *model) accepted(a *record.Accepted, o op) {
	if n := a.Origin.Number; n != 0 {
		if n != m.received[a.Origin.From]+1 {
			m.spare(o)
			return
		}
		m.received[a.Origin.From] = n
	}
	r := m.make(a, o.msg, 0)
	switch k, mismatch := m.repeats(r, a.GivenID); {
	case mismatch:
		m.say(Mismatch, k)
		m.spare(o)
	case k != nil:
		if !k.State.Ended() {
			k.Keep = k.Keep || a.Keep
		}
		m.say(Joined, k)
		m.spare(o)
	default:
		m.admit(r, a.Refused, o.start)
	}
}

func (m *model) admit(r *modelRequest, refused record.Failure, start bool) {
	m.all = append(m.all, r)
	m.say(Accepted, r)
	switch {
	case refused.Reason != "":
		m.end(r, edda.StateDead, refused, 0)
		m.spare(op{start: start})
	case r.Due > m.time:
		m.spare(op{start: start})
		m.say(Arm, r)
	default:
		m.enqueue(r, start)
	}
}

func (m *model) enqueue(r *modelRequest, start bool) {
	r.Queued, r.Due = true, 0
	if r.Kind == edda.Ordered {
		m.queues[r.lane()] = append(m.queues[r.lane()], r)
	}
	m.startOrWait(r, start)
}

func (m *model) startOrWait(r *modelRequest, start bool) {
	switch {
	case r == nil || !m.ready(r):
		m.spare(op{start: start})
	case start:
		m.dispatch(r)
	default:
		m.say(Ready, r)
	}
}

func (m *model) dispatch(r *modelRequest) {
	m.fence = max(m.fence+1, m.epoch<<32)
	r.Fence, r.State, r.Due = m.fence, edda.Dispatched, 0
	r.Attempts++
	if r.StartedAt == 0 {
		r.StartedAt = m.time
	}
	m.sayFence(Dispatch, r, r.Fence)
}

func (m *model) uncount(r *modelRequest) {
	if r.Attempts--; r.Attempts == 0 {
		r.StartedAt = 0
	}
}

func (m *model) attempt(seq, fence uint64, o op) *modelRequest {
	r := m.find(seq)
	if r != nil && r.Fence == fence && fence != 0 {
		return r
	}
	m.sayFence(Stale, r, fence)
	m.spare(o)
	return nil
}

func (m *model) completed(c *record.Completed, o op) {
	r := m.attempt(c.Seq, c.Fence, o)
	if r == nil {
		return
	}
	state := r.finally()
	if c.Failure.Reason == "" {
		state = edda.StateSucceeded
	}
	if state == edda.StateSucceeded && (!c.Pending || r.step == nil) {
		var reply edda.Reply
		if err := reply.UnmarshalBinary(c.Reply); err != nil {
			panic(err)
		}
		r.Reply, r.ReplyStatus, r.ReplyType, r.ReplySize = string(c.Reply), reply.EffectiveStatus(), reply.ContentType, len(reply.Payload)
	}
	for _, ch := range c.Changes {
		if r.Kind != edda.Ordered {
			break
		}
		if m.state[r.lane()] == nil {
			m.state[r.lane()] = map[string]string{}
		}
		if ch.Value == nil {
			delete(m.state[r.lane()], ch.Name)
		} else {
			m.state[r.lane()][ch.Name] = string(ch.Value)
		}
	}
	next := m.end(r, state, c.Failure, c.KeepUntil)
	if r.step != nil {
		m.told[len(m.told)-1].c = c
	}
	m.startOrWait(next, o.start)
	m.number = len(c.Sends)
	for i := range c.Sends {
		m.send(&c.Sends[i], i)
	}
}

func (m *model) send(a *record.Accepted, i int) {
	if to := fold.Home(a.Hash, testPartitions); to != testPartition {
		m.sent[to] = append(m.sent[to], string(a.AppendBody(nil)))
		return
	}
	var msg edda.Message
	if err := msg.UnmarshalBinary(a.Message); err != nil {
		panic(err)
	}
	r := m.make(a, &msg, i+1)
	if k, mismatch := m.repeats(r, a.GivenID); k == nil {
		m.admit(r, a.Refused, false)
	} else if !mismatch && !k.State.Ended() {
		k.Keep = k.Keep || a.Keep
	}
}

// end ends a request and returns the one that its key may start now.
func (m *model) end(r *modelRequest, s edda.State, f record.Failure, keepUntil int64) (next *modelRequest) {
	r.renewParts()
	if r.Fence != 0 && s == edda.StateDead {
		m.sayFence(Fenced, r, r.Fence)
	}
	if r.Kind == edda.Ordered && r.Queued {
		q := m.queues[r.lane()]
		at := slices.Index(q, r)
		m.queues[r.lane()] = slices.Delete(slices.Clone(q), at, at+1)
		if at == 0 {
			next = m.head(r.lane())
		}
	}
	r.State, r.Failure, r.Fence, r.Due, r.Queued = s, f, 0, 0, false
	r.EndedAt, r.KeepUntil = m.time, keepUntil
	if r.step != nil || r.delivery != nil {
		r.KeepUntil = 0
		m.told = append(m.told, toldEndOf{r: r})
	}
	if r.Letter = s == edda.StateDead && r.step == nil; !r.Letter {
		r.Message = ""
	}
	m.say(Ended, r)
	return next
}

func (m *model) failed(a *record.AttemptFailed, o op) {
	r := m.find(a.Seq)
	if a.Fence == 0 && r != nil && r.step != nil && m.ready(r) {
		r.Attempts++
	} else {
		r = m.attempt(a.Seq, a.Fence, o)
	}
	if r == nil {
		return
	}
	if a.Uncounted {
		m.uncount(r)
	}
	if a.RetryAt != 0 {
		if r.Fence != 0 {
			m.sayFence(Fenced, r, r.Fence)
		}
		r.Fence, r.State, r.Failure, r.Due = 0, edda.Retrying, a.Failure, a.RetryAt
		if r.Due > m.time {
			m.spare(o)
			m.say(Arm, r)
		} else {
			m.startOrWait(r, o.start)
		}
		return
	}
	stop := a.Then == record.ThenStopKey && r.Kind == edda.Ordered
	if stop {
		m.stopped[r.lane()] = true
	}
	next := m.end(r, edda.StateDead, a.Failure, 0)
	if stop {
		m.say(KeyStopped, r)
	}
	if a.Then == record.ThenPause {
		c := record.ServiceChanged{Address: edda.Address{Namespace: r.To.Namespace, Name: r.To.Name}, Paused: true}
		m.sent[0] = append(m.sent[0], string(c.AppendTo(nil, record.TypeServicePaused)[record.HeaderBytes:]))
	}
	m.startOrWait(next, o.start)
}

func (m *model) ended(e *record.Ended, o op) {
	r := m.find(e.Seq)
	if r == nil {
		m.say(Stale, nil)
		m.spare(o)
		return
	}
	if r.Fence != 0 {
		m.sayFence(Fenced, r, r.Fence)
		r.renewParts()
		r.Fence = 0
	}
	state := r.finally()
	switch e.Reason {
	case edda.Cancelled:
		state = edda.StateCancelled
	case edda.NoService:
		state = edda.StateDead
	}
	keep := e.KeepUntil
	if state == edda.StateDead {
		keep = 0
	}
	m.startOrWait(m.end(r, state, e.Failure, keep), o.start)
}

func (m *model) letter(l *record.Letter, o op) {
	r := m.byID(l.ID)
	if r == nil || !r.Letter {
		m.say(NoLetter, r)
		m.spare(o)
		return
	}
	r.Letter = false
	if o.typ == record.TypeLetterDropped {
		r.KeepUntil, r.Message = l.KeepUntil, ""
		m.say(LetterDropped, r)
		m.spare(o)
		return
	}
	r.State, r.EndedAt, r.KeepUntil = edda.Retrying, 0, 0
	if r.delivery != nil {
		d := *r.delivery
		d.Retried = true
		r.setDelivery(&d)
	}
	m.say(Accepted, r)
	m.enqueue(r, o.start)
}

// compare reports the first difference between the model and a world.
func (m *model) compare(w *world, ids int) error {
	if w.env.Time != m.time || w.env.Epoch != m.epoch || w.env.Position != m.pos || w.req.fence != m.fence {
		return fmt.Errorf("time %d epoch %d position %d fence %d, want %d %d %d %d",
			w.env.Time, w.env.Epoch, w.env.Position, w.req.fence, m.time, m.epoch, m.pos, m.fence)
	}
	for n := range ids {
		got, want := w.lookup(testID(n)), m.byID(testID(n))
		if err := compareView(got, m.viewOf(want)); err != nil {
			return fmt.Errorf("r%d: %w", n, err)
		}
		if err := m.compareScope(w, want); err != nil {
			return fmt.Errorf("r%d: %w", n, err)
		}
	}
	var open, letters []edda.ID
	for _, r := range m.bySeq() {
		if !r.State.Ended() {
			open = append(open, r.ID)
		}
		if r.Letter {
			letters = append(letters, r.ID)
		}
	}
	var all []edda.ID
	for r := range w.req.All() {
		all = append(all, r.ID)
	}
	if !slices.Equal(all, open) {
		return fmt.Errorf("open are %v, want %v", all, open)
	}
	if got := w.letters(0); !slices.Equal(got, letters) {
		return fmt.Errorf("dead letters are %v, want %v", got, letters)
	}
	if err := m.compareKeys(w); err != nil {
		return err
	}
	return m.compareOutbox(w)
}

func (m *model) bySeq() []*modelRequest {
	s := slices.Clone(m.all)
	slices.SortFunc(s, func(a, b *modelRequest) int { return cmp.Compare(a.Seq, b.Seq) })
	return s
}

func (m *model) viewOf(r *modelRequest) *view {
	if r == nil {
		return nil
	}
	v := r.view
	v.Parts = r.yielded.String()
	if !v.State.Ended() {
		v.Head, v.Stopped = m.isHead(r), r.Queued && r.Kind == edda.Ordered && m.stopped[r.lane()]
	}
	return &v
}

func compareView(got, want *view) error {
	if (got == nil) != (want == nil) || got != nil && *got != *want {
		return fmt.Errorf("is %+v\nwant %+v", got, want)
	}
	return nil
}

// compareScope asks for a request by its idempotency key.
func (m *model) compareScope(w *world, r *modelRequest) error {
	if r == nil || r.scope == "" {
		return nil
	}
	want := m.known(func(q *modelRequest) bool { return q.scope == r.scope })
	req, err := w.req.Lookup(r.ID, m.time)
	if err != nil || req == nil {
		return fmt.Errorf("lookup: %v, %w", req, err)
	}
	if req.fingerprint != r.fingerprint {
		return fmt.Errorf("fingerprint %q, want %q", req.fingerprint, r.fingerprint)
	}
	got, err := w.req.ByScope(req.scope, m.time)
	if err != nil || got == nil || got.Seq != want.Seq {
		return fmt.Errorf("scope %q gives %v, want %s: %w", req.scope, got, idName(want.ID), err)
	}
	return nil
}

func (m *model) compareKeys(w *world) error {
	got, n := w.queues(), 0
	for a, q := range m.queues {
		if len(q) == 0 && !m.stopped[a] {
			continue
		}
		n++
		ids := []edda.ID{}
		for _, r := range q {
			ids = append(ids, r.ID)
		}
		k := w.req.Key(a)
		if k == nil || k.Stopped != m.stopped[a] || !slices.Equal(got[FlatAddress(a)], ids) {
			return fmt.Errorf("key %s is %+v with %v, want stopped %t with %v", a, k, got[FlatAddress(a)], m.stopped[a], ids)
		}
	}
	if n != len(got) {
		return fmt.Errorf("%d keys, want %d", len(got), n)
	}
	for a, want := range m.state {
		got := w.state(a)
		if len(got) != len(want) {
			return fmt.Errorf("state of %s is %q, want %q", a, got, want)
		}
		for name, v := range want {
			if got[name] != v {
				return fmt.Errorf("state of %s is %q, want %q", a, got, want)
			}
		}
	}
	return nil
}

func (m *model) compareOutbox(w *world) error {
	size := 0
	for to := range uint64(testPartitions) {
		if got, want := w.box.Received(to), m.received[to]; got != want {
			return fmt.Errorf("received %d from %d, want %d", got, to, want)
		}
		got := w.box.After(to, 0, 1<<20)
		want := m.sent[to][m.acked[to]:]
		if len(got) != len(want) || w.box.Acked(to) != m.acked[to] {
			return fmt.Errorf("outbox to %d has %d after %d, want %d after %d", to, len(got), w.box.Acked(to), len(want), m.acked[to])
		}
		for i, e := range got {
			if !bytes.Equal(e.Body, []byte(want[i])) || e.Number != m.acked[to]+uint64(i)+1 {
				return fmt.Errorf("outbox to %d has %d: %x, want %x", to, e.Number, e.Body, want[i])
			}
			size += len(e.Body)
		}
	}
	if w.box.Bytes() != size {
		return fmt.Errorf("outbox has %d bytes, want %d", w.box.Bytes(), size)
	}
	return nil
}
