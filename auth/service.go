package auth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// Defaults of ServiceOptions.
const (
	DefaultServiceMethod  = "authenticate"
	DefaultServiceTimeout = 5 * time.Second
	DefaultServiceKeep    = time.Minute
	DefaultServiceCalls   = 64
)

// Bounds of what is remembered of tokens. Refusals are kept apart, so that whoever sends
// invented tokens drives out none that are good.
const (
	maxServiceTokens = 4096
	keepRefusal      = 5 * time.Second
)

// ServiceOptions say which service is asked about tokens. Service is required.
type ServiceOptions struct {
	// Namespace is edda.DefaultNamespace when empty.
	Namespace string
	// Service is balanced; Method is DefaultServiceMethod when empty.
	Service, Method string
	// Plain hands the service the token itself, which is then in the log of the node and
	// in dead letters, for whoever may read those. Without it, the service gets the SHA-256 hash.
	Plain bool
	// Timeout is how long an answer may take, after which the token is refused with the
	// reason Unavailable. Zero means DefaultServiceTimeout.
	Timeout time.Duration
	// Keep is how long an answer counts, if it does not say that the token expires before:
	// as long does a token work that the service would refuse by now. Zero means
	// DefaultServiceKeep. Refusals count for 5 s.
	Keep time.Duration
	// Calls is how many calls there are at a time; a token that would need one more is
	// refused with the reason Unavailable. Each one is a request that the node stores. Zero means
	// DefaultServiceCalls.
	Calls int
	// Logger gets calls that went wrong; discarded when nil.
	Logger *slog.Logger
}

// Service is an authenticator that asks a service of the user's, which is called with the JSON
//
//	{"sha256":"9f86d0…"}, or with Plain {"token":"…"}
//
// by the principal edda.auth. The service answers with a token's owner and what it may do,
// every member but the principal optional:
//
//	{"principal":"ada","call":["users"],"host":[],"append":[],"read":[],"publish":[],"subscribe":[],
//	 "manage":false,"expires":"2030-01-02T15:04:05Z","claims":{"tenant":"acme"}}
//
// An empty reply, one without a principal, or one of the status 401, 403 or 404, says that it does not know the token: it is
// refused, or another authenticator is asked. Whatever else comes, an error, nothing in time, a document that is no such
// answer, refuses the token with the reason Unavailable. Nobody is let in but by an answer.
//
// A worker that hosts the service needs other credentials: it could not come in by its own
// answer.
type Service struct {
	calls edda.Backend
	o     ServiceOptions

	mu      sync.Mutex // guards what follows
	known   map[[sha256.Size]byte]verdict
	refused map[[sha256.Size]byte]verdict
	asking  map[[sha256.Size]byte]*question
}

// verdict is what the service has said of a token.
type verdict struct {
	grant *Grant
	err   error
	until time.Time
}

// question is one that is being asked; others with the same token wait for its answer.
type question struct {
	done chan struct{}
	verdict
}

// NewService returns an authenticator that asks a service of the node. The error, BadName
// or BadValue, says which option makes no sense. There need be no service yet; until it is
// there tokens are refused.
func NewService(calls edda.Backend, o ServiceOptions) (*Service, error) {
	o.Namespace, o.Method = cmp.Or(o.Namespace, edda.DefaultNamespace), cmp.Or(o.Method, DefaultServiceMethod)
	o.Timeout, o.Keep, o.Calls = cmp.Or(o.Timeout, DefaultServiceTimeout), cmp.Or(o.Keep, DefaultServiceKeep), cmp.Or(o.Calls, DefaultServiceCalls)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for what, name := range map[string]string{"namespace": o.Namespace, "service": o.Service, "method": o.Method} {
		if err := edda.CheckName(what, name); err != nil {
			return nil, err
		}
	}
	if o.Timeout < 0 || o.Keep < 0 || o.Calls < 0 {
		return nil, badOption("option Timeout is %v, Keep %v and Calls %d, must be positive", o.Timeout, o.Keep, o.Calls)
	}
	return &Service{
		calls: calls, o: o, known: map[[sha256.Size]byte]verdict{}, refused: map[[sha256.Size]byte]verdict{},
		asking: map[[sha256.Size]byte]*question{},
	}, nil
}

// Authenticate implements Authenticator. It knows no certificates.
func (s *Service) Authenticate(ctx context.Context, c Credential) (*Grant, error) {
	if c.Token == "" || len(c.Token) > MaxTokenBytes {
		return nil, ErrUnknown
	}
	hash := hashOf(c.Token)
	v, q, mine := s.remembered(hash)
	switch {
	case q == nil:
		return v.grant, v.err
	case mine:
		s.answer(ctx, hash, q, c.Token)
	default:
		select {
		case <-q.done:
		case <-ctx.Done():
			return nil, unavailable("the caller has gone away")
		}
	}
	return q.grant, q.err
}

