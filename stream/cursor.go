package stream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

// cursor is where a reader keeps durably how far it has got: the cursors of a group
// without members, in each of its streams.
type cursor struct {
	name string
	// turn has room for the one who asks the node about the cursor: two saves at a time
	// could overtake each other. Whoever has it may use created.
	turn chan struct{}
	// created says where the groups begin that this reader has created.
	created map[string]edda.From
}

func newCursor(name string) cursor {
	return cursor{name: name, turn: make(chan struct{}, 1), created: map[string]edda.From{}}
}

// take waits for the turn. It returns false when ctx ends first.
func (c *cursor) take(ctx context.Context) bool {
	select {
	case c.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *cursor) giveBack() { <-c.turn }

// loadCursor has the source begin where the durable cursor is, if there is to be one.
func (r *Reader) loadCursor(ctx context.Context, s *source) error {
	r.mu.Lock()
	loaded := s.loaded
	from := s.position()
	r.mu.Unlock()
	if r.cursor.name == "" || loaded {
		return nil
	}
	if !r.cursor.take(ctx) {
		return context.Cause(ctx)
	}
	defer r.cursor.giveBack()
	if err := r.saveAll(ctx); err != nil { // the source may have been removed a moment ago
		return err
	}
	next, err := r.load(ctx, s, from)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.at(next)
	s.done, s.saved, s.loaded = next, next, true
	return nil
}

// load returns the cursor of a source, in a group that is created when there is none.
func (r *Reader) load(ctx context.Context, s *source, from edda.From) (uint64, error) {
	c := r.client
	g, err := c.Group(ctx, s.stream, r.cursor.name)
	if reason := edda.ReasonOf(err); reason == edda.NoGroup || reason == edda.NoStream {
		var created bool
		g, created, err = c.SetGroup(ctx, edda.GroupSpec{Stream: s.stream, Name: r.cursor.name, From: from})
		if created {
			r.cursor.created[s.stream] = from
		}
	}
	if err == nil {
		// The group was made for another of its shards, with that one's beginning.
		if began, ours := r.cursor.created[s.stream]; ours && began != from {
			g, err = c.ResetGroup(ctx, s.stream, r.cursor.name, s.shard, from)
		}
	}
	if err != nil {
		return 0, err
	}
	return g.Cursor[s.shard], nil // a shard that has had no message begins at 0
}

// Save says that all that was handed out is done with, and returns once the durable
// cursor has it. BadValue when the reader has none.
func (r *Reader) Save(ctx context.Context) error {
	if r.cursor.name == "" {
		return &edda.Error{Op: "save the cursor of a reader", Reason: edda.BadValue,
			Err: errors.New("the reader has none; ReaderOptions.Cursor names one")}
	}
	r.mu.Lock()
	for _, s := range r.sources {
		s.done = s.next
	}
	r.mu.Unlock()
	return r.saveDone(ctx)
}

// saveDone has the durable cursor have what is done with.
func (r *Reader) saveDone(ctx context.Context) error {
	if r.cursor.name == "" || !r.unsaved() {
		return nil
	}
	if !r.cursor.take(ctx) {
		return context.Cause(ctx)
	}
	defer r.cursor.giveBack()
	return r.saveAll(ctx)
}

// saveAll is saveDone for whoever has the turn.
func (r *Reader) saveAll(ctx context.Context) error {
	for {
		s, next := r.nextUnsaved()
		if s == nil {
			return nil
		}
		if _, err := r.client.ResetGroup(ctx, s.stream, r.cursor.name, s.shard, edda.FromOffset(next)); err != nil {
			return err
		}
		r.mu.Lock()
		s.saved = next
		r.mu.Unlock()
	}
}

func (r *Reader) unsaved() bool {
	s, _ := r.nextUnsaved()
	return s != nil
}

// nextUnsaved returns a source whose durable cursor is behind, and what it is to be; nil
// when there is none.
func (r *Reader) nextUnsaved() (*source, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	behind := func(s *source) bool { return s.loaded && s.done != s.saved }
	r.leaving = slices.DeleteFunc(r.leaving, func(s *source) bool { return !behind(s) })
	for _, s := range slices.Concat(r.leaving, r.sources) {
		if behind(s) {
			return s, s.done
		}
	}
	return nil, 0
}

// saveIfDue saves the cursor when it has not been for long enough.
func (run *run) saveIfDue() {
	r := run.r
	if r.cursor.name == "" || r.o.SaveEvery < 0 || time.Since(run.savedAt) < r.o.SaveEvery {
		return
	}
	run.savedAt = time.Now()
	switch err := r.saveDone(run.ctx); {
	case err == nil || run.ctx.Err() != nil:
	case passing(err):
		r.log.WarnContext(run.ctx, "the cursor of a reader was not saved; it is tried again", "cursor", r.cursor.name, "error", err)
	default:
		run.saveErr = err
	}
}

// saveTimer returns what fires when the cursor is to be saved, nil when there is nothing
// to save, and what releases it.
func (run *run) saveTimer() (due <-chan time.Time, stop func()) {
	r := run.r
	if r.cursor.name == "" || r.o.SaveEvery < 0 || !r.unsaved() {
		return nil, func() {}
	}
	t := time.NewTimer(time.Until(run.savedAt.Add(r.o.SaveEvery)))
	return t.C, func() { t.Stop() }
}
