package filelog

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readChunk is how much is read from a file at once.
const readChunk = 1 << 20

// frameReader reads the frames of one segment. What it returns is valid until
// the next call.
type frameReader struct {
	file  vfs.File
	seg   *segment
	limit uint64 // LSN to stop at
	lsn   uint64 // of the next frame

	buf []byte // what was read last
	at  uint64 // LSN of buf[0]
}

// reset points the reader at a segment; the buffer is kept.
func (r *frameReader) reset(f vfs.File, seg *segment, limit uint64) {
	r.file, r.seg, r.limit, r.lsn = f, seg, limit, seg.base
	r.buf, r.at = r.buf[:0], 0
}

// next returns the next frame: io.EOF at the limit, errBad when there is none
// although the limit is not reached, or the error of the file system.
func (r *frameReader) next() (frame, error) {
	if r.lsn >= r.limit {
		return frame{}, io.EOF
	}
	f, err := r.frameAt(r.lsn)
	if err == nil {
		r.lsn = f.end()
	}
	return f, err
}

func (r *frameReader) frameAt(lsn uint64) (frame, error) {
	head, err := r.window(lsn, frameHead)
	if err != nil {
		return frame{}, err
	}
	n := frameLength(head, r.seg.salt)
	if n == 0 || uint64(n) > r.limit-lsn {
		return frame{}, errBad
	}
	b, err := r.window(lsn, n)
	if err != nil {
		return frame{}, err
	}
	if len(b) < n {
		return frame{}, errBad
	}
	f, ok := parseFrame(b, lsn)
	if !ok {
		return frame{}, errBad
	}
	return f, nil
}

// window returns the n bytes at lsn, fewer where the file or the limit ends.
func (r *frameReader) window(lsn uint64, n int) ([]byte, error) {
	n = int(min(uint64(n), r.limit-lsn))
	if have := r.at + uint64(len(r.buf)); lsn < r.at || lsn+uint64(n) > have {
		if err := r.fill(lsn, n); err != nil {
			return nil, err
		}
	}
	from := min(lsn-r.at, uint64(len(r.buf)))
	to := min(from+uint64(n), uint64(len(r.buf)))
	return r.buf[from:to:to], nil
}

// fill reads at least n bytes from lsn on, as far as there are any.
func (r *frameReader) fill(lsn uint64, n int) error {
	size := int(min(uint64(max(n, readChunk)), r.limit-lsn))
	if cap(r.buf) < size {
		r.buf = make([]byte, size)
	}
	k, err := r.file.ReadAt(r.buf[:size], r.seg.offset(lsn))
	r.buf, r.at = r.buf[:k], lsn
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// begun reports whether a frame was begun at lsn, where none is valid: its salt is
// there, or only that is bad, so that the checksum is right with it. What the file
// held when it was another segment has neither.
func (r *frameReader) begun(lsn uint64) (bool, error) {
	head, err := r.window(lsn, frameHead)
	if err != nil || len(head) < frameHead {
		return false, err
	}
	salt := binary.LittleEndian.Uint32(head[8:])
	if salt == r.seg.salt {
		return true, nil
	}
	n := frameLength(head, salt)
	if n == 0 || uint64(n) > r.limit-lsn {
		return false, nil
	}
	b, err := r.window(lsn, n)
	if err != nil || len(b) < n {
		return false, err
	}
	b = slices.Clone(b)
	binary.LittleEndian.PutUint32(b[8:], r.seg.salt)
	_, ok := parseFrame(b, lsn)
	return ok, nil
}

// forget drops what was read, so that the next look is at the file.
func (r *frameReader) forget() { r.buf, r.at = r.buf[:0], 0 }

// resync looks for a frame after a bad one, in all places where one can begin:
// its salt, which no payload can know, and its checksum tell. It is io.EOF when
// there is none. The next frame is the one after the one found.
func (r *frameReader) resync() (frame, error) {
	for lsn := r.lsn + frameAlign; lsn < r.limit; lsn += frameAlign {
		f, err := r.frameAt(lsn)
		if err == nil {
			r.lsn = f.end()
			return f, nil
		}
		if !errors.Is(err, errBad) {
			return frame{}, err
		}
	}
	return frame{}, io.EOF
}
