// Package record is what stands in a partition's log: a header, then numbered
// fields (see package wire). Every record has a type and a version; a type that
// this release does not know is refused, a field that it does not know is passed
// over. Types and field numbers are never used again. docs/records.md lists them.
//
// The package is pure: it encodes and decodes, and decides nothing.
package record

import (
	"encoding/binary"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// Type says what a record is.
type Type uint8

// The types of records.
const (
	// TypeOwned: a node has taken the partition.
	TypeOwned Type = 1
	// TypeAccepted: a request was accepted.
	TypeAccepted Type = 2
	// TypeDispatched: a request that had to wait was given to a worker.
	TypeDispatched Type = 3
	// TypeCompleted: an attempt ended with a reply, or with a final error.
	TypeCompleted Type = 4
	// TypeAttemptFailed: an attempt ended, and is retried or the request is dead.
	TypeAttemptFailed Type = 5
	// TypeEnded: a request was cancelled, its deadline passed, or its service is gone.
	TypeEnded Type = 6
	// TypeDue: the time of a delayed request has come.
	TypeDue Type = 7
	// TypeReleased: an attempt was handed back as if it had not been.
	TypeReleased Type = 8
	// TypeOutboxAcked: another partition has what this one sent it.
	TypeOutboxAcked Type = 9
	// TypeLetterRetried: a dead letter is a request again.
	TypeLetterRetried Type = 10
	// TypeLetterDropped: a dead letter was dropped.
	TypeLetterDropped Type = 11
	// TypeKeyResumed: a stopped key goes on.
	TypeKeyResumed Type = 12
	// TypeServiceSet: a service was registered or changed. Partition 0 only.
	TypeServiceSet Type = 13
	// TypeServiceRemoved: a service was removed. Partition 0 only.
	TypeServiceRemoved Type = 14
	// TypeServicePaused: a service was paused or goes on. Partition 0 only.
	TypeServicePaused Type = 15
	// TypePart: a running attempt yielded a part of its reply.
	TypePart Type = 16
	// TypeSagaCreated: a saga was created.
	TypeSagaCreated Type = 17
	// TypeSagaStarted: a saga was started.
	TypeSagaStarted Type = 18
	// TypeSagaStepsAdded: steps were added to a saga.
	TypeSagaStepsAdded Type = 19
	// TypeStepEnded: the request of a saga's step has ended.
	TypeStepEnded Type = 20
	// TypeStepFinished: somebody has completed or failed a running step.
	TypeStepFinished Type = 21
	// TypeSagaCancelled: a saga is undone, because somebody wants it or its deadline has passed.
	TypeSagaCancelled Type = 22
	// TypeCompensationChanged: somebody has dealt with a compensation that failed.
	TypeCompensationChanged Type = 23
	// TypeSagaAdvanced: more of the steps that are ready start.
	TypeSagaAdvanced Type = 24
	// TypeSagaRemoved: an ended saga was removed.
	TypeSagaRemoved Type = 25
	// TypeStepCancelled: the request of a saga's step is cancelled from its saga's partition.
	TypeStepCancelled Type = 26
	// TypeStreamAppended: messages for a stream.
	TypeStreamAppended Type = 27
	// TypeStreamSet: a stream was created or changed.
	TypeStreamSet Type = 28
	// TypeStreamRemoved: a stream was removed.
	TypeStreamRemoved Type = 29
	// TypeStreamTrimmed: the first messages of a stream were removed.
	TypeStreamTrimmed Type = 30
	// TypeGroupSet: a consumer group was created or changed.
	TypeGroupSet Type = 31
	// TypeGroupRemoved: a consumer group was removed.
	TypeGroupRemoved Type = 32
	// TypeGroupReset: the cursor of a consumer group was set.
	TypeGroupReset Type = 33
	// TypeGroupAdvanced: more of the messages that a consumer group is behind become requests.
	TypeGroupAdvanced Type = 34
	// TypeChannelSet: a channel was created or changed.
	TypeChannelSet Type = 35
	// TypeChannelRemoved: a channel was removed.
	TypeChannelRemoved Type = 36
)

var typeNames = [...]string{
	TypeOwned: "owned", TypeAccepted: "accepted", TypeDispatched: "dispatched", TypeCompleted: "completed",
	TypeAttemptFailed: "attempt-failed", TypeEnded: "ended", TypeDue: "due", TypeReleased: "released",
	TypeOutboxAcked: "outbox-acked", TypeLetterRetried: "letter-retried", TypeLetterDropped: "letter-dropped",
	TypeKeyResumed: "key-resumed", TypeServiceSet: "service-set", TypeServiceRemoved: "service-removed",
	TypeServicePaused: "service-paused", TypePart: "part", TypeSagaCreated: "saga-created", TypeSagaStarted: "saga-started",
	TypeSagaStepsAdded: "saga-steps-added", TypeStepEnded: "step-ended", TypeStepFinished: "step-finished", TypeSagaCancelled: "saga-cancelled",
	TypeCompensationChanged: "compensation-changed", TypeSagaAdvanced: "saga-advanced", TypeSagaRemoved: "saga-removed",
	TypeStepCancelled: "step-cancelled", TypeStreamAppended: "stream-appended", TypeStreamSet: "stream-set",
	TypeStreamRemoved: "stream-removed", TypeStreamTrimmed: "stream-trimmed", TypeGroupSet: "group-set", TypeGroupRemoved: "group-removed",
	TypeGroupReset: "group-reset", TypeGroupAdvanced: "group-advanced",
	TypeChannelSet: "channel-set", TypeChannelRemoved: "channel-removed",
}

// String returns the type's name.
func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("type-%d", uint8(t))
}

