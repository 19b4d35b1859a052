package wsgw

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/internal/specjson"
	"github.com/edda-io/edda/internal/streamjson"
)

// takeAtOnce is how many messages a subscription has in its turn.
const takeAtOnce = 64

// noLimit is the credit of who never gave any.
const noLimit = -1

// sub is a subscription.
type sub struct {
	c               *conn
	ref             string
	op              *op
	stream, channel string
	before          []byte // what comes before a message
	// s is set before begun, and read by the reader, and by others who saw begun.
	s edda.Subscription

	// guarded by the connection's mu
	begun    bool // the client was told that it is there
	gone     bool
	credit   int
	patterns int  // how many it has
	called   bool // there may be messages
	queued   bool // it is in ready, or being delivered
	waited   bool // it was out of credit since it was at the end last
	early    []answer

	// Whoever opens the subscription sets it, then it is the writer's: that the client was
	// told of a gap.
	toldGap bool
}

// subscribe begins a subscription, or adds to the one with the ref.
func (c *conn) subscribe(f *specjson.Frame, by edda.Principal) error {
	c.mu.Lock()
	o := c.refs[f.Ref]
	c.mu.Unlock()
	if o != nil && o.sub != nil {
		return c.addTo(o.sub, f)
	}
	s := &sub{c: c, ref: f.Ref, stream: f.Stream, channel: f.Channel, credit: f.Credit, patterns: max(1, len(f.Patterns))}
	switch {
	case (f.Stream == "") == (f.Channel == ""):
		return refusal(edda.BadValue, `subscribe needs one of the members "stream" and "channel"`)
	case f.Presence && f.Channel == "":
		return refusal(edda.BadValue, "presence is of channels")
	}
	s.op = &op{sub: s}
	c.mu.Lock()
	err := c.mayBegin(f, c.subs, c.g.opts.MaxSubscriptions, "subscriptions")
	if err == nil {
		err = c.roomForPatterns(s.patterns)
	}
	if err == nil {
		c.take(f.Ref, s.op)
		c.subs++
		c.g.metrics.subscriptions.Inc()
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	s.before = append(append(append(s.before, `{"op":"message","ref":`...), f.Ref...), ',')
	if err := s.open(f, by); err != nil {
		c.mu.Lock()
		s.gone = true
		c.free(s.ref, s.op)
		c.mu.Unlock()
		return err
	}
	return nil
}

// open asks the node for the messages, and tells the client where they begin.
func (s *sub) open(f *specjson.Frame, by edda.Principal) error {
	c := s.c
	want := &edda.Subscribe{
		Namespace: c.about.Namespace, Stream: f.Stream, Channel: f.Channel, Patterns: f.Patterns, Ephemeral: f.Ephemeral,
		From: f.From, Principal: by, Notify: s.notify,
	}
	if f.Presence {
		want.Presence = s.presence
	}
	got, err := c.g.channels.Subscribe(c.ctx, want)
	if err != nil {
		return err
	}
	c.mu.Lock()
	s.s = got
	gone, grant := s.gone, c.grant
	c.mu.Unlock()
	if gone { // renew has said so
		got.Close()
		return nil
	}
	if err := s.allowed(grant); err != nil { // it was renewed before there was this one to see
		got.Close()
		return err
	}
	var present []edda.Presence
	if f.Presence {
		if present, err = c.g.channels.Presence(c.ctx, c.about.Namespace, f.Channel); err != nil {
			got.Close()
			return err
		}
	}
	b := s.subscribed()
	s.toldGap = s.s.Gap()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone {
		return nil
	}
	c.put(b)
	for i := range present {
		c.put(presenceFrame("join", s.ref, &present[i]))
	}
	for _, a := range s.early {
		c.put(a)
	}
	s.early, s.begun, s.called = nil, true, true
	c.queueSub(s)
	return nil
}

// allowed checks that a grant allows the subscription.
func (s *sub) allowed(grant *auth.Grant) error {
	if s.channel != "" {
		return grant.CheckSubscribe(s.c.about.Namespace, s.channel)
	}
	return grant.CheckRead(s.c.about.Namespace, s.stream)
}

// roomForPatterns refuses more patterns than the subscriptions of a connection may have.
// The caller holds mu.
func (c *conn) roomForPatterns(more int) error {
	for _, o := range c.refs {
		if o.sub != nil {
			more += o.sub.patterns
		}
	}
	if more <= maxPatternsOfAll {
		return nil
	}
	return &edda.Error{Reason: edda.Overloaded, Err: errors.New("the connection's subscriptions have " + strconv.Itoa(maxPatternsOfAll) + " patterns, which is the most")}
}

// addTo adds patterns to a subscription, and credit.
func (c *conn) addTo(s *sub, f *specjson.Frame) error {
	switch {
	case f.Stream != "" && f.Stream != s.stream || f.Channel != "" && f.Channel != s.channel:
		return refusal(edda.BadValue, "the subscription with this ref is to something else")
	case f.From != "" || f.Presence:
		return refusal(edda.BadValue, "from and presence are said when a subscription begins")
	}
	c.mu.Lock()
	err := c.roomForPatterns(len(f.Patterns))
	c.mu.Unlock()
	if err == nil {
		err = s.s.Add(f.Patterns, f.Ephemeral)
	}
	if err != nil {
		return err
	}
	b, n := s.subscribed(), len(s.s.Patterns())
	c.mu.Lock()
	defer c.mu.Unlock()
	s.patterns = max(1, n)
	c.put(b)
	if f.Credit >= 0 {
		c.give(s, f.Credit)
	}
	return nil
}

// credit lets a subscription have more messages.
func (c *conn) credit(f *specjson.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.refs[f.Ref]
	if o == nil || o.sub == nil {
		return errNoSub
	}
	c.give(o.sub, f.Credit)
	return nil
}

var errNoSub = refusal(edda.BadValue, "there is no subscription with this ref")

// give adds credit, as much as can be counted. The caller holds mu.
func (c *conn) give(s *sub, n int) {
	if s.credit == noLimit {
		s.credit = 0
	}
	s.credit += min(n, math.MaxInt-s.credit)
	c.queueSub(s)
}

// unsubscribe removes patterns, or all.
func (c *conn) unsubscribe(f *specjson.Frame) error {
	c.mu.Lock()
	o := c.refs[f.Ref]
	c.mu.Unlock()
	if o == nil || o.sub == nil {
		return errNoSub
	}
	s := o.sub
	if f.Patterns != nil && len(f.Patterns) == 0 {
		return refusal(edda.BadValue, "patterns is empty: leave it out to end the subscription")
	}
	s.s.Remove(f.Patterns...)
	held := s.s.Patterns()
	over := len(f.Patterns) == 0 || len(held) == 0
	if over {
		held = nil
	}
	b := unsubscribedFrame(s.ref, held)
	if over {
		s.endWith(b)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(b)
	s.patterns = max(1, len(held))
	return nil
}

// end ends a subscription.
func (s *sub) end() { s.endWith(nil) }

// endWith ends a subscription with an answer, after which the client hears no more of it.
func (s *sub) endWith(a answer) {
	c := s.c
	c.mu.Lock()
	was, open := s.gone, s.s
	s.gone = true
	if a != nil && !was {
		c.put(a)
	}
	c.free(s.ref, s.op)
	c.mu.Unlock()
	if !was && open != nil { // else open closes it
		open.Close()
	}
}

// fail ends a subscription and says why.
func (s *sub) fail(err error) {
	s.endWith(errorFrame(s.ref, s.c.toldOf(err)))
}

// subscriptions returns those that there are. The caller holds mu.
func (c *conn) subscriptions() []*sub {
	var all []*sub
	for _, o := range c.refs {
		if o.sub != nil {
			all = append(all, o.sub)
		}
	}
	return all
}

// notify notes that there may be messages. The node calls it, and is not held up.
func (s *sub) notify() {
	c := s.c
	c.mu.Lock()
	s.called = true
	c.queueSub(s)
	c.mu.Unlock()
}

// queueSub has a subscription delivered, if there is something that it may have. The caller
// holds mu.
func (c *conn) queueSub(s *sub) {
	if !s.begun || s.gone || s.queued || !s.called || s.credit == 0 {
		return
	}
	s.queued = true
	c.ready = append(c.ready, s)
	c.wake()
}

// presence tells the client that somebody joined or left. The node calls it, and is not
// held up.
func (s *sub) presence(p edda.Presence, joined bool) {
	kind := "leave"
	if joined {
		kind = "join"
	}
	b := presenceFrame(kind, s.ref, &p)
	c := s.c
	c.mu.Lock()
	slow := c.outBytes > c.g.opts.MaxBuffered
	switch {
	case s.gone || slow:
	case !s.begun:
		s.early = append(s.early, b)
	default:
		c.put(b)
	}
	c.mu.Unlock()
	if slow {
		c.slow(s)
	}
}

// deliver writes the next messages of a subscription. An error is the connection's.
func (c *conn) deliver(s *sub) error {
	c.mu.Lock()
	n, limited := takeAtOnce, s.credit != noLimit
	if limited {
		n = min(n, s.credit)
	}
	gone := s.gone
	s.called = false
	c.mu.Unlock()
	if gone {
		return nil
	}
	batch, err := s.s.Take(c.ctx, n)
	if err != nil {
		if !s.isGone() {
			s.fail(err)
		}
		return nil
	}
	if err := c.writeGap(s, batch.Gap); err != nil {
		return err
	}
	if err := c.writeMessages(s, batch.Messages); err != nil {
		return err
	}
	var spent answer
	patterns := -1
	if batch.Over {
		spent = unsubscribedFrame(s.ref, nil)
	} else if len(batch.Spent) > 0 {
		held := s.s.Patterns()
		spent, patterns = unsubscribedFrame(s.ref, held), len(held)
	}
	behind := len(batch.Messages) > 0 && s.s.Behind() > c.g.opts.MaxBehind
	c.mu.Lock()
	s.queued = false
	if limited { // else the first credit may have come meanwhile, which is for what follows
		s.credit -= len(batch.Messages)
	}
	switch {
	case len(batch.Messages) == 0:
		s.waited = false
	case s.credit == 0:
		s.waited = true
	}
	if spent != nil && !s.gone {
		c.put(spent)
	}
	if patterns >= 0 {
		s.patterns = patterns
	}
	behind = behind && !s.waited && !s.gone
	s.called = s.called || len(batch.Messages) > 0
	if !batch.Over {
		c.queueSub(s)
	}
	c.mu.Unlock()
	switch {
	case batch.Over:
		s.end()
	case behind:
		c.slow(s)
	}
	return nil
}

func (s *sub) isGone() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.gone
}

// slow closes the connection of a subscription that takes too little.
func (c *conn) slow(s *sub) {
	c.seldom("a subscriber takes too little, and its connection is closed")
	e := refusal(edda.Slow, "the subscription has fallen behind: go on from the last message, and take more or give less credit")
	c.g.metrics.refusedFrame(e.Reason)
	c.say(errorFrame(s.ref, e))
	c.shut(closeTryLater, "SLOW")
}

// writeGap tells a client, before the next message, that some were removed while it took its
// time: each time, and once what it was not told when it subscribed.
func (c *conn) writeGap(s *sub, again bool) error {
	if !again && (s.toldGap || !s.s.Gap()) {
		return nil
	}
	s.toldGap = true
	return c.writeFrame(append(begin("gap", s.ref, 0), '}'))
}

// writeMessages writes messages, together.
func (c *conn) writeMessages(s *sub, messages []*edda.LiveMessage) error {
	if len(messages) == 0 {
		return nil
	}
	buf := batches.Get().(*[]byte)
	b := *buf
	c.wire.hold()
	var err error
	for _, m := range messages {
		b = append(append(b[:0], s.before...), m.Encoded(streamjson.Live)[1:]...)
		if err = c.writeFrame(b); err != nil {
			break
		}
	}
	if e := c.wire.release(); err == nil {
		err = e
	}
	if cap(b) <= keepScratch {
		*buf = b[:0]
		batches.Put(buf)
	}
	return err
}

// subscribed tells what a subscription has, and from where.
func (s *sub) subscribed() answer {
	from := s.s.From()
	b := appendPatterns(begin("subscribed", s.ref, 64+len(from)), s.s.Patterns())
	b = appendText(b, "from", string(from))
	if s.s.Gap() {
		b = append(b, `,"gap":true`...)
	}
	return append(b, '}')
}

func unsubscribedFrame(ref string, held []string) answer {
	return append(appendPatterns(begin("unsubscribed", ref, 32), held), '}')
}

func appendPatterns(b answer, patterns []string) answer {
	b = append(b, `,"patterns":[`...)
	for i, p := range patterns {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsondata.AppendString(b, p)
	}
	return append(b, ']')
}

func presenceFrame(kind, ref string, p *edda.Presence) answer {
	b := appendText(begin(kind, ref, 64+len(p.Principal)), "principal", string(p.Principal))
	return append(append(p.Since.UTC().AppendFormat(append(b, `,"since":"`...), time.RFC3339Nano), '"'), '}')
}
