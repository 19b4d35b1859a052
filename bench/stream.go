package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// What the rows of streams append to.
const (
	streamName  = "bench-stream"
	groupName   = "bench-group"
	streamCount = 64
	// groupMembers is how many members the rows of groups have.
	groupMembers = 4
	// loadBatch is how many messages are appended at a time where a row needs many, and
	// readPage how many are read.
	loadBatch = 1000
	readPage  = 10_000
	// behindTimes is how many times Options.Completed the group of the row group-behind
	// is behind.
	behindTimes = 10
)

// openStreamAppend readies the row stream-append: single messages, spread over
// streams.
func openStreamAppend(ctx context.Context, e *env, _ int) (*driver, error) {
	return openOnNode(ctx, e, func(n *node.Node) (func(context.Context, int) error, func() error, error) {
		body, keys := payload(), allKeys()
		streams := make([]string, streamCount)
		for i := range streams {
			streams[i] = fmt.Sprintf("%s-%d", streamName, i)
		}
		return func(ctx context.Context, caller int) error {
			return appendOne(ctx, n, streams[caller%len(streams)], keys[caller%len(keys)], body)
		}, nil, nil
	})
}

func appendOne(ctx context.Context, n *node.Node, stream, key string, body []byte) error {
	_, err := n.Append(ctx, &edda.Append{Stream: stream, Messages: []edda.StreamMessage{{Key: key, ContentType: contentType, Payload: body}}})
	return err
}

// appendMany appends count messages, a batch at a time.
func appendMany(ctx context.Context, n *node.Node, stream string, count int) error {
	const inFlight = 4
	body, keys := payload(), allKeys()
	return times((count+loadBatch-1)/loadBatch, inFlight, func(i int) error {
		a := &edda.Append{Stream: stream, Messages: make([]edda.StreamMessage, min(loadBatch, count-i*loadBatch))}
		for j := range a.Messages {
			a.Messages[j] = edda.StreamMessage{Key: keys[j%len(keys)], ContentType: contentType, Payload: body}
		}
		_, err := n.Append(ctx, a)
		return err
	})
}

// handled is what a member says of a message that a caller has sent.
type handled struct {
	number uint64
	began  time.Time
}

// groupLoad is callers who append one message after the other, each with a key of its
// own, and members of a group who say when they have them.
type groupLoad struct {
	n       *node.Node
	svc     *edda.Service
	callers []groupCaller
	members []*groupMember
}

// groupCaller is one caller and what was handled of its messages.
type groupCaller struct {
	key  string
	sent uint64
	last atomic.Uint64
	got  chan handled
}

// openGroup readies the row group: a message from its append to its end at one of the
// members, in order for each key.
func openGroup(ctx context.Context, e *env, inFlight int) (*driver, error) {
	return openOnNode(ctx, e, func(n *node.Node) (func(context.Context, int) error, func() error, error) {
		g, err := newGroupLoad(ctx, n, inFlight)
		if err != nil {
			return nil, nil, err
		}
		return func(ctx context.Context, caller int) error {
			_, _, err := g.send(ctx, caller)
			return err
		}, g.stop, nil
	})
}

func newGroupLoad(ctx context.Context, n *node.Node, callers int) (*groupLoad, error) {
	g := &groupLoad{n: n, svc: edda.NewConsumer(streamName, groupName), callers: make([]groupCaller, callers)}
	for i := range g.callers {
		g.callers[i].key, g.callers[i].got = keyName(i), make(chan handled, 1)
	}
	g.svc.HandleAny(g.handle)
	for i := range groupMembers {
		m := &groupMember{svc: g.svc}
		w, err := n.Attach(ctx, node.WorkerSpec{
			ID: fmt.Sprintf("member-%d", i), Transport: "in-process", Services: []edda.ServiceSpec{g.svc.Spec()},
		}, m)
		if err != nil {
			return nil, errors.Join(err, g.stop())
		}
		m.worker = w
		g.members = append(g.members, m)
	}
	return g, nil
}

// send appends the caller's next message and waits until it was handled. It returns
// when the append was acknowledged, and when the handler began.
func (g *groupLoad) send(ctx context.Context, caller int) (acknowledged, began time.Time, err error) {
	c := &g.callers[caller]
	c.sent++
	body := payload()
	binary.LittleEndian.PutUint64(body, c.sent)
	binary.LittleEndian.PutUint64(body[8:], uint64(caller))
	if err := appendOne(ctx, g.n, streamName, c.key, body); err != nil {
		return acknowledged, began, err
	}
	acknowledged = time.Now()
	select {
	case h := <-c.got:
		if h.number != c.sent {
			return acknowledged, began, fmt.Errorf("caller %d has message %d handled, want %d", caller, h.number, c.sent)
		}
		return acknowledged, h.began, nil
	case <-ctx.Done():
		return acknowledged, began, ctx.Err()
	}
}

// handle is the members' handler. A message that comes again, or before an earlier one
// of its key, is an error that the caller sees.
func (g *groupLoad) handle(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
	began := time.Now()
	number, caller := binary.LittleEndian.Uint64(m.Payload), binary.LittleEndian.Uint64(m.Payload[8:])
	c := &g.callers[caller]
	if c.last.Swap(number) != number-1 {
		number = 0
	}
	c.got <- handled{number: number, began: began}
	return nil, nil //nolint:nilnil // an empty reply
}

