package node

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// A polled member of a group is one that reads messages and settles them by their
// leases. To the pools it is a worker like others, whose slots are what its reads ask
// for and what it holds: it is given nothing while it does not read. What is granted to
// it late anyway stays for its next read.

// readers are the polled members of a group. They belong to its service.
type readers struct {
	making sync.Mutex // held while a member joins; workers.mu is taken under it

	mu      sync.Mutex // guards what follows, members' fields included; locks of services are taken under it, it under workers.mu
	members map[string]*member
	held    map[lease]*hold
	joined  uint64 // members there ever were, those who were refused too
}

// hold is a message that a member has.
type hold struct {
	attempt *Attempt
	by      *member
}

// member is who reads a group under a name.
type member struct {
	of   *readers
	name string
	w    *Worker

	// guarded by of.mu
	arrived []*Attempt // not handed out yet
	holds   int        // handed out
	reads   []*groupRead
	want    int // messages that the reads ask for still
	gone    error

	fetching int // attempts whose messages are being read from the table
}

// groupRead is one call that waits for messages.
type groupRead struct {
	max   int           // messages that it may return
	left  int           // messages that it asks for still
	woken chan struct{} // has room for one signal
}

// wake has the read look at what there is.
func (r *groupRead) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// hidden reports whether the worker is none to others: a member that reads, or one by
// which the node reads for itself.
func (w *Worker) hidden() bool {
	_, ok := w.runner.(*member)
	return ok || strings.HasPrefix(w.spec.ID, queueWorker)
}

// polledWorker begins the ids of members that read. No other worker's id can have it.
const polledWorker = "member/"

// member returns the member of a name, which joins when it is new. The error is an
// *edda.Error: GroupFull, NoGroup, or that the node stops; or errMemberGone when it is to
// be asked for again.
func (n *Node) member(op string, svc *service, name string) (*member, error) {
	r := &svc.readers
	r.making.Lock()
	defer r.making.Unlock()
	r.mu.Lock()
	m := r.members[name]
	if m == nil {
		r.joined++
	}
	number := r.joined
	r.mu.Unlock()
	if m != nil {
		return m, nil
	}
	g, ok := svc.groupSpec()
	if !ok {
		return nil, errNoGroup(op, svc.addr.Name)
	}
	m = &member{of: r, name: name}
	m.w = n.newWorker(WorkerSpec{
		ID: fmt.Sprintf("%s%s/%s/%d", polledWorker, svc.addr, name, number), Transport: "polled", Lifetime: g.IdleTimeout,
		Services: []edda.ServiceSpec{{Namespace: svc.addr.Namespace, Name: svc.addr.Name}},
	}, m)
	m.host().slot.Resize(0)
	if err := n.join(op, m.w); err != nil {
		return nil, err
	}
	if !r.add(m, svc) { // the group was deleted meanwhile, and may be there again
		m.w.Detach()
		return nil, errMemberGone
	}
	return m, nil
}

// add adds a member that has joined, if the group whose consumer it has joined is there.
func (r *readers) add(m *member, svc *service) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.host().svc != svc || !svc.view().registered {
		return false
	}
	if r.members == nil {
		r.members, r.held = map[string]*member{}, map[lease]*hold{}
	}
	r.members[m.name] = m
	return true
}

func (m *member) host() *host { return m.w.hosts[0] }

// resize gives the member as many slots as it has use for. The caller holds of.mu.
func (m *member) resize() { m.host().resize(m.holds + max(m.want, len(m.arrived))) }

// Start implements Runner.
func (m *member) Start(a *Attempt) {
	m.of.mu.Lock()
	gone := m.gone != nil
	if !gone {
		m.arrived = append(m.arrived, a)
		if len(m.reads) > 0 {
			m.reads[0].wake()
		}
	}
	m.of.mu.Unlock()
	if gone {
		a.HandBack()
	}
}

// fetches notes that the messages of so many attempts more are being read from the table.
func (m *member) fetches(more int) {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	m.fetching += more
	if m.fetching == 0 && len(m.reads) > 0 {
		m.reads[0].wake()
	}
}

// Fenced implements Runner: a lease has ended.
func (m *member) Fenced(a *Attempt, _ error) {
	m.of.mu.Lock()
	m.lose(a)
	m.of.mu.Unlock()
	a.HandBack() // nobody else will: there is no handler that returns
}

// lose takes an attempt from the member, if it has it. The caller holds of.mu.
func (m *member) lose(a *Attempt) {
	if i := slices.Index(m.arrived, a); i >= 0 {
		m.arrived = slices.Delete(m.arrived, i, i+1)
	} else if h := m.of.held[leaseOf(a)]; h != nil && h.attempt == a {
		m.settled(leaseOf(a))
	}
	m.resize()
}

// settled notes that the member has a message no more. The caller holds of.mu, and
// resizes before the attempt ends, so that its slot goes to nobody who does not read.
func (m *member) settled(l lease) {
	delete(m.of.held, l)
	m.holds--
}

// Members implements Runner. Only workers of ordered services are told.
func (*member) Members(edda.Address, []string) {}

// Drain implements Runner. Nobody is told that the node stops but by the end of a read,
// so what the member has is handed back at once, which costs no attempt.
func (m *member) Drain(string, bool) {
	for _, a := range m.end(m.w.n.notRunning("read group")) {
		a.HandBack()
	}
}

// end has the member be gone, wakes its reads, and returns what it had.
func (m *member) end(why error) []*Attempt {
	r := m.of
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.leave(why)
}

// leave is end for who holds of.mu.
func (m *member) leave(why error) (had []*Attempt) {
	if m.gone != nil {
		return nil
	}
	m.gone = why
	if m.of.members[m.name] == m {
		delete(m.of.members, m.name)
	}
	had, m.arrived = m.arrived, nil
	for l, h := range m.of.held {
		if h.by == m {
			had = append(had, h.attempt)
			m.settled(l)
		}
	}
	for _, r := range m.reads {
		r.wake()
	}
	return had
}

// expired ends the member, of which nothing was heard for its lifetime, unless one of
// its reads waits: then it lives, and left says how long at least.
func (m *member) expired() (left time.Duration) {
	m.of.mu.Lock()
	if len(m.reads) > 0 {
		m.w.heard()
	}
	left = m.w.left()
	if left <= 0 {
		m.leave(errMemberGone)
	}
	m.of.mu.Unlock()
	if left > 0 {
		return left
	}
	m.w.n.log.Info("a member of a group is gone; what it had is given to others", "group", m.host().svc.addr.Name,
		"namespace", m.host().svc.addr.Namespace, "member", m.name)
	m.w.Detach()
	return 0
}
