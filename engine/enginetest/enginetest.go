// Package enginetest is the conformance suite of engines: what package engine
// says, as tests. Every engine passes all of it, from its own test:
//
//	func TestConformance(t *testing.T) {
//		enginetest.Run(t, func(t *testing.T) enginetest.Harness { ... })
//	}
//
// Run it with the race detector, too: what it does at the same time, it does for
// that. The random scripts print their seed, and -enginetest.seed repeats one.
package enginetest

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
)

// Partitions is the number of partitions that the engine under test must have.
const Partitions = 64

// Harness is an engine under test and what is particular about it.
type Harness struct {
	// Engine is an empty log of Partitions partitions. The suite closes it.
	Engine engine.Engine
	// Reopen opens the log again, as after a restart of the process. It closes the
	// engine that was opened before it, unless that is closed. The suite closes
	// what it returns.
	Reopen func(t *testing.T) engine.Engine
	// Durability is what Info must report.
	Durability edda.Durability
	// MaxBatchBytes is the size that the records of a batch may have together; a
	// larger batch must be refused. Zero means that there is no such limit, which
	// is tested with 32 MiB.
	MaxBatchBytes int
}

// suite is the cases by name.
var suite = []struct {
	name string
	test func(t *testing.T, h Harness)
}{
	{"Info", testInfo},
	{"UnknownPartition", testUnknownPartition},

	{"Append/Read", testAppendRead},
	{"Append/Pipelined", testPipelined},
	{"Append/DoneInOrder", testDoneInOrder},
	{"Append/NeverOwned", testNeverOwned},
	{"Append/FencedByEpoch", testFencedByEpoch},
	{"Append/FencedByPosition", testFencedByPosition},
	{"Append/NothingAfterAFailure", testNothingAfterAFailure},
	{"Append/FailureOfAnotherEpoch", testFailureOfAnotherEpoch},
	{"Append/RestsOn", testRestsOn},
	{"Append/RestsOnAnotherEpoch", testRestsOnAnotherEpoch},
	{"Append/Malformed", testMalformed},
	{"Append/Oversized", testOversized},
	{"Append/BigRecords", testBigRecords},
	{"Append/ManyRecords", testManyRecords},
	{"Append/LeavesSlicesAlone", testLeavesSlicesAlone},
	{"Append/AllPartitions", testAllPartitions},

	{"Own/Several", testOwnSeveral},
	{"Own/InFlight", testOwnInFlight},
	{"Own/Rivals", testOwnRivals},
	{"Own/Cancelled", testOwnCancelled},

	{"Read/Starts", testReadStarts},
	{"Read/LogOrder", testReadLogOrder},
	{"Read/AsOfTheCall", testReadAsOfTheCall},
	{"Read/WhileAppending", testReadWhileAppending},
	{"Read/BreakOff", testReadBreakOff},
	{"Read/CallsWithin", testReadCallsWithin},
	{"Read/CallerOwnsRecords", testReadCallerOwns},
	{"Read/Cancelled", testReadCancelled},

	{"Trim/NoGap", testTrimNoGap},
	{"Trim/Idempotent", testTrimIdempotent},
	{"Trim/Everything", testTrimEverything},
	{"Trim/WhileReading", testTrimWhileReading},
	{"Trim/Cancelled", testTrimCancelled},

	{"Sync", testSync},

	{"Snapshot/None", testSnapshotNone},
	{"Snapshot/Replaces", testSnapshotReplaces},
	{"Snapshot/FailureKeepsOld", testSnapshotFailure},
	{"Snapshot/OpenReaderStays", testSnapshotOpenReader},

	{"Close/InFlight", testCloseInFlight},
	{"Close/Twice", testCloseTwice},
	{"Close/UseAfter", testUseAfterClose},
	{"Close/WhileReading", testCloseWhileReading},

	{"Reopen/Empty", testReopenEmpty},
	{"Reopen/KeepsEverything", testReopenKeeps},
	{"Reopen/EpochsRise", testReopenEpochs},

	{"Stress", testStress},
}

// Run runs the suite on the engines that open returns, each for one case. Open
// fails the test when it cannot.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) { c.test(t, track(t, open(t))) })
	}
	t.Run("SameAsMemlog", func(t *testing.T) { testSameAsMemlog(t, open) })
}

// track closes every engine of the harness at the end of the test.
func track(t *testing.T, h Harness) Harness {
	t.Helper()
	closeAtEnd := func(e engine.Engine) {
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	closeAtEnd(h.Engine)
	reopen := h.Reopen
	h.Reopen = func(t *testing.T) engine.Engine {
		t.Helper()
		e := reopen(t)
		closeAtEnd(e)
		return e
	}
	return h
}
