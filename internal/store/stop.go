package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// How a store survives what Pebble does not.
//
// Pebble answers an error that it cannot undo (its MANIFEST could not be written,
// a table is damaged) by Logger.Fatalf, which by default ends the process. Errors
// of flushes and compactions it reports to EventListener.BackgroundError, and
// tries again at once, for ever. An embedded store may do neither.
//
// So the first such error is recorded in a stopper, and nothing is written any
// more: stopFS lets no byte through from that moment, neither the rest of a torn
// MANIFEST record nor the removal of tables that a record which did reach the disk
// refers to. The directory looks as if the process had died, and is opened as such.
// In memory, three kinds of errors differ.
//
// Flushes and compactions that cannot write their tables fail cleanly and are tried
// again; stopper.pause slows that down until the store is closed.
//
// Errors of the MANIFEST, of the markers that name it and of syncing directories
// are fatal to Pebble, or panic. It cannot go on after them: when a MANIFEST record
// failed, its lists of tables are half changed. So it never sees them. quietFile
// stops the store and reports success, which leaves Pebble consistent in memory,
// and nobody is told of that success: whatever tells of durability asks whether the
// store has stopped after it has its answer.
//
// What is left of Fatalf are findings of damage, whose goroutine returns the error
// after it. (Ending the goroutine instead would do harm: a flush that ends so is "in
// progress" for ever and Close waits for it, and the goroutine may be the caller's.)
// What is left of panics are Pebble's own broken invariants.

// stopRetry is how long each retry of a stopped store's background work is held
// up, until the store is closed.
const stopRetry = 50 * time.Millisecond

// stopper remembers the error that stopped the store.
type stopper struct {
	onStop func(error)
	log    *slog.Logger

	cause   atomic.Pointer[error]
	once    sync.Once
	stopped chan struct{} // closed once cause is set
	closing chan struct{} // closed when Close begins
	calls   sync.WaitGroup
	paused  func() // for tests: called at each pause, if not nil

	mu     sync.Mutex          // guards what follows; held across no I/O
	files  map[uint64]vfs.File // open for writing, by number
	serial uint64
}

func (s *stopper) init(onStop func(error), log *slog.Logger) {
	s.onStop, s.log = onStop, log
	s.stopped = make(chan struct{})
	s.closing = make(chan struct{})
}

// stop records the error; only the first counts. It does not block and may be
// called with any lock held.
func (s *stopper) stop(cause error) {
	s.once.Do(func() {
		err := fmt.Errorf("%w: %w", ErrStopped, cause)
		s.cause.Store(&err)
		close(s.stopped)
		s.calls.Go(func() {
			s.log.Error("store stopped", "err", err)
			if s.onStop != nil {
				s.onStop(err)
			}
		})
	})
}

// Err is nil until the store has stopped.
func (s *stopper) Err() error {
	if err := s.cause.Load(); err != nil {
		return *err
	}
	return nil
}

// close lets background work run into its errors without delay.
func (s *stopper) close() { close(s.closing) }

// wait waits for the call of onStop; nothing stops any more.
func (s *stopper) wait() { s.calls.Wait() }

// off ends a stopper whose store was never opened.
func (s *stopper) off() {
	s.close()
	s.closeFiles()
	s.wait()
}

// opened notes that a file was opened for writing, and numbers it.
func (s *stopper) opened(f vfs.File) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[uint64]vfs.File{}
	}
	s.serial++
	s.files[s.serial] = f
	return s.serial
}

// forget notes that a file is being closed.
func (s *stopper) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, id)
}

// closeFiles closes what the database has left open: of a file that it cannot
// sync, it forgets that it is open.
func (s *stopper) closeFiles() {
	s.mu.Lock()
	left := s.files
	s.files = nil
	s.mu.Unlock()
	for _, f := range left {
		_ = f.Close() // it was given up already
	}
}

// pause is where the retries of a stopped store are held up, before they make a
// file. No lock of Pebble's is held there.
func (s *stopper) pause() {
	if s.paused != nil {
		s.paused()
	}
	retry := time.NewTimer(stopRetry)
	defer retry.Stop()
	select {
	case <-retry.C:
	case <-s.closing:
	}
}

// events are the listeners of a store's database.
func (s *Store) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: s.stop.stop,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.stop.stop(fmt.Errorf("damaged table %s: %w", info.Path, info.Details))
		},
		FlushEnd:      func(pebble.FlushInfo) { s.stall.recheck() },
		CompactionEnd: func(pebble.CompactionInfo) { s.stall.recheck() },
		LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
			s.log.Warn("disk of the store is filling up", "free_bytes", info.AvailBytes, "total_bytes", info.TotalBytes)
		},
	}
}

// pebbleLogger is the logger of a store's database. Its Fatalf does not exit.
type pebbleLogger struct{ s *Store }

var _ pebble.Logger = pebbleLogger{}

func (l pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.log.Warn("store", "err", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok {
			l.s.stop.stop(fmt.Errorf("database: %w", err))
			return
		}
	}
	l.s.stop.stop(errors.New("database: " + fmt.Sprintf(format, args...)))
}
