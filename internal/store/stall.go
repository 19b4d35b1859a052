package store

import (
	"sync"
	"sync/atomic"
)

// Pebble holds up writers when its memory or its first level overflow, and lets
// go of them only when the disk has caught up: never, when the disk has failed.
// So its own limits are put out of reach (see pebbleOptions), and commits are held
// up here, where the end of the store ends the wait as well.
const (
	// stallMemTables times MemTableBytes may wait in memory.
	stallMemTables = 3
	// stallSublevels is the number of tables that a read of the first level may
	// have to look into.
	stallSublevels = 20
)

// stall holds up commits while the disk is behind.
type stall struct {
	memTableBytes int64
	unchecked     atomic.Int64 // bytes committed since the last check

	mu   sync.Mutex    // guards next
	next chan struct{} // closed when a flush or compaction ends
}

func (st *stall) init(memTableBytes int) {
	st.memTableBytes = int64(memTableBytes)
	st.next = make(chan struct{})
}

// recheck is called when the disk has caught up a little.
func (st *stall) recheck() {
	st.mu.Lock()
	defer st.mu.Unlock()
	close(st.next)
	st.next = make(chan struct{})
}

func (st *stall) watch() <-chan struct{} {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.next
}

// throttle waits until a commit of n bytes may go on. It looks only once in a
// quarter of a memtable, because looking costs tens of microseconds.
func (s *Store) throttle(n int) error {
	if s.stall.unchecked.Add(int64(n)) < s.stall.memTableBytes/4 {
		return nil
	}
	s.stall.unchecked.Store(0)
	for {
		next := s.stall.watch()
		m := s.db.Metrics()
		if int64(m.MemTable.Size) < stallMemTables*s.stall.memTableBytes && m.Levels[0].Sublevels < stallSublevels {
			return nil
		}
		select {
		case <-next:
		case <-s.stop.stopped:
			return s.stop.Err()
		case <-s.stop.closing:
			return ErrClosed
		}
	}
}
