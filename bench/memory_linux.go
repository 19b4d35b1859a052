package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// residentBytes returns the memory of a process, now and at most so far.
func residentBytes(pid int) (now, most int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	return 1024 * procField(b, "VmRSS:"), 1024 * procField(b, "VmHWM:"), nil
}

// deviceBytes returns how much the process has had written to devices.
func deviceBytes() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	return procField(b, "write_bytes:")
}

// procField returns the number that follows a name, zero when it is not there.
func procField(b []byte, name string) int64 {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseInt(string(f[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}
