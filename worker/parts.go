package worker

import (
	"context"
	"fmt"
	"sync"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// The parts of one attempt that may be on their way to the node's log at a time. A
// node refuses more.
const (
	partWindow      = 32
	partWindowBytes = 256 << 10
)

// partLine is what an attempt has yielded and the node has not stored yet.
type partLine struct {
	mu     sync.Mutex    // guards what follows; the session's is taken under it
	sizes  []int         // of the parts on their way, the oldest first
	bytes  int           // the sum
	stored uint64        // how many the node has stored
	freed  chan struct{} // closed when there is room again; nil while nobody waits
	err    error         // why there are no more
}

var _ edda.PartWriter = (*attempt)(nil)

// WritePart sends a part of the reply. See edda.Context.Part.
func (a *attempt) WritePart(ctx context.Context, contentType string, payload []byte) error {
	l := &a.parts
	size := len(contentType) + len(payload)
	for {
		if ctx.Err() != nil {
			return a.partError(context.Cause(ctx))
		}
		l.mu.Lock()
		if l.err != nil {
			defer l.mu.Unlock()
			return l.err
		}
		n := len(l.sizes)
		if n == 0 || n < partWindow && l.bytes+size <= partWindowBytes {
			defer l.mu.Unlock()
			if !a.s.part(a, partFrame(a.id, contentType, payload)) {
				return a.partError(errFenced)
			}
			l.sizes = append(l.sizes, size)
			l.bytes += size
			return nil
		}
		if l.freed == nil {
			l.freed = make(chan struct{})
		}
		full := l.freed
		l.mu.Unlock()
		select {
		case <-full:
		case <-ctx.Done():
		}
	}
}

func (a *attempt) partError(why error) error {
	return &edda.Error{Op: "yield a part", Reason: edda.Fenced, Key: a.msg.To.Key, RequestID: a.msg.ID, Err: why}
}

// landed notes that all parts up to a number are stored, or why there will be no
// more.
func (l *partLine) landed(number uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.stored < number && len(l.sizes) > 0 {
		l.bytes -= l.sizes[0]
		l.sizes = l.sizes[1:]
		l.stored++
	}
	if l.err == nil {
		l.err = err
	}
	if l.freed != nil {
		close(l.freed)
		l.freed = nil
	}
}

// part sends a part of an attempt whose outcome is still wanted.
func (s *session) part(a *attempt, frame []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.settled || s.closed {
		return false
	}
	s.put(frame)
	s.poke()
	return true
}

// partStored finds the attempt whose parts were stored.
func (s *session) partStored(id, number uint64, err error) {
	s.mu.Lock()
	a := s.attempts[id]
	s.mu.Unlock()
	if a != nil {
		a.parts.landed(number, err)
	}
}

func partFrame(id uint64, contentType string, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+len(contentType)+32)
	return frame(b, wfPart, func(b []byte) []byte {
		b = wire.AppendUint(b, 1, id)
		b = wire.AppendString(b, 2, rpcconn.Text(contentType))
		return append(wire.AppendLen(b, 3, len(payload)), payload...)
	})
}

func readPartStored(b []byte) (id, number uint64, refused, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			id = f.Uint
		case 2:
			number = f.Uint
		case 3:
			e, err := rpcconn.ReadError("yield a part", f.Bytes)
			if err != nil {
				return 0, 0, nil, fmt.Errorf("part stored: %w", err)
			}
			refused = e
		}
	}
	return id, number, refused, r.Err()
}
