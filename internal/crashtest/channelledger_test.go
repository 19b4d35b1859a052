package crashtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/edda-io/edda"
)

// saying is one publication of a caller. The moments are those of the ledger's clock; 0
// is never.
type saying struct {
	channel string
	names   []string // of its messages
	ids     bool     // the names are their ids too

	submitted int // first moment the node may have had it
	asking    int // appends that have no answer yet
	doubt     bool
	acked     int      // somebody was told where they are
	offsets   []uint64 // there
	absent    bool     // it is known not to be there
}

// refused reports whether every answer said that nothing was published.
func (s *saying) refused() bool { return s.asking == 0 && !s.doubt && s.acked == 0 }

func (s *saying) append() *edda.Append {
	a := &edda.Append{Channel: s.channel}
	for _, name := range s.names {
		m := edda.StreamMessage{Type: "said", Payload: []byte(name)}
		if s.ids {
			m.ID = name
		}
		a.Messages = append(a.Messages, m)
	}
	return a
}

// cry is a request whose handler publishes.
type cry struct {
	Name string `json:"name"`
	Fail int    `json:"fail,omitempty"` // that many attempts fail, when they have published

	key              string
	submitted, acked int
}

// change is that a channel was set, with a version in its spec, or removed. Those of one
// channel come one after the other.
type change struct {
	channel             string
	version             int // zero: removed
	submitted, answered int
}

// channelLedger is what publishers of a node, and those who set its channels, have been
// told.
type channelLedger struct {
	mu      sync.Mutex // guards what follows
	clock   int
	names   int
	sayings []*saying
	cries   []*cry
	changes []*change
	lies    []error
}

func (l *channelLedger) String() string {
	return fmt.Sprintf("%d publications of callers, %d of handlers, %d changes of channels", len(l.sayings), len(l.cries), len(l.changes))
}

func (l *channelLedger) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock
}

// tick does something at a new moment.
func (l *channelLedger) tick(f func(now int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	f(l.clock)
}

func (l *channelLedger) lief(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lies = append(l.lies, fmt.Errorf(format, args...))
}

func (l *channelLedger) contradictions() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.lies...)
}

// name makes up the name of a message. The caller has the lock.
func (l *channelLedger) name() string {
	l.names++
	return fmt.Sprintf("m%d", l.names)
}

// say notes a publication before the node gets it.
func (l *channelLedger) say(s *saying, messages int) {
	l.tick(func(now int) {
		s.submitted, s.asking = now, 1
		for range messages {
			s.names = append(s.names, l.name())
		}
		l.sayings = append(l.sayings, s)
	})
}

// said notes what a publication has brought.
func (l *channelLedger) said(s *saying, ack *edda.AppendAck, err error) {
	l.tick(func(now int) {
		s.asking--
		if err != nil {
			switch edda.ReasonOf(err) {
			case edda.NoChannel, edda.Unavailable, edda.Draining, edda.Overloaded:
			default:
				s.doubt = true
			}
			return
		}
		var offsets []uint64
		for i := range ack.Items {
			offsets = append(offsets, ack.Items[i].Offset)
		}
		if s.acked != 0 && s.channel != fleeting && !slices.Equal(offsets, s.offsets) {
			l.lies = append(l.lies, fmt.Errorf("%v was published to %s at %v, then at %v", s.names, s.channel, s.offsets, offsets))
		}
		s.acked, s.offsets = now, offsets
	})
}

func (l *channelLedger) rewind(moment int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(moment)
}

// at returns the ledger as it was at a moment, with all that was asked for until another
// one, because that may have happened.
func (l *channelLedger) at(moment, until int) *channelLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &channelLedger{}
	for _, s := range l.sayings {
		c.sayings = append(c.sayings, new(*s))
	}
	for _, q := range l.cries {
		if q.submitted <= until {
			c.cries = append(c.cries, new(*q))
		}
	}
	for _, ch := range l.changes {
		if ch.submitted <= until {
			c.changes = append(c.changes, new(*ch))
		}
	}
	c.forget(moment)
	return c
}

// forget drops what was told after a moment.
func (l *channelLedger) forget(moment int) {
	for _, s := range l.sayings {
		if s.acked > moment {
			s.acked, s.offsets, s.doubt = 0, nil, true
		}
		if s.submitted > moment {
			s.doubt = true // an answer that it was refused has not come yet, too
		}
	}
	for _, q := range l.cries {
		if q.acked > moment {
			q.acked = 0
		}
	}
	for _, ch := range l.changes {
		if ch.answered > moment {
			ch.answered = 0
		}
	}
}
