//go:build !linux

package bench

import (
	"bytes"
	"os/exec"
	"strconv"
)

// residentBytes returns the memory of a process, for both now and at most.
func residentBytes(pid int) (now, most int64, err error) {
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, 0, err
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(out)), 10, 64)
	return 1024 * n, 1024 * n, err
}

// deviceBytes is unknown here.
func deviceBytes() int64 { return 0 }
