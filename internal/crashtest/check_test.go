package crashtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// check compares a node with what its callers were told.
type check struct {
	node    *node.Node
	entries []entry
	// weak: what was not synced may be lost, but only from the end.
	weak bool
	// unread: the disk may have refused to read something once, which costs an
	// attempt.
	unread bool

	accounts map[string]account
	states   map[string]edda.State // by the name of the task, of what can be looked up

	watch    *stopwatch
	patience *patience
	open     map[edda.ID]bool // requests that had not ended when they were last looked at
}

// keysOf are the accounts that any task concerns.
func (c *check) keysOf() []string {
	seen := map[string]bool{}
	for i := range c.entries {
		e := &c.entries[i]
		if e.service == accounts {
			seen[e.key] = true
		}
		for _, k := range e.task.To {
			seen[k] = true
		}
	}
	var keys []string
	for k := range seen {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// run waits until the node has nothing left to do, and checks everything.
func (c *check) run(ctx context.Context) error {
	c.patience = newPatience(ctx, c.watch, func(ctx context.Context) string { return viewRequests(ctx, c.node) })
	err := c.runWithin(c.patience)
	return errors.Join(err, c.patience.end())
}

func (c *check) runWithin(ctx context.Context) error {
	c.states = map[string]edda.State{}
	if err := c.lookUpFar(ctx); err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	return errors.Join(c.checkAccounts(), c.checkEntries(ctx), c.checkOrder(), c.checkLanes(), c.checkSuffix())
}

// lookUpFar looks at those that wait for a time which does not come.
func (c *check) lookUpFar(ctx context.Context) error {
	for i := range c.entries {
		e := &c.entries[i]
		if !e.far || e.acked == 0 || e.absent {
			continue
		}
		r, err := c.node.Request(ctx, "", e.id)
		switch {
		case c.weak && edda.ReasonOf(err) == edda.NoRequest:
		case err != nil:
			return fmt.Errorf("%s, due in an hour, was acknowledged: %w, %+v", e.task.Name, err, e)
		case e.cancelled != 0 && r.State != edda.StateCancelled && !c.weak:
			return fmt.Errorf("%s was cancelled, and is %s", e.task.Name, r.State)
		case r.State != edda.Accepted && r.State != edda.StateCancelled:
			return fmt.Errorf("%s, due in an hour, is %s", e.task.Name, r.State)
		}
	}
	return nil
}

// settle returns once every request has ended and every message has arrived.
func (c *check) settle(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := c.finish(ctx); err != nil {
			return err
		}
		if err := c.look(ctx); err != nil {
			return err
		}
		missing := c.missing()
		if missing == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("does not settle: %w", missing)
		case <-tick.C:
		}
	}
}

// arrive returns once everything that was sent on has arrived.
func (c *check) arrive(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if err := c.look(ctx); err != nil {
			return err
		}
		missing := c.missing()
		if missing == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("does not settle: %w", missing)
		case <-tick.C:
		}
	}
}

// finish waits for the requests that have not ended, and cancels those that will
// not.
func (c *check) finish(ctx context.Context) error {
	for {
		open, _, err := c.node.Requests(ctx, node.RequestFilter{}, node.Page{Limit: 1000})
		if err != nil {
			return err
		}
		c.stillOpen(open)
		if len(open) == 0 {
			return nil
		}
		for _, r := range open {
			if r.NextAttemptAt.After(time.Now().Add(time.Minute)) {
				if _, err := c.node.Cancel(ctx, "", r.ID); err != nil {
					return err
				}
				continue
			}
			v, err := c.node.WaitRequest(ctx, "", r.ID, time.Second)
			if edda.ReasonOf(err) == edda.NoRequest {
				continue // it ended meanwhile, and nobody wants the outcome
			}
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return fmt.Errorf("request %v of %s/%s does not end: %s after %d attempts", r.ID, r.Service, r.Key, v.State, v.Attempts)
			}
			if !v.State.Ended() {
				break // others may have
			}
		}
	}
}

// stillOpen notes which requests have not ended.
func (c *check) stillOpen(open []edda.Request) {
	now := map[edda.ID]bool{}
	for i := range open {
		now[open[i].ID] = true
	}
	for id := range c.open {
		if !now[id] {
			c.patience.step()
		}
	}
	c.open = now
}

