package wsgw

import (
	"context"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// nextBeat is in how long the connection is to be looked at. The caller holds mu.
func (c *conn) nextBeat(now time.Time) time.Duration {
	if c.grant == nil {
		return c.g.opts.AuthTimeout
	}
	next := c.g.opts.Ping
	if !c.grant.Expires.IsZero() {
		next = min(next, max(0, c.grant.Expires.Sub(now)))
	}
	return next
}

// beat sees to what goes by the clock: whether the client is there, and still known.
func (c *conn) beat() {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	c.tasks.Add(1)
	grant, cred := c.grant, c.cred
	c.mu.Unlock()
	defer c.tasks.Done()
	if grant == nil {
		c.reject("", refusal(edda.NoCredentials, "nobody authenticated in time"))
		return
	}
	if expired(grant) {
		c.reject("", errExpired)
		return
	}
	if !c.stillKnown(cred, grant) {
		return
	}
	c.lookFor()
	c.mu.Lock()
	if !c.over {
		c.timer.Reset(c.nextBeat(time.Now()))
	}
	c.mu.Unlock()
}

// stillKnown asks again whose the credentials are, so that those which were taken back end
// what lives on their strength.
func (c *conn) stillKnown(cred auth.Credential, grant *auth.Grant) bool {
	if c.g.opts.Authenticator == nil {
		return true
	}
	ctx, stop := context.WithTimeout(c.ctx, c.g.opts.AuthTimeout)
	defer stop()
	now, err := auth.Admit(ctx, c.g.opts.Authenticator, cred)
	c.mu.Lock()
	renewed := c.grant != grant
	c.mu.Unlock()
	switch {
	case renewed, err != nil && edda.ReasonOf(err) != edda.NoCredentials && edda.ReasonOf(err) != edda.NotAllowed:
		return true // there are others, or nobody could be asked
	case err != nil:
		c.reject("", err)
		return false
	case now.Principal != grant.Principal:
		c.reject("", refusal(edda.NoCredentials, "the credentials are another principal's now"))
		return false
	case now != grant:
		c.renew(grant, cred, now)
	}
	return true
}

// lookFor asks a client that has said nothing for a while whether it is there, and gives up
// one that has been asked twice and had as long to answer. How long it was silent is not
// enough to go by: that nobody asked may be this process's own doing.
func (c *conn) lookFor() {
	heard, now := c.wire.heard.Load(), time.Now().UnixNano()
	ping := int64(c.g.opts.Ping)
	slack := ping / 10
	c.mu.Lock()
	if heard >= c.askedAt {
		c.asked = 0
	}
	deaf := c.outBytes > c.g.opts.MaxBuffered      // nothing is read, and the time of writing is bounded
	due := now-max(heard, c.askedAt) >= ping-slack // to be asked, or to be given up
	gone := c.asked == 2
	if due && !deaf && !gone {
		c.asked, c.askedAt = c.asked+1, now
	}
	c.mu.Unlock()
	switch {
	case !due || deaf:
	case gone:
		c.seldom("a connection does not answer, and is given up")
		_ = c.ws.CloseNow()
	default:
		c.task(c.ping)
	}
}

// ping waits for the answer until the next one is due.
func (c *conn) ping() {
	ctx, stop := context.WithTimeout(c.ctx, c.g.opts.Ping)
	defer stop()
	_ = c.ws.Ping(ctx) // an answer is heard
}
