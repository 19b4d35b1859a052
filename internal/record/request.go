package record

import (
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// Origin is where a record came from when another partition sent it. Number
// counts what From sent to this partition, from 1; zero means no origin.
type Origin struct {
	From   uint64
	Number uint64
}

// appendOrigin appends an origin as fields 6 and 7, or nothing when there is none.
func appendOrigin(b []byte, o Origin) []byte {
	if o.Number == 0 {
		return b
	}
	b = wire.AppendUint(b, 6, o.From+1)
	return wire.AppendUint(b, 7, o.Number)
}

// readOrigin reads a field 6 or 7 that appendOrigin has written.
func readOrigin(o *Origin, f *wire.Field) (err error) {
	if f.Num == 6 {
		o.From, err = readPartition(f.Uint)
	} else {
		o.Number = f.Uint
	}
	return err
}

// Accepted is a request that was accepted, or a message on its way to another
// partition. The message is carried encoded and is never encoded again.
type Accepted struct {
	// Hash is the address hash the request lives at.
	Hash uint64
	Kind edda.Kind
	// Message is the encoded edda.Message, id included. It aliases the record.
	Message []byte
	// Keep says that the outcome is kept for a caller who asks later.
	Keep bool
	// Fingerprint tells requests of one idempotency key apart; nil without a key.
	Fingerprint []byte
	Origin      Origin
	// GivenID says that the caller chose the message's id, so that it may be known.
	GivenID bool
	// Refused, when not empty, makes the request a dead letter at once: it came from
	// a handler that is gone, so there is nobody to refuse it to.
	Refused Failure
	// Step is nil unless the request is a step of a saga, or the compensation of one.
	Step *Step
	// Delivery is nil unless the request is a message of a stream. Such requests are made
	// by the fold; they stand in no record.
	Delivery *Delivery

	raw []byte // the body it was read from, as one of Completed.Sends
}

// Failure is why an attempt or a request did not succeed.
type Failure struct {
	Reason  edda.Reason
	Message string
}

func appendFailure(b []byte, field int, f Failure) []byte {
	if f == (Failure{}) {
		return b
	}
	inner := wire.AppendString(nil, 1, string(f.Reason))
	inner = wire.AppendString(inner, 2, f.Message)
	return wire.AppendBytes(b, field, inner)
}

func readFailure(b []byte) (Failure, error) {
	var out Failure
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			out.Reason = edda.Reason(f.Bytes)
		case 2:
			out.Message = string(f.Bytes)
		}
	}
	return out, r.Err()
}

// AppendTo appends the whole record, header included.
func (a *Accepted) AppendTo(b []byte) []byte { return a.appendBody(AppendHeader(b, TypeAccepted)) }

func (a *Accepted) appendBody(b []byte) []byte {
	b = wire.AppendFixed(b, 1, a.Hash)
	b = wire.AppendUint(b, 2, kindNumber(a.Kind))
	b = wire.AppendBytes(b, 3, a.Message)
	b = appendBool(b, 4, a.Keep)
	b = wire.AppendBytes(b, 5, a.Fingerprint)
	b = appendOrigin(b, a.Origin)
	b = appendFailure(b, 8, a.Refused)
	b = appendBool(b, 9, a.GivenID)
	return AppendStep(b, 10, a.Step)
}

// AppendDelivery makes the record of a message that another partition sent: its
// body as it left there, and where it came from.
func AppendDelivery(b []byte, t Type, body []byte, o Origin) []byte {
	version := versionWith(t == TypeStreamAppended && hasProducer(body))
	return appendOrigin(append(appendHeader(b, t, version), body...), o)
}

// AppendBody appends the record without its header, as it goes to another
// partition. One of Completed.Sends that was decoded goes on as it is, with
// fields of a later release.
func (a *Accepted) AppendBody(b []byte) []byte {
	if a.raw != nil {
		return append(b, a.raw...)
	}
	return a.appendBody(b)
}

// Decode reads the body of a record.
func (a *Accepted) Decode(body []byte) error {
	*a = Accepted{}
	r := wire.NewReader(body)
	var f wire.Field
	var err error
	for err == nil && r.Next(&f) {
		switch f.Num {
		case 1:
			a.Hash = f.Uint
		case 2:
			a.Kind, err = readKind(f.Uint)
		case 3:
			a.Message = f.Bytes
		case 4:
			a.Keep = f.Uint != 0
		case 5:
			a.Fingerprint = f.Bytes
		case 6, 7:
			err = readOrigin(&a.Origin, &f)
		case 8:
			a.Refused, err = readFailure(f.Bytes)
		case 9:
			a.GivenID = f.Uint != 0
		case 10:
			a.Step, err = ReadStep(f.Bytes)
		}
	}
	if err = ended(TypeAccepted, &r, &f, err); err != nil {
		return err
	}
	if a.Kind == "" || a.Message == nil {
		return fmt.Errorf("%s record without a kind or a message", TypeAccepted)
	}
	return nil
}

// Dispatched gives the request at Seq to a worker.
type Dispatched struct{ Seq uint64 }

