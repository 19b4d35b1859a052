package worker

import (
	"runtime"
	"time"

	"github.com/edda-io/edda/internal/rpcconn"
)

// put appends a frame to what goes out. The caller holds mu, and gives a large
// frame away.
func (s *session) put(frame []byte) {
	if s.closed {
		return
	}
	if len(frame) > ownChunk {
		if len(s.last) > 0 {
			s.chunks = append(s.chunks, s.last)
			s.last = nil
		}
		s.chunks = append(s.chunks, frame)
		return
	}
	if len(s.last)+len(frame) > chunkBytes {
		s.chunks = append(s.chunks, s.last)
		s.last = nil
	}
	s.last = append(s.last, frame...)
}

// poke wakes the writer.
func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// progress has the node told that an attempt's handler gets on.
func (s *session) progress(a *attempt) {
	s.mu.Lock()
	if !a.beating && !a.settled && !s.closed {
		a.beating = true
		s.progressed = append(s.progressed, a)
	}
	s.mu.Unlock()
	s.poke()
}

// write sends all that waits, together, until the stream ends.
func (s *session) write() {
	for {
		select {
		case <-s.done:
			return
		case <-s.wake:
		}
		// Handlers that were just started, and are quick, get to end before their start
		// is told: then that needs no telling.
		runtime.Gosched()
		chunks, end := s.collect()
		for _, c := range chunks {
			if s.stream.SendMsg(c) != nil {
				return // the reader learns why
			}
		}
		if end {
			_ = s.stream.CloseSend() // the reader learns how it ends
			return
		}
	}
}

// collect takes what goes out, and says whether it is the last.
func (s *session) collect() (chunks []*rpcconn.Frames, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.head()
	for _, c := range s.chunks {
		chunks = append(chunks, &rpcconn.Frames{Parts: [][]byte{head, c}})
		head = nil
	}
	if len(s.last) > 0 || len(head) > 0 {
		chunks = append(chunks, &rpcconn.Frames{Parts: [][]byte{head, s.last}})
		s.last = make([]byte, 0, min(2*len(s.last), chunkBytes))
	}
	s.chunks = nil
	return chunks, s.closing
}

// head encodes what is told of attempts that run. The caller holds mu.
func (s *session) head() []byte {
	var b []byte
	if ids := running(s.taken); len(ids) > 0 {
		b = attemptFrame(b, wfTaken, ids)
	}
	clear(s.taken)
	s.taken = s.taken[:0]
	if s.beat || len(s.progressed) > 0 {
		b = attemptFrame(b, wfHeartbeat, running(s.progressed))
		for _, a := range s.progressed {
			a.beating = false
		}
	}
	s.beat, s.progressed = false, nil
	return b
}

// running returns the ids of those attempts that have not ended.
func running(all []*attempt) []uint64 {
	var ids []uint64
	for _, a := range all {
		if !a.settled {
			ids = append(ids, a.id)
		}
	}
	return ids
}

// heartbeat tells the node that the worker lives, twice as often as it must.
func (s *session) heartbeat() {
	t := time.NewTicker(max(s.hello.heartbeat/2, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-t.C:
		}
		s.mu.Lock()
		s.beat = true
		s.mu.Unlock()
		s.poke()
	}
}
