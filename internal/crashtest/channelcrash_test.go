package crashtest

import "testing"

// TestCrashChannels is TestCrashEverySync for channels: callers publish with and without
// ids, twice at once, and without waiting for the answer; handlers publish with their
// outcomes, here and in other partitions, and fail after it; and somebody changes,
// removes and remakes channels. What was acknowledged is there once, where it was said to
// be; what handlers have published is there once for each request, in order of its key;
// and a channel is what it was set to last.
func TestCrashChannels(t *testing.T) {
	crashEverySync(t, either(1, 3), func() subject { return &channelLedger{} })
}

// TestFaultChannels is TestFaultEveryOperation for channels.
func TestFaultChannels(t *testing.T) {
	faultEveryOperation(t, either(int64(29), 4), 1, func() subject { return &channelLedger{} })
}