// look reads the state of all accounts.
func (c *check) look(ctx context.Context) error {
	c.accounts = map[string]account{}
	for _, k := range c.keysOf() {
		a, err := edda.Call[account](ctx, c.node.Client(), accounts+"/"+k, "dump", nil)
		if err != nil {
			return err
		}
		c.accounts[k] = a
		c.patience.seen("tasks of "+k, len(a.Tasks))
	}
	for i := range c.entries {
		e := &c.entries[i]
		if e.acked == 0 || e.absent || !e.keep {
			continue
		}
		r, err := c.node.Request(ctx, "", e.id)
		if err != nil {
			if c.weak && edda.ReasonOf(err) == edda.NoRequest {
				continue
			}
			return fmt.Errorf("%s was acknowledged: %w", e.task.Name, err)
		}
		if r.Position != e.position {
			return fmt.Errorf("%s was acknowledged at %s, and is at %s", e.task.Name, e.position, r.Position)
		}
		c.states[e.task.Name] = r.State
	}
	return nil
}

// happened reports whether the task has had its effect, as far as can be seen.
func (c *check) happened(e *entry) bool {
	if e.service == accounts {
		_, ok := c.accounts[e.key].Tasks[e.task.Name]
		return ok
	}
	return e.service == workers && c.states[e.task.Name] == edda.StateSucceeded
}

// missing says which messages have not arrived of a task that sent them: all of
// them arrive, or none.
func (c *check) missing() error {
	for i := range c.entries {
		e := &c.entries[i]
		arrived := 0
		var missing []string
		for _, k := range e.task.To {
			if _, ok := c.accounts[k].Tasks[sentOn(e.task.Name, k)]; ok {
				arrived++
			} else {
				missing = append(missing, k)
			}
		}
		if len(missing) > 0 && (arrived > 0 || c.happened(e)) {
			return fmt.Errorf("what %s sent to %s has not arrived, %d others have (the task itself: %v)",
				e.task.Name, strings.Join(missing, ", "), arrived, c.happened(e))
		}
		if arrived > 0 && e.service == accounts && !c.happened(e) {
			return fmt.Errorf("%s has not happened, and what it sent has arrived", e.task.Name)
		}
	}
	return nil
}

// checkAccounts checks that every number was given once, to a task that somebody
// has asked for.
func (c *check) checkAccounts() error {
	known := map[string]bool{}
	for i := range c.entries {
		e := &c.entries[i]
		known[e.key+"/"+e.task.Name] = true
		for _, k := range e.task.To {
			known[k+"/"+sentOn(e.task.Name, k)] = true
		}
	}
	for k, a := range c.accounts {
		if len(a.Twice) > 0 {
			return fmt.Errorf("account %s has tasks twice: %v", k, a.Twice)
		}
		given := make([]string, a.N+1)
		for name, n := range a.Tasks {
			if n < 1 || n > a.N || given[n] != "" {
				return fmt.Errorf("account %s: %s has number %d of %d, as has %q", k, name, n, a.N, given[n])
			}
			given[n] = name
			if !known[k+"/"+name] {
				return fmt.Errorf("account %s has a task that nobody sent: %s", k, name)
			}
		}
		if len(a.Tasks) != a.N {
			return fmt.Errorf("account %s counts %d tasks and has %d", k, a.N, len(a.Tasks))
		}
	}
	return nil
}

// checkEntries checks what the caller of each request was told.
func (c *check) checkEntries(ctx context.Context) error {
	for i := range c.entries {
		e := &c.entries[i]
		c.patience.step()
		if err := c.checkEntry(ctx, e); err != nil {
			return fmt.Errorf("%s of %s/%s (submitted %d, stored %d as %v at %s, answered %d, cancelled %d, its number seen %d): %w",
				e.task.Name, e.service, e.key, e.submitted, e.acked, e.id, e.position, e.answered, e.cancelled, e.numbered, err)
		}
	}
	return nil
}

