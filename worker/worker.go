package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/inputschema"
)

// Defaults of Options.
const (
	// DefaultDrainTimeout is how long handlers may go on when the worker ends.
	DefaultDrainTimeout = 30 * time.Second
	// DefaultKeyIdle is how long a key without requests is held.
	DefaultKeyIdle = 10 * time.Minute
	// DefaultMaxKeys is how many idle keys are held.
	DefaultMaxKeys = 100_000
)

// Options say how a worker connects and behaves. The zero value works.
type Options struct {
	// ID names the worker; it is unique among those connected to the node, and decides
	// which keys the worker gets: one that comes back under its id gets the same ones.
	// A name as of a service: letters, digits, '_', '.' and '-'. When empty, one is
	// made of the host's name and chance, for as long as Run runs.
	ID string
	// Version is that of all the services. Of several versions of a service the
	// newest that has a worker gets new requests; 1.10 is newer than 1.9.
	Version string
	// Labels are shown beside the worker.
	Labels map[string]string
	// Token is sent as a bearer token; none when empty. Without TLS it can be read on
	// its way.
	Token string
	// TLS secures the connection to an https URL, or to a bare host:port. Nil means
	// the system's roots for https, and no TLS for host:port.
	TLS *tls.Config
	// Logger gets what a person should know: connections made and lost, panics. Nil
	// discards it.
	Logger *slog.Logger
	// DrainTimeout is how long handlers may go on once the worker is to end. Zero
	// means DefaultDrainTimeout, a negative number not at all.
	DrainTimeout time.Duration

	// OnConnect is called each time the node has registered the services, with the
	// node's id: requests come from then on. OnDisconnect is called when that
	// connection has ended, with the reason. Both are called in Run's goroutine.
	OnConnect    func(node string)
	OnDisconnect func(why error)

	// OnGain is called before the first handler for a key of an ordered service, but for
	// consumers of groups, runs here; OnLose when the key has gone to another worker, when it had no request for
	// KeyIdle, or when Run ends. They are for what is cached per key. For one key the
	// two alternate and never overlap, with each other or with a handler; for
	// different keys they are called concurrently. A handler of the key waits for
	// them, within its attempt. When both are nil no account of keys is kept.
	OnGain func(key edda.Address)
	OnLose func(key edda.Address)
	// KeyIdle is how long a key without requests is held. Zero means DefaultKeyIdle.
	KeyIdle time.Duration
	// MaxKeys is how many keys without requests are held at most; beyond it, those
	// unused for longest are lost first. Zero means DefaultMaxKeys.
	MaxKeys int
}

// ErrDrained is what Run returns when an operator has asked the node to drain the
// worker: it has finished what it had.
var ErrDrained = errors.New("the worker was drained by an operator")

// Run hosts services for the node at url until ctx ends, with the default Options.
// See Options.Run.
func Run(ctx context.Context, url string, services ...*edda.Service) error {
	return Options{}.Run(ctx, url, services...)
}

// Run hosts services for the node at url ("http://host:port", "https://host:port"
// or "host:port") until ctx ends. It connects, and does so again whenever the
// connection is lost, for as long as it takes; handlers that ran then have their
// contexts ended, and the node gives their requests out again. The services must
// not change while Run runs. Their handlers get the values of ctx, not its end.
//
// When ctx ends the worker takes nothing more, gives its handlers DrainTimeout to
// finish, ends their contexts, hands back to the node what is still not done, and
// Run returns nil. A handler that does not return even then is left behind.
//
// A service may be the consumer of a group (edda.NewConsumer): then the worker is a
// member of it. While the group has as many members as it may, the worker waits, with
// all its services, and joins once another has gone.
//
// Other errors say why going on makes no sense: an *edda.Error when a service or an
// option is wrong (BadName, BadValue), the credentials are refused (NoCredentials,
// NotAllowed), a service is in use with the other kind (KindInUse), the id is in
// use by another worker for longer than it takes to notice that one is gone
// (Exists), or what is there is no node that the worker can talk to (NoRoute): it
// speaks TLS and the worker does not, or the reverse, its certificate is not
// trusted, or it does not speak the protocol; and ErrDrained.
func (o Options) Run(ctx context.Context, url string, services ...*edda.Service) error {
	r, err := newRunner(ctx, &o, services)
	if err != nil {
		return err
	}
	return r.run(ctx, url)
}

