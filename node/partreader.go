package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
)

// partPage is how many bytes of parts a reader takes at a time, and partsPage how
// many a list may have; one part aside.
const (
	partPage  = 256 << 10
	partsPage = 4 << 20
)

// errPartsGone: parts were asked for that are not kept.
var errPartsGone = errors.New("the parts are not kept any more")

// partReader follows the parts of one request. It takes a page at a time, and in
// between nobody waits for it: what it has not read lies in the fold or in the
// store. It belongs to one goroutine.
type partReader struct {
	n         *Node
	op        string
	namespace string
	id        edda.ID
	at        edda.PartID   // the last part that it has
	seq       uint64        // of the request
	position  string        // likewise
	wake      chan struct{} // has a signal when there may be more
	home      *partition    // nil before the first look
	known     bool          // to home, which wakes it
}

func (n *Node) newPartReader(namespace string, id edda.ID, after edda.PartID) *partReader {
	return &partReader{
		n: n, op: "read the parts of request " + id.String(), namespace: namespace, id: id, at: after, wake: make(chan struct{}, 1),
	}
}

// Parts yields the parts of a request's reply that come after one. See
// edda.Client.Parts.
func (n *Node) Parts(ctx context.Context, namespace string, id edda.ID, after edda.PartID) iter.Seq2[edda.Part, error] {
	return func(yield func(edda.Part, error) bool) {
		r := n.newPartReader(namespace, id, after)
		defer r.leave()
		for {
			parts, ended, err := r.next(ctx)
			for i := range parts {
				if !yield(parts[i], nil) {
					return
				}
			}
			if err == nil && !ended && len(parts) == 0 {
				_, err = r.wait(ctx, nil)
			}
			if err != nil {
				yield(edda.Part{}, err)
			}
			if err != nil || ended {
				return
			}
		}
	}
}

// PartsPage returns the parts of a request's reply that come after one, at most
// limit (1 to 1,000; zero means 100) and about 4 MiB. When there are none it waits
// for the first until the wait is over. Ended says that the request has ended and
// these are the last ones; how it ended is for Wait to tell.
func (n *Node) PartsPage(ctx context.Context, namespace string, id edda.ID, after edda.PartID, limit int, wait time.Duration) (
	page []edda.Part, ended bool, err error,
) {
	r := n.newPartReader(namespace, id, after)
	defer r.leave()
	if limit, _, err = parsePage(r.op, Page{Limit: limit}); err != nil {
		return nil, false, err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for size := 0; size < partsPage; {
		parts, ended, err := r.next(ctx)
		if ended {
			return page, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		for i := range parts {
			if len(page) == limit {
				return page, false, nil
			}
			page = append(page, parts[i])
			size += len(parts[i].Payload)
		}
		if len(parts) > 0 {
			continue
		}
		if len(page) > 0 {
			break
		}
		if woken, err := r.wait(ctx, t.C); err != nil || !woken {
			return nil, false, err
		}
	}
	return page, false, nil
}

// wait returns true when there may be more, false when the time is over.
func (r *partReader) wait(ctx context.Context, over <-chan time.Time) (bool, error) {
	select {
	case <-r.wake:
		return true, nil
	case <-over:
		return false, nil
	case <-ctx.Done():
		return false, &edda.Error{Op: r.op, Reason: edda.Timeout, RequestID: r.id, Position: r.position, Err: context.Cause(ctx)}
	case <-r.n.halt:
		return false, r.n.notRunning(r.op)
	}
}

// partView is what a reader sees at one moment.
type partView struct {
	reset         *edda.Part
	attempt       int
	after, stored uint64 // the table has the parts between
	recent        []request.Part
	ended         bool  // and there are no more parts
	err           error // the request's outcome, or why there are no parts
}

// next returns the next parts and moves on, or says that the request has ended
// and with which error. Neither means that there is nothing yet.
func (r *partReader) next(ctx context.Context) (parts []edda.Part, ended bool, err error) {
	for range 2 {
		var v partView
		if err := r.n.lookup(ctx, r.op, r.namespace, r.id, func(p *partition, req *request.Request) error {
			r.look(p, req, &v)
			return nil
		}); err != nil {
			return nil, false, err
		}
		if v.reset != nil {
			parts = append(parts, *v.reset)
		}
		if v.stored > v.after {
			v.recent, err = request.ReadParts(r.home.table, r.seq, v.attempt, v.after, v.stored, partPage)
			if err != nil {
				return nil, false, errInternal(r.op, err)
			}
			if len(v.recent) == 0 {
				continue // they were dropped since, and another look shows what there is now
			}
		}
		for _, p := range v.recent {
			r.at.Number++
			parts = append(parts, edda.Part{Attempt: v.attempt, Number: r.at.Number, ContentType: p.ContentType, Payload: p.Payload})
		}
		return parts, v.ended, v.err
	}
	return nil, false, errInternal(r.op, fmt.Errorf("the table does not have what comes after part %s", r.at))
}

// look takes what is there after the last part that the reader has. It runs in the
// partition's goroutine.
func (r *partReader) look(p *partition, req *request.Request, v *partView) {
	r.home, r.seq, r.position = p, req.Seq, position(p.id, req.Position())
	if !r.known && !req.State.Ended() {
		r.known = true
		p.readers[req.Seq] = append(p.readers[req.Seq], r)
	}
	if ps := req.Parts(); ps != nil {
		begin := edda.PartID{Attempt: ps.Attempt, Number: int(ps.Reset)}
		if r.at.Compare(begin) < 0 {
			if r.at != (edda.PartID{}) {
				v.reset = &edda.Part{Attempt: begin.Attempt, Number: begin.Number, Reset: true}
			}
			r.at = begin
		}
		v.attempt, v.after = ps.Attempt, uint64(r.at.Number)
		if r.at.Attempt == ps.Attempt && v.after < ps.Last {
			v.take(r, ps)
			return
		}
	}
	if v.reset == nil && req.State.Ended() {
		res := p.resultOf(req, false)
		v.ended, v.err = true, res.failed(r.op)
	}
}

// take takes the parts after v.after, of which there are some.
func (v *partView) take(r *partReader, ps *request.Parts) {
	switch stored := ps.Stored(); {
	case ps.Lost:
		v.err = &edda.Error{Op: r.op, Reason: edda.ReplyExpired, RequestID: r.id, Position: r.position, Err: errPartsGone}
	case v.after < stored:
		v.stored = stored
	default:
		recent := ps.Recent[v.after-stored:]
		n, size := 0, 0
		for n < len(recent) && (n == 0 || size+len(recent[n].Payload) <= partPage) {
			size += len(recent[n].Payload)
			n++
		}
		v.recent = slices.Clone(recent[:n]) // so that a slow reader holds on to no more than it reads
	}
}

// wakeReaders has those who read the request's parts look again.
func (p *partition) wakeReaders(req *request.Request) {
	for _, r := range p.readers[req.Seq] {
		select {
		case r.wake <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// leave has the partition forget the reader.
func (r *partReader) leave() {
	if !r.known {
		return
	}
	p := r.home
	p.in.do(func() {
		left := slices.DeleteFunc(p.readers[r.seq], func(other *partReader) bool { return other == r })
		if len(left) == 0 {
			delete(p.readers, r.seq)
		} else {
			p.readers[r.seq] = left
		}
	})
}
