package main

import "os"

// headroomBytes is how much garbage may gather before a collection, beside what
// Go allows by itself. A node's own memory is small, a few megabytes, and would be
// collected many times a second under load. The size is a guess that keeps a
// loaded node below 300 MB; others were not compared.
const headroomBytes = 32 << 20

// headroom lets garbage gather. What it returns must stay reachable: it is memory
// that nobody touches, so that it counts for the collector and takes no room. Who
// sets GOGC or GOMEMLIMIT decides alone.
func headroom() any {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, headroomBytes)
}
