package crashtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// The streams of the tests, and the groups that members read. Handlers of the orders
// append to one stream that lives where the orders do, and to others that do not.
const (
	orders  = "orders" // what producers append to
	logs    = "logs"   // the same, with retention and trims
	replies = "replies"
	hosted  = "hosted" // the group of the members in process
	polled  = "polled" // the group of the members that read
)

var (
	nearby = streamAt("nearby", true)
	away   = streamAt("away", false)
	onward = streamAt("onward", false) // what is made of what comes to away
)

// streamAt returns the name of a stream that lives where the orders do, or does not, in
// a node of 4 partitions.
func streamAt(name string, same bool) string {
	for i := 0; ; i++ {
		if s := fmt.Sprintf("%s%d", name, i); same == (partitionOf(s) == partitionOf(orders)) {
			return s
		}
	}
}

// partitionOf returns the partition of a stream in a node of 4.
func partitionOf(stream string) uint64 {
	hi, _ := bits.Mul64(edda.StreamHash(edda.DefaultNamespace, stream), 4)
	return hi
}

// effect is what the handling of a note leaves behind: N counts the notes of the key.
type effect struct {
	Of    string `json:"of"`
	Shard string `json:"shard"`
	Key   string `json:"key"`
	N     int    `json:"n"`
}

// probed is the state of a key as a probe has found it.
type probed struct {
	n     int
	twice []string
}

// delivered is what is remembered of the messages of a key and group on one node.
type delivered struct {
	offset  uint64 // the latest
	running int
}

// streamJournal is what the members on one node have seen.
type streamJournal struct {
	mu       sync.Mutex // guards what follows
	keys     map[string]*delivered
	attempts map[string]int    // by group and place, the latest
	handled  map[string]bool   // by group and name
	probes   map[string]probed // by name of the probe
	lies     []error
}

func newStreamJournal() *streamJournal {
	return &streamJournal{keys: map[string]*delivered{}, attempts: map[string]int{}, handled: map[string]bool{}, probes: map[string]probed{}}
}

// came notes that a message has come to a member of a group, and returns what there is
// of its key. The messages of a key come in order; one that came before does not come
// once a later one has.
func (j *streamJournal) came(group, shard, key, name string, offset uint64, attempt int) *delivered {
	place := fmt.Sprintf("%s %s/%d", group, shard, offset)
	j.handled[group+" "+name] = true
	late := attempt < j.attempts[place] // somebody has it by now, and has said so before
	j.attempts[place] = max(attempt, j.attempts[place])
	of := fmt.Sprintf("%s %s/%s", group, shard, key)
	if key == "" {
		of = place
	}
	d := j.keys[of]
	if d == nil {
		d = &delivered{offset: offset}
		j.keys[of] = d
	}
	if offset < d.offset && !late {
		j.lies = append(j.lies, fmt.Errorf("%s: %s of key %q at %d came after %d", group, name, key, offset, d.offset))
	}
	d.offset = max(d.offset, offset)
	return d
}

// enter notes that a handler begins, and returns what is to be called when it ends. No
// other has the key meanwhile.
func (j *streamJournal) enter(ctx *edda.Context, name string) func() {
	d := ctx.Delivery()
	j.mu.Lock()
	defer j.mu.Unlock()
	k := j.came(d.Stream+"/"+d.Group, d.Shard, ctx.Key(), name, d.Offset, ctx.Attempt())
	if k.running++; k.running > 1 {
		j.lies = append(j.lies, fmt.Errorf("%d handlers have key %q of %s/%s at a time", k.running, ctx.Key(), d.Stream, d.Shard))
	}
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		k.running--
	}
}

// read notes that a member has read a message.
func (j *streamJournal) read(group string, d *edda.Delivery, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.came(group, d.Shard, d.Key, name, d.Offset, d.Attempt)
}

func (j *streamJournal) errors() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.lies...)
}

// consumers returns the members in process.
func (j *streamJournal) consumers() []*edda.Service {
	first, next := edda.NewConsumer(orders, hosted), edda.NewConsumer(away, hosted)
	for _, s := range []*edda.Service{first, next} {
		s.Group.From = edda.FromStart
		s.Group.Retry = edda.RetryPolicy{Max: -1, Delay: 200 * time.Microsecond, MaxDelay: 2 * time.Millisecond}
	}
	first.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var n note
		if err := json.Unmarshal(m.Payload, &n); err != nil {
			return nil, edda.Final("MALFORMED", "%v", err)
		}
		defer j.enter(ctx, n.Name)()
		if n.Probe {
			return nil, j.probe(ctx, n.Name)
		}
		return nil, handleNote(ctx, &n)
	})
	next.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var e effect
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			return nil, edda.Final("MALFORMED", "%v", err)
		}
		defer j.enter(ctx, e.Of)()
		return nil, ctx.Append(&edda.Append{Stream: onward, Messages: []edda.StreamMessage{{Key: ctx.Key(), Payload: m.Payload}}})
	})
	return []*edda.Service{first, next}
}

// handleNote counts the note in the state of its key and appends that. An attempt that
// fails has done so before: nothing of it may be seen.
func handleNote(ctx *edda.Context, n *note) error {
	e := effect{Of: n.Name, Shard: ctx.Delivery().Shard, Key: ctx.Key()}
	if e.Key != "" {
		count, _, err := edda.Get[int](ctx, "n")
		if err != nil {
			return err
		}
		e.N = count + 1
		row := "note/" + n.Name
		if _, twice, err := edda.Get[int](ctx, row); err != nil {
			return err
		} else if twice {
			row = "twice/" + n.Name
		}
		if err := errors.Join(edda.Set(ctx, row, e.N), edda.Set(ctx, "n", e.N)); err != nil {
			return err
		}
	}
	key := ""
	if e.Key != "" {
		key = e.Shard + "-" + e.Key
	}
	for _, to := range []string{nearby, away} {
		a := &edda.Append{Stream: to, Messages: []edda.StreamMessage{{Key: key, Payload: edda.JSON(e)}}}
		if err := ctx.Append(a); err != nil {
			return err
		}
	}
	switch {
	case n.Final:
		return edda.Final("TOLD", "final, as it was told to")
	case ctx.Attempt() <= n.Fail:
		return errors.New("fails, as it was told to")
	}
	return nil
}

// probe notes the state of a key.
func (j *streamJournal) probe(ctx *edda.Context, name string) error {
	var p probed
	var err error
	if p.n, _, err = edda.Get[int](ctx, "n"); err != nil {
		return err
	}
	rows := 0
	for _, err := range ctx.List("note/") {
		if err != nil {
			return err
		}
		rows++
	}
	for e, err := range ctx.List("twice/") {
		if err != nil {
			return err
		}
		p.twice = append(p.twice, e.Name)
	}
	if rows != p.n {
		p.twice = append(p.twice, fmt.Sprintf("%d rows", rows))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.probes[name] = p
	return nil
}
