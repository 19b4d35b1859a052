package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// tailWait is how long a reader waits at the end of a source before it asks again.
const tailWait = 30 * time.Second

// run is a reader while it is read: a goroutine for each source reads its pages, and
// whoever reads takes them one after the other.
type run struct {
	r      *Reader
	ctx    context.Context
	cancel context.CancelFunc
	pages  chan *page
	woken  chan struct{} // rung when a source has no goroutine any more; room for one ring
	wg     sync.WaitGroup

	reading int // sources with a goroutine; guarded by the reader's mutex

	savedAt time.Time
	saveErr error // why the cursor cannot be kept
}

// page is what was read of a source at a time.
type page struct {
	src      *source
	messages []edda.StreamMessage
	lost     uint64 // how many messages before this were trimmed away before they were read
	next     uint64
	err      error
}

// begin starts to read all sources.
func (r *Reader) begin(ctx context.Context) (*run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run != nil {
		return nil, &edda.Error{Op: "read streams", Reason: edda.Conflict, Err: errReading}
	}
	r.run = &run{r: r, pages: make(chan *page), woken: make(chan struct{}, 1), savedAt: time.Now()}
	r.run.ctx, r.run.cancel = context.WithCancel(ctx)
	for _, s := range r.sources {
		r.run.start(s)
	}
	return r.run, nil
}

// end stops what reads, waits for it, and saves the cursor. Pages that nobody has taken
// are dropped: their sources are where they were.
func (run *run) end() {
	r := run.r
	r.mu.Lock()
	r.run = nil // from here on no source is started
	r.mu.Unlock()
	run.cancel()
	run.wg.Wait()
	if r.o.SaveEvery < 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(run.ctx), 5*time.Second)
	defer cancel()
	if err := r.saveDone(ctx); err != nil {
		r.log.WarnContext(ctx, "the cursor of a reader was not saved; messages will be read again", "cursor", r.o.Cursor, "error", err)
	}
}

// start starts to read a source. The caller holds the reader's mutex.
func (run *run) start(s *source) {
	ctx, stop := context.WithCancel(run.ctx)
	s.stop = stop
	run.reading++
	run.wg.Go(func() {
		run.fetch(ctx, s)
		stop()
		run.r.mu.Lock()
		defer run.r.mu.Unlock()
		s.stop = nil
		run.reading--
		run.wake()
	})
}

// wake has nextPage look again. It never blocks.
func (run *run) wake() {
	select {
	case run.woken <- struct{}{}:
	default:
	}
}

// nextPage returns the next page, and neither page nor error when every source is at its
// end and that is where reading stops.
func (run *run) nextPage() (*page, error) {
	for {
		if run.ctx.Err() != nil {
			return nil, context.Cause(run.ctx)
		}
		run.saveIfDue()
		if run.saveErr != nil {
			return nil, run.saveErr
		}
		if run.r.o.StopAtEnd && run.atEnd() {
			return nil, nil
		}
		if p := run.wait(); p != nil {
			return p, p.err
		}
	}
}

// wait waits for a page, or for anything else that is to be looked at.
func (run *run) wait() *page {
	due, stop := run.saveTimer()
	defer stop()
	select {
	case p := <-run.pages:
		run.r.mu.Lock()
		removed := p.src.removed
		lost := p.src.source()
		run.r.mu.Unlock()
		if removed {
			return nil
		}
		if p.lost > 0 && run.r.o.OnTrimmed != nil {
			run.r.o.OnTrimmed(lost, p.next-uint64(len(p.messages)))
		}
		return p
	case <-run.woken:
	case <-due:
	case <-run.ctx.Done():
	}
	return nil
}

func (run *run) atEnd() bool {
	run.r.mu.Lock()
	defer run.r.mu.Unlock()
	return run.reading == 0
}

