package node

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/methodschema"
	"github.com/edda-io/edda/internal/metric"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/seldom"
	"github.com/edda-io/edda/internal/slot"
)

// service is a service as the node runs it: what is registered, who hosts it,
// and the slots that its handlers run in.
type service struct {
	addr edda.Address
	// consumer says that it is that of a group: it is called STREAM/GROUP, and the group's
	// partition says whether it is registered.
	consumer bool
	metrics  atomic.Pointer[metric.Service]
	seen     atomic.Pointer[view]
	slow     seldom.Gate // of warnings about slow handlers

	slots slot.Pools[*host] // what a request may be given

	mu         sync.Mutex // guards what follows; that of the slots is locked under it
	registered bool
	set        record.ServiceSet
	group      edda.GroupSpec // of a consumer
	schemas    *methodschema.Set
	paused     bool
	hosts      []*host // attached, in the order they came
	telling    bool    // its workers will be told who they are
	lefts      int     // how often the last worker that was given requests has gone

	readers readers // of a consumer
}

func newService(a edda.Address) *service {
	s := &service{addr: a, consumer: strings.Contains(a.Name, "/")}
	s.regroup()
	return s
}

// view is what callers need to know before they send. It never changes.
type view struct {
	registered bool
	paused     bool
	hosted     bool // somebody is there to handle requests
	kind       edda.Kind
	methods    []string
	schemas    *methodschema.Set

	attemptTimeout time.Duration
	retry          edda.RetryPolicy
	onDead         record.Then
}

// view returns what is known now.
func (s *service) view() *view {
	if v := s.seen.Load(); v != nil {
		return v
	}
	return &view{attemptTimeout: edda.DefaultAttemptTimeout}
}

// show makes what is known visible. The caller holds mu.
func (s *service) show() {
	s.seen.Store(&view{
		registered: s.registered, paused: s.paused, hosted: s.slots.Hosted(),
		kind: s.set.Kind, methods: s.set.Methods, schemas: s.schemas,
		attemptTimeout: cmp.Or(s.set.AttemptTimeout, edda.DefaultAttemptTimeout), retry: s.set.Retry, onDead: then(s.set.OnDead),
	})
}

// knows reports whether the method exists as far as the service lists its methods.
func (v *view) knows(method string) bool {
	return len(v.methods) == 0 || slices.Contains(v.methods, method)
}

// update shows what the log says of the service. It reports whether the service
// has just been paused.
func (s *service) update(registered bool, set record.ServiceSet, paused bool) (pausedNow bool) {
	s.mu.Lock()
	pausedNow = paused && !s.paused
	if !methodschema.Same(s.set.Schemas, set.Schemas) && !s.hostedHere() {
		s.schemas = methodschema.FromLog(set.Schemas)
	}
	s.registered, s.set, s.paused = registered, set, paused
	s.slots.SetPaused(paused)
	s.show()
	s.mu.Unlock()
	s.pump()
	return pausedNow
}

// hostedHere reports whether this process hosts the service, whose schemas know
// more then than what is in the log. The caller holds mu.
func (s *service) hostedHere() bool {
	return slices.ContainsFunc(s.hosts, func(h *host) bool { return h.w.here() })
}

// drain has nothing be started any more.
func (s *service) drain() { s.slots.Close() }

// then is what follows a dead letter.
func then(o edda.OnDead) record.Then {
	switch o {
	case edda.StopKey:
		return record.ThenStopKey
	case edda.Pause:
		return record.ThenPause
	default:
		return record.ThenContinue
	}
}
