package filelog

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/engine"
)

// survey is one look at all segments of a log.
type survey struct {
	fs       vfs.FS
	dir      string
	segments []*segment
	headers  []*header
	// end is where the unbroken run of valid frames ends, nextID the id that
	// follows, and last the index of the segment that end lies in.
	end    uint64
	nextID uint64
	last   int
	// known is the highest LSN below which any header or frame, valid in its
	// place, says that all was durable.
	known uint64
	gaps  []gap
	// torn says that a frame was begun at end. It cannot be told of all of them:
	// when its first bytes did not reach the disk there is nothing to be seen.
	torn bool
	// beyond counts valid frames behind the first gap, and their bytes.
	beyond, beyondBytes uint64
}

// gap is a stretch without valid frames before a place where the log goes on.
type gap struct {
	seg      *segment
	from, to uint64
}

// damage is the gap as an error.
func (g gap) damage() *DamageError {
	return &DamageError{Segment: g.seg.number, From: g.seg.offset(g.from), To: g.seg.offset(g.to), LSN: g.from,
		Err: errors.New("bytes known to be durable are no valid frame")}
}

// visitor is called with each frame, in order, as long as there was no gap.
type visitor func(*segment, frame) error

// load opens the headers of all segments that belong to the log.
func load(fsys vfs.FS, dir string, m *meta, numbers []uint64) (*survey, error) {
	s := &survey{fs: fsys, dir: dir}
	if len(numbers) == 0 || numbers[0] != m.first {
		return nil, &DamageError{Segment: m.first, Err: errors.New("the segment is missing")}
	}
	for i, n := range numbers {
		if want := m.first + uint64(i); n != want {
			return nil, &DamageError{Segment: want, Err: errors.New("the segment is missing, although there are later ones")}
		}
		f, h, seg, err := openSegment(fsys, dir, n, m)
		if errors.Is(err, errBlock) {
			return nil, &DamageError{Segment: n, To: dataStart(int(m.partitions)), Err: err}
		}
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", segmentName(n), err)
		}
		closeQuietly(f)
		if i > 0 && h.base < s.headers[i-1].base {
			return nil, &DamageError{Segment: n, To: seg.data, LSN: h.base, Err: errors.New("it begins before the segment before it")}
		}
		s.segments = append(s.segments, seg)
		s.headers = append(s.headers, h)
		s.known = max(s.known, h.known)
	}
	s.end, s.nextID = s.headers[0].base, s.headers[0].nextID
	return s, nil
}

// limit is the LSN where segment i ends at most: where the next one begins, or
// where the file ends.
func (s *survey) limit(i int) uint64 {
	if i+1 < len(s.segments) {
		return s.segments[i+1].base
	}
	return s.segments[i].base + uint64(max(s.segments[i].room, 0))
}

