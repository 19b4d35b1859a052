package filelog

import (
	"fmt"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segment is a file of the log. Log.mu guards what changes.
type segment struct {
	number uint64
	base   uint64 // LSN of its first frame
	salt   uint32
	data   int64 // where in the file the frames begin
	room   int64 // bytes of frames that fit
	path   string
	marks  []mark // where the partitions stood at base
	direct bool   // this process writes its frames past the system's cache

	readers int  // guarded by Log.mu
	dropped bool // guarded by Log.mu: trimmed; recycled when readers is zero
}

func newSegment(h *header, path string, size int64) *segment {
	return &segment{number: h.number, base: h.base, salt: h.salt, data: int64(h.data),
		room: size - int64(h.data), path: path, marks: h.marks}
}

// offset is where in the file the frame at lsn lies.
func (s *segment) offset(lsn uint64) int64 { return s.data + int64(lsn-s.base) }

// openSegment reads the header of the segment of that number and checks that it
// belongs to the log. Bad headers are errBlock.
func openSegment(fsys vfs.FS, dir string, number uint64, m *meta) (vfs.File, *header, *segment, error) {
	name := segmentName(number)
	path := fsys.PathJoin(dir, name)
	f, err := fsys.Open(path)
	if err != nil {
		return nil, nil, nil, err
	}
	h, err := readHeader(f, name)
	if err == nil && (h.logID != m.logID || h.number != number || len(h.marks) != int(m.partitions)) {
		err = fmt.Errorf("%w: it is of another log or segment", errBlock)
	}
	var info vfs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		closeQuietly(f)
		return nil, nil, nil, err
	}
	return f, h, newSegment(h, path, info.Size()), nil
}

// freshSalt returns a salt that is neither zero, which empty space would match,
// nor the one before.
func freshSalt(not uint32) uint32 {
	for {
		if s := rand.Uint32(); s != 0 && s != not {
			return s
		}
	}
}
