package wsgw

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

const allowed = "GET, HEAD, OPTIONS"

var (
	errDraining  = errors.New("the node is shutting down")
	errFull      = errors.New("the node has as many connections as it may")
	errManyOfOne = errors.New("the principal has as many connections as it may")
	errOrigin    = refusal(edda.NotAllowed, "the Origin is not this node's")
)

// refusal returns an error whose text is all there is to say.
func refusal(reason edda.Reason, detail string) *edda.Error {
	return &edda.Error{Reason: reason, Err: errors.New(detail)}
}

// open checks a request and upgrades its connection. It is nil without an error when the
// client went away, or was told by the upgrade itself what was wrong.
func (g *Gateway) open(w http.ResponseWriter, r *http.Request) (*conn, error) {
	cred, err := g.credential(r)
	if err != nil {
		return nil, err
	}
	grant, err := auth.Admit(r.Context(), g.opts.Authenticator, cred)
	if err != nil && (!cred.IsZero() || edda.ReasonOf(err) != edda.NoCredentials) {
		return nil, err
	}
	namespace, err := namespaceOf(r)
	if err == nil {
		err = checkHandshake(w.Header(), r)
	}
	if err == nil {
		err = g.reserve()
	}
	if err != nil {
		return nil, err
	}
	if grant != nil {
		if err := g.admitOne(grant.Principal); err != nil {
			g.leave(nil, "")
			return nil, err
		}
	}
	c := g.newConn(r, namespace, cred, grant)
	if !c.accept(w, r) {
		g.leave(c, c.principal())
		return nil, nil
	}
	return c, nil
}

// namespaceOf returns the namespace that the path names.
func namespaceOf(r *http.Request) (string, error) {
	path := r.URL.EscapedPath()
	if path == "/v1/live" {
		return edda.DefaultNamespace, nil
	}
	rest, ok := strings.CutPrefix(path, "/v1/ns/")
	namespace, tail, _ := strings.Cut(rest, "/")
	if !ok || tail != "live" {
		return "", refusal(edda.NoRoute, "there is no such route")
	}
	return namespace, edda.CheckName("namespace", namespace)
}

// credential returns what the client shows, and refuses the pages of other sites. What
// does not come from a page has no Origin.
func (g *Gateway) credential(r *http.Request) (auth.Credential, error) {
	listed := func(origin string) bool { return g.origins[strings.ToLower(origin)] }
	if g.names != nil {
		return auth.Credential{}, httpio.CheckNames(g.names, r, listed)
	}
	c, err := httpio.Credential(r, g.keys)
	if err != nil {
		return c, err
	}
	for i, o := range r.Header["Origin"] {
		scheme, host, _ := strings.Cut(strings.ToLower(o), "://")
		own := (scheme == "http" || scheme == "https") && host == strings.ToLower(r.Host)
		if i > 0 || !own && !listed(o) && (!g.origins["*"] || c.Certificate != nil) {
			return c, errOrigin
		}
	}
	return c, nil
}

func originSet(origins []string) map[string]bool {
	set := map[string]bool{}
	for _, o := range origins {
		set[strings.ToLower(o)] = true
	}
	return set
}

// checkHandshake refuses what is no WebSocket handshake for the subprotocol.
func checkHandshake(answer http.Header, r *http.Request) error {
	bad := func(detail string) error { return refusal(edda.BadValue, detail) }
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return refusal(edda.BadMethod, "the route takes "+allowed)
	case r.Method != http.MethodGet || r.ProtoMajor != 1 || !r.ProtoAtLeast(1, 1) ||
		!hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "websocket"):
		return bad("the request must be a WebSocket handshake, by GET over HTTP/1.1")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		answer.Set("Sec-WebSocket-Version", "13")
		return bad("Sec-WebSocket-Version must be 13")
	case !validKey(r.Header["Sec-Websocket-Key"]):
		return bad("Sec-WebSocket-Key must be 16 bytes in base64")
	case !offers(r.Header["Sec-Websocket-Protocol"]):
		return bad("Sec-WebSocket-Protocol must offer " + Subprotocol)
	}
	return nil
}

func validKey(values []string) bool {
	if len(values) != 1 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(values[0]))
	return err == nil && len(key) == 16
}

// hasToken reports whether a list has a token, in any case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// offers reports whether the subprotocol is offered.
func offers(values []string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(t) == Subprotocol {
				return true
			}
		}
	}
	return false
}

// accept upgrades the connection.
func (c *conn) accept(w http.ResponseWriter, r *http.Request) bool {
	h := &hijacker{ResponseWriter: w, wire: &c.wire}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // credential has looked
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     c.pinged,
	})
	if err != nil {
		c.g.log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelDebug, "a connection could not be upgraded", slog.Any("error", err))
		return false
	}
	c.ws = ws
	return true
}

// refuse answers with a problem document.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := httpio.Told(r, err, g.log, "/v1/live")
	g.metrics.refusedUpgrade(e.Reason)
	if e.Reason == edda.BadMethod {
		w.Header()["Allow"] = []string{allowed}
	}
	httpio.Fail(w, r, e, "")
}

// told returns what a client is told of an error. A defect is for the log.
func (g *Gateway) told(err error) *edda.Error {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		e = &edda.Error{Reason: edda.Internal, Err: err}
	}
	if e.Code() != edda.CodeInternal {
		return e
	}
	g.log.Error("a connection met a defect", "error", err)
	said := *e
	said.Op, said.Err = "", errors.New("the node's log says more")
	return &said
}

// detailOf is what an error says to people.
func detailOf(e *edda.Error) string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return string(e.Reason)
}
