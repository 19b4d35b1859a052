package filelog

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
)

// Frame is what one flush wrote, as Scan shows it.
type Frame struct {
	// Segment is the number of the segment, Offset where in its file the frame
	// begins, Bytes how long it is without what fills it up to the next.
	Segment uint64
	Offset  int64
	Bytes   int
	// LSN is the frame's place in the whole log.
	LSN uint64
	// ID is the frame's number; each is one more than the one before.
	ID uint64
	// Known is the LSN below which all was durable when the frame was written.
	Known uint64
	// Entries are the batches in it, in order. One without records is a change of
	// owner: its Epoch begins there.
	Entries []engine.Entry
}

// Scan yields the frames of the log in dir, in order. It takes no lock and
// changes nothing, so that the log may be open, also in another process; then
// the last frame yielded may not have been flushed yet. A nil fsys is the
// operating system's. An error, *DamageError among them, is the last pair.
func Scan(dir string, fsys vfs.FS) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		s, _, err := inspect(dir, fsys)
		if err == nil {
			err = s.scan(func(seg *segment, fr frame) error {
				f, err := show(seg, fr)
				if err == nil && !yield(f, nil) {
					err = errBroken
				}
				return err
			})
		}
		if errors.Is(err, errBroken) {
			return
		}
		if err == nil {
			if d := s.damage(); d != nil {
				err = d
			}
		}
		if err != nil {
			yield(Frame{}, fmt.Errorf("scan log %q: %w", dir, err))
		}
	}
}

var errBroken = errors.New("the consumer broke off")

// inspect loads a log that may be open elsewhere.
func inspect(dir string, fsys vfs.FS) (*survey, *meta, error) {
	fsys = cmp.Or[vfs.FS](fsys, vfs.Default)
	for {
		m, err := readMeta(fsys, dir)
		if err != nil {
			return nil, nil, err
		}
		found, err := list(fsys, dir)
		if err != nil {
			return nil, nil, err
		}
		i, _ := slices.BinarySearch(found.segments, m.first)
		s, err := load(fsys, dir, m, found.segments[i:])
		if err == nil {
			return s, m, nil
		}
		// If segments were trimmed meanwhile, that explains it: try again. Each
		// turn needs another trim, so this ends.
		now, merr := readMeta(fsys, dir)
		if merr != nil || now.first == m.first {
			return nil, m, err
		}
	}
}

// show copies a frame.
func show(seg *segment, fr frame) (Frame, error) {
	f := Frame{Segment: seg.number, Offset: seg.offset(fr.lsn), Bytes: fr.size, LSN: fr.lsn, ID: fr.id, Known: fr.known}
	for body := fr.body; len(body) > 0; {
		s, rest, ok := nextSection(body)
		if !ok {
			return Frame{}, gap{seg, fr.lsn, fr.end()}.damage()
		}
		f.Entries = append(f.Entries, s.entry(0))
		body = rest
	}
	return f, nil
}

// Partitions returns how many partitions the log in dir has. The log may be open elsewhere.
func Partitions(dir string, fsys vfs.FS) (int, error) {
	m, err := readMeta(cmp.Or[vfs.FS](fsys, vfs.Default), dir)
	if err != nil {
		return 0, fmt.Errorf("read the partitions of log %q: %w", dir, err)
	}
	return int(m.partitions), nil
}

// Report is what Verify found.
type Report struct {
	// Partitions is how many the log has.
	Partitions int
	// Segments, Frames, Records and Bytes count what the log holds, up to the
	// first damage.
	Segments, Frames, Records int
	Bytes                     uint64
	// Torn is what follows the end, nil when nothing was found there. In a log
	// that is open it may be a frame that is being written.
	Torn *TornTail
	// Damage lists every range of bytes that are bad although they were known to
	// be durable.
	Damage []*DamageError
}

// Verify reads the log in dir through and checks all of it, as Scan does without
// a lock. A damaged log is no error but in the report; an error means that it
// could not be read.
func Verify(dir string, fsys vfs.FS) (Report, error) {
	var r Report
	s, m, err := inspect(dir, fsys)
	if m != nil {
		r.Partitions = int(m.partitions)
	}
	var f fold
	if err == nil {
		r.Segments = len(s.segments)
		f.marks = slices.Clone(s.headers[0].marks)
		err = s.scan(f.apply)
		r.Frames, r.Records, r.Bytes = f.frames, f.records, s.end-s.headers[0].base
	}
	if d, ok := errors.AsType[*DamageError](err); ok {
		r.Damage = append(r.Damage, d)
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("verify log %q: %w", dir, err)
	}
	for _, g := range s.gaps {
		if g.from < s.known {
			r.Damage = append(r.Damage, g.damage())
		}
	}
	if len(r.Damage) == 0 {
		r.Torn = s.tornTail()
	}
	return r, nil
}
