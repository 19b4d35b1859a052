package directio_test

import (
	"testing"
	"unsafe"

	"github.com/edda-io/edda/internal/directio"
)

func TestBuffer(t *testing.T) {
	for _, size := range []int{1, 511, 512, 4096, 100_000, 9 << 20} {
		b := directio.Buffer(size)
		if len(b) != 0 || cap(b) != size {
			t.Errorf("buffer of %d bytes has %d, and room for %d", size, len(b), cap(b))
		}
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(b))); at%4096 != 0 {
			t.Errorf("buffer of %d bytes is at %#x", size, at)
		}
	}
}