// stop takes the members away once they have nothing to do.
func (g *groupLoad) stop() error {
	for _, m := range g.members {
		m.running.Wait()
		m.worker.Detach()
	}
	return nil
}

// groupMember is a member of a group in this process.
type groupMember struct {
	svc     *edda.Service
	worker  *node.Worker
	running sync.WaitGroup
}

// Start runs the handler.
func (m *groupMember) Start(a *node.Attempt) {
	m.running.Go(func() {
		a.Taken()
		out := m.svc.Invoke(a.Context(), a.Dispatch())
		_ = a.Done(&out) // an attempt that was given up is handled again, which the caller sees
	})
}

// Fenced, Members and Drain have nothing to say to it.
func (m *groupMember) Fenced(*node.Attempt, error)    {}
func (m *groupMember) Members(edda.Address, []string) {}
func (m *groupMember) Drain(string, bool)             {}

// measureGroupStart measures how long after the acknowledgement of an append the
// handler starts; zero when it starts before.
func measureGroupStart(ctx context.Context, e *env, _ *spec) (r Result, err error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	n, err := openNode(ctx, dir, e.Durability)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stopNode(n)) }()
	g, err := newGroupLoad(ctx, n, 1)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	var s series
	for over := time.Now().Add(e.Duration); time.Now().Before(over) || s.ops == 0; s.ops++ {
		acknowledged, began, err := g.send(ctx, 0)
		if err != nil {
			return r, err
		}
		s.hist.add(0, max(began.Sub(acknowledged), 0))
	}
	s.fill(&r)
	r.Value = r.P50Micros
	return r, nil
}

// measureStreamRead measures how fast one reader in process gets through the history
// of one stream.
func measureStreamRead(ctx context.Context, e *env, _ *spec) (r Result, err error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	if err := e.withNode(ctx, dir, func(n *node.Node) error { return appendMany(ctx, n, streamName, e.Completed) }); err != nil {
		return r, err
	}
	var s series
	err = e.withNode(ctx, dir, func(n *node.Node) error {
		for over := time.Now().Add(e.Duration); time.Now().Before(over) || len(s.rates) == 0; {
			began, cpu := time.Now(), processCPU()
			count, err := readAll(ctx, n, streamName, &s.hist)
			if err != nil {
				return err
			}
			if count != e.Completed {
				return fmt.Errorf("read %d messages, want %d", count, e.Completed)
			}
			s.rates = append(s.rates, float64(count)/time.Since(began).Seconds())
			s.ops, s.cpu = s.ops+int64(count), s.cpu+processCPU()-cpu
		}
		return nil
	})
	s.fill(&r)
	return r, err
}

// readAll reads a stream from its start to its end, and notes how long each page took.
func readAll(ctx context.Context, n *node.Node, stream string, pages *histogram) (count int, err error) {
	from := edda.FromStart
	for {
		began := time.Now()
		page, err := n.ReadStream(ctx, edda.Read{Stream: stream, From: from, Limit: readPage})
		if err != nil {
			return count, err
		}
		pages.add(0, time.Since(began))
		for i := range page.Messages {
			if m := &page.Messages[i]; m.Offset != uint64(count) || len(m.Payload) != payloadBytes {
				return count, fmt.Errorf("message %d has offset %d and %d bytes", count, m.Offset, len(m.Payload))
			}
			count++
		}
		if page.Next == page.End {
			return count, nil
		}
		from = edda.FromOffset(page.Next)
	}
}

// withNode runs f on a node in the directory.
func (e *env) withNode(ctx context.Context, dir string, f func(*node.Node) error) (err error) {
	n, err := openNode(ctx, dir, e.Durability)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopNode(n)) }()
	return f(n)
}

// measureGroupBehind measures what a group that is far behind costs those who append to
// its stream. The floor is the same appends to a stream without a group.
func measureGroupBehind(ctx context.Context, e *env, s *spec) (r Result, err error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return r, err
	}
	defer remove()
	err = e.withNode(ctx, dir, func(n *node.Node) error {
		if _, _, err := n.SetGroup(ctx, edda.GroupSpec{Stream: streamName, Name: groupName, From: edda.FromStart}); err != nil {
			return err
		}
		if err := appendMany(ctx, n, streamName, behindTimes*e.Completed); err != nil {
			return err
		}
		body, keys := payload(), allKeys()
		to := func(stream string) *driver {
			return &driver{op: func(ctx context.Context, caller int) error {
				return appendOne(ctx, n, stream, keys[caller%len(keys)], body)
			}}
		}
		var values, floors series
		if err := takeTurns(ctx, e, turn{s.inFlight, to(streamName), &values}, turn{s.inFlight, to(streamName + "-alone"), &floors}); err != nil {
			return err
		}
		values.fill(&r)
		r.FloorName, r.Floor, r.Compares = "without a group", floors.rate(), "value"
		r.Ratio = quotient(r.Value, r.Floor)
		return nil
	})
	return r, err
}

// fillStreams leaves 1,000 streams of a thousandth of the messages each, or as many fewer as
// have 100 messages each.
func fillStreams(ctx context.Context, n *node.Node, messages int) error {
	const inFlight = 16
	streams := max(min(1000, messages/100), 1)
	return times(streams, inFlight, func(i int) error {
		return appendMany(ctx, n, fmt.Sprintf("%s-%d", streamName, i), max(messages/streams, 1))
	})
}
