package edda

import "fmt"

// Durability says what has happened to a message once it is acknowledged.
type Durability string

// The durabilities, from strongest to weakest.
const (
	// Fsync: it was flushed to the disk and survives the loss of power.
	Fsync Durability = "fsync"
	// OS: it was handed to the operating system. It survives the death of the
	// process, not that of the machine.
	OS Durability = "os"
	// Memory: it is in the process's memory, and survives nothing.
	Memory Durability = "memory"
)

// ParseDurability reads the name of a durability.
func ParseDurability(s string) (Durability, error) {
	switch d := Durability(s); d {
	case Fsync, OS, Memory:
		return d, nil
	default:
		return "", &Error{Op: "parse durability", Reason: BadValue,
			Err: fmt.Errorf("durability %q is none of fsync, os, memory", clip(s))}
	}
}
