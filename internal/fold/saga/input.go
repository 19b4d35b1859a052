package saga

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

const secretBytes = record.SagaSecretBytes

// maxPayload bounds what one record puts into requests, in bytes: more than the
// largest of them. A result that many steps depend on is copied for each.
const maxPayload = 32 << 20

// smallPayload is what a step is sent at most that does not count for Grown: about as
// much stood in records.
const smallPayload = 1 << 10

// admits reports whether the record has room for a payload, and counts it.
func (m *Machine) admits(payload []byte) bool {
	if m.payload += len(payload); m.payload > maxPayload {
		return false
	}
	if len(payload) > smallPayload {
		m.grown += len(payload)
	}
	return true
}

// request makes the request of a step, or with u that of its compensation. It is
// false, and nothing happens, when the record has no room for it.
func (m *Machine) request(s *Saga, i int, t *record.StepTask, payload []byte, u *undoing) (room bool, err error) {
	if !m.admits(payload) {
		return false, nil
	}
	step := record.Step{Hash: s.hash, Saga: s.ID, Index: uint32(i), AttemptTimeout: t.AttemptTimeout, Retry: t.Retry}
	if u != nil {
		step.Undo, step.Run = true, u.run
	}
	a := record.Accepted{Hash: s.hashOf(&t.Task), Kind: edda.Balanced, Step: &step}
	if t.Key != "" {
		a.Kind = edda.Ordered
	}
	msg := &edda.Message{
		ID: s.requestID(i, step.Undo, step.Run, a.Hash), Type: t.Method,
		To: edda.Address{Namespace: s.Namespace, Name: t.Service, Key: t.Key}, Principal: s.Principal,
		ContentType: "application/json", Payload: payload, CorrelationID: s.correlation(),
		TraceParent: s.TraceParent, TraceState: s.TraceState, Time: time.Unix(0, m.env.Time).UTC(),
	}
	if to := m.env.Home(a.Hash); to != m.env.Partition {
		if a.Message, err = msg.AppendBinary(nil); err != nil {
			return false, err
		}
		m.outbox.Push(to, record.TypeAccepted, a.AppendBody(nil))
		return true, nil
	}
	slot := m.slot(s, i)
	room, err = m.requests.AdmitStep(&a, msg, slot >= 0)
	if room && slot >= 0 {
		m.slots.used[slot] = true
	}
	return room, err
}

// hashOf returns where the request of a task lives: with the saga, or at its key.
func (s *Saga) hashOf(t *edda.Task) uint64 {
	if t.Key == "" {
		return s.hash
	}
	return edda.Address{Namespace: s.Namespace, Name: t.Service, Key: t.Key}.Hash()
}

func (s *Saga) correlation() string {
	if s.Correlation != "" {
		return s.Correlation
	}
	return s.ID
}

// requestID returns the id of a step's request: whoever has the saga's secret can
// name it, and nobody else. It is a UUID of version 8.
func (s *Saga) requestID(i int, undo bool, run, hash uint64) edda.ID {
	b := append(make([]byte, 0, secretBytes+9+edda.MaxNameBytes), s.secret[:]...)
	if undo {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.BigEndian.AppendUint64(b, run)
	sum := sha256.Sum256(append(b, s.steps[i].id...))
	id := edda.ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	binary.BigEndian.PutUint16(id[14:], uint16(hash>>48))
	return id
}

// asked reports whether the request whose end is told was the saga's, as far as that
// says. Where the request lived, which the end of its id says, does not matter.
func (s *Saga) asked(e *record.StepEnded) bool {
	if e.ID.IsZero() || int(e.Step.Index) >= len(s.steps) {
		return true
	}
	id := s.requestID(int(e.Step.Index), e.Step.Undo, e.Step.Run, 0)
	return [14]byte(id[:14]) == [14]byte(e.ID[:14])
}

// mac returns the HMAC-SHA256 of a text under the saga's secret, half of it. It is
// spelled out (RFC 2104) because it is made for each step, and crypto/hmac allocates.
func (s *Saga) mac(text string) [secretBytes]byte {
	var inner [sha256.BlockSize + 2*edda.MaxNameBytes]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		var k byte
		if i < secretBytes {
			k = s.secret[i]
		}
		inner[i], outer[i] = k^0x36, k^0x5c
	}
	sum := sha256.Sum256(append(inner[:sha256.BlockSize], text...))
	copy(outer[sha256.BlockSize:], sum[:])
	sum = sha256.Sum256(outer[:])
	return [secretBytes]byte(sum[:])
}

// CompletionKey returns the right to finish a step, for whoever has no credentials.
func (s *Saga) CompletionKey(i int) string {
	k := s.mac(s.steps[i].id)
	return hex.EncodeToString(k[:])
}

// childSecret returns the secret of the saga that a step is. No step's id has a zero
// byte, so it is no completion key.
func (s *Saga) childSecret(i int) [secretBytes]byte { return s.mac("saga\x00" + s.steps[i].id) }

// inputSize is how large the input of a step, or of its compensation, is at most.
func (s *Saga) inputSize(i int, t *edda.Task, undo bool) int {
	st := &s.steps[i]
	size := len(`{"args":[],"dependencies":[],"sagaId":"","stepId":"","completionKey":""}`) + len(s.ID) + len(st.id) + 2*secretBytes
	for _, a := range t.Args {
		size += len(a) + 1
	}
	if undo {
		size += len(st.result)
	} else {
		for _, d := range st.deps {
			size += len(s.steps[d].result) + 1
		}
	}
	return size
}

// input returns the edda.StepInput of a step, or of its compensation, as JSON; or why
// there is none. Its size is at most that given.
func (s *Saga) input(i int, t *edda.Task, size int, undo bool) ([]byte, *edda.StepError) {
	st := &s.steps[i]
	if size > edda.MaxStepInputBytes {
		return nil, &edda.StepError{Reason: edda.TooLarge, Message: fmt.Sprintf(
			"its arguments with the results that it depends on have %d bytes, at most %d are allowed", size, edda.MaxStepInputBytes)}
	}
	b := append(make([]byte, 0, size), `{"args":[`...)
	b = appendArgs(b, t.Args)
	b = append(b, `],"dependencies":[`...)
	if undo {
		b = append(b, st.result...)
	} else {
		for n, d := range st.deps {
			if n > 0 {
				b = append(b, ',')
			}
			b = append(b, s.steps[d].result...)
		}
	}
	b = append(append(b, `],"sagaId":"`...), s.ID...)
	b = append(append(b, `","stepId":"`...), st.id...)
	if !undo {
		b = append(append(b, `","completionKey":"`...), s.CompletionKey(i)...)
	}
	return append(b, `"}`...), nil
}

func appendArgs(b []byte, args []json.RawMessage) []byte {
	for i, a := range args {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, a...)
	}
	return b
}
