package wsgw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/internal/specjson"
)

// handle does what a frame asks for.
func (c *conn) handle(f *specjson.Frame) {
	switch f.Op {
	case "ping":
		if c.opened && c.g.opts.OnPing != nil {
			c.g.opts.OnPing(&c.about)
		}
		c.say(pong(f.Ref))
		return
	case "auth":
		c.authenticate(f)
		return
	}
	grant, err := c.known()
	if err == nil {
		err = c.may(f, grant)
	}
	if err != nil {
		c.reject(f.Ref, err)
		return
	}
	switch f.Op {
	case "call":
		err = c.call(f, grant)
	case "cancel":
		err = c.cancelCall(f.Ref)
	case "append", "publish":
		err = c.append(f, grant)
	case "subscribe":
		err = c.subscribe(f, grant.Principal)
	case "credit":
		err = c.credit(f)
	default: // unsubscribe
		err = c.unsubscribe(f)
	}
	if err != nil {
		c.fail(f.Ref, err)
	}
}

// known returns what the client may do now.
func (c *conn) known() (*auth.Grant, error) {
	c.mu.Lock()
	grant := c.grant
	c.mu.Unlock()
	switch {
	case grant == nil:
		return nil, refusal(edda.NoCredentials, "the first frame must be auth, or the upgrade must have Authorization")
	case expired(grant):
		return nil, errExpired
	}
	return grant, nil
}

var errExpired = refusal(edda.NoCredentials, "the credentials have expired")

func expired(g *auth.Grant) bool { return !g.Expires.IsZero() && !time.Now().Before(g.Expires) }

// may checks that a grant allows what a frame asks for.
func (c *conn) may(f *specjson.Frame, grant *auth.Grant) error {
	ns := c.about.Namespace
	var err error
	switch {
	case f.Op == "call":
		return grant.CheckCall(ns, f.Service)
	case f.Op == "publish":
		err = grant.CheckPublish(ns, f.Channel)
	case f.Op == "append":
		err = grant.CheckAppend(ns, f.Stream)
	case f.Op == "subscribe" && f.Channel != "":
		return grant.CheckSubscribe(ns, f.Channel)
	case f.Op == "subscribe" && f.Stream != "":
		return grant.CheckRead(ns, f.Stream)
	}
	if to := f.Message.ReplyTo; err == nil && to != (edda.Address{}) {
		return grant.CheckAppend(to.Namespace, to.Name)
	}
	return err
}

// fail answers with an error.
func (c *conn) fail(ref string, err error) {
	e := c.g.told(err)
	c.g.metrics.refusedFrame(e.Reason)
	c.say(errorFrame(ref, e))
}

// reject answers a client that is not known, or asks for what its credentials do not allow,
// and listens to it no more.
func (c *conn) reject(ref string, err error) {
	c.fail(ref, err)
	c.shut(closeNotAllowed, closeReason(c.g.told(err)))
}

// closeReason is what a close frame says, which has little room.
func closeReason(e *edda.Error) string {
	s := string(e.Reason) + ": " + detailOf(e)
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-3], "") + "…"
}

// take reserves a ref. The caller holds mu.
func (c *conn) take(ref string, o *op) {
	if c.refs == nil {
		c.refs = map[string]*op{}
	}
	c.refs[ref] = o
}

// free gives a ref back, and closes a connection that waited for that. The caller holds mu.
func (c *conn) free(ref string, o *op) {
	if c.refs[ref] != o {
		return
	}
	delete(c.refs, ref)
	switch {
	case o.call != nil:
		c.calls--
		c.g.metrics.calls.Dec()
	case o.add != nil:
		c.appends--
	default:
		c.subs--
		c.g.metrics.subscriptions.Dec()
	}
	c.closeIfDrained()
}

// mayBegin refuses what cannot begin now, and a ref that is in use. The caller holds mu.
// Refused for its ref, a frame is answered without: the answer would be taken for that of
// the other one.
func (c *conn) mayBegin(f *specjson.Frame, now, most int, what string) error {
	_, used := c.refs[f.Ref]
	switch {
	case used:
		ref := f.Ref
		f.Ref = ""
		return refusal(edda.BadValue, "ref "+ref+" is in use")
	case c.drained:
		return &edda.Error{Reason: edda.Draining, RetryAfter: time.Second, Err: errDraining}
	case now >= most:
		return &edda.Error{Reason: edda.Overloaded, RetryAfter: time.Second,
			Err: errors.New("the connection has " + strconv.Itoa(now) + " " + what + ", which is the most")}
	}
	return nil
}

