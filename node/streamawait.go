package node

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/edda-io/edda"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
)

// awaitKey says which message somebody waits for. The stream need not be there yet.
type awaitKey struct{ namespace, stream, id string }

// awaiter is somebody who waits for a message.
type awaiter struct {
	key awaitKey
	got chan awaited // gets one
}

// awaited is what has become of it.
type awaited struct {
	shard string
	entry streamfold.Entry
	err   error
}

// AwaitMessage returns the message with an id as soon as there is one. See
// edda.StreamBackend. A stream that there is not yet is waited for too.
func (n *Node) AwaitMessage(ctx context.Context, namespace, stream, id string, wait time.Duration) (*edda.StreamMessage, error) {
	if err := (&edda.Read{Namespace: namespace, Stream: stream, Wait: wait}).Validate(); err != nil {
		return nil, err
	}
	if err := edda.CheckMessageID(id); err != nil {
		return nil, err
	}
	w := &awaiter{key: awaitKey{cmp.Or(namespace, edda.DefaultNamespace), stream, id}, got: make(chan awaited, 1)}
	op := "await a message of stream " + stream
	p := n.streamHome(w.key.namespace, stream)
	var failed error
	if err := n.inPartition(ctx, p, op, func() { failed = p.await(op, w, wait > 0) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case a := <-w.got:
		return a.message(op)
	case <-t.C:
	case <-ctx.Done():
	}
	always := context.WithoutCancel(ctx) // a look takes no longer than the partition's round
	if err := n.inPartition(always, p, op, func() { failed = p.forgetAwaiter(op, w) }); err != nil {
		return nil, err
	}
	select {
	case a := <-w.got: // it came at the same time
		return a.message(op)
	default:
	}
	if ctx.Err() != nil {
		return nil, &edda.Error{Op: op, Reason: edda.Timeout, Err: context.Cause(ctx)}
	}
	return nil, failed
}

// message is what whoever has waited gets.
func (a *awaited) message(op string) (*edda.StreamMessage, error) {
	if a.err != nil {
		return nil, a.err
	}
	var d edda.StreamDecoder
	m := new(edda.StreamMessage)
	if err := decodeEntry(&d, m, a.shard, &a.entry); err != nil {
		return nil, errInternal(op, err)
	}
	return m, nil
}

// await gives a message that is there to whoever wants it; else it has them wait, or
// returns why there is none.
func (p *partition) await(op string, w *awaiter, stays bool) error {
	s := p.streams.Stream(w.key.namespace, w.key.stream)
	if s != nil {
		at, known, err := p.streams.Find(s, w.key.id)
		if err != nil {
			return errInternal(op, err)
		}
		if known {
			return p.fetch(op, w, s, at)
		}
	}
	if !stays {
		return p.notThere(op, w)
	}
	p.awaiting[w.key] = append(p.awaiting[w.key], w)
	return nil
}

// notThere is why nobody gets a message that has not come.
func (p *partition) notThere(op string, w *awaiter) error {
	if _, err := p.findStream(op, w.key.namespace, w.key.stream); err != nil {
		return err
	}
	return errNoMessage(op, w.key.id, "it has not come, or was forgotten")
}

func errNoMessage(op, id, why string) error {
	return &edda.Error{Op: op, Reason: edda.NoMessage, Err: fmt.Errorf("there is no message %q: %s", id, why)}
}

// fetch gives a message that was appended to whoever wants it.
func (p *partition) fetch(op string, w *awaiter, s *streamfold.Stream, at streamfold.Place) error {
	sh := s.ByIndex(at.Shard)
	v := p.streams.View(s, sh)
	if at.Offset < v.First {
		return errNoMessage(op, w.key.id, "it is not kept any more")
	}
	entries, _, err := v.Read(p.table, at.Offset, 1, math.MaxInt)
	if err != nil {
		return errInternal(op, err)
	}
	if len(entries) == 0 || entries[0].Offset != at.Offset {
		return errInternal(op, fmt.Errorf("message %d of shard %s is missing", at.Offset, sh.Name))
	}
	w.got <- awaited{shard: sh.Name, entry: entries[0]}
	return nil
}

// wakeAwaiters gives new messages to those who wait for them.
func (p *partition) wakeAwaiters(e *streamfold.Effect) {
	if len(p.awaiting) == 0 {
		return
	}
	key := awaitKey{e.Stream.Spec.Namespace, e.Stream.Spec.Name, ""}
	var names record.MessageNames
	v := p.streams.View(e.Stream, e.Shard)
	entries, _, err := v.Read(p.table, e.First, e.N, math.MaxInt)
	for i := range entries {
		if err = names.Read(entries[i].Message); err != nil {
			break
		}
		key.id = string(names.Given)
		waiters := p.awaiting[key]
		if len(names.Given) == 0 || len(waiters) == 0 {
			continue
		}
		delete(p.awaiting, key)
		for _, w := range waiters {
			w.got <- awaited{shard: e.Shard.Name, entry: entries[i]}
		}
	}
	if err != nil {
		p.n.log.Error("messages that are awaited cannot be read", "stream", key.stream, "error", err)
	}
}

// forgetAwaiter is for one who waits no longer, and returns why there was nothing.
func (p *partition) forgetAwaiter(op string, w *awaiter) error {
	left := slices.DeleteFunc(p.awaiting[w.key], func(other *awaiter) bool { return other == w })
	if len(left) == 0 {
		delete(p.awaiting, w.key)
	} else {
		p.awaiting[w.key] = left
	}
	return p.notThere(op, w)
}

// endAwaiters tells those who wait for messages of a stream, or of all when it is nil,
// that none comes.
func (p *partition) endAwaiters(s *streamfold.Stream, err error) {
	for key, waiters := range p.awaiting {
		if s != nil && (key.namespace != s.Spec.Namespace || key.stream != s.Spec.Name) {
			continue
		}
		delete(p.awaiting, key)
		for _, w := range waiters {
			w.got <- awaited{err: err}
		}
	}
}