// scan reads every frame of every segment.
func (s *survey) scan(visit visitor) error {
	r := new(frameReader)
	for i := range s.segments {
		err := s.scanSegment(r, i, visit)
		if errors.Is(err, errVanished) || oserror.IsNotExist(err) && s.vanished(i) {
			if i+1 < len(s.segments) {
				s.end, s.nextID = s.limit(i), s.headers[i+1].nextID
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errVanished: the process that owns the log trimmed the segment meanwhile.
var errVanished = errors.New("segment was trimmed while it was read")

func (s *survey) vanished(i int) bool {
	m, err := readMeta(s.fs, s.dir)
	return err == nil && m.first > s.segments[i].number
}

func (s *survey) scanSegment(r *frameReader, i int, visit visitor) error {
	seg := s.segments[i]
	f, err := s.fs.Open(seg.path)
	if err != nil {
		return err
	}
	defer closeQuietly(f)
	r.reset(f, seg, s.limit(i))
	for {
		fr, err := r.next()
		if errors.Is(err, errBad) {
			fr, err = s.skip(r, i)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, errVanished) {
			return err
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", segmentName(seg.number), err)
		}
		if err := s.note(i, fr, visit); err != nil {
			return err
		}
	}
}

// skip finds the frame behind the bad bytes at r.lsn and notes the gap. It is
// io.EOF when the segment has no more frames.
func (s *survey) skip(r *frameReader, i int) (frame, error) {
	from := r.lsn
	fr, err := r.resync()
	if err != nil && !errors.Is(err, io.EOF) {
		return frame{}, err
	}
	if errors.Is(err, io.EOF) && i+1 == len(s.segments) {
		return frame{}, s.tail(r, from)
	}
	// The log goes on behind the bad bytes. When somebody is writing it, they may
	// have been good by the time that was found out; so look again.
	r.forget()
	if again, err := r.frameAt(from); err == nil {
		r.lsn = again.end()
		return again, nil
	}
	if s.vanished(i) {
		return frame{}, errVanished
	}
	to := r.limit
	if err == nil {
		to = fr.lsn
	}
	s.gaps = append(s.gaps, gap{s.segments[i], from, to})
	return fr, err
}

// tail looks at what follows the last frame of all: space that was not written
// since the segment was prepared, or a torn frame. It returns io.EOF.
func (s *survey) tail(r *frameReader, from uint64) error {
	begun, err := r.begun(from)
	if err != nil {
		return err
	}
	s.torn = s.torn || len(s.gaps) == 0 && begun
	return io.EOF
}

func (s *survey) note(i int, fr frame, visit visitor) error {
	s.known = max(s.known, fr.known)
	if len(s.gaps) > 0 {
		s.beyond++
		s.beyondBytes += uint64(fr.size)
		return nil
	}
	if fr.id != s.nextID {
		return &DamageError{Segment: s.segments[i].number, From: s.segments[i].offset(fr.lsn),
			To: s.segments[i].offset(fr.end()), LSN: fr.lsn,
			Err: fmt.Errorf("frame has id %d, not %d", fr.id, s.nextID)}
	}
	s.end, s.nextID, s.last = fr.end(), fr.id+1, i
	return visit(s.segments[i], fr)
}

// damage is the first gap that lies below what was known to be durable, nil
// when there is none.
func (s *survey) damage() *DamageError {
	if len(s.gaps) > 0 && s.gaps[0].from < s.known {
		return s.gaps[0].damage()
	}
	return nil
}

// fold adds up what the frames say.
type fold struct {
	marks           []mark // where the partitions stand
	frames, records int
	seg             *segment // of the last frame
	end             uint64   // LSN behind the last frame
}

// apply moves the partitions past the frame. A frame that is valid by its
// checksum and does not fit is the work of a defect, not of a disk.
func (d *fold) apply(seg *segment, fr frame) error {
	bad := func(why string) error {
		return &DamageError{Segment: seg.number, From: seg.offset(fr.lsn), To: seg.offset(fr.end()), LSN: fr.lsn, Err: errors.New(why)}
	}
	if seg != d.seg {
		// They differ rightly only behind a segment that was trimmed meanwhile.
		if d.seg != nil && fr.lsn == d.end && !slices.Equal(d.marks, seg.marks) {
			return bad("the segment does not continue the one before")
		}
		d.marks, d.seg = slices.Clone(seg.marks), seg
	}
	d.frames++
	d.end = fr.end()
	for body := fr.body; len(body) > 0; {
		s, rest, ok := nextSection(body)
		if !ok || int(s.partition) >= len(d.marks) || !d.marks[s.partition].step(&s) {
			return bad("the frame does not continue the log")
		}
		d.records += s.count
		body = rest
	}
	return nil
}

// step moves the mark past the section. It is false when the section does not
// follow.
func (m *mark) step(s *section) bool {
	if s.first != m.next {
		return false
	}
	if s.count == 0 {
		follows := s.epoch == m.epoch+1
		m.epoch = s.epoch
		return follows
	}
	m.next += engine.Position(s.count)
	return s.epoch == m.epoch
}

// tornTail describes what follows the end, nil when there is nothing.
func (s *survey) tornTail() *TornTail {
	if !s.torn && len(s.gaps) == 0 {
		return nil
	}
	seg := s.segments[s.last]
	if len(s.gaps) > 0 {
		seg = s.gaps[0].seg
	}
	return &TornTail{Segment: seg.number, Offset: seg.offset(s.end), LSN: s.end, Frames: s.beyond, Bytes: s.beyondBytes}
}
