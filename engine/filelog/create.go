package filelog

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/cockroachdb/errors/oserror"

	"github.com/edda-io/edda"
)

// create makes the first segment, then meta; a directory without meta is one
// where this was interrupted.
func (l *Log) create(found listing) (*meta, error) {
	if err := l.sweepUnfinished(found); err != nil {
		return nil, err
	}
	n := l.opts.Partitions
	if n == 0 {
		n = DefaultPartitions
	}
	m := &meta{logID: rand.Uint64(), first: 1, partitions: uint32(n), hashVersion: edda.HashVersion}
	l.meta, l.logID = *m, m.logID
	l.marks = make([]mark, n)
	for i := range l.marks {
		l.marks[i].next = 1
	}
	l.newSpares(n)
	if err := l.begin(1, 0, 1); err != nil {
		return nil, err
	}
	if err := l.writeMeta(m); err != nil {
		return nil, err
	}
	l.found.Created = true
	return m, nil
}

// sweepUnfinished clears a directory without meta, unless there is something in
// it that would be lost.
func (l *Log) sweepUnfinished(found listing) error {
	names := found.scratch
	for _, n := range found.segments {
		name := segmentName(n)
		f, err := l.fs.Open(l.fs.PathJoin(l.dir, name))
		if err != nil {
			return err
		}
		h, err := readHeader(f, name)
		closeQuietly(f)
		if n != 1 || err == nil && l.hasFrames(h, name) {
			return fmt.Errorf("there is no %s, but %s: restore the missing file", metaName, name)
		}
		names = append(names, name)
	}
	for _, name := range names {
		if err := l.fs.Remove(l.fs.PathJoin(l.dir, name)); err != nil && !oserror.IsNotExist(err) {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return nil
}

// hasFrames reports whether there is a frame in the segment, or whether that
// cannot be told.
func (l *Log) hasFrames(h *header, name string) bool {
	m := &meta{logID: h.logID, partitions: uint32(len(h.marks))}
	f, _, seg, err := openSegment(l.fs, l.dir, h.number, m)
	if err != nil {
		return true
	}
	defer closeQuietly(f)
	r := new(frameReader)
	r.reset(f, seg, seg.base+uint64(max(seg.room, 0)))
	if _, err := r.next(); !errors.Is(err, errBad) {
		return true
	}
	_, err = r.resync()
	return err == nil
}
