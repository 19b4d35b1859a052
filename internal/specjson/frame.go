package specjson

import (
	"math/bits"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// MaxRefBytes is the longest ref of a frame, as JSON.
const MaxRefBytes = 128

// Frame is one operation that a client asks for over a live connection. Only what its Op
// may have is set.
type Frame struct {
	Op string
	// Ref is the client's name for the operation, as JSON: a number as it was sent, or a
	// string that is escaped in one way only, so that the same string is the same Ref.
	Ref string

	Token                string // of auth
	Service, Method      string // of call
	Stream, Channel      string
	Shard                string
	IdempotencyKey       string
	Delay, DeadlineAfter time.Duration
	DeadlineAt           time.Time
	Parts                bool
	Quiet                bool // a call that asks for no ack

	// Message is what an append or publish is about; a call has its key, headers, content
	// type, payload, correlation id and trace context there. Payload is part of the frame.
	Message edda.StreamMessage

	Patterns  []string
	From      edda.From
	Ephemeral bool
	Presence  bool
	// Credit is -1 where none was said; it is the n of credit, too.
	Credit int
}

// member is one bit for each member that a frame may have.
type member uint32

const (
	mOp member = 1 << iota
	mRef
	mToken
	mService
	mKey
	mMethod
	mStream
	mChannel
	mShard
	mID
	mType
	mSource
	mReplyTo
	mHeaders
	mContentType
	mData
	mDataBase64
	mCorrelationID
	mTraceParent
	mTraceState
	mTime
	mIdempotencyKey
	mDelay
	mDeadline
	mParts
	mPatterns
	mFrom
	mLifespan
	mCredit
	mPresence
	mN
	mAck
)

var memberNames = [...]string{
	"op", "ref", "token", "service", "key", "method", "stream", "channel", "shard", "id", "type", "source", "replyTo", "headers",
	"contentType", "data", "dataBase64", "correlationId", "traceparent", "tracestate", "time", "idempotencyKey", "delay", "deadline",
	"parts", "patterns", "from", "lifespan", "credit", "presence", "n", "ack",
}

var membersByName = func() map[string]member {
	m := make(map[string]member, len(memberNames))
	for i, name := range memberNames {
		m[name] = 1 << i
	}
	return m
}()

// frameOps says of each operation which members it must have and which it may.
var frameOps = func() map[string]struct{ must, may member } {
	const content = mKey | mHeaders | mContentType | mData | mDataBase64 | mCorrelationID | mTraceParent | mTraceState
	const message = content | mID | mSource | mReplyTo | mTime
	return map[string]struct{ must, may member }{
		"auth":        {mToken, mRef},
		"ping":        {0, mRef},
		"call":        {mRef | mService | mMethod, content | mIdempotencyKey | mDelay | mDeadline | mParts | mAck},
		"cancel":      {mRef, 0},
		"append":      {mRef | mStream | mType, message | mShard},
		"publish":     {mRef | mChannel | mType, message},
		"subscribe":   {mRef, mStream | mChannel | mPatterns | mFrom | mLifespan | mCredit | mPresence},
		"credit":      {mRef | mN, 0},
		"unsubscribe": {mRef, mPatterns},
	}
}()

// ReadFrame reads a frame of a connection to a namespace. With an error it returns what is
// known of the frame: the ref, if there is one.
func ReadFrame(namespace string, b []byte) (*Frame, error) {
	f := &Frame{Credit: -1}
	r, err := openAs("frame", b, "an object")
	if err != nil {
		return f, err
	}
	fr := frameReader{reader: r, namespace: namespace, f: f}
	if err := r.object(fr.member); err != nil {
		return &Frame{Ref: refOf(b)}, err
	}
	op, known := frameOps[f.Op]
	switch {
	case fr.seen&mOp == 0:
		return f, refuse(edda.BadValue, "the frame has no op")
	case f.Op == "":
		return f, refuse(edda.BadValue, "op must not be empty")
	case !known:
		return f, refuse(edda.BadValue, "unknown op "+strconv.Quote(clip(f.Op)))
	}
	if extra := fr.seen &^ (op.must | op.may | mOp); extra != 0 {
		return f, refuse(edda.UnknownField, f.Op+" has no member "+strconv.Quote(extra.first()))
	}
	if missing := op.must &^ fr.seen; missing != 0 {
		return f, refuse(edda.BadValue, f.Op+" needs the member "+strconv.Quote(missing.first()))
	}
	if empty := fr.empty & op.must; empty != 0 {
		return f, refuse(edda.BadValue, empty.first()+" must not be empty")
	}
	if fr.empty != 0 {
		return f, refuse(edda.BadValue, fr.empty.first()+" must be left out or not empty")
	}
	f.Message.Payload, err = r.payload(&f.Message, fr.data)
	return f, err
}

// first names the first member of a set.
func (m member) first() string { return memberNames[bits.TrailingZeros32(uint32(m))] }

// clip shortens what is shown to people.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// refOf returns the ref of a frame that is refused for another member, or "".
func refOf(b []byte) string {
	r := &reader{b: b}
	var ref string
	_ = r.object(func(name string) (err error) {
		if name == "ref" {
			ref, err = r.ref()
			return err
		}
		r.raw()
		return nil
	})
	return ref
}

// frameReader reads the members of a frame.
type frameReader struct {
	*reader
	namespace string
	f         *Frame
	seen      member
	empty     member // text that says nothing: whether it can be left out depends on the op
	data      jsondata.Data
}

func (r *frameReader) member(name string) (err error) {
	m := membersByName[name]
	switch {
	case m == 0:
		return r.unknown("") // what there may be depends on the op, which may come later
	case r.seen&m != 0:
		return r.bad("given once")
	}
	r.seen |= m
	f, msg := r.f, &r.f.Message
	switch m {
	case mRef:
		f.Ref, err = r.ref()
	case mData:
		r.data.Value = r.raw()
	case mDataBase64:
		r.data.Base64, err = r.base64()
	case mHeaders:
		err = r.headers(&msg.Headers)
	case mReplyTo:
		msg.ReplyTo, err = r.replyTo(r.namespace)
	case mTime:
		msg.Time, err = r.time()
	case mDelay:
		err = r.delay()
	case mDeadline:
		err = r.deadline()
	case mPatterns:
		err = r.patterns()
	case mLifespan:
		err = r.lifespan()
	case mParts:
		err = r.flag(&f.Parts)
	case mPresence:
		err = r.flag(&f.Presence)
	case mAck:
		var ack bool
		err = r.flag(&ack)
		f.Quiet = !ack
	case mCredit:
		err = r.count(0)
	case mN:
		err = r.count(1)
	default:
		into := r.text(m)
		if err = text(r.reader, into); *into == "" {
			r.empty |= m
		}
	}
	return err
}

// text is where a member that is text goes.
func (r *frameReader) text(m member) *string {
	f, msg := r.f, &r.f.Message
	switch m {
	case mOp:
		return &f.Op
	case mToken:
		return &f.Token
	case mService:
		return &f.Service
	case mKey:
		return &msg.Key
	case mMethod:
		return &f.Method
	case mStream:
		return &f.Stream
	case mChannel:
		return &f.Channel
	case mShard:
		return &f.Shard
	case mID:
		return &msg.ID
	case mType:
		return &msg.Type
	case mSource:
		return &msg.Source
	case mContentType:
		return &msg.ContentType
	case mCorrelationID:
		return &msg.CorrelationID
	case mTraceParent:
		return &msg.TraceParent
	case mTraceState:
		return &msg.TraceState
	case mIdempotencyKey:
		return &f.IdempotencyKey
	default: // mFrom, which is the last
		return (*string)(&f.From)
	}
}

// ref reads the client's name of an operation.
func (r *reader) ref() (string, error) {
	const want = "a number or a string, of at most 128 bytes"
	var ref string
	switch c := r.peek(); {
	case c == '"':
		s, err := r.rawString()
		if err != nil {
			return "", err
		}
		ref = string(jsondata.AppendString(nil, s))
	case c == '-' || c >= '0' && c <= '9':
		ref = string(r.raw())
	default:
		return "", r.bad(want)
	}
	if len(ref) > MaxRefBytes {
		return "", r.bad(want)
	}
	return ref, nil
}

func (r *frameReader) delay() error {
	const want = `a duration, such as "1.5s"`
	s, err := r.str(want)
	if err != nil {
		return err
	}
	if r.f.Delay, err = time.ParseDuration(s); err != nil {
		return r.bad(want)
	}
	return nil
}

// deadline reads a duration or a time. What is long past stays past: neither the time nor
// the duration that stands for none is left as it is.
func (r *frameReader) deadline() error {
	const want = `a duration or a time, such as "1.5s" or "2026-01-02T15:04:05Z"`
	s, err := r.str(want)
	if err != nil {
		return err
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		if t.Before(firstTime) {
			t = firstTime
		}
		r.f.DeadlineAt = t
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return r.bad(want)
	}
	if d == 0 {
		d = -1
	}
	r.f.DeadlineAfter = d
	return nil
}

func (r *frameReader) patterns() error {
	r.f.Patterns = []string{}
	return r.array("an array of patterns", func() error {
		if len(r.f.Patterns) == edda.MaxPatterns {
			return refuse(edda.BadValue, "there are more than "+strconv.Itoa(edda.MaxPatterns)+" patterns")
		}
		var p string
		err := chosen(r.reader, &p)
		r.f.Patterns = append(r.f.Patterns, p)
		return err
	})
}

func (r *frameReader) lifespan() error {
	const want = `"eternal" or "ephemeral"`
	s, err := r.str(want)
	if err != nil {
		return err
	}
	switch s {
	case "eternal":
	case "ephemeral":
		r.f.Ephemeral = true
	default:
		return r.bad(want)
	}
	return nil
}

// maxCredit is the most that is given at once.
const maxCredit = 1_000_000_000

func (r *frameReader) count(least int) error {
	return number(r.reader, &r.f.Credit, func(n int) bool { return n >= least && n <= maxCredit },
		"a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(maxCredit))
}