func (c *check) checkEntry(ctx context.Context, e *entry) error {
	n, happened := c.accounts[e.key].Tasks[e.task.Name], c.happened(e)
	if (e.refused() || e.absent) && happened {
		return errors.New("it was refused, or known to be lost, and has happened")
	}
	if e.number != 0 && e.number != n && !c.weak {
		return fmt.Errorf("it had number %d and has %d", e.number, n)
	}
	if e.absent || e.acked == 0 || c.weak && c.lost(e) {
		return nil
	}
	state, kept := c.states[e.task.Name]
	if e.keep && !kept && !c.weak {
		return errors.New("it was acknowledged and is unknown")
	}
	if kept && !state.Ended() {
		return fmt.Errorf("it is %s", state)
	}
	if kept && e.service == accounts && happened != (state == edda.StateSucceeded) {
		return fmt.Errorf("it is %s; has happened: %v", state, happened)
	}
	if kept && e.answered != 0 && state != e.state && !c.weak {
		return fmt.Errorf("it ended %s and is %s", e.state, state)
	}
	if err := c.checkState(ctx, e, state, kept, happened); err != nil {
		return err
	}
	if e.answered != 0 && e.service == accounts && happened && e.state == edda.StateSucceeded && n != e.n && !c.weak {
		return fmt.Errorf("it was given number %d and has %d", e.n, n)
	}
	if e.idem == "" || !kept {
		return nil
	}
	return c.repeat(ctx, e, state, n)
}

// lost reports whether nothing can be seen of a request after a loss of power.
func (c *check) lost(e *entry) bool {
	_, known := c.states[e.task.Name]
	return !known && !c.happened(e)
}

// checkState checks how a request has ended against what was asked for.
func (c *check) checkState(ctx context.Context, e *entry, state edda.State, kept, happened bool) error {
	cancelled := e.cancelled != 0 || state == edda.StateCancelled
	switch {
	case c.weak && e.cancelled != 0:
		return nil // the cancel may be lost
	case cancelled:
		if happened {
			return errors.New("it was cancelled and has happened")
		}
	case e.service == graves:
		if kept && state != edda.StateDead {
			return fmt.Errorf("it is %s, must be dead", state)
		}
		if !kept {
			return nil
		}
		d, err := c.node.DeadLetter(ctx, "", e.id)
		if err != nil {
			return err
		}
		if d.Attempts != graveAttempts || d.Reason != edda.Failed && d.Reason != edda.NodeLost && (d.Reason != edda.Internal || !c.unread) {
			return fmt.Errorf("its dead letter has reason %s after %d attempts", d.Reason, d.Attempts)
		}
	case e.task.Final:
		if happened || kept && state != edda.StateFailed {
			return fmt.Errorf("it is %s, must be failed; has happened: %v", state, happened)
		}
	case e.far:
	case e.service == accounts && !happened:
		return fmt.Errorf("it was acknowledged and has not happened (state %q)", state)
	case kept && state != edda.StateSucceeded:
		return fmt.Errorf("it is %s, must be succeeded", state)
	}
	return nil
}

// repeat sends a request once more under its idempotency key: the answer is the
// first one.
func (c *check) repeat(ctx context.Context, e *entry, state edda.State, n int) error {
	var l ledger
	got := *e
	got.acked, got.answered, got.cancelled = 0, 0, 0
	r, err := c.node.Client().Call(ctx, got.message())
	l.replied(&got, r, err)
	if got.answered == 0 {
		return fmt.Errorf("repeated: %w", err)
	}
	if got.id != e.id || got.position != e.position || got.state != state || e.service == accounts && got.n != n {
		return fmt.Errorf("repeated: got %v at %s, %s %d; want %v at %s, %s %d", got.id, got.position, got.state, got.n, e.id, e.position, state, n)
	}
	if r != nil && !r.Replayed {
		return errors.New("repeated: the reply does not say that it is replayed")
	}
	return nil
}

