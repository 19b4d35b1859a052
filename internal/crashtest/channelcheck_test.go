package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// channelCheck compares the channels of a node with what was told of them.
type channelCheck struct {
	node   *node.Node
	ledger *channelLedger // as of the crash
	*crash

	patience *patience
	versions map[string]int // by channel; zero: there is none

	kept   map[string][]*edda.LiveMessage // by channel
	said   map[string]uint64              // offsets by name
	criers map[string]map[string]bool     // by channel and name
}

func (r *channelRun) check(ctx context.Context, n *node.Node, k *crash) error {
	c := &channelCheck{node: n, ledger: r.ledger.at(k.moment, k.until), crash: k, versions: map[string]int{}}
	c.patience = newPatience(ctx, k.watch, func(ctx context.Context) string { return viewRequests(ctx, n) })
	r.found = c
	err := c.run(c.patience)
	return errors.Join(err, c.patience.end())
}

func (c *channelCheck) run(ctx context.Context) error {
	if err := errors.Join(c.checkChannel(ctx, lasting), c.checkChannel(ctx, farther), c.checkChannel(ctx, fleeting)); err != nil {
		return err
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	return errors.Join(c.checkSayings(), c.checkCries(), c.checkLost(), c.repeat(ctx))
}

// checkChannel checks that a channel is as it was set last, as far as that is known.
func (c *channelCheck) checkChannel(ctx context.Context, name string) error {
	version := 0
	ch, err := c.node.Channel(ctx, "", name)
	switch {
	case err == nil:
		if _, err := fmt.Sscanf(ch.From[0].Stream, "v%d", &version); err != nil {
			return err
		}
	case edda.ReasonOf(err) != edda.NoChannel:
		return err
	}
	c.versions[name] = version
	may := []int{0} // what it may be: what it was set to last, and what that was to be changed to since
	for _, ch := range c.ledger.changes {
		if ch.channel != name {
			continue
		}
		if ch.answered != 0 && !c.weak {
			may = may[:0]
		}
		may = append(may, ch.version)
	}
	if !slices.Contains(may, version) {
		return fmt.Errorf("channel %s has version %d, may have %d", name, version, may)
	}
	return nil
}

// settle has all requests done, and returns once what their handlers have published has
// arrived.
func (c *channelCheck) settle(ctx context.Context) error {
	for _, name := range []string{lasting, farther} {
		if _, err := c.node.Channel(ctx, "", name); err != nil {
			// The crash was before it was set, and what handlers have published since is lost.
			if edda.ReasonOf(err) == edda.NoChannel {
				return c.look(ctx)
			}
			return err
		}
	}
	if err := c.cryAgain(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(2 * time.Millisecond)
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

// cryAgain repeats the requests of which it is not known what became, all at once.
func (c *channelCheck) cryAgain(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(c.ledger.cries))
	for i, q := range c.ledger.cries {
		if q.acked != 0 && !c.weak {
			continue
		}
		wg.Go(func() {
			if _, err := c.node.Client().Send(ctx, q.message()); err != nil {
				errs[i] = fmt.Errorf("%s, repeated: %w", q.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *channelCheck) missing() error {
	for _, name := range []string{lasting, farther} {
		for _, q := range c.ledger.cries {
			if !c.criers[name][q.Name] {
				return fmt.Errorf("%s has nothing of %s of key %s (acknowledged: %d)", name, q.Name, q.key, q.acked)
			}
		}
	}
	return nil
}

// look reads what all channels keep.
func (c *channelCheck) look(ctx context.Context) error {
	c.kept, c.said, c.criers = map[string][]*edda.LiveMessage{}, map[string]uint64{}, map[string]map[string]bool{}
	for _, name := range []string{lasting, farther, fleeting} {
		c.criers[name] = map[string]bool{}
		err := c.read(ctx, name)
		c.patience.seen("messages of "+name, len(c.kept[name]))
		if err != nil && edda.ReasonOf(err) != edda.NoChannel {
			return err
		}
	}
	return nil
}

// read reads what a channel keeps: without a gap, and nothing twice.
func (c *channelCheck) read(ctx context.Context, name string) error {
	for from := edda.FromStart; ; {
		items, next, err := c.node.History(ctx, "", name, from, 30)
		if err != nil || len(items) == 0 {
			return err
		}
		from = next
		for _, m := range items {
			if at := uint64(len(c.kept[name])); m.Message.Offset != at || m.Message.Stream != "" {
				return fmt.Errorf("%s: message %d of stream %q where %d must be", name, m.Message.Offset, m.Message.Stream, at)
			}
			c.kept[name] = append(c.kept[name], m)
			if err := c.note(name, m); err != nil {
				return err
			}
		}
	}
}

func (c *channelCheck) note(channel string, m *edda.LiveMessage) error {
	if m.Message.Type == "said" {
		name := string(m.Message.Payload)
		if at, twice := c.said[name]; twice {
			return fmt.Errorf("%s is in %s at %d, and at %d", name, channel, m.Message.Offset, at)
		}
		c.said[name] = m.Message.Offset
		return nil
	}
	var e cried
	if err := json.Unmarshal(m.Message.Payload, &e); err != nil {
		return fmt.Errorf("%s: message %d: %w", channel, m.Message.Offset, err)
	}
	if c.criers[channel][e.Of] {
		return fmt.Errorf("%s has %s twice, at %d too", channel, e.Of, m.Message.Offset)
	}
	c.criers[channel][e.Of] = true
	return nil
}

// mayBeGone reports whether a publication may have gone with its channel.
func (c *channelCheck) mayBeGone(s *saying) bool {
	return s.channel == fleeting && slices.ContainsFunc(c.ledger.changes, func(ch *change) bool {
		return ch.channel == fleeting && ch.version == 0 && (ch.answered == 0 || ch.answered > s.submitted)
	})
}

// checkSayings checks that what was acknowledged is where it was said to be, what was
// refused is not there, what was published together is together, and nothing is there
// that nobody has published.
func (c *channelCheck) checkSayings() error {
	known := map[string]bool{}
	for _, s := range c.ledger.sayings {
		for _, name := range s.names {
			known[name] = true
		}
		if err := c.checkSaying(s); err != nil {
			return fmt.Errorf("publication of %v to %s (submitted %d, acknowledged %d, in doubt: %v): %w", s.names, s.channel, s.submitted, s.acked, s.doubt, err)
		}
	}
	for name, at := range c.said {
		if !known[name] {
			return fmt.Errorf("%s is there at %d, and nobody has published it", name, at)
		}
	}
	return nil
}

func (c *channelCheck) checkSaying(s *saying) error {
	var at []uint64
	for _, name := range s.names {
		if offset, there := c.said[name]; there {
			at = append(at, offset)
		}
	}
	switch {
	case len(at) == 0 && (s.acked == 0 || s.absent || c.weak || c.mayBeGone(s)):
		return nil
	case len(at) != len(s.names):
		return fmt.Errorf("%d of %d messages are there", len(at), len(s.names))
	case s.absent:
		return fmt.Errorf("it is at %v, and was not there", at)
	case s.refused():
		return fmt.Errorf("it was refused, and is at %v", at)
	case s.acked != 0 && !c.weak && !c.mayBeGone(s) && !slices.Equal(at, s.offsets):
		return fmt.Errorf("it was published at %v, and is at %v", s.offsets, at)
	}
	for i := range at {
		if at[i] != at[0]+uint64(i) {
			return fmt.Errorf("it is at %v, which are not next to each other", at)
		}
	}
	return nil
}

// checkCries checks that handlers have published for each request of a key once, in order.
func (c *channelCheck) checkCries() error {
	for _, name := range []string{lasting, farther} {
		last := map[string]int{}
		for _, m := range c.kept[name] {
			if m.Message.Type == "said" {
				continue
			}
			var e cried
			if err := json.Unmarshal(m.Message.Payload, &e); err != nil {
				return err
			}
			if e.N != last[e.Key]+1 {
				return fmt.Errorf("%s has %d of key %s (%s) at %d after %d", name, e.N, e.Key, e.Of, m.Message.Offset, last[e.Key])
			}
			last[e.Key] = e.N
		}
	}
	return nil
}

// checkLost checks that, if anything acknowledged is lost, everything that was published
// after it is lost too.
func (c *channelCheck) checkLost() error {
	var last *saying
	for _, s := range c.ledger.sayings {
		if _, there := c.said[s.names[0]]; there && (last == nil || s.submitted > last.submitted) {
			last = s
		}
	}
	for _, s := range c.ledger.sayings {
		_, there := c.said[s.names[0]]
		if !there && s.acked != 0 && !s.absent && !c.mayBeGone(s) && last != nil && s.acked < last.submitted {
			return fmt.Errorf("%v was published (at %d) before %v (at %d); it is lost, and that is there", s.names, s.acked, last.names, last.submitted)
		}
	}
	return nil
}

// repeat publishes once more under the same ids: the answer is the first one.
func (c *channelCheck) repeat(ctx context.Context) error {
	left := 10
	for _, s := range slices.Backward(c.ledger.sayings) {
		at, there := c.said[s.names[0]]
		if !s.ids || !there || left == 0 {
			continue
		}
		left--
		c.patience.step()
		ack, err := c.node.Append(ctx, s.append())
		if err != nil {
			return fmt.Errorf("%v, repeated: %w", s.names, err)
		}
		for i, it := range ack.Items {
			if !it.Replayed || it.Offset != at+uint64(i) {
				return fmt.Errorf("%s at %d, repeated: got %+v", s.names[i], at+uint64(i), it)
			}
		}
	}
	return nil
}

// learn notes in the ledger what the node holds: all of it has been dealt with.
func (r *channelRun) learn() {
	c := r.found
	r.ledger.tick(func(now int) {
		for _, s := range r.ledger.sayings {
			at, there := c.said[s.names[0]]
			if s.acked, s.offsets, s.absent = 0, nil, !there; there {
				s.acked = now
				for i := range s.names {
					s.offsets = append(s.offsets, at+uint64(i))
				}
			}
		}
		for _, q := range r.ledger.cries {
			if q.acked = 0; c.criers[lasting][q.Name] {
				q.acked = now
			}
		}
		for _, ch := range r.ledger.changes {
			if ch.answered == 0 {
				ch.answered = now
			}
		}
		for name, version := range c.versions { // which counts, whatever the others were to bring about
			r.ledger.changes = append(r.ledger.changes, &change{channel: name, version: version, answered: now})
		}
	})
}