// AppendTo appends the whole record.
func (d *Dispatched) AppendTo(b []byte) []byte {
	return wire.AppendUint(AppendHeader(b, TypeDispatched), 1, d.Seq)
}

// Decode reads the body of a record.
func (d *Dispatched) Decode(body []byte) error { return decodeSeq(TypeDispatched, body, &d.Seq) }

// Due says that the time of the delayed request at Seq has come.
type Due struct{ Seq uint64 }

// AppendTo appends the whole record.
func (d *Due) AppendTo(b []byte) []byte { return wire.AppendUint(AppendHeader(b, TypeDue), 1, d.Seq) }

// Decode reads the body of a record.
func (d *Due) Decode(body []byte) error { return decodeSeq(TypeDue, body, &d.Seq) }

func decodeSeq(t Type, body []byte, seq *uint64) error {
	*seq = 0
	r := wire.NewReader(body)
	var f wire.Field
	for r.Next(&f) {
		if f.Num == 1 {
			*seq = f.Uint
		}
	}
	return ended(t, &r, &f, nil)
}

// Change is a changed value of a key's state; a nil Value is a deletion.
type Change struct {
	Name  string
	Value []byte
}

// Completed is the outcome of an attempt: a reply and what goes with it, or a
// final error.
type Completed struct {
	Seq   uint64
	Fence uint64
	// Reply is the encoded edda.Reply; nil when the handler declared a final error.
	Reply []byte
	// Failure is the final error; its reason is empty with a reply.
	Failure Failure
	Changes []Change
	Sends   []Accepted
	// KeepUntil is until when the outcome is kept, in Unix nanoseconds. Zero means
	// not at all: it was asked for by a caller who is there to get it.
	KeepUntil int64
	// Pending says that the step of a saga goes on without its handler, until somebody
	// finishes it. There is no reply then.
	Pending bool
	// Added are the encoded steps that the handler of a step adds to its saga. They
	// alias the record.
	Added [][]byte
	// Starts are the indexes of steps for which a worker's slot is reserved: those that
	// the end of this step may make ready.
	Starts []uint32
	// Appends are messages for streams.
	Appends []StreamAppended
}

// AppendTo appends the whole record.
func (c *Completed) AppendTo(b []byte) []byte {
	numbers := slices.ContainsFunc(c.Appends, func(a StreamAppended) bool { return a.Producer != "" })
	b = wire.AppendUint(appendHeader(b, TypeCompleted, versionWith(numbers)), 1, c.Seq)
	b = wire.AppendUint(b, 2, c.Fence)
	b = wire.AppendBytes(b, 3, c.Reply)
	b = appendFailure(b, 4, c.Failure)
	for i := range c.Changes {
		ch := &c.Changes[i]
		inner := wire.AppendString(make([]byte, 0, len(ch.Name)+len(ch.Value)+16), 1, ch.Name)
		inner = wire.AppendBytes(inner, 2, ch.Value)
		b = wire.AppendBytes(b, 5, inner)
	}
	for i := range c.Sends {
		at := len(b)
		b = wire.Wrap(c.Sends[i].appendBody(b), 6, at)
	}
	b = wire.AppendFixed(b, 7, uint64(c.KeepUntil))
	b = appendBool(b, 8, c.Pending)
	b = appendEach(b, 9, c.Added)
	for i := range c.Appends {
		at := len(b)
		b = wire.Wrap(c.Appends[i].AppendBody(b), 11, at)
	}
	return appendIndexes(b, 10, c.Starts)
}

// AppendKeepUntil adds the time until which the outcome is kept to a completed
// record that was encoded without one.
func AppendKeepUntil(rec []byte, until int64) []byte { return wire.AppendFixed(rec, 7, uint64(until)) }

// AppendStarts names the steps for which a worker's slot is reserved in a completed
// record that was encoded without any.
func AppendStarts(rec []byte, starts []uint32) []byte { return appendIndexes(rec, 10, starts) }

// Decode reads the body of a record. Its slices alias the body.
func (c *Completed) Decode(body []byte) error {
	*c = Completed{}
	r := wire.NewReader(body)
	var f wire.Field
	var err error
	for err == nil && r.Next(&f) {
		switch f.Num {
		case 1:
			c.Seq = f.Uint
		case 2:
			c.Fence = f.Uint
		case 3:
			c.Reply = f.Bytes
		case 4:
			c.Failure, err = readFailure(f.Bytes)
		case 5:
			var ch Change
			ch, err = readChange(f.Bytes)
			c.Changes = append(c.Changes, ch)
		case 6:
			var a Accepted
			err = a.Decode(f.Bytes)
			a.raw = f.Bytes
			c.Sends = append(c.Sends, a)
		case 7:
			c.KeepUntil = int64(f.Uint)
		case 8:
			c.Pending = f.Uint != 0
		case 9:
			c.Added = append(c.Added, f.Bytes)
		case 10:
			c.Starts, err = readIndexes(f.Bytes)
		case 11:
			var a StreamAppended
			err = a.Decode(f.Bytes)
			a.raw = f.Bytes
			c.Appends = append(c.Appends, a)
		}
	}
	return ended(TypeCompleted, &r, &f, err)
}

