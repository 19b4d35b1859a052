package request

import (
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/store"
)

// Message reads the message of a request from the table, where it lies once
// Request.Decoded is nil. It is safe for concurrent use.
func Message(t store.Table, seq uint64) (*edda.Message, error) {
	b, found, err := t.Get(fold.RowNumber(rowMessage, seq))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("the table has no message of request %d", seq)
	}
	msg := new(edda.Message)
	return msg, msg.UnmarshalBinary(b)
}

// Decoded returns the message of a request, or nil if it lies in the table alone. It is
// for whoever owns the machine.
func (r *Request) Decoded() *edda.Message {
	if r.Message == nil && r.encoded != nil {
		msg := new(edda.Message)
		if msg.UnmarshalBinary(r.encoded) != nil {
			return nil // which cannot be: it was decoded when it came
		}
		if msg.Time.IsZero() {
			msg.Time = time.Unix(0, r.AcceptedAt).UTC()
		}
		r.Message = msg
	}
	return r.Message
}

// Load returns the message of a request, wherever it lies. It is for whoever owns the
// machine.
func (r *Request) Load(t store.Table) (*edda.Message, error) {
	if msg := r.Decoded(); msg != nil {
		return msg, nil
	}
	return Message(t, r.Seq)
}

// Pack lets go of what unfinished requests can decode again. A start does that, after
// which most of them wait.
func (m *Machine) Pack() {
	for _, r := range m.open {
		if r.encoded != nil {
			r.Message = nil
		}
	}
}