// runner is one call of Run.
type runner struct {
	o        Options
	id       string
	log      *slog.Logger
	values   context.Context // of Run's ctx, without its end
	byAddr   map[edda.Address]*hosted
	hello    []byte // the encoded Register
	keys     *keys  // nil: nobody wants to know
	handlers tally
	// ownsUntil is when the keys are others', in Unix nanoseconds, because the node
	// has given up the worker; zero while there is a connection.
	ownsUntil atomic.Int64
}

func newRunner(ctx context.Context, o *Options, services []*edda.Service) (*runner, error) {
	r := &runner{o: *o, id: cmp.Or(o.ID, makeID()), log: o.Logger, values: context.WithoutCancel(ctx), byAddr: map[edda.Address]*hosted{}}
	bad := func(format string, args ...any) (*runner, error) {
		return nil, &edda.Error{Op: "run worker " + r.id, Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.o.DrainTimeout = cmp.Or(o.DrainTimeout, DefaultDrainTimeout)
	r.o.KeyIdle = cmp.Or(o.KeyIdle, DefaultKeyIdle)
	r.o.MaxKeys = cmp.Or(o.MaxKeys, DefaultMaxKeys)
	if err := edda.CheckName("worker id", r.id); err != nil {
		return nil, err
	}
	switch {
	case len(services) == 0:
		return bad("there is no service to host; name at least one")
	case r.o.KeyIdle < 0:
		return bad("KeyIdle is %v, must be positive", o.KeyIdle)
	case r.o.MaxKeys < 0:
		return bad("MaxKeys is %d, must be positive", o.MaxKeys)
	}
	specs := make([]edda.ServiceSpec, len(services))
	for i, s := range services {
		if s == nil {
			return bad("service %d of %d is nil", i+1, len(services))
		}
		if err := s.Validate(); err != nil {
			return nil, err
		}
		spec := s.Spec()
		addr := spec.Address()
		if r.byAddr[addr] != nil {
			return bad("service %s stands twice", addr)
		}
		var err error
		if spec.Schemas, err = inputschema.Texts(s); err != nil {
			return bad("service %s: %w", addr, err)
		}
		specs[i] = spec
		r.byAddr[addr] = &hosted{
			r: r, svc: s, addr: addr, slots: cmp.Or(s.Concurrency, edda.DefaultConcurrency),
			timeout: attemptTimeout(s),
		}
	}
	r.hello = registerFrame(o, r.id, specs)
	if o.OnGain != nil || o.OnLose != nil {
		r.keys = newKeys(r)
	}
	return r, nil
}

// makeID makes an id of the host's name and chance.
func makeID() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	clean := strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
			return c
		}
		return '-'
	}, host)
	clean = cmp.Or(strings.Trim(clean, "-"), "worker")
	return clean[:min(len(clean), 100)] + "-" + strings.ToLower(rand.Text()[:10])
}

// sdk names this library to the node.
var sdk = sync.OnceValue(func() string {
	const module = "github.com/edda-io/edda"
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module {
				version = cmp.Or(m.Version, version)
			}
		}
	}
	return "edda-go " + version
})

// setMembers notes who shares the keys of a service.
func (r *runner) setMembers(service edda.Address, ids []string) {
	h := r.byAddr[service]
	if h == nil {
		return
	}
	h.members.Store(&ids)
	r.recheck()
}

// Owns reports whether requests for a key go to this worker, as far as it knows:
// whether what it caches for the key will be of use. It is for handlers of an
// ordered service, with a context that comes from theirs, and speaks of keys of
// that service; elsewhere it is false, also for consumers of a group, where any member
// gets any message. A worker hears of others a moment after they
// have come or gone.
func Owns(ctx context.Context, key string) bool {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok || !a.h.owned() {
		return false
	}
	addr := a.h.addr
	addr.Key = key
	return a.h.owns(addr.Hash())
}

// tally counts goroutines, and says when there are none.
type tally struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // when not nil, closed once n is zero
}

func (t *tally) add(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += n
	if t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// wait waits until there are none, at most for the given time, and returns how many
// are left.
func (t *tally) wait(limit time.Duration) int {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return 0
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-none:
		return 0
	case <-timer.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}
