package relay

import (
	"context"
	"errors"
	"slices"

	"github.com/edda-io/edda"
)

// shardQueue is what waits for one shard of the stream.
type shardQueue struct {
	name  string
	queue []edda.StreamMessage
	busy  bool // an append is under way
	// met is set once an append was acknowledged. The first one has a single message, which says
	// how far the stream has come.
	met bool
	// ahead is the last message that the shard has, when it was not sent here: by another process,
	// or by this one before. Its Number is zero when there is none. It was heard of when so many
	// reads had begun. Events up to it are not sent but held, and count as relayed once it has
	// turned out to be the event of that number.
	ahead edda.Numbered
	reads uint64
	held  []uint64
}

// appendDone is the end of an append.
type appendDone struct {
	shard    int
	messages []edda.StreamMessage
	ack      *edda.AppendAck
	err      error
}

// startAppend appends what waits for a shard, if nothing is under way there.
func (s *session) startAppend(ctx context.Context, shard int) {
	sh := &s.shards[shard]
	if sh.busy || len(sh.queue) == 0 {
		return
	}
	sh.busy = true
	a := &edda.Append{Namespace: s.o.Namespace, Stream: s.o.Stream, Shard: sh.name, Producer: s.row.Producer, Messages: sh.batch()}
	s.wg.Go(func() {
		ack, err := s.o.Backend.Append(ctx, a)
		s.done <- appendDone{shard: shard, messages: a.Messages, ack: ack, err: err}
	})
}

// batch takes what goes into the next append.
func (sh *shardQueue) batch() []edda.StreamMessage {
	n, bytes := 0, 0
	for n < len(sh.queue) && n < maxBatch && (n == 0 || sh.met) {
		bytes += sh.queue[n].BinarySize()
		if n > 0 && bytes > maxBatchBytes {
			break
		}
		n++
	}
	batch := sh.queue[:n:n]
	if sh.queue = sh.queue[n:]; len(sh.queue) == 0 {
		sh.queue = nil
	}
	return batch
}

// route has an event sent, unless the shard has it.
func (s *session) route(shard int, m *edda.StreamMessage) error {
	sh := &s.shards[shard]
	switch ahead := &sh.ahead; {
	case ahead.Number == 0:
		sh.queue = append(sh.queue, *m)
		s.pending++
	case m.Number < ahead.Number:
		sh.held = append(sh.held, m.Number)
	case m.Number == ahead.Number && m.ID == ahead.ID:
		s.mark(m.Number)
		for _, number := range sh.held {
			s.mark(number)
		}
		sh.ahead, sh.held = edda.Numbered{}, nil
	case m.Number == ahead.Number:
		return s.restoredError(sh.name, *ahead, m.ID)
	default:
		return s.restoredError(sh.name, *ahead, "")
	}
	return nil
}

func (s *session) mark(number uint64) { s.window[number-s.acked.Number-1].acked = true }

// allThere is called when all that the read with this number could see was routed: what a shard
// has of this producer the database must have too.
func (s *session) allThere(read uint64) error {
	for i := range s.shards {
		if sh := &s.shards[i]; sh.ahead.Number > 0 && sh.reads < read {
			return s.restoredError(sh.name, sh.ahead, "")
		}
	}
	return nil
}

// errNoProducers says that a node does not know of numbers.
var errNoProducers = errors.New("the node knows nothing of producers that number their messages: it is of an earlier release than this program")

// appended takes the end of an append.
func (s *session) appended(ctx context.Context, d appendDone) error {
	sh := &s.shards[d.shard]
	sh.busy = false
	if d.err != nil {
		return d.err
	}
	if err := s.verify(sh, &d); err != nil {
		return err
	}
	sh.met, s.acked.Memory = true, d.ack.Durability == edda.Memory
	s.pending -= len(d.messages)
	if last := d.ack.Last; last.Number > d.messages[len(d.messages)-1].Number {
		return s.behind(d.shard, d.messages, last)
	}
	for i := range d.messages {
		s.mark(d.messages[i].Number)
	}
	s.advance()
	fresh := len(d.ack.Items)
	for i := range d.ack.Items {
		if d.ack.Items[i].Replayed {
			fresh--
		}
	}
	s.o.Metrics.events.WithLabelValues(s.o.App).Add(float64(fresh))
	if fresh == 0 {
		s.reload = true // somebody else is at it
	}
	s.goesOn(ctx)
	return nil
}

// verify checks that the last message of this producer in a shard is the event which has that
// number here.
func (s *session) verify(sh *shardQueue, d *appendDone) error {
	last := d.ack.Last
	if last.Number == 0 && !d.ack.Items[0].Replayed {
		return errNoProducers
	}
	i, found := slices.BinarySearchFunc(d.messages, last.Number, func(m edda.StreamMessage, n uint64) int {
		switch {
		case m.Number < n:
			return -1
		case m.Number > n:
			return 1
		}
		return 0
	})
	if found && d.messages[i].ID != last.ID {
		return s.restoredError(sh.name, last, d.messages[i].ID)
	}
	return nil
}

// behind notes that a shard has come further than what was sent here, which it has passed over.
func (s *session) behind(shard int, sent []edda.StreamMessage, last edda.Numbered) error {
	sh := &s.shards[shard]
	waiting := sh.queue
	s.pending -= len(waiting)
	sh.queue, sh.ahead, sh.reads = nil, last, s.reads
	s.news, s.reload = true, true
	for _, some := range [][]edda.StreamMessage{sent, waiting} {
		for i := range some {
			if err := s.route(shard, &some[i]); err != nil {
				return err
			}
		}
	}
	s.advance()
	return nil
}
