package filelog

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// rotate makes a segment with that much room the one that is written to. An
// error leaves the log as it is, and a later call may succeed, unless the error
// stopped the writer.
func (l *Log) rotate(need int64) error {
	w := &l.w
	sp, err := l.spares.take(need)
	if err != nil {
		return err
	}
	l.mu.Lock()
	h := &header{logID: l.logID, number: w.seg.number + 1, base: w.lsn, known: l.known.Load(), nextID: w.nextID,
		salt: freshSalt(w.seg.salt), data: uint32(l.spares.data), marks: slices.Clone(l.marks)}
	l.mu.Unlock()
	seg, err := l.install(sp, h)
	if err != nil {
		return err
	}
	// In os durability the other handle is the one that will be synced.
	closeQuietly(w.out)
	w.out, w.seg, w.sealed = l.sinkOf(sp), seg, false
	l.mu.Lock()
	l.segments = append(l.segments, seg)
	l.mu.Unlock()
	return nil
}

// sinkOf returns where the frames go of a spare that became a segment.
func (l *Log) sinkOf(sp *spare) sink {
	switch {
	case sp.direct != nil:
		closeQuietly(sp.file)
		return sp.direct
	case l.fsync:
		return flushed{sp.file}
	default:
		return sp.file
	}
}

// install makes a spare the segment of that header. Only the last step can
// leave a doubt about what is on the disk, and stops the writer.
func (l *Log) install(sp *spare, h *header) (*segment, error) {
	path := l.fs.PathJoin(l.dir, segmentName(h.number))
	second, err := l.stamp(sp, h)
	if err == nil {
		// From here on the directory may hold the new segment, whose base is where
		// the one before ends.
		l.w.sealed = true
		err = l.fs.Rename(sp.path, path)
	}
	if err != nil {
		if second != nil {
			closeQuietly(second)
		}
		l.spares.discard(sp)
		return nil, fmt.Errorf("begin segment %d: %w", h.number, err)
	}
	seg := newSegment(h, path, l.spares.data+sp.room)
	seg.direct = sp.direct != nil
	if second != nil {
		l.mu.Lock()
		l.unsynced = append(l.unsynced, unsynced{seg, second})
		l.mu.Unlock()
	}
	if err := syncDir(l.fs, l.dir); err != nil {
		sp.close()
		return nil, l.stop(fmt.Errorf("begin segment %d: %w", h.number, err))
	}
	return seg, nil
}

// stamp writes the header and syncs it, and opens the second handle that os
// durability needs.
func (l *Log) stamp(sp *spare, h *header) (second vfs.File, err error) {
	if _, err := sp.file.WriteAt(h.encode(), 0); err != nil {
		return nil, err
	}
	if err := sp.file.Sync(); err != nil {
		return nil, err
	}
	if l.fsync {
		return nil, nil
	}
	return l.fs.OpenReadWrite(sp.path, vfs.WriteCategoryUnspecified)
}
