package memlog

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/edda-io/edda/engine"
)

// Read implements engine.Engine. What it yields is settled when it is called; the
// log may be trimmed and appended to while the caller iterates.
func (l *Log) Read(ctx context.Context, from ...engine.Start) iter.Seq2[engine.Entry, error] {
	found, err := l.find(ctx, from)
	return func(yield func(engine.Entry, error) bool) {
		if err != nil {
			yield(engine.Entry{}, fmt.Errorf("read: %w", err))
			return
		}
		for _, e := range found {
			if err := l.lock(ctx); err != nil {
				yield(engine.Entry{}, fmt.Errorf("read: %w", err))
				return
			}
			l.mu.Unlock()
			if !yield(copied(e.Entry), nil) {
				return
			}
		}
	}
}

// find collects what the log holds from the starts on, in log order. The records
// are still the log's.
func (l *Log) find(ctx context.Context, from []engine.Start) ([]entry, error) {
	if err := l.lock(ctx, partitions(from)...); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	var found []entry
	for _, s := range from {
		part := &l.parts[s.Partition]
		pos := max(s.Position, 1)
		if kept := part.kept(); pos < kept {
			return nil, fmt.Errorf("partition %d from position %d, kept from %d: %w", s.Partition, pos, kept, engine.ErrTrimmed)
		}
		for _, e := range part.entries[part.index(pos):] {
			cut := *e
			if e.First < pos {
				cut.Records = e.Records[pos-e.First:]
				cut.First = pos
			}
			found = append(found, cut)
		}
	}
	slices.SortFunc(found, func(a, b entry) int { return cmp.Compare(a.order, b.order) })
	return found, nil
}

// kept is the first position that can be read, or will be.
func (p *partition) kept() engine.Position {
	if len(p.entries) == 0 {
		return p.next
	}
	return p.entries[0].First
}

// index returns the index of the entry that holds pos, or of the first after it.
func (p *partition) index(pos engine.Position) int {
	i, found := slices.BinarySearchFunc(p.entries, pos, func(e *entry, pos engine.Position) int {
		return cmp.Compare(e.First, pos)
	})
	if !found && i > 0 && p.entries[i-1].end() > pos {
		i--
	}
	return i
}

// end is the position after the entry's last record.
func (e *entry) end() engine.Position { return e.First + engine.Position(len(e.Records)) }

// Trim implements engine.Engine. Batches that lie wholly before a start are let
// go at once.
func (l *Log) Trim(ctx context.Context, before ...engine.Start) error {
	if err := l.lock(ctx, partitions(before)...); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	defer l.mu.Unlock()
	for _, s := range before {
		part := &l.parts[s.Partition]
		if n := part.index(s.Position); n > 0 {
			part.entries = slices.Clone(part.entries[n:])
		}
	}
	return nil
}

// Sync implements engine.Engine. Memory survives no loss of power.
func (l *Log) Sync(ctx context.Context) error {
	if err := l.lock(ctx); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	l.mu.Unlock()
	return nil
}

// snapshot is a stored snapshot. It never changes.
type snapshot struct {
	at    engine.Position
	state []byte
}

// Snapshot implements engine.Engine.
func (l *Log) Snapshot(ctx context.Context, p engine.Partition, at engine.Position, src io.WriterTo) error {
	if err := l.lock(ctx, p); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	l.mu.Unlock()
	var state bytes.Buffer
	if _, err := src.WriteTo(&state); err != nil {
		return fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	if err := l.lock(ctx); err != nil {
		return fmt.Errorf("snapshot of partition %d: %w", p, err)
	}
	defer l.mu.Unlock()
	l.parts[p].snap = &snapshot{at: at, state: state.Bytes()}
	return nil
}

// Restore implements engine.Engine.
func (l *Log) Restore(ctx context.Context, p engine.Partition) (engine.Position, io.ReadCloser, error) {
	if err := l.lock(ctx, p); err != nil {
		return 0, nil, fmt.Errorf("restore: %w", err)
	}
	defer l.mu.Unlock()
	snap := l.parts[p].snap
	if snap == nil {
		return 0, nil, fmt.Errorf("restore partition %d: %w", p, engine.ErrNoSnapshot)
	}
	return snap.at, io.NopCloser(bytes.NewReader(snap.state)), nil
}

func partitions(starts []engine.Start) []engine.Partition {
	ps := make([]engine.Partition, len(starts))
	for i, s := range starts {
		ps[i] = s.Partition
	}
	return ps
}
