package bench

import (
	"os"
	"syscall"
)

// syncData flushes the file's data, and of its metadata what reading needs.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}
