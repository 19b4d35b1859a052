package record

import (
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// The fields of a message that MessageNames reads; docs/records.md lists them.
const (
	messageID    = 1
	messageKey   = 5
	messageGiven = 18
)

// MessageNames are what a message of a stream is told apart by, read without decoding
// the rest. They alias the message.
type MessageNames struct {
	// Given is the id that its producer gave the message, nil when it gave none.
	Given []byte
	// Made is the id (16 bytes) that a node made for it, nil when there is none.
	Made []byte
	// Key is what groups keep the order for, nil when there is none.
	Key []byte
}

// Read reads the names of an encoded message. What is not a message is an error.
func (n *MessageNames) Read(encoded []byte) error {
	*n = MessageNames{}
	r := wire.NewReader(encoded)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case messageID:
			n.Made = f.Bytes
		case messageKey:
			n.Key = f.Bytes
		case messageGiven:
			n.Given = f.Bytes
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("message of a stream: %w", err)
	}
	if n.Made != nil && len(n.Made) != len(edda.ID{}) {
		return fmt.Errorf("message of a stream: id of %d bytes, want %d", len(n.Made), len(edda.ID{}))
	}
	return nil
}

// ID returns what the message is called, as edda.StreamMessage.ID has it.
func (n *MessageNames) ID() string {
	switch {
	case len(n.Given) > 0:
		return string(n.Given)
	case n.Made == nil:
		return ""
	default:
		return edda.ID(n.Made).String()
	}
}
