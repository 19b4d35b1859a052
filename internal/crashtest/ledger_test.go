package crashtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

// entry is one request of a workload, and what its caller was told of it. The
// moments are those of the ledger's clock; 0 is never.
type entry struct {
	task    task
	service string
	key     string
	idem    string
	sent    bool // rather than called
	keep    bool // the outcome is kept: it was sent, or has an idempotency key
	due     bool // it does not join its key's queue at once
	far     bool // it is due so late that only a cancel ends it

	submitted int // first moment the node may have had it
	acked     int // somebody was told that it is stored
	answered  int // somebody was told how it ended
	cancelled int // somebody was told that it was cancelled

	id       edda.ID
	position string
	state    edda.State // as answered
	n        int        // as answered
	asking   int        // calls that have no answer yet
	doubt    bool       // an answer has left open whether it is stored
	absent   bool       // it is known not to be there
	number   int        // in its account, as seen at the start; 0 is none
	numbered int        // when that was seen
}

func (e *entry) message() *edda.Message {
	m := &edda.Message{
		To: edda.Address{Name: e.service, Key: e.key}, Type: "do", ContentType: "application/json",
		Payload: edda.JSON(e.task), IdempotencyKey: e.idem,
	}
	switch {
	case e.far:
		m.Due = time.Now().Add(time.Hour)
	case e.due:
		m.Due = time.Now().Add(time.Duration(e.task.DelayMicros) * time.Microsecond)
	}
	return m
}

// ledger is what the callers of a node have been told.
type ledger struct {
	mu      sync.Mutex // guards what follows
	clock   int
	entries []*entry
	lies    []error // answers that contradict each other, or did not come
}

func (l *ledger) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock
}

// submit notes a request before the node gets it.
func (l *ledger) submit(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	e.submitted = l.clock
	if e.task.Name == "" {
		e.task.Name = fmt.Sprintf("t%d", len(l.entries))
	}
	e.asking = 1
	l.entries = append(l.entries, e)
}

// again notes that a request is repeated.
func (l *ledger) again(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	e.asking++
}

// refused reports whether every answer said that the request is not stored.
func (e *entry) refused() bool { return e.asking == 0 && !e.doubt && e.acked == 0 }

// over notes that a call has its answer.
func (l *ledger) over(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.asking--
}

// accepted notes that the request is stored.
func (l *ledger) accepted(e *entry, id edda.ID, position string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	l.stored(e, id, position)
}

func (l *ledger) stored(e *entry, id edda.ID, position string) {
	if e.acked == 0 {
		e.acked, e.id, e.position = l.clock, id, position
	}
	if e.id != id || e.position != position {
		l.lies = append(l.lies, fmt.Errorf("%s: stored as %v at %s, then as %v at %s", e.task.Name, e.id, e.position, id, position))
	}
}

// ended notes how the request ended.
func (l *ledger) ended(e *entry, id edda.ID, position string, state edda.State, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	l.stored(e, id, position)
	if e.answered == 0 {
		e.answered, e.state, e.n = l.clock, state, n
	}
	if e.state != state || e.n != n {
		l.lies = append(l.lies, fmt.Errorf("%s: ended %s %d, then %s %d", e.task.Name, e.state, e.n, state, n))
	}
}

// replied notes what a call or a wait has brought.
func (l *ledger) replied(e *entry, r *edda.Reply, err error) {
	if err == nil {
		var d done
		if err := json.Unmarshal(r.Payload, &d); err != nil {
			panic(err)
		}
		l.ended(e, r.RequestID, r.Position, edda.StateSucceeded, d.N)
		return
	}
	f, ok := errors.AsType[*edda.Error](err)
	if !ok {
		panic(err)
	}
	switch f.Reason {
	case edda.Failed:
		l.ended(e, f.RequestID, f.Position, edda.StateFailed, 0)
	case edda.Dead:
		l.ended(e, f.RequestID, f.Position, edda.StateDead, 0)
	case edda.Cancelled:
		l.ended(e, f.RequestID, f.Position, edda.StateCancelled, 0)
	default:
		if f.Position != "" {
			l.accepted(e, f.RequestID, f.Position)
		} else if f.Reason == edda.OutcomeUnknown {
			l.mu.Lock()
			e.doubt = true
			l.mu.Unlock()
		}
	}
}

// sent notes what a send has brought.
func (l *ledger) sent(e *entry, a *edda.Ack, err error) {
	if err != nil {
		l.replied(e, nil, err)
		return
	}
	l.accepted(e, a.ID, a.Position)
}

// seen notes how a request stands after a cancel.
func (l *ledger) seen(e *entry, r *edda.Request) {
	if r.State != edda.StateCancelled {
		return
	}
	l.ended(e, r.ID, r.Position, r.State, 0)
	l.mu.Lock()
	e.cancelled = l.clock
	l.mu.Unlock()
}

// at returns the entries as they were at a moment.
func (l *ledger) at(moment int) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	es := make([]entry, len(l.entries))
	for i, e := range l.entries {
		es[i] = *e
		es[i].forget(moment)
	}
	return es
}

// rewind makes a moment the present: what came later did not happen, though it
// may have left something behind.
func (l *ledger) rewind(moment int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		e.forget(moment)
	}
}

// forget drops what was told, or seen, after a moment.
func (e *entry) forget(moment int) {
	if e.acked > moment {
		e.acked, e.id, e.position, e.doubt = 0, edda.ID{}, "", true
	}
	if e.answered > moment {
		e.answered, e.state, e.n = 0, "", 0
	}
	if e.cancelled > moment {
		e.cancelled = 0
	}
	if e.numbered > moment {
		e.number, e.numbered = 0, 0
	}
}

// TestLedgerForgets goes back to a crash from before the moment at which a number was
// seen: from there the task may get another one.
func TestLedgerForgets(t *testing.T) {
	l := &ledger{}
	e := &entry{service: accounts, key: "a", keep: true}
	l.submit(e)
	l.accepted(e, edda.ID{1}, "0-1")
	crash := l.now()
	c := &check{
		entries:  l.at(crash),
		accounts: map[string]account{"a": {N: 1, Tasks: map[string]int{e.task.Name: 1}}},
		states:   map[string]edda.State{e.task.Name: edda.StateSucceeded},
	}
	c.learn(l)
	if got := l.at(l.now())[0]; got.number != 1 || got.answered == 0 {
		t.Fatalf("learnt number %d, answered %d", got.number, got.answered)
	}
	l.rewind(crash)
	if got := l.at(l.now())[0]; got.number != 0 || got.answered != 0 || got.acked == 0 {
		t.Errorf("after going back: number %d, answered %d, stored %d", got.number, got.answered, got.acked)
	}
}

func (l *ledger) lie(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lies = append(l.lies, err)
}

func (l *ledger) contradictions() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.lies...)
}
