package filelog

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
)

// Recovery says what Open found in the directory.
type Recovery struct {
	// Created says that there was no log yet.
	Created bool
	// Segments, Frames, Records and Bytes count what the log holds.
	Segments, Frames, Records int
	Bytes                     uint64
	// Torn is what was cut off the end, nil when nothing was found there.
	Torn *TornTail
	// Took is how long it took.
	Took time.Duration
}

// TornTail is what an interrupted write left behind: bytes beyond all that was
// known to be durable. No batch in them was acknowledged (in os durability: or
// the machine went down before the next Sync).
type TornTail struct {
	// Segment and Offset say in which file, and where in it, the log was cut.
	Segment uint64
	Offset  int64
	// LSN is the same place in the whole log.
	LSN uint64
	// Frames and Bytes count the whole frames behind the cut. They were dropped,
	// because what comes before them is missing.
	Frames, Bytes uint64
}

// recover brings the directory into the state in which the writer begins: every
// frame durable, and a new segment that nothing was ever written to. Never to
// write where an earlier process wrote is what keeps its remains out of the log.
func (l *Log) recover() error {
	begin := time.Now()
	found, err := list(l.fs, l.dir)
	if err != nil {
		return err
	}
	m, err := readMeta(l.fs, l.dir)
	if oserror.IsNotExist(err) {
		m, err = l.create(found)
	}
	if err != nil {
		return err
	}
	if err := l.check(m); err != nil {
		return err
	}
	l.meta, l.logID = *m, m.logID
	numbers, err := l.sweep(found, m.first)
	if err != nil {
		return err
	}
	if !l.found.Created {
		if err := l.replay(numbers); err != nil {
			return err
		}
	}
	l.w.parts = make([]part, len(l.marks))
	for i, k := range l.marks {
		l.w.parts[i].mark = k
	}
	l.needed = make([]engine.Position, len(l.marks))
	for i, k := range l.segments[0].marks {
		l.needed[i] = k.next
	}
	l.found.Took = time.Since(begin)
	return nil
}

// check compares what the log is with what it is opened as.
func (l *Log) check(m *meta) error {
	if n := l.opts.Partitions; n != 0 && n != int(m.partitions) {
		return fmt.Errorf("it has %d partitions, not %d; their number is fixed when a log is created", m.partitions, n)
	}
	if m.hashVersion != edda.HashVersion {
		return fmt.Errorf("its addresses are hashed by version %d; this release has version %d", m.hashVersion, edda.HashVersion)
	}
	return nil
}

// sweep removes what no crash needs to keep: files that were being prepared, and
// segments that were trimmed. It returns the numbers of those that remain.
func (l *Log) sweep(found listing, first uint64) ([]uint64, error) {
	if l.found.Created {
		return nil, nil
	}
	names := found.scratch
	i, _ := slices.BinarySearch(found.segments, first)
	for _, n := range found.segments[:i] {
		names = append(names, segmentName(n))
	}
	for _, name := range names {
		if err := l.fs.Remove(l.fs.PathJoin(l.dir, name)); err != nil && !oserror.IsNotExist(err) {
			return nil, fmt.Errorf("remove %s: %w", name, err)
		}
	}
	l.newSpares(int(l.meta.partitions))
	return found.segments[i:], nil
}

func (l *Log) newSpares(partitions int) {
	l.spares = newSpares(l.fs, l.dir, dataStart(partitions), l.opts.MinSegmentBytes, l.opts.MaxSegmentBytes, l.opts.Logger)
	l.spares.direct = l.direct
}

// writeMeta makes m what the directory says of itself.
func (l *Log) writeMeta(m *meta) error {
	err := replaceFile(l.fs, l.fs.PathJoin(l.dir, metaName), m.encode())
	if err == nil {
		err = syncDir(l.fs, l.dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", metaName, err)
	}
	return nil
}

// replay reads the log, cuts a torn tail and begins a new segment.
func (l *Log) replay(numbers []uint64) error {
	s, err := load(l.fs, l.dir, &l.meta, numbers)
	if err != nil {
		return err
	}
	f := fold{marks: slices.Clone(s.headers[0].marks)}
	if err := s.scan(f.apply); err != nil {
		return err
	}
	if d := s.damage(); d != nil {
		return d
	}
	l.marks = f.marks
	l.found.Frames, l.found.Records, l.found.Bytes = f.frames, f.records, s.end-s.headers[0].base
	if t := s.tornTail(); t != nil {
		l.found.Torn = t
		l.opts.Logger.Warn("torn tail cut off the log", "dir", l.dir, "segment", segmentName(t.Segment),
			"offset", t.Offset, "lsn", t.LSN, "framesDropped", t.Frames)
	}
	if err := l.harden(s); err != nil {
		return err
	}
	return l.resume(s)
}

// harden makes durable what may be in the system's cache only. After a flush
// that failed the cache may hold bytes that the disk does not, and count them as
// clean; so they are written again before they are synced.
func (l *Log) harden(s *survey) error {
	for i, seg := range s.segments[:s.last+1] {
		end := min(s.limit(i), s.end)
		if end <= s.known && i < s.last {
			continue
		}
		if err := l.rewrite(seg, max(seg.base, min(s.known, end)), end); err != nil {
			return fmt.Errorf("sync %s: %w", segmentName(seg.number), err)
		}
	}
	return nil
}

func (l *Log) rewrite(seg *segment, from, to uint64) (err error) {
	f, err := l.fs.OpenReadWrite(seg.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for buf := make([]byte, min(readChunk, to-from)); from < to; {
		b := buf[:min(uint64(len(buf)), to-from)]
		if err := readFull(f, b, seg.offset(from)); err != nil {
			return err
		}
		if _, err := f.WriteAt(b, seg.offset(from)); err != nil {
			return err
		}
		from += uint64(len(b))
	}
	return f.Sync()
}

// resume drops the segments behind the end and begins a new one there. It takes
// the number of a segment that has no frames, which the new file replaces.
func (l *Log) resume(s *survey) error {
	keep := s.last + 1
	if s.end == s.segments[s.last].base {
		keep = s.last
	}
	// From the back, and each for good before the next: a hole would be damage.
	for i := len(s.segments) - 1; i > keep; i-- {
		if err := l.fs.Remove(s.segments[i].path); err != nil {
			return err
		}
		if err := syncDir(l.fs, l.dir); err != nil {
			return err
		}
	}
	l.segments = s.segments[:keep:keep]
	l.found.Segments = keep
	var salt uint32
	if keep < len(s.segments) {
		salt = s.segments[keep].salt
	}
	l.w.seg = &segment{salt: salt}
	return l.begin(s.segments[0].number+uint64(keep), s.end, s.nextID)
}

// begin makes the segment that the writer starts with.
func (l *Log) begin(number, lsn, nextID uint64) error {
	sp, err := l.spares.take(1)
	if err != nil {
		return err
	}
	var salt uint32
	if l.w.seg != nil {
		salt = l.w.seg.salt
	}
	l.known.Store(lsn)
	h := &header{logID: l.logID, number: number, base: lsn, known: lsn, nextID: nextID,
		salt: freshSalt(salt), data: uint32(l.spares.data), marks: slices.Clone(l.marks)}
	seg, err := l.install(sp, h)
	if err != nil {
		return err
	}
	l.segments = append(l.segments, seg)
	l.end = lsn
	l.w.out, l.w.seg, l.w.lsn, l.w.nextID, l.w.sealed = l.sinkOf(sp), seg, lsn, nextID, false
	return nil
}
