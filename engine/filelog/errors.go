package filelog

import (
	"errors"
	"fmt"
)

// ErrInUse: the directory is open already, in this process or in another one.
// Test with errors.Is.
var ErrInUse = errors.New("in use by another process")

// errBad: the bytes are not a whole frame of this place in the log. Whether
// that is the end, a torn tail or damage depends on what comes after.
var errBad = errors.New("no valid frame")

// errBlock: a header, of a segment or of another file, is not what was written.
var errBlock = errors.New("header does not match its checksum")

var errUnknownPartition = errors.New("the log has no such partition")

// DamageError says that bytes are bad which were known to be durable, or that a
// file is missing. Nothing was changed.
type DamageError struct {
	// Segment is the number of the segment.
	Segment uint64
	// From and To delimit the bad bytes within the segment's file, To excluded.
	// Both are zero when the file as a whole is missing.
	From, To int64
	// LSN is the place of From in the whole log.
	LSN uint64
	// Err says what is wrong there.
	Err error
}

// Error names the file and the range.
func (e *DamageError) Error() string {
	return fmt.Sprintf("damage in %s, bytes %d to %d (log offset %d): %v",
		segmentName(e.Segment), e.From, e.To, e.LSN, e.Err)
}

// Unwrap returns Err.
func (e *DamageError) Unwrap() error { return e.Err }

// VersionError says that a file was written by a release that this one does not
// know.
type VersionError struct {
	// File is the file's name within the directory.
	File string
	// Version is the format version it carries.
	Version uint32
}

// Error names the file, its version and the versions that can be read.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s has format version %d; this release reads version %d", e.File, e.Version, formatVersion)
}