func readChange(b []byte) (Change, error) {
	var c Change
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			c.Name = string(f.Bytes)
		case 2:
			c.Value = f.Bytes
		}
	}
	return c, r.Err()
}

// Then says what happens to the rest after a request has died.
type Then uint8

// The choices, as they stand in records.
const (
	ThenContinue Then = iota
	ThenStopKey
	ThenPause
)

// AttemptFailed is the end of an attempt without an outcome.
type AttemptFailed struct {
	Seq   uint64
	Fence uint64
	Failure
	// RetryAt is when the next attempt may start, in Unix nanoseconds; zero means
	// that none is left and the request is dead.
	RetryAt int64
	Then    Then
	// Uncounted takes the attempt off the count: no handler was ever started.
	Uncounted bool
}

// AppendTo appends the whole record.
func (a *AttemptFailed) AppendTo(b []byte) []byte {
	b = wire.AppendUint(AppendHeader(b, TypeAttemptFailed), 1, a.Seq)
	b = wire.AppendUint(b, 2, a.Fence)
	b = appendFailure(b, 3, a.Failure)
	b = wire.AppendFixed(b, 4, uint64(a.RetryAt))
	b = wire.AppendUint(b, 5, uint64(a.Then))
	return appendBool(b, 6, a.Uncounted)
}

// Decode reads the body of a record.
func (a *AttemptFailed) Decode(body []byte) error {
	*a = AttemptFailed{}
	return fields(TypeAttemptFailed, body, func(f *wire.Field) (err error) {
		switch f.Num {
		case 1:
			a.Seq = f.Uint
		case 2:
			a.Fence = f.Uint
		case 3:
			a.Failure, err = readFailure(f.Bytes)
		case 4:
			a.RetryAt = int64(f.Uint)
		case 5:
			a.Then = Then(f.Uint)
		case 6:
			a.Uncounted = f.Uint != 0
		}
		return err
	})
}

// Ended ends a request from outside its handler: cancelled, past its deadline,
// or without a service (which makes a dead letter).
type Ended struct {
	Seq uint64
	Failure
	KeepUntil int64
}

// AppendTo appends the whole record.
func (e *Ended) AppendTo(b []byte) []byte {
	b = wire.AppendUint(AppendHeader(b, TypeEnded), 1, e.Seq)
	b = appendFailure(b, 2, e.Failure)
	return wire.AppendFixed(b, 3, uint64(e.KeepUntil))
}

// Decode reads the body of a record.
func (e *Ended) Decode(body []byte) error {
	*e = Ended{}
	return fields(TypeEnded, body, func(f *wire.Field) (err error) {
		switch f.Num {
		case 1:
			e.Seq = f.Uint
		case 2:
			e.Failure, err = readFailure(f.Bytes)
		case 3:
			e.KeepUntil = int64(f.Uint)
		}
		return err
	})
}

// Released hands an attempt back as if it had not been.
type Released struct {
	Seq   uint64
	Fence uint64
}

// AppendTo appends the whole record.
func (r *Released) AppendTo(b []byte) []byte {
	b = wire.AppendUint(AppendHeader(b, TypeReleased), 1, r.Seq)
	return wire.AppendUint(b, 2, r.Fence)
}

// Decode reads the body of a record.
func (r *Released) Decode(body []byte) error {
	*r = Released{}
	return fields(TypeReleased, body, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			r.Seq = f.Uint
		case 2:
			r.Fence = f.Uint
		}
		return nil
	})
}

// Letter is a dead letter that is retried or dropped; the record's type says which.
type Letter struct {
	ID edda.ID
	// KeepUntil is until when a dropped letter's request is kept.
	KeepUntil int64
}

// AppendTo appends the whole record.
func (l *Letter) AppendTo(b []byte, t Type) []byte {
	b = wire.AppendBytes(AppendHeader(b, t), 1, l.ID[:])
	return wire.AppendFixed(b, 2, uint64(l.KeepUntil))
}

// Decode reads the body of a record.
func (l *Letter) Decode(body []byte) error {
	*l = Letter{}
	return fields(TypeLetterRetried, body, func(f *wire.Field) (err error) {
		switch f.Num {
		case 1:
			l.ID, err = readID(f.Bytes)
		case 2:
			l.KeepUntil = int64(f.Uint)
		}
		return err
	})
}

func appendBool(b []byte, field int, v bool) []byte {
	if v {
		return wire.AppendUint(b, field, 1)
	}
	return b
}

// appendEach appends a bytes field for each value, empty ones too.
func appendEach(b []byte, field int, values [][]byte) []byte {
	for _, v := range values {
		b = append(wire.AppendLen(b, field, len(v)), v...)
	}
	return b
}

func readID(b []byte) (edda.ID, error) {
	if len(b) != len(edda.ID{}) {
		return edda.ID{}, fmt.Errorf("id of %d bytes, want %d", len(b), len(edda.ID{}))
	}
	return edda.ID(b), nil
}
