// Package directio writes into files past the system's page cache: what one
// write was given is on the medium when it returns, which takes one call and no
// copy where a write and a flush take two.
//
// Only Linux has it, and not on every file system; ErrRefused says where the
// usual way must do. Reads through the page cache see what was written, since
// the system drops the pages concerned, provided they are clean: whoever writes
// the file the usual way as well syncs it before.
package directio

import (
	"errors"
	"unsafe"
)

// ErrRefused: the system or the file system does not take direct writes, or not
// at the alignment asked for. Test with errors.Is.
var ErrRefused = errors.New("direct writes are refused")

// bufferAlign is what the address of a buffer is a multiple of. It suits every
// disk: none asks for more than a page.
const bufferAlign = 4096

// Buffer returns an empty slice with room for size bytes, whose memory a File can
// write from. It is garbage collected like any other; an append beyond its
// capacity moves it to memory that need not suit.
func Buffer(size int) []byte {
	b := make([]byte, 0, size+bufferAlign)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % bufferAlign //nolint:gosec // the address is looked at, not followed
	return b[skip : skip : int(skip)+size]
}
