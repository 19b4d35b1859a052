package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// Page bounds a list.
type Page struct {
	// Limit is how many items at most, 1 to 1,000; zero means 100.
	Limit int
	// After is the cursor that the page before ended with; empty begins.
	After string
}

// RequestFilter chooses requests. Empty fields choose all.
type RequestFilter struct {
	Namespace string
	Service   string
	Key       string
	// State is Accepted, Dispatched, Taken, Retrying or StateDead.
	State edda.State
	// IdempotencyKey, with Service, Key and Principal, finds the one request that
	// used it, also when it has ended.
	IdempotencyKey string
	Principal      edda.Principal
}

// DeadLetterFilter chooses dead letters. Empty fields choose all.
type DeadLetterFilter struct {
	Namespace string
	Service   string
	Key       string
	Reason    edda.Reason
}

// cursor is a place in a list that goes through the partitions in order.
type cursor struct {
	part int
	seq  uint64
}

func (c cursor) String() string {
	return strconv.Itoa(c.part) + "." + strconv.FormatUint(c.seq, 36)
}

func parsePage(op string, p Page) (limit int, c cursor, err error) {
	bad := func(format string, args ...any) (int, cursor, error) {
		return 0, cursor{}, &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
	}
	if limit = p.Limit; limit == 0 {
		limit = 100
	}
	if limit < 1 || limit > 1000 {
		return bad("limit is %d, must be 1 to 1000", limit)
	}
	if p.After == "" {
		return limit, cursor{}, nil
	}
	part, seq, _ := strings.Cut(p.After, ".")
	c.part, err = strconv.Atoi(part)
	if err == nil {
		c.seq, err = strconv.ParseUint(seq, 36, 64)
	}
	if err != nil || c.part < 0 {
		return bad("after is not a cursor that a list ended with")
	}
	return limit, c, nil
}

// pages goes through the partitions from the cursor on and returns the cursor of
// the next page, "" when nothing is left for one. scan calls take for each thing
// that it finds after a Seq; what take refuses is not part of the page, and scan
// must stop there.
func (n *Node) pages(ctx context.Context, op string, limit int, c cursor,
	scan func(p *partition, after uint64, take func(seq uint64) bool) error,
) (next string, err error) {
	last, left, more := c, limit, false
	for part := c.part; part < len(n.parts) && !more; part++ {
		p := n.parts[part]
		var failed error
		if err := n.inPartition(ctx, p, op, func() {
			failed = scan(p, c.seq, func(seq uint64) bool {
				if left == 0 {
					more = true
					return false
				}
				left--
				last = cursor{part: part, seq: seq}
				return true
			})
		}); err != nil {
			return "", err
		}
		if failed != nil {
			return "", errInternal(op, failed)
		}
		c.seq = 0
	}
	if !more {
		return "", nil
	}
	return last.String(), nil
}

