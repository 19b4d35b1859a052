package edda

import "strconv"

// OffsetError is the Err of an *Error with the reason ExpectedOffset. It says what the
// last message of the shard is, so that whoever appended can look at it and decide anew.
type OffsetError struct {
	// Last is the offset of the shard's last message.
	Last uint64
	// Empty says that the shard has no message; then there is no last one.
	Empty bool
}

// Error says it to people.
func (e *OffsetError) Error() string {
	if e.Empty {
		return "the shard is empty"
	}
	return "the last offset of the shard is " + strconv.FormatUint(e.Last, 10)
}
