// Package filelog is the embedded engine: it keeps the log of every partition
// in segment files of one directory.
//
// One goroutine writes. It takes all that waits, of all partitions, puts it in
// one frame, writes the frame and flushes once; then it calls Done for each
// batch in the order in which Append was called. Segments are prepared and
// recycled, so that a flush does not grow a file. Where the file system can do
// it, writing and flushing is one write past the system's cache.
//
// An acknowledged batch survives what Options.Durability promises. On Open
// whatever an interrupted write left behind is cut off and reported; bytes that
// are bad although they were known to be durable are damage, and the directory
// is refused with a *DamageError. A flush that fails stops the writer for good,
// because after it nobody knows what the disk holds until it was read again.
//
// A Log is safe for concurrent use. It owns three goroutines, which Close joins;
// none runs while there is nothing to do. docs/format.md describes the bytes,
// docs/durability.md what is assumed and promised.
package filelog
