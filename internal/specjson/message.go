package specjson

import (
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
	"github.com/edda-io/edda/internal/streamjson"
)

// maxMessages bounds the memory that a short document can ask for.
var maxMessages = edda.MaxAppendMessages

// Messages reads messages to append to a stream of a namespace: an array of objects.
// Data without a content type is text when it is a string, else application/json. Whose
// the messages are, and where they will be, is not in the document.
func Messages(namespace string, b []byte) ([]edda.StreamMessage, error) {
	const want = "an array of messages"
	r, err := open(b, want)
	if err != nil {
		return nil, err
	}
	var messages []edda.StreamMessage
	err = r.array(want, func() error {
		if len(messages) == maxMessages {
			return refuse(edda.TooLarge, "there are more than "+strconv.Itoa(maxMessages)+" messages")
		}
		m, err := r.message(namespace)
		messages = append(messages, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	return messages, nil
}

// message reads one message.
func (r *reader) message(namespace string) (m edda.StreamMessage, err error) {
	var d jsondata.Data
	err = r.object(func(name string) (err error) {
		if given(&m, &d, name) {
			return r.bad("given once")
		}
		switch name {
		case "data":
			d.Value = r.raw()
			return nil
		case "dataBase64":
			d.Base64, err = r.base64()
			return err
		case "replyTo":
			m.ReplyTo, err = r.replyTo(namespace)
			return err
		case "headers":
			return r.headers(&m.Headers)
		case "time":
			m.Time, err = r.time()
			return err
		case "number":
			m.Number, err = r.above0()
			return err
		case "causationId":
			m.CausationID, err = r.id()
			return err
		default:
			return r.messageText(&m, name)
		}
	})
	if err != nil {
		return m, err
	}
	m.Payload, err = r.payload(&m, d)
	return m, err
}

// given reports whether a member that is not text of somebody's own has been read. Batches
// are large: nothing is kept of which members there were, because what was read says so.
func given(m *edda.StreamMessage, d *jsondata.Data, name string) bool {
	switch name {
	case "data":
		return d.Value != nil
	case "dataBase64":
		return d.Base64 != nil
	case "replyTo":
		return m.ReplyTo != edda.Address{}
	case "headers":
		return m.Headers != nil
	case "time":
		return !m.Time.IsZero()
	case "number":
		return m.Number != 0
	case "causationId":
		return !m.CausationID.IsZero()
	default:
		return false
	}
}

// messageMembers are those that a message may have.
const messageMembers = "causationId, contentType, correlationId, data, dataBase64, headers, id, key, number, replyTo, source, time, traceparent, tracestate, type"

// messageText reads the members that are text of somebody's own.
func (r *reader) messageText(m *edda.StreamMessage, name string) error {
	switch name {
	case "id":
		return chosen(r, &m.ID)
	case "type":
		return chosen(r, &m.Type)
	case "key":
		return chosen(r, &m.Key)
	case "source":
		return chosen(r, &m.Source)
	case "contentType":
		return chosen(r, &m.ContentType)
	case "correlationId":
		return chosen(r, &m.CorrelationID)
	case "traceparent":
		return chosen(r, &m.TraceParent)
	case "tracestate":
		return chosen(r, &m.TraceState)
	default:
		return r.unknown(messageMembers)
	}
}

// payload is what a message holds, of whose object all has been read.
func (r *reader) payload(m *edda.StreamMessage, d jsondata.Data) ([]byte, error) {
	if m.ContentType == "" && d.Value != nil && d.Value[0] != '"' {
		m.ContentType = "application/json"
	}
	b, err := d.Decode(m.ContentType)
	if e, ok := errors.AsType[*edda.Error](err); ok {
		text := e.Err.Error()
		if at := r.here(); at != "" {
			text = at + ": " + text
		}
		return nil, refuse(e.Reason, text)
	}
	return b, err
}

func (r *reader) base64() ([]byte, error) {
	s, err := r.str("a string")
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, r.bad("base64")
	}
	return b, nil
}

func (r *reader) replyTo(namespace string) (edda.Address, error) {
	s, err := r.str("a string")
	if err != nil {
		return edda.Address{}, err
	}
	a, err := streamjson.ParseReplyTo(namespace, s)
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return a, refuse(e.Reason, r.here()+": "+e.Err.Error())
	}
	return a, err
}

func (r *reader) headers(into *edda.Headers) error {
	return r.object(func(name string) error {
		if name == `""` {
			return r.bad("left out: a header has a name")
		}
		v, err := r.str("a string")
		into.Add(name, v)
		return err
	})
}

func (r *reader) time() (time.Time, error) {
	const want = `a time, such as "2026-01-02T15:04:05Z"`
	s, err := r.str(want)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	switch {
	case err != nil:
		return t, r.bad(want)
	case t.IsZero(): // which is no time to what takes it from here
		return t, r.bad("between 1678 and 2262")
	}
	return t.UTC(), nil
}

// above0 reads a number of a producer.
func (r *reader) above0() (uint64, error) {
	n, err := strconv.ParseUint(string(r.raw()), 10, 64)
	if err != nil || n == 0 {
		return 0, r.bad("a whole number above zero")
	}
	return n, nil
}

func (r *reader) id() (id edda.ID, err error) {
	s, err := r.str("a string")
	if err != nil {
		return id, err
	}
	if id, err = edda.ParseID(s); err != nil {
		return id, r.bad("the id of a message, a UUID")
	}
	return id, nil
}
