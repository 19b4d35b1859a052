package stream

import "github.com/edda-io/edda"

// EffectKind says what has happened.
type EffectKind uint8

// The kinds of effects.
const (
	// Created: there is a new stream.
	Created EffectKind = iota + 1
	// Changed: a stream-set record has changed a stream that there was.
	Changed
	// Removed: the stream is gone.
	Removed
	// Appended: there are N new messages in the shard, from offset First on.
	Appended
	// Answered: this is what became of the messages of a stream-appended record that was
	// made in this partition; Items has one for each.
	Answered
	// Refused: the record that was made in this partition has changed nothing.
	Refused
	// Trimmed: a stream-trimmed record was applied; N messages are gone. Shard is nil when
	// it was for all.
	Trimmed
	// Dropped: what a handler or another partition wants to have appended may not be.
	// Nobody is there to be told.
	Dropped
)

// Effect is something that a record has brought about.
type Effect struct {
	Kind EffectKind
	// Stream is nil for a refusal or a drop where there is no stream, Shard where there is
	// no such shard.
	Stream *Stream
	Shard  *Shard
	First  uint64
	N      int
	// Bytes is what the new messages take, encoded, and Gone how many were removed because
	// of them, when messages were appended.
	Bytes, Gone int
	Items       []Item
	// Last is the last message of the append's producer in the shard, when it is answered.
	Last Last
	// Reason is why a record was refused or dropped: NO_STREAM, NO_CHANNEL, NO_SHARD, CONFLICT, or
	// EXPECTED_OFFSET, where Detail is the offset of the last message in decimal digits,
	// and empty when there is none. Else Detail is a text for people.
	Reason edda.Reason
	Detail string
}

// Item is what became of one message of an append.
type Item struct {
	Offset uint64
	// Position is that of the record which appended it.
	Position uint64
	// Shard is the index of the shard that it is in.
	Shard uint32
	// Replayed says that a message with its id was there before, or that its producer had
	// come to its number.
	Replayed bool
	// Unknown says that nobody knows where it is that was passed over because of its
	// number. Offset is zero then, and Position that of the producer's last message.
	Unknown bool
}

// refusal is why a record changes nothing.
type refusal struct {
	reason edda.Reason
	detail string
}