// authenticate takes the token of auth, the first time or anew.
func (c *conn) authenticate(f *specjson.Frame) {
	cred := auth.Credential{Token: f.Token}
	if len(f.Token) > auth.MaxTokenBytes {
		c.reject(f.Ref, refusal(edda.NoCredentials, fmt.Sprintf("the token has %d bytes, at most %d are allowed", len(f.Token), auth.MaxTokenBytes)))
		return
	}
	ctx, stop := context.WithTimeout(c.ctx, c.g.opts.AuthTimeout)
	grant, err := auth.Admit(ctx, c.g.opts.Authenticator, cred)
	stop()
	switch code := edda.ReasonOf(err).Code(); {
	case err == nil:
	case code == edda.CodeUnauthenticated || code == edda.CodePermissionDenied:
		c.reject(f.Ref, err)
		return
	default: // nobody could be asked
		c.fail(f.Ref, err)
		return
	}
	c.mu.Lock()
	before := c.grant
	c.mu.Unlock()
	if before != nil && before.Principal != grant.Principal {
		c.reject(f.Ref, refusal(edda.NotAllowed, fmt.Sprintf("the connection is of %q: another principal needs its own", before.Principal)))
		return
	}
	if before == nil {
		if err := c.g.admitOne(grant.Principal); err != nil {
			c.fail(f.Ref, err)
			c.shut(closeTryLater, errManyOfOne.Error())
			return
		}
		c.about.Principal = grant.Principal
	}
	c.renew(before, cred, grant)
	if before == nil {
		if c.letIn(); c.isShut() {
			return
		}
	}
	c.say(authenticated(f.Ref, grant.Principal))
}

// renew takes note of a grant that counts from now on, unless there is another one than
// before meanwhile. Subscriptions that it does not allow end.
func (c *conn) renew(before *auth.Grant, cred auth.Credential, grant *auth.Grant) {
	c.mu.Lock()
	if c.grant != before {
		c.mu.Unlock()
		return
	}
	c.cred, c.grant = cred, grant
	if c.timer != nil && !c.over {
		c.timer.Reset(c.nextBeat(time.Now()))
	}
	subs := c.subscriptions()
	c.mu.Unlock()
	for _, s := range subs {
		if err := s.allowed(grant); err != nil {
			s.fail(err)
		}
	}
}

// seldom logs what happened to the connection, not each time.
func (c *conn) seldom(text string) {
	if more, ok := c.g.closed.Pass(); ok {
		c.g.log.LogAttrs(context.WithoutCancel(c.ctx), slog.LevelWarn, text, slog.Uint64("connection", c.about.ID),
			slog.String("principal", string(c.principal())), slog.String("peer", c.about.RemoteAddr), slog.Int64("others", more))
	}
}

// Frames that are answers. A ref of "" is left out.

func begin(op, ref string, size int) answer {
	b := make(answer, 0, len(op)+len(ref)+24+size)
	b = append(append(append(b, `{"op":"`...), op...), '"')
	if ref != "" {
		b = append(append(b, `,"ref":`...), ref...)
	}
	return b
}

func appendText(b answer, name, value string) answer {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return jsondata.AppendString(b, value)
}

func pong(ref string) answer { return append(begin("pong", ref, 0), '}') }

func authenticated(ref string, p edda.Principal) answer {
	return append(appendText(begin("authenticated", ref, len(p)+24), "principal", string(p)), '}')
}

func errorFrame(ref string, e *edda.Error) answer {
	detail := detailOf(e)
	b := begin("error", ref, 160+len(detail))
	b = appendText(b, "code", string(e.Code()))
	b = appendText(b, "reason", string(e.Reason))
	b = appendText(b, "detail", detail)
	if !e.RequestID.IsZero() {
		b = appendText(b, "id", e.RequestID.String())
	}
	b = appendText(b, "position", e.Position)
	if e.Attempts > 0 {
		b = strconv.AppendInt(append(b, `,"attempts":`...), int64(e.Attempts), 10)
	}
	if e.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	if e.RetryAfter > 0 {
		b = appendText(b, "retryAfter", e.RetryAfter.String())
	}
	return append(b, '}')
}