// hand hands a page to whoever reads. It returns false when nobody wants it.
func (run *run) hand(ctx context.Context, p *page) bool {
	select {
	case run.pages <- p:
		return true
	case <-ctx.Done():
		return false
	}
}

// fetch reads a source, page by page, until ctx ends or there is nothing more to do.
func (run *run) fetch(ctx context.Context, s *source) {
	f := &fetcher{run: run, src: s}
	if err := f.locate(ctx); err != nil {
		run.hand(ctx, &page{src: s, err: err})
		return
	}
	for {
		p, end, err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			run.hand(ctx, &page{src: s, err: err})
			return
		case p != nil && !run.hand(ctx, p), end:
			return
		}
	}
}

// fetcher reads one source.
type fetcher struct {
	run   *run
	src   *source
	at    edda.From
	next  uint64 // at as a number
	known bool   // at is a number
	end   uint64 // where the shard has been seen to end
}

// locate finds out where to begin.
func (f *fetcher) locate(ctx context.Context) error {
	r := f.run.r
	err := f.insist(ctx, func() error { return r.loadCursor(ctx, f.src) })
	r.mu.Lock()
	defer r.mu.Unlock()
	f.at, f.next, f.known = f.src.position(), f.src.next, f.src.known
	return err
}

// read reads the next page, nil when there is nothing to tell, and says whether the
// source is at the end that reading stops at.
func (f *fetcher) read(ctx context.Context) (p *page, end bool, err error) {
	r := f.run.r
	read := edda.Read{
		Namespace: r.client.namespace, Stream: f.src.stream, Shard: f.src.shard, From: f.at,
		Limit: r.o.Batch, Bytes: r.o.Bytes, Wait: tailWait,
	}
	if r.o.StopAtEnd || f.at == edda.FromEnd {
		read.Wait = 0 // what comes while the end is not known yet would be missed
	}
	var sp *edda.StreamPage
	err = f.insist(ctx, func() (err error) {
		sp, err = r.client.backend.ReadStream(ctx, read)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if sp.End < f.end {
		return nil, false, &edda.Error{
			Op: "read " + f.src.name(), Reason: edda.Conflict,
			Err: fmt.Errorf("it ended at offset %d and ends at %d now: it was deleted and made again; remove the source, and add it anew", f.end, sp.End),
		}
	}
	f.end = sp.End
	return f.turn(sp), r.o.StopAtEnd && sp.Next >= sp.End, nil
}

// turn makes a page of what was read, and turns to what comes after it.
func (f *fetcher) turn(sp *edda.StreamPage) *page {
	p := &page{src: f.src, messages: sp.Messages, next: sp.Next}
	for i := range p.messages {
		p.messages[i].Stream = f.src.stream
	}
	if n := len(sp.Messages); n > 0 {
		p.next = sp.Messages[n-1].Offset + 1
	}
	switch first := p.next - uint64(len(p.messages)); {
	case f.known && first > f.next:
		p.lost = first - f.next
	case len(p.messages) > 0:
	case f.known, f.at != edda.FromEnd && f.at != edda.FromStart:
		return nil // nothing new; a time is still to come
	}
	f.next, f.known, f.at = p.next, true, edda.FromOffset(p.next)
	return p
}

// insist does something until the node can be asked. The first failure is told.
func (f *fetcher) insist(ctx context.Context, do func() error) error {
	for failures := 1; ; failures++ {
		err := do()
		if err == nil || !passing(err) || ctx.Err() != nil {
			if err == nil && failures > 1 {
				f.run.r.log.InfoContext(ctx, "reading goes on", "stream", f.src.stream, "shard", f.src.shard)
			}
			return err
		}
		if failures == 1 {
			f.run.r.log.WarnContext(ctx, "reading is interrupted, and tried again", "stream", f.src.stream, "shard", f.src.shard, "error", err)
		}
		if !pause(ctx, failures) {
			return err
		}
	}
}

func (s *source) name() string { return s.stream + ", shard " + s.shard }
