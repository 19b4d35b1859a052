package request

import (
	"errors"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

func (m *Machine) applyCompleted(rec record.Record, start bool) error {
	var c record.Completed
	if err := c.Decode(rec.Body); err != nil {
		return err
	}
	req := m.attempt(c.Seq, c.Fence, start)
	if req == nil {
		return nil
	}
	if len(c.Sends) > edda.MaxSends {
		return fmt.Errorf("request %d sends %d messages, at most %d are allowed", c.Seq, len(c.Sends), edda.MaxSends)
	}
	state, reply := req.completes(&c)
	if reply {
		if err := m.setReply(req, c.Reply); err != nil {
			return err
		}
	}
	if req.Kind == edda.Ordered {
		m.state.Apply(req.Addr, c.Changes)
	}
	next := m.end(req, state, c.Failure, c.KeepUntil)
	if req.Step != nil {
		t := &m.told[len(m.told)-1]
		t.pending, t.added, t.starts = c.Pending, c.Added, c.Starts
	}
	m.startOrWait(next, start)
	m.takeNumbers(uint64(len(c.Sends)))
	if err := m.send(c.Sends); err != nil {
		return err
	}
	return m.appendEach(c.Appends)
}

// completes returns how a record ends the request, and whether that has a reply.
func (r *Request) completes(c *record.Completed) (s edda.State, reply bool) {
	switch {
	case c.Failure.Reason != "":
		return r.finalState(), false
	case c.Pending && r.Step != nil: // there is no reply
	case len(c.Reply) == 0 && r.Delivery != nil: // nobody waits for one
	default:
		reply = true
	}
	return edda.StateSucceeded, reply
}

// appendEach hands on what a handler appends to streams.
func (m *Machine) appendEach(appends []record.StreamAppended) error {
	for i := range appends {
		if m.appends == nil {
			return errors.New("a handler appends to a stream, and there are none here")
		}
		if err := m.appends(&appends[i]); err != nil {
			return err
		}
	}
	return nil
}

// attempt returns the request whose running attempt has the fence. Otherwise the
// record came too late.
func (m *Machine) attempt(seq, fence uint64, start bool) *Request {
	req := m.open[seq]
	if req != nil && req.Fence == fence && fence != 0 {
		return req
	}
	m.effects = append(m.effects, Effect{Kind: Stale, Request: req, Fence: fence})
	m.spare(start)
	return nil
}

func (m *Machine) setReply(r *Request, encoded []byte) error {
	head, err := record.ReadReply(encoded)
	if err != nil {
		return fmt.Errorf("reply of request %d: %w", r.Seq, err)
	}
	m.lastType = same(m.lastType, head.ContentType)
	r.Reply, r.ReplyStatus, r.ReplyType, r.ReplySize = encoded, int32(head.Status), m.lastType, head.Size
	return nil
}

// same returns b as a string: the last one, if they are the same, because texts
// that come often come in a row.
func same(last string, b []byte) string {
	if last == string(b) {
		return last
	}
	return string(b)
}

// send takes in what a handler sent to this partition, and puts the rest in the
// outbox.
func (m *Machine) send(sends []record.Accepted) error {
	for i := range sends {
		a := &sends[i]
		if to := m.env.Home(a.Hash); to != m.env.Partition {
			m.outbox.Push(to, record.TypeAccepted, a.AppendBody(nil))
			continue
		}
		req, err := m.make(a, hint{}, m.env.Position<<seqBits|uint64(i+1))
		if err != nil {
			return err
		}
		known, mismatch, err := m.known(req, a.GivenID)
		if err != nil {
			return err
		}
		switch {
		case known == nil:
			m.admit(req, a.Refused, false)
		case !mismatch:
			m.join(known, a)
		}
	}
	return nil
}

// end gives a request its outcome and takes it off its queue. It returns the
// request that the key may start now, if that has changed.
func (m *Machine) end(req *Request, s edda.State, f record.Failure, keepUntil int64) (next *Request) {
	if req.Fence != 0 && s != edda.StateSucceeded && s != edda.StateFailed {
		m.effects = append(m.effects, Effect{Kind: Fenced, Request: req, Fence: req.Fence})
	}
	m.endParts(req)
	next = m.dequeue(req)
	m.bytes -= req.memory()
	req.State, req.Failure, req.Fence, req.Due = s, f, 0, 0
	if req.Step != nil || req.Delivery != nil {
		m.told = append(m.told, toldEnd{req: req})
		keepUntil = 0 // its saga, or group, has all that is to be known
	}
	req.EndedAt, req.KeepUntil = m.env.Time, keepUntil
	if req.Letter = s == edda.StateDead && req.Step == nil; req.Letter {
		req.KeepUntil = 0
	} else {
		req.Message, req.encoded = nil, nil
	}
	delete(m.open, req.Seq)
	m.untouch(req)
	m.effect(Ended, req)
	if req.Letter || keepUntil > m.env.Time {
		m.ended = append(m.ended, req)
		return next
	}
	m.forget(req)
	m.loseParts(req)
	if req.rowStored || req.msgStored {
		m.dropped = append(m.dropped, req)
	}
	return next
}

// dequeue takes a request off its key's queue. It returns the new head if the
// request was the head.
func (m *Machine) dequeue(req *Request) *Request {
	k := req.key
	if k == nil {
		return nil
	}
	wasHead := k.head == req
	k.remove(req)
	if k.head == nil && !k.Stopped {
		delete(m.keys, k.addr)
	}
	if wasHead {
		return k.head
	}
	return nil
}

func (m *Machine) applyAttemptFailed(rec record.Record, start bool) error {
	var a record.AttemptFailed
	if err := a.Decode(rec.Body); err != nil {
		return err
	}
	req := m.undispatched(&a)
	if req == nil {
		req = m.attempt(a.Seq, a.Fence, start)
	}
	if req == nil {
		return nil
	}
	if a.Uncounted {
		req.uncount()
	}
	if a.RetryAt == 0 {
		m.die(req, a.Failure, a.Then, start)
		return nil
	}
	if req.Fence != 0 {
		m.effects = append(m.effects, Effect{Kind: Fenced, Request: req, Fence: req.Fence})
	}
	req.Fence, req.State, req.Failure = 0, edda.Retrying, a.Failure
	req.Due = a.RetryAt
	m.touch(req)
	if req.Due > m.env.Time {
		m.spare(start)
		m.effect(Arm, req)
	} else {
		m.startOrWait(req, start)
	}
	return nil
}

// undispatched counts an attempt at a step that nobody was there to run, and returns
// its request; nil when the record is of another kind, or too late.
func (m *Machine) undispatched(a *record.AttemptFailed) *Request {
	req := m.open[a.Seq]
	if a.Fence != 0 || req == nil || req.Step == nil || !req.Ready(m.env.Time) {
		return nil
	}
	req.Attempts++
	return req
}

// die makes a request a dead letter and does what its service wants then.
func (m *Machine) die(req *Request, f record.Failure, then record.Then, start bool) {
	k := req.key
	if then == record.ThenStopKey && k != nil {
		m.setStopped(k, true)
	}
	next := m.end(req, edda.StateDead, f, 0)
	if then == record.ThenStopKey && k != nil {
		m.effect(KeyStopped, req)
	}
	if then == record.ThenPause {
		c := record.ServiceChanged{Address: edda.Address{Namespace: req.To.Namespace, Name: req.To.Name}, Paused: true}
		m.outbox.Push(0, record.TypeServicePaused, c.AppendTo(nil, record.TypeServicePaused)[record.HeaderBytes:])
	}
	m.startOrWait(next, start)
}

func (m *Machine) setStopped(k *Key, stopped bool) {
	k.Stopped = stopped
	m.keys[k.addr] = k
	m.keyRows[k.addr] = stopped
}

func (m *Machine) applyEnded(rec record.Record, start bool) error {
	var e record.Ended
	if err := e.Decode(rec.Body); err != nil {
		return err
	}
	req := m.open[e.Seq]
	if req == nil {
		m.effect(Stale, nil)
		m.spare(start)
		return nil
	}
	m.fenceRunning(req) // whatever the end is called
	state := req.finalState()
	switch e.Reason {
	case edda.Cancelled:
		state = edda.StateCancelled
	case edda.NoService:
		state = edda.StateDead
	}
	m.startOrWait(m.end(req, state, e.Failure, e.KeepUntil), start)
	return nil
}

// fenceRunning fences the attempt that runs, if one does.
func (m *Machine) fenceRunning(req *Request) {
	if req.Fence == 0 {
		return
	}
	m.effects = append(m.effects, Effect{Kind: Fenced, Request: req, Fence: req.Fence})
	m.endParts(req)
	req.Fence = 0
}

func (m *Machine) applyReleased(rec record.Record, start bool) error {
	var r record.Released
	if err := r.Decode(rec.Body); err != nil {
		return err
	}
	req := m.attempt(r.Seq, r.Fence, start)
	if req == nil {
		return nil
	}
	m.effects = append(m.effects, Effect{Kind: Fenced, Request: req, Fence: req.Fence})
	req.uncount()
	req.Fence, req.State = 0, edda.Accepted
	if req.Attempts > 0 {
		req.State = edda.Retrying
	}
	m.touch(req)
	m.startOrWait(req, start)
	return nil
}

func (m *Machine) applyLetter(rec record.Record, start bool) error {
	var l record.Letter
	if err := l.Decode(rec.Body); err != nil {
		return err
	}
	req, err := m.Lookup(l.ID, m.env.Time)
	if err != nil {
		return err
	}
	if req == nil || !req.Letter {
		m.effect(NoLetter, req)
		m.spare(start)
		return nil
	}
	if m.byID[req.ID] == req {
		m.again[req]++ // it stands in ended, and will again
	}
	m.forgetEnded(req)
	req.Letter = false
	if rec.Type == record.TypeLetterDropped {
		req.KeepUntil = l.KeepUntil
		m.byID[req.ID] = req
		m.ended = append(m.ended, req)
		m.effect(LetterDropped, req)
		m.spare(start)
		return nil
	}
	req.State, req.EndedAt, req.KeepUntil = edda.Retrying, 0, 0
	req.order = 0
	if req.Delivery != nil {
		req.Delivery.Retried = true
	}
	if req.scope != "" {
		m.scope[req.scope] = req
	}
	m.open[req.Seq] = req
	m.byID[req.ID] = req
	m.bytes += req.memory()
	m.effect(Accepted, req)
	m.enqueue(req, start)
	return nil
}

func (m *Machine) applyKeyResumed(rec record.Record, start bool) error {
	var kr record.KeyResumed
	if err := kr.Decode(rec.Body); err != nil {
		return err
	}
	addr := FlatAddress(kr.Address)
	k := m.keys[addr]
	if k == nil || !k.Stopped {
		m.effect(KeyGone, nil)
		m.spare(start)
		return nil
	}
	m.setStopped(k, false)
	if k.head == nil {
		delete(m.keys, addr)
	}
	m.startOrWait(k.head, start)
	return nil
}
