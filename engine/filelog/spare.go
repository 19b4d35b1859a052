package filelog

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/internal/directio"
)

// keepSpares is how many files wait at most to become a segment.
const keepSpares = 2

// spare is a file that is to become a segment: its space is written and synced,
// so that writing into it moves no metadata.
type spare struct {
	path   string
	file   vfs.File // open for reading and writing
	direct sink     // the same file, past the system's cache; nil when that is not done
	room   int64    // a multiple of frameAlign
}

func (sp *spare) close() {
	closeQuietly(sp.file)
	if sp.direct != nil {
		closeQuietly(sp.direct)
	}
}

// spares makes segments in advance, one at a time, and takes back trimmed ones.
type spares struct {
	fs     vfs.FS
	dir    string
	data   int64 // dataStart
	max    int64
	direct directSink // nil: frames go through the system's cache
	logger *slog.Logger
	once   sync.Once // to log why direct is refused

	kick chan struct{} // capacity 1; closed to end run

	mu     sync.Mutex // guards what follows; held across no I/O
	idle   sync.Cond  // signalled when making becomes false
	making bool
	ready  []*spare
	next   int64 // room of the next new one
	serial uint64
	closed bool
}

func newSpares(fsys vfs.FS, dir string, data, least, most int64, logger *slog.Logger) *spares {
	s := &spares{fs: fsys, dir: dir, data: data, max: most, next: least, logger: logger, kick: make(chan struct{}, 1)}
	s.idle.L = &s.mu
	return s
}

// run keeps one spare ready. It ends when kick is closed.
func (s *spares) run() {
	for range s.kick {
		s.mu.Lock()
		if s.closed || len(s.ready) > 0 {
			s.mu.Unlock()
			continue
		}
		s.making = true
		room := s.next
		s.mu.Unlock()
		sp, err := s.create(room)
		s.mu.Lock()
		s.making = false
		if err == nil {
			s.next = min(2*room, s.max)
			s.ready = append(s.ready, sp)
		}
		s.idle.Broadcast()
		s.mu.Unlock()
		if err != nil {
			// The writer tries again when it needs one; then it is an error.
			s.warn("segment could not be prepared", err)
		}
	}
}

// take returns a spare with at least that much room, making one if there is
// none. It blocks for the disk. An error leaves everything as it was.
func (s *spares) take(need int64) (*spare, error) {
	s.mu.Lock()
	for s.making {
		s.idle.Wait()
	}
	for i, sp := range s.ready {
		if sp.room >= need {
			s.ready = append(s.ready[:i], s.ready[i+1:]...)
			s.mu.Unlock()
			s.wake()
			return sp, nil
		}
	}
	room := s.next
	s.mu.Unlock()
	sp, err := s.create(max(room, need))
	if err != nil && need < room {
		// A nearly full disk may still have space for what is needed now.
		sp, err = s.create(need)
	}
	if err != nil {
		return nil, err
	}
	s.wake()
	return sp, nil
}

// wake lets run look whether a spare is missing.
func (s *spares) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// create writes a new file full of zeros.
func (s *spares) create(room int64) (*spare, error) {
	room = int64(alignUp(uint64(room)))
	sp, err := s.open(s.newPath(), room, func(f vfs.File) error { return fill(f, s.data+room) })
	if err != nil {
		return nil, fmt.Errorf("prepare segment: %w", err)
	}
	return sp, nil
}

// open makes a spare of the file at path, which it removes on error. Prepare, if
// any, is called first.
func (s *spares) open(path string, room int64, prepare func(vfs.File) error) (*spare, error) {
	f, err := s.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	sp := &spare{path: path, file: f, room: room}
	if prepare != nil {
		err = prepare(f)
	}
	if err == nil && s.direct != nil {
		sp.direct, err = s.openDirect(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), s.fs.Remove(path))
	}
	return sp, nil
}

// openDirect returns nil when frames must go through the system's cache.
func (s *spares) openDirect(path string) (sink, error) {
	out, err := s.direct(path, s.data)
	if errors.Is(err, directio.ErrRefused) {
		s.once.Do(func() { s.logger.Debug("log is written through the page cache", "dir", s.dir, "reason", err) })
		return nil, nil
	}
	return out, err
}

func (s *spares) warn(msg string, err error) { s.logger.Warn(msg, "dir", s.dir, "err", err) }

// fillSync is how much is filled between two syncs. The log's flushes wait for
// the same disk: many short syncs hold them up less than one long one.
const fillSync = 4 << 20

func fill(f vfs.File, size int64) error {
	zeros := make([]byte, min(size, 256<<10))
	for at := int64(0); at < size; {
		n, err := f.Write(zeros[:min(size-at, int64(len(zeros)))])
		if err == nil && (at+int64(n))/fillSync != at/fillSync {
			err = f.SyncData()
		}
		if err != nil {
			return err
		}
		at += int64(n)
		clear(zeros) // a vfs.File may change what it is given to write
	}
	return f.Sync()
}

func (s *spares) newPath() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	return s.fs.PathJoin(s.dir, fmt.Sprintf("%d%s", s.serial, spareSuffix))
}

// recycle takes back the file of a segment that is no longer part of the log.
// It reports whether the file is kept; if not, it was removed.
func (s *spares) recycle(seg *segment) bool {
	s.mu.Lock()
	keep := !s.closed && len(s.ready) < keepSpares && seg.room >= s.next
	s.mu.Unlock()
	if keep {
		path := s.newPath()
		err := s.fs.Rename(seg.path, path)
		var sp *spare
		if err == nil {
			sp, err = s.open(path, seg.room, nil)
		}
		if err != nil {
			s.warn("trimmed segment could not be recycled", err)
			return false
		}
		return s.add(sp)
	}
	// A file that cannot be removed is removed at the next Open.
	if err := s.fs.Remove(seg.path); err != nil {
		s.warn("trimmed segment could not be removed", err)
	}
	return false
}

// add keeps sp, or discards it when there are enough by now.
func (s *spares) add(sp *spare) bool {
	s.mu.Lock()
	ok := !s.closed && len(s.ready) < keepSpares
	if ok {
		s.ready = append(s.ready, sp)
	}
	s.mu.Unlock()
	if !ok {
		s.discard(sp)
	}
	return ok
}

func (s *spares) discard(sp *spare) {
	sp.close()
	if err := s.fs.Remove(sp.path); err != nil {
		s.warn("spare segment could not be removed", err)
	}
}

// close ends run once and removes what was never used.
func (s *spares) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.kick)
	for s.making {
		s.idle.Wait()
	}
	ready := s.ready
	s.ready = nil
	s.mu.Unlock()
	for _, sp := range ready {
		s.discard(sp)
	}
}