// remembered returns what is known of a token, or the question about it that is being
// asked, which is the caller's to ask if it is a new one.
func (s *Service) remembered(hash [sha256.Size]byte) (v verdict, q *question, mine bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range [...]map[[sha256.Size]byte]verdict{s.known, s.refused} {
		if v, ok := m[hash]; ok && now.Before(v.until) {
			return v, nil, false
		}
	}
	if q := s.asking[hash]; q != nil {
		return v, q, false
	}
	if len(s.asking) >= s.o.Calls {
		return verdict{err: unavailable("too many tokens are being asked about")}, nil, false
	}
	q = &question{done: make(chan struct{})}
	s.asking[hash] = q
	return v, q, true
}

// answer asks the service, and tells all who wait.
func (s *Service) answer(ctx context.Context, hash [sha256.Size]byte, q *question, token string) {
	q.verdict = verdict{err: unavailable("the service " + s.o.Service + " did not answer")}
	defer func() { // also when the backend panics: nobody must wait for ever
		s.remember(hash, q.verdict)
		close(q.done)
	}()
	// Others wait for the answer too: that one goes away does not end it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Timeout)
	defer cancel()
	q.verdict = s.ask(ctx, hash, token)
}

func (s *Service) ask(ctx context.Context, hash [sha256.Size]byte, token string) verdict {
	asked := map[string]string{"sha256": hex.EncodeToString(hash[:])}
	if s.o.Plain {
		asked = map[string]string{"token": token}
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return verdict{err: err}
	}
	deadline, _ := ctx.Deadline()
	r, err := s.calls.Call(ctx, &edda.Message{
		To: edda.Address{Namespace: s.o.Namespace, Name: s.o.Service}, Type: s.o.Method, Principal: "edda.auth",
		ContentType: "application/json", Payload: body, Deadline: deadline,
	})
	now := time.Now()
	var g *Grant
	if err == nil {
		g, err = grantOf(r)
	}
	switch {
	case err != nil:
		s.o.Logger.WarnContext(ctx, "a token could not be asked about", "service", s.o.Service, "error", err)
		return verdict{err: unavailable("the service " + s.o.Service + " did not answer as it should")}
	case g == nil:
		return verdict{err: ErrUnknown, until: now.Add(min(keepRefusal, s.o.Keep))}
	}
	until := now.Add(s.o.Keep)
	if !g.Expires.IsZero() && g.Expires.Before(until) {
		until = g.Expires
	}
	return verdict{grant: g, until: until}
}

// remember keeps what was said of a token for as long as it counts. When there are too
// many it begins anew: they are asked about once more.
func (s *Service) remember(hash [sha256.Size]byte, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asking, hash)
	m, other := s.known, s.refused
	if v.grant == nil {
		m, other = other, m
	}
	delete(other, hash)
	if v.until.IsZero() {
		return
	}
	if len(m) >= maxServiceTokens {
		clear(m)
	}
	m[hash] = v
}

// grantOf returns what the service's reply says; nil for a token that it does not know.
func grantOf(r *edda.Reply) (*Grant, error) {
	switch status := r.EffectiveStatus(); {
	case status == 401, status == 403, status == 404, status < 300 && len(r.Payload) == 0:
		return nil, nil
	case status >= 300:
		return nil, fmt.Errorf("the reply has status %d", status)
	}
	var a struct {
		Principal edda.Principal `json:"principal"`
		Call      []Pattern      `json:"call"`
		Host      []Pattern      `json:"host"`
		Append    []Pattern      `json:"append"`
		Read      []Pattern      `json:"read"`
		Publish   []Pattern      `json:"publish"`
		Subscribe []Pattern      `json:"subscribe"`
		Manage    bool           `json:"manage"`
		Expires   time.Time      `json:"expires"`
		Claims    map[string]any `json:"claims"`
	}
	d := json.NewDecoder(bytes.NewReader(r.Payload))
	d.DisallowUnknownFields() // a right that is misspelt must not be one less in silence
	if err := d.Decode(&a); err != nil {
		return nil, fmt.Errorf("the reply is no answer: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the reply is more than one document")
	}
	if a.Principal == "" {
		return nil, nil
	}
	if err := checkPrincipal(a.Principal); err != nil {
		return nil, err
	}
	g := &Grant{
		Principal: a.Principal, Expires: a.Expires, Claims: a.Claims,
		Rights: Rights{
			Call: a.Call, Host: a.Host, Append: a.Append, Read: a.Read, Publish: a.Publish, Subscribe: a.Subscribe, Manage: a.Manage,
		},
	}
	return g, g.Validate()
}

func unavailable(why string) error {
	return &edda.Error{Reason: edda.Unavailable, RetryAfter: time.Second, Err: errors.New("the credentials could not be checked: " + why)}
}