// Requests returns a page of unfinished requests (and dead ones, if the filter
// says so) and the cursor of the next page, "" at the end. Requests come in the
// order of acceptance within a partition, partitions one after the other.
func (n *Node) Requests(ctx context.Context, f RequestFilter, page Page) ([]edda.Request, string, error) {
	const op = "list requests"
	limit, c, err := parsePage(op, page)
	if err != nil {
		return nil, "", err
	}
	if f.IdempotencyKey != "" {
		return n.requestOf(ctx, f)
	}
	ns := serviceAddress(f.Namespace, "").Namespace
	var items []edda.Request
	if f.State == edda.StateDead {
		next, err := n.letters(ctx, limit, c, func(r *request.Request) bool {
			return r.To.Namespace == ns && matches(f.Service, r.To.Name) && matches(f.Key, r.To.Key)
		}, func(p *partition, r *request.Request) error {
			items = append(items, *p.requestView(r))
			return nil
		})
		if err != nil {
			return nil, "", err
		}
		return items, next, nil
	}
	switch f.State {
	case "", edda.Accepted, edda.Dispatched, edda.Taken, edda.Retrying:
	default:
		return nil, "", &edda.Error{Op: op, Reason: edda.BadValue,
			Err: fmt.Errorf("state %q cannot be listed; use accepted, dispatched, taken, retrying or dead", f.State)}
	}
	next, err := n.pages(ctx, op, limit, c, func(p *partition, after uint64, take func(uint64) bool) error {
		for r := range p.requests.All() {
			if r.Seq <= after || r.To.Namespace != ns || !matches(f.Service, r.To.Name) || !matches(f.Key, r.To.Key) {
				continue
			}
			v := p.requestView(r)
			if !matches(f.State, v.State) {
				continue
			}
			if !take(r.Seq) {
				break
			}
			items = append(items, *v)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return items, next, nil
}

func matches[T ~string](want, got T) bool { return want == "" || want == got }

// requestOf finds the request that used an idempotency key.
func (n *Node) requestOf(ctx context.Context, f RequestFilter) ([]edda.Request, string, error) {
	const op = "find request"
	if f.Service == "" {
		return nil, "", &edda.Error{Op: op, Reason: edda.BadValue, Err: errors.New("idempotencyKey needs service, and key for an ordered one")}
	}
	m := &edda.Message{To: edda.Address{Namespace: f.Namespace, Name: f.Service, Key: f.Key}, Principal: f.Principal, IdempotencyKey: f.IdempotencyKey}
	m.To.Namespace = serviceAddress(f.Namespace, "").Namespace
	if m.Principal == "" {
		m.Principal = edda.Anonymous
	}
	kind := edda.Ordered
	if f.Key == "" {
		kind = edda.Balanced
	}
	p := n.homeOf(n.route(m, kind, 0))
	var items []edda.Request
	var failed error
	err := n.inPartition(ctx, p, op, func() {
		r, err := p.requests.ByScope(request.Scope(m.To, m.Principal, m.IdempotencyKey), p.now())
		if failed = err; err == nil && r != nil {
			items = append(items, *p.requestView(r))
		}
	})
	return items, "", errors.Join(err, failed)
}

// letters calls add with the dead letters of a page, which are those that match
// says are wanted, and returns the cursor of the next page.
func (n *Node) letters(ctx context.Context, limit int, c cursor, match func(*request.Request) bool,
	add func(*partition, *request.Request) error,
) (next string, err error) {
	return n.pages(ctx, "list dead letters", limit, c, func(p *partition, after uint64, take func(uint64) bool) error {
		for r, err := range p.requests.Letters(after) {
			switch {
			case err != nil:
				return err
			case !match(r):
				continue
			case !take(r.Seq):
				return nil
			}
			if err := add(p, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeadLetters returns a page of dead letters and the cursor of the next page, ""
// at the end.
func (n *Node) DeadLetters(ctx context.Context, f DeadLetterFilter, page Page) ([]edda.DeadLetter, string, error) {
	limit, c, err := parsePage("list dead letters", page)
	if err != nil {
		return nil, "", err
	}
	ns := serviceAddress(f.Namespace, "").Namespace
	var items []edda.DeadLetter
	next, err := n.letters(ctx, limit, c, func(r *request.Request) bool {
		return r.To.Namespace == ns && matches(f.Service, r.To.Name) && matches(f.Key, r.To.Key) && matches(f.Reason, r.Failure.Reason)
	}, func(p *partition, r *request.Request) error {
		d, err := p.letterView(r)
		if err == nil {
			items = append(items, *d)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return items, next, nil
}

// letterView shows a dead letter with its message.
func (p *partition) letterView(r *request.Request) (*edda.DeadLetter, error) {
	msg, err := r.Load(p.table)
	if err != nil {
		return nil, errInternal("read dead letter "+r.ID.String(), err)
	}
	return &edda.DeadLetter{
		ID: r.ID, Namespace: r.To.Namespace, Service: r.To.Name, Key: r.To.Key, Method: r.Method, Reason: r.Failure.Reason,
		Detail: r.Failure.Message, Attempts: r.Attempts, DiedAt: timeOf(r.EndedAt), Headers: msg.Headers,
		ContentType: msg.ContentType, Payload: msg.Payload,
	}, nil
}

// DeadLetter returns one dead letter, by the request's id.
func (n *Node) DeadLetter(ctx context.Context, namespace string, id edda.ID) (*edda.DeadLetter, error) {
	var d *edda.DeadLetter
	err := n.lookup(ctx, "look up dead letter "+id.String(), namespace, id, func(p *partition, r *request.Request) (err error) {
		if !r.Letter {
			return noLetter(id)
		}
		d, err = p.letterView(r)
		return err
	})
	return d, asNoLetter(err, id)
}

func noLetter(id edda.ID) *edda.Error {
	return &edda.Error{Op: "look up dead letter " + id.String(), Reason: edda.NoDeadLetter, Err: errors.New("there is no such dead letter")}
}

// asNoLetter says of a request that is not known that it is no dead letter.
func asNoLetter(err error, id edda.ID) error {
	if edda.ReasonOf(err) == edda.NoRequest {
		return noLetter(id)
	}
	return err
}

// RetryDeadLetter makes a dead letter a request again. It joins the end of its
// key's queue, keeps its id, and counts its attempts on.
func (n *Node) RetryDeadLetter(ctx context.Context, namespace string, id edda.ID) (*edda.Request, error) {
	if err := n.changeLetter(ctx, namespace, id, record.TypeLetterRetried); err != nil {
		return nil, err
	}
	return n.Request(ctx, namespace, id)
}

// DropDeadLetter forgets a dead letter. Its request stays dead.
func (n *Node) DropDeadLetter(ctx context.Context, namespace string, id edda.ID) error {
	return n.changeLetter(ctx, namespace, id, record.TypeLetterDropped)
}

func (n *Node) changeLetter(ctx context.Context, namespace string, id edda.ID, t record.Type) error {
	if _, err := n.DeadLetter(ctx, namespace, id); err != nil {
		return err
	}
	l := record.Letter{ID: id, KeepUntil: time.Now().Add(keepReply).UnixNano()}
	return n.proposeTo(ctx, n.home(id.Route()), "change dead letter "+id.String(), l.AppendTo(nil, t), func(effects []request.Effect) error {
		for _, e := range effects {
			if e.Kind == request.NoLetter {
				return noLetter(id)
			}
		}
		return nil
	})
}

// Services returns a page of registered services and the cursor of the next
// page, "" at the end.
func (n *Node) Services(ctx context.Context, namespace string, page Page) ([]edda.ServiceInfo, string, error) {
	limit := page.Limit
	if limit == 0 {
		limit = 100
	}
	if limit < 1 || limit > 1000 {
		return nil, "", &edda.Error{Op: "list services", Reason: edda.BadValue, Err: fmt.Errorf("limit is %d, must be 1 to 1000", limit)}
	}
	all := n.registry.registered(serviceAddress(namespace, "").Namespace)
	all = slices.DeleteFunc(all, func(s *service) bool { return s.addr.Name <= page.After && page.After != "" })
	next := ""
	if len(all) > limit {
		all = all[:limit]
		next = all[limit-1].addr.Name
	}
	counts, err := n.counts(ctx, all...)
	if err != nil {
		return nil, "", err
	}
	items := make([]edda.ServiceInfo, 0, len(all))
	for _, s := range all {
		items = append(items, *counts[s.addr].info(s))
	}
	return items, next, nil
}

// Service returns one registered service.
func (n *Node) Service(ctx context.Context, namespace, name string) (*edda.ServiceInfo, error) {
	s, err := n.managed("look up service "+name, namespace, name)
	if err != nil {
		return nil, err
	}
	return n.serviceInfo(ctx, s)
}

// managed returns a registered service.
func (n *Node) managed(op, namespace, name string) (*service, error) {
	if err := edda.CheckName("service", name); err != nil {
		return nil, err
	}
	s := n.known(namespace, name)
	if s == nil || !s.view().registered {
		return nil, &edda.Error{Op: op, Reason: edda.UnknownService, Err: fmt.Errorf("service %q is not registered", name)}
	}
	return s, nil
}

// maxStoppedKeys is how many stopped keys a service shows.
const maxStoppedKeys = 100

func (n *Node) serviceInfo(ctx context.Context, s *service) (*edda.ServiceInfo, error) {
	counts, err := n.counts(ctx, s)
	if err != nil {
		return nil, err
	}
	return counts[s.addr].info(s), nil
}

// count is what the partitions know of a service.
type count struct {
	inFlight, queued int
	stopped          []string
}

// counts asks each partition once for all of the services.
func (n *Node) counts(ctx context.Context, services ...*service) (map[edda.Address]*count, error) {
	all := make(map[edda.Address]*count, len(services))
	for _, s := range services {
		all[s.addr] = &count{}
	}
	for _, p := range n.parts {
		if err := n.inPartition(ctx, p, "look up services", func() { p.count(all) }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *partition) count(all map[edda.Address]*count) {
	for a, c := range all {
		for k := range p.requests.ServiceKeys(a.Namespace, a.Name) {
			if k.Stopped {
				c.stopped = append(c.stopped, k.Address.Key)
			}
		}
	}
	for r := range p.requests.All() {
		switch c := all[serviceAddress(r.To.Namespace, r.To.Name)]; {
		case c == nil:
		case r.Fence != 0:
			c.inFlight++
		default:
			c.queued++
		}
	}
}

// info shows a service with its counts.
func (c *count) info(s *service) *edda.ServiceInfo {
	info := s.info()
	slices.Sort(c.stopped)
	info.InFlight, info.Queued, info.StoppedKeyCount = c.inFlight, c.queued, len(c.stopped)
	info.StoppedKeys = c.stopped[:min(len(c.stopped), maxStoppedKeys)]
	return info
}

// info shows what the service itself knows.
func (s *service) info() *edda.ServiceInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := &edda.ServiceInfo{
		Namespace: s.addr.Namespace, Name: s.addr.Name, Kind: s.set.Kind, Methods: s.set.Methods, Paused: s.paused,
	}
	info.Workers = len(s.hosts)
	for _, h := range s.hosts {
		if h.w.isSilent() {
			info.SilentWorkers++
		}
	}
	if e := endpointSpec(&s.set); e != nil && s.registered {
		info.EndpointInfo = e.Info()
	}
	info.Versions = s.slots.Versions()
	for _, sc := range s.set.Schemas {
		if info.Schemas == nil {
			info.Schemas = map[string]any{}
		}
		info.Schemas[sc.Method] = json.RawMessage(sc.JSON)
	}
	return info
}

// PauseService keeps a service's requests waiting until it is resumed. Handlers
// that run go on.
func (n *Node) PauseService(ctx context.Context, namespace, name string) (*edda.ServiceInfo, error) {
	return n.setPaused(ctx, namespace, name, true)
}

// ResumeService lets a paused service go on.
func (n *Node) ResumeService(ctx context.Context, namespace, name string) (*edda.ServiceInfo, error) {
	return n.setPaused(ctx, namespace, name, false)
}

func (n *Node) setPaused(ctx context.Context, namespace, name string, paused bool) (*edda.ServiceInfo, error) {
	const op = "pause or resume service"
	s, err := n.managed(op, namespace, name)
	if err != nil {
		return nil, err
	}
	c := record.ServiceChanged{Address: s.addr, Paused: paused}
	if err := n.proposeTo(ctx, n.parts[0], op, c.AppendTo(nil, record.TypeServicePaused), nil); err != nil {
		return nil, err
	}
	return n.serviceInfo(ctx, s)
}

// ResumeKey lets a key that was stopped after a dead letter go on with its next
// request. A key that is not stopped is left as it is.
func (n *Node) ResumeKey(ctx context.Context, namespace, name, key string) (*edda.ServiceInfo, error) {
	const op = "resume key"
	s, err := n.managed(op, namespace, name)
	if err != nil {
		return nil, err
	}
	if err := edda.CheckKey(key); err != nil {
		return nil, err
	}
	k := record.KeyResumed{Address: edda.Address{Namespace: s.addr.Namespace, Name: name, Key: key}}
	if err := n.proposeTo(ctx, n.homeOf(k.Address.Hash()), op, k.AppendTo(nil), nil); err != nil {
		return nil, err
	}
	return n.serviceInfo(ctx, s)
}

// DeleteService forgets a service. With unfinished requests it is refused with
// CONFLICT, unless force makes them dead letters. So is one that workers host; that
// of an endpoint goes with the service.
func (n *Node) DeleteService(ctx context.Context, namespace, name string, force bool) error {
	op := "delete service " + name
	s, err := n.managed(op, namespace, name)
	if err != nil {
		return err
	}
	n.workers.attaching.Lock()
	defer n.workers.attaching.Unlock()
	if s.hostedByOthers() {
		return &edda.Error{Op: op, Reason: edda.Conflict, Err: errors.New("workers host the service; stop them first, or start the node without it")}
	}
	if !force && n.unfinished(ctx, s) {
		return &edda.Error{Op: op, Reason: edda.Conflict, Err: errors.New("it has unfinished requests; finish or cancel them, or remove it with --force (?force=true over HTTP), which makes them dead letters")}
	}
	c := record.ServiceChanged{Address: s.addr}
	// Whoever asks may go away: what is not registered must not run, and nobody else
	// ends its requests.
	ctx = context.WithoutCancel(ctx)
	if err := n.proposeTo(ctx, n.parts[0], op, c.AppendTo(nil, record.TypeServiceRemoved), nil); err != nil {
		return err
	}
	n.endEndpoint(s.addr) // first: what comes while it is attached looks as if it were handled
	return n.bury(ctx, op, s)
}

// bury makes the unfinished requests of a service that is gone dead letters.
func (n *Node) bury(ctx context.Context, op string, s *service) error {
	for _, p := range n.parts {
		done := make(chan error, 1)
		if !p.in.do(func() { p.bury(s, done) }) {
			return n.notRunning(op)
		}
		if err := n.wait(ctx, op, done); err != nil {
			return err
		}
	}
	return nil
}

// failDeleted is why requests of a deleted service are dead.
var failDeleted = record.Failure{Reason: edda.NoService, Message: "the service was deleted"}

// bury makes dead letters of the service's requests, steps of sagas aside, and says
// when that is durable.
func (p *partition) bury(s *service, done chan<- error) {
	left := 1
	var failed error
	one := func(_ []request.Effect, err error) {
		failed = errors.Join(failed, err)
		if left--; left == 0 {
			done <- failed
		}
	}
	for r := range p.requests.All() {
		switch {
		case r.To.Namespace != s.addr.Namespace || r.To.Name != s.addr.Name:
		case r.Step != nil:
			p.wantSlot(r) // its attempts fail from now on, unless the service comes back
		default:
			left++
			p.proposeEnded(r, failDeleted, one)
		}
	}
	one(nil, nil)
}

// unfinished reports whether a service has unfinished requests.
func (n *Node) unfinished(ctx context.Context, s *service) bool {
	info, err := n.serviceInfo(ctx, s)
	return err != nil || info.InFlight+info.Queued > 0
}
