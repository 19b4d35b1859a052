package httpgw

import (
	"context"
	"errors"
	"net/http"

	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// admit refuses whoever is not known, and sets the grant. It comes before
// everything else, so that the refusal is the same on every route.
func (g *Gateway) admit(x *exchange) error {
	var c auth.Credential // nothing, where nobody is asked
	var err error
	switch {
	case g.names != nil:
		err = httpio.CheckNames(g.names, x.r, g.listed)
	case x.route.open || x.r.Method == http.MethodOptions:
		return nil
	default:
		c, err = httpio.Credential(x.r, g.opts.KeyHeaders)
	}
	if err != nil {
		return err
	}
	if x.route.keyed && x.r.URL.Query().Has(reqhead.CompletionKey) {
		x.grant, err = auth.AdmitKey(x.r.Context(), g.opts.Authenticator, c)
	} else {
		x.grant, err = auth.Admit(x.r.Context(), g.opts.Authenticator, c)
	}
	return err
}

// access is what a principal must be allowed for an operation.
type access uint8

const (
	// toManage is the zero value, so that an operation about which nothing was said
	// is not open to everybody.
	toManage access = iota
	// toCall asks for the right to call the service that the path names first.
	toCall
	// toAppend, toRead, toConsume and toSee ask for that right to the stream that the
	// path names first.
	toAppend
	toRead
	toConsume
	toSee
	// toPublish, toSubscribe and toSeeChannel ask for that right to the channel that the
	// path names first.
	toPublish
	toSubscribe
	toSeeChannel
	// toAsk is for all who are known: the operation itself answers only about what
	// they may see.
	toAsk
)

func (x *exchange) allowed(a access) error {
	if x.route.open {
		return nil
	}
	switch a {
	case toManage:
		return x.grant.CheckManage()
	case toCall:
		return x.grant.CheckCall(x.namespace, x.args[0])
	case toAppend:
		return x.grant.CheckAppend(x.namespace, x.args[0])
	case toRead:
		return x.grant.CheckRead(x.namespace, x.args[0])
	case toConsume:
		return x.grant.CheckConsume(x.namespace, x.args[0])
	case toSee:
		return x.grant.CheckSeeStream(x.namespace, x.args[0])
	case toPublish:
		return x.grant.CheckPublish(x.namespace, x.args[0])
	case toSubscribe:
		return x.grant.CheckSubscribe(x.namespace, x.args[0])
	case toSeeChannel:
		return x.grant.CheckSeeChannel(x.namespace, x.args[0])
	default:
		return nil
	}
}

// whileKnown returns the context of an answer that has no end of its own: it ends
// with the credentials.
func (x *exchange) whileKnown() (context.Context, context.CancelFunc) {
	if x.grant.Expires.IsZero() {
		return context.WithCancel(x.r.Context())
	}
	return context.WithDeadlineCause(x.r.Context(), x.grant.Expires, errExpired)
}

var errExpired = errors.New("the credentials have expired")