// Version is the version of records, but for those of NumberedVersion.
const Version = 1

// NumberedVersion is that of stream-appended and completed records in which a producer
// has numbered messages: who does not know of numbers would append them twice.
const NumberedVersion = 2

func versionWith(numbers bool) uint8 {
	if numbers {
		return NumberedVersion
	}
	return Version
}

// newest is the latest version of a type that this release knows.
func newest(t Type) uint8 { return versionWith(t == TypeStreamAppended || t == TypeCompleted) }

// Flags are set by the partition's loop just before it appends a record.
type Flags uint16

// FlagStart: a worker's slot is reserved for the request that this record makes
// ready (the request itself, or the next one of its key).
const FlagStart Flags = 1

// HeaderBytes is the size of a record's header: type, version, flags (2 bytes)
// and time (8 bytes), all little-endian.
const HeaderBytes = 12

// AppendHeader begins a record: flags and time are filled in by Stamp.
func AppendHeader(b []byte, t Type) []byte { return appendHeader(b, t, Version) }

func appendHeader(b []byte, t Type, version uint8) []byte {
	return append(b, byte(t), version, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// Stamp fills in the flags and the time of a record that was begun with
// AppendHeader. Time is in Unix nanoseconds.
func Stamp(rec []byte, f Flags, time int64) {
	binary.LittleEndian.PutUint16(rec[2:], uint16(f))
	binary.LittleEndian.PutUint64(rec[4:], uint64(time))
}

// Record is a record whose header was read.
type Record struct {
	Type  Type
	Flags Flags
	Time  int64 // Unix nanoseconds
	Body  []byte
}

// Parse reads the header of a record. Body aliases b. An unknown type or
// version is an *UnknownError.
func Parse(b []byte) (Record, error) {
	if len(b) < HeaderBytes {
		return Record{}, fmt.Errorf("record of %d bytes, the header alone has %d", len(b), HeaderBytes)
	}
	r := Record{
		Type:  Type(b[0]),
		Flags: Flags(binary.LittleEndian.Uint16(b[2:])),
		Time:  int64(binary.LittleEndian.Uint64(b[4:])),
		Body:  b[HeaderBytes:],
	}
	if r.Type == 0 || int(r.Type) >= len(typeNames) || typeNames[r.Type] == "" || b[1] == 0 || b[1] > newest(r.Type) {
		return r, &UnknownError{Type: r.Type, Version: b[1]}
	}
	return r, nil
}

// UnknownError is a record of a later release.
type UnknownError struct {
	Type    Type
	Version uint8
}

// Error says what is needed.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("record type %d version %d is of a later release of edda: this one knows types up to %d and of this one versions up to %d; "+
		"start the release that wrote it (CHANGELOG.md names the release of each type)", uint8(e.Type), e.Version, len(typeNames)-1, newest(e.Type))
}

// fields reads all fields of a body. It allocates a field; records that come
// often have a loop of their own.
func fields(t Type, body []byte, each func(f *wire.Field) error) error {
	r := wire.NewReader(body)
	var f wire.Field
	var err error
	for err == nil && r.Next(&f) {
		err = each(&f)
	}
	return ended(t, &r, &f, err)
}

// ended is the error of a loop over fields: err at the field f, or the reader's.
func ended(t Type, r *wire.Reader, f *wire.Field, err error) error {
	if err != nil {
		return fmt.Errorf("%s record, field %d: %w", t, f.Num, err)
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("%s record: %w", t, err)
	}
	return nil
}

// readPartition reads a partition's number, which is written as one more so that
// partition 0 takes no special case.
func readPartition(u uint64) (uint64, error) {
	if u == 0 {
		return 0, fmt.Errorf("partition 0 is written as 1")
	}
	return u - 1, nil
}

// kinds as they stand in records.
const (
	kindOrdered  = 1
	kindBalanced = 2
)

func kindNumber(k edda.Kind) uint64 {
	if k == edda.Balanced {
		return kindBalanced
	}
	return kindOrdered
}

func readKind(u uint64) (edda.Kind, error) {
	switch u {
	case kindOrdered:
		return edda.Ordered, nil
	case kindBalanced:
		return edda.Balanced, nil
	default:
		return "", fmt.Errorf("kind %d is neither ordered nor balanced", u)
	}
}
