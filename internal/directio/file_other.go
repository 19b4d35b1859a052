//go:build !linux

package directio

// File is a file that is open for direct writes, which there are none of here.
type File struct{}

// Open returns ErrRefused.
func Open(string, int, int64) (*File, error) { return nil, ErrRefused }

// WriteAt returns ErrRefused.
func (*File) WriteAt([]byte, int64) (int, error) { return 0, ErrRefused }

// Close does nothing.
func (*File) Close() error { return nil }
