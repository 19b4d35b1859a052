package filelog

import (
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda/internal/directio"
)

// sink is where the frames of a segment go. In fsync durability they are on the
// disk when WriteAt returns.
type sink interface {
	io.WriterAt
	io.Closer
}

// flushed flushes after each write.
type flushed struct{ vfs.File }

func (f flushed) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	if err == nil {
		err = f.SyncData()
	}
	return n, err
}

// directSink opens a file for writes past the system's cache, with a probe write
// at an offset where nothing is that counts. ErrRefused says that the file's
// frames must go through the cache. A page written back later than a frame would
// undo it; so stamp syncs the file before its first frame, and nothing is
// written to it through the cache any more.
type directSink func(path string, probe int64) (sink, error)

func openDirect(path string, probe int64) (sink, error) {
	f, err := directio.Open(path, frameAlign, probe)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// reserve makes room for n more bytes in the frame and for what fills it up, in
// memory that a disk can read from. Within that room nothing moves the frame.
func (w *writer) reserve(n int) {
	need := len(w.buf) + n + frameAlign
	if need <= cap(w.buf) {
		return
	}
	w.buf = append(directio.Buffer(max(need, min(2*cap(w.buf), 2*groupBytes))), w.buf...)
}
