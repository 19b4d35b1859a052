package crashtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/edda-io/edda"
)

// note is what a message of the tests says. Every note is known by its name, and leaves
// it behind wherever it has an effect. The moments are those of the ledger's clock; 0 is
// never.
type note struct {
	Name string `json:"name"`
	// Fail is how many attempts of a member in process fail, Final that all do.
	Fail  int  `json:"fail,omitempty"`
	Final bool `json:"final,omitempty"`
	// Probe asks the member for the state of the key, and has no effect.
	Probe bool `json:"probe,omitempty"`

	key, id string
	reply   bool // it says where replies go

	acked  int // somebody was told where it is
	stream string
	shard  string
	offset uint64
	absent bool // it is known not to be there
}

func (n *note) place() string { return fmt.Sprintf("%s/%s/%d", n.stream, n.shard, n.offset) }

// post is one append.
type post struct {
	stream, shard string
	notes         []*note
	whole         bool    // all notes are new: they are there together, or none is
	after         *uint64 // the last offset that is expected

	submitted int // first moment the node may have had it
	asking    int // appends that have no answer yet
	doubt     bool
	refusal   string // the last one
}

// refused reports whether every answer said that nothing was appended.
func (p *post) refused() bool { return p.asking == 0 && !p.doubt && p.notes[0].acked == 0 }

// mark is what somebody has seen that does not go back: a cursor of a group, or the
// first or the end of a shard.
type mark struct {
	what, shard string
	offset      uint64
	moment      int
}

// streamLedger is what producers, members and onlookers of a node have been told.
type streamLedger struct {
	mu      sync.Mutex // guards what follows
	clock   int
	names   int
	posts   []*post
	groups  map[string]int // when somebody was told that it is there
	started map[string]int // by group and note: when a member first was about to acknowledge it
	done    map[string]int // by group and note: when a member was told that it has
	effects map[string]int // by note: when its effect was first read
	marks   []mark
	lies    []error
}

func newStreamLedger() *streamLedger {
	return &streamLedger{groups: map[string]int{}, started: map[string]int{}, done: map[string]int{}, effects: map[string]int{}}
}

func (l *streamLedger) String() string {
	return fmt.Sprintf("%d appends of %d messages, %d acknowledged by members", len(l.posts), l.names, len(l.done))
}

func (l *streamLedger) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock
}

// tick does something at a new moment.
func (l *streamLedger) tick(f func(now int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	f(l.clock)
}

func (l *streamLedger) lief(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lies = append(l.lies, fmt.Errorf(format, args...))
}

func (l *streamLedger) contradictions() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.lies...)
}

// submit notes an append before the node gets it.
func (l *streamLedger) submit(p *post) {
	l.tick(func(now int) {
		p.submitted, p.asking = now, 1
		l.posts = append(l.posts, p)
		p.whole = true
		for _, n := range p.notes {
			if n.Name == "" {
				l.names++
				n.Name, n.stream = fmt.Sprintf("m%d", l.names), p.stream
			} else {
				p.whole = false
			}
		}
	})
}

// again notes that an append is repeated.
func (l *streamLedger) again(p *post) { l.tick(func(int) { p.asking++ }) }

// answered notes what an append has brought.
func (l *streamLedger) answered(p *post, ack *edda.AppendAck, err error) {
	l.tick(func(now int) {
		p.asking--
		if err != nil {
			switch edda.ReasonOf(err) {
			case edda.ExpectedOffset, edda.Unavailable, edda.Draining, edda.Overloaded:
				p.refusal = err.Error()
			default:
				p.doubt = true
			}
			return
		}
		fresh := 0
		for i, n := range p.notes {
			it := &ack.Items[i]
			if n.acked != 0 && (n.shard != it.Shard || n.offset != it.Offset) {
				l.lies = append(l.lies, fmt.Errorf("%s: appended at %s, then at %s/%d", n.Name, n.place(), it.Shard, it.Offset))
			}
			if n.acked == 0 {
				n.acked, n.shard, n.offset = now, it.Shard, it.Offset
			}
			if it.Replayed {
				continue
			}
			if fresh++; p.after != nil && it.Offset != *p.after+uint64(fresh) {
				l.lies = append(l.lies, fmt.Errorf("%s: appended at %s if the last offset is %d", n.Name, n.place(), *p.after))
			}
		}
	})
}

// start notes that a member is about to acknowledge messages of a group.
func (l *streamLedger) start(group string, names ...string) {
	l.tick(func(now int) {
		for _, name := range names {
			if at := group + " " + name; l.started[at] == 0 {
				l.started[at] = now
			}
		}
	})
}

// ended notes that a message was acknowledged.
func (l *streamLedger) ended(group, name string) {
	l.tick(func(now int) {
		if at := group + " " + name; l.done[at] == 0 {
			l.done[at] = now
		}
	})
}

// doneBefore reports whether somebody was told before a moment that a message is done
// with.
func (l *streamLedger) doneBefore(group, name string, moment int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.done[group+" "+name]
	return at != 0 && at <= moment
}

// saw notes that an effect was read.
func (l *streamLedger) saw(name string) {
	l.tick(func(now int) {
		if l.effects[name] == 0 {
			l.effects[name] = now
		}
	})
}

// mark notes what does not go back.
func (l *streamLedger) mark(what, shard string, offset uint64) {
	l.tick(func(now int) {
		for i := len(l.marks) - 1; i >= 0; i-- {
			if m := &l.marks[i]; m.what == what && m.shard == shard {
				if m.offset > offset {
					l.lies = append(l.lies, fmt.Errorf("%s of %s was %d, then %d", what, shard, m.offset, offset))
				}
				if m.offset == offset {
					return
				}
				break
			}
		}
		l.marks = append(l.marks, mark{what, shard, offset, now})
	})
}

func (l *streamLedger) rewind(moment int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(moment)
}

// at returns the ledger as it was at a moment; what members began until another one
// may have happened.
func (l *streamLedger) at(moment, until int) *streamLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &streamLedger{
		groups: maps.Clone(l.groups), started: maps.Clone(l.started), done: maps.Clone(l.done), effects: maps.Clone(l.effects),
		marks: slices.Clone(l.marks),
	}
	notes := map[*note]*note{}
	for _, p := range l.posts {
		p := *p
		p.notes = slices.Clone(p.notes)
		for i, n := range p.notes {
			if notes[n] == nil {
				notes[n] = new(*n)
			}
			p.notes[i] = notes[n]
		}
		c.posts = append(c.posts, &p)
	}
	maps.DeleteFunc(c.started, func(_ string, at int) bool { return at > until })
	c.forget(moment)
	return c
}

// forget drops what was told after a moment.
func (l *streamLedger) forget(moment int) {
	for _, p := range l.posts {
		for _, n := range p.notes {
			if n.acked > moment {
				n.acked, n.shard, n.offset, p.doubt = 0, "", 0, true
			}
		}
	}
	later := func(_ string, at int) bool { return at > moment }
	maps.DeleteFunc(l.groups, later)
	maps.DeleteFunc(l.done, later)
	maps.DeleteFunc(l.effects, later)
	l.marks = slices.DeleteFunc(l.marks, func(m mark) bool { return m.moment > moment })
}

// highest returns the marks that are farthest, by what and shard.
func (l *streamLedger) highest() map[[2]string]uint64 {
	high := map[[2]string]uint64{}
	for _, m := range l.marks {
		at := [2]string{m.what, m.shard}
		high[at] = max(high[at], m.offset)
	}
	return high
}
