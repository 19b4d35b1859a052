package crashtest

import "testing"

// TestCrashStreams is TestCrashEverySync for streams: producers append with and without
// ids, members in process append to other streams and keep state, members that read
// acknowledge, reject and forget, and the logs are trimmed. What was acknowledged is
// there once, at its offset; every message is handled, nothing after it was known to be
// done with; and what handlers leave behind is there once, in order.
func TestCrashStreams(t *testing.T) {
	crashEverySync(t, either(1, 2), func() subject { return newStreamLedger() })
}

// TestFaultStreams is TestFaultEveryOperation for streams.
func TestFaultStreams(t *testing.T) {
	faultEveryOperation(t, either(int64(29), 4), 1, func() subject { return newStreamLedger() })
}