// checkOrder checks that each account has numbered its tasks in the order of
// their acceptance.
func (c *check) checkOrder() error {
	type placed struct {
		e    *entry
		part string
		pos  uint64
		n    int
	}
	byKey := map[string][]placed{}
	for i := range c.entries {
		e := &c.entries[i]
		if e.service != accounts || e.due || e.acked == 0 || e.absent || !c.happened(e) {
			continue
		}
		part, pos, _ := strings.Cut(e.position, "-")
		p, err := strconv.ParseUint(pos, 10, 64)
		if err != nil {
			return err
		}
		byKey[e.key] = append(byKey[e.key], placed{e, part, p, c.accounts[e.key].Tasks[e.task.Name]})
	}
	for k, ps := range byKey {
		slices.SortFunc(ps, func(a, b placed) int { return cmp.Compare(a.pos, b.pos) })
		for i := 1; i < len(ps); i++ {
			a, b := ps[i-1], ps[i]
			if a.part != b.part || a.pos == b.pos || a.n >= b.n {
				return fmt.Errorf("account %s: %s at %s has number %d, %s at %s has %d",
					k, a.e.task.Name, a.e.position, a.n, b.e.task.Name, b.e.position, b.n)
			}
		}
		slices.SortFunc(ps, func(a, b placed) int { return cmp.Compare(a.e.acked, b.e.acked) })
		for i, a := range ps {
			for _, b := range ps[i+1:] {
				if a.e.acked < b.e.submitted && a.n > b.n {
					return fmt.Errorf("account %s: %s was stored before %s was sent, and has number %d against %d",
						k, a.e.task.Name, b.e.task.Name, a.n, b.n)
				}
			}
		}
	}
	return nil
}

// checkLanes checks that what one account sends to another arrives in the order
// in which it was sent.
func (c *check) checkLanes() error {
	type arrival struct {
		name     string
		sent, in int
	}
	lanes := map[string][]arrival{}
	for i := range c.entries {
		e := &c.entries[i]
		if e.service != accounts || e.task.DelayMicros != 0 || !c.happened(e) {
			continue
		}
		for _, k := range e.task.To {
			lanes[e.key+">"+k] = append(lanes[e.key+">"+k], arrival{
				e.task.Name, c.accounts[e.key].Tasks[e.task.Name], c.accounts[k].Tasks[sentOn(e.task.Name, k)],
			})
		}
	}
	for lane, as := range lanes {
		slices.SortFunc(as, func(a, b arrival) int { return cmp.Compare(a.sent, b.sent) })
		for i := 1; i < len(as); i++ {
			if as[i-1].in > as[i].in {
				return fmt.Errorf("from %s: %s was sent before %s and arrived after it", lane, as[i-1].name, as[i].name)
			}
		}
	}
	return nil
}

// checkSuffix checks that, if anything acknowledged is lost, everything that was
// sent after it is lost too.
func (c *check) checkSuffix() error {
	if !c.weak {
		return nil
	}
	var last *entry
	for i := range c.entries {
		e := &c.entries[i]
		if !c.lost(e) && (last == nil || e.submitted > last.submitted) {
			last = e
		}
	}
	for i := range c.entries {
		e := &c.entries[i]
		seen := e.keep || e.service == accounts && !e.task.Final && e.cancelled == 0
		if last == nil || e.acked == 0 || e.absent || e.acked > last.submitted || !seen || e.service == workers && !e.keep {
			continue
		}
		if c.lost(e) {
			return fmt.Errorf("%s was stored (at %d) before %s was sent (at %d); it is lost, and that is there",
				e.task.Name, e.acked, last.task.Name, last.submitted)
		}
	}
	return nil
}

// learn notes in the ledger what the node holds, which no crash from here on may
// change.
func (c *check) learn(l *ledger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	for i := range c.entries {
		seen, e := &c.entries[i], l.entries[i]
		if seen.service == accounts {
			e.number, e.numbered = c.accounts[e.key].Tasks[e.task.Name], l.clock
			e.absent = e.absent || e.number == 0 && e.acked == 0
		}
		if c.weak && e.acked != 0 && c.lost(seen) {
			e.absent = true
		}
		if state, ok := c.states[e.task.Name]; ok {
			e.answered, e.state, e.n = l.clock, state, e.number
		}
		if c.weak {
			// An outcome that nobody keeps may be lost and the request not: then it is
			// handled again, perhaps after others.
			e.cancelled, e.n = 0, e.number
		}
	}
}
