package edda

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// WithDefaults returns the spec with the defaults of what is not set.
func (s StreamSpec) WithDefaults() StreamSpec {
	s.Namespace, s.Dedupe = cmp.Or(s.Namespace, DefaultNamespace), cmp.Or(s.Dedupe, DefaultDedupe)
	return s
}

// Validate names the first field that makes no sense: BadName for names, BadValue
// for the rest, TooLarge for too many shards.
func (s *StreamSpec) Validate() error {
	if err := checkPlace(s.Namespace, s.Name); err != nil {
		return err
	}
	bytes := 0
	seen := make(map[string]bool, len(s.Shards))
	for i, shard := range s.Shards {
		if err := CheckName("shard", shard); err != nil {
			return badStream(BadName, "shards[%d]: %w", i, bare(err))
		}
		if seen[shard] {
			return badStream(BadValue, "shard %q is listed twice", shard)
		}
		seen[shard] = true
		bytes += len(shard)
	}
	switch {
	case len(s.Shards) > MaxShards:
		return badStream(TooLarge, "%d shards are listed, at most %d are allowed", len(s.Shards), MaxShards)
	case bytes > MaxShardNamesBytes:
		return badStream(TooLarge, "the names of the shards have %d bytes, at most %d are allowed together", bytes, MaxShardNamesBytes)
	}
	if err := checkDuration("stream", "retention.age", s.Retention.Age, longest); err != nil {
		return err
	}
	return checkDuration("stream", "dedupe", s.Dedupe, MaxDedupe)
}

// checkPlace checks the name of a stream, and of its namespace unless that is empty.
func checkPlace(namespace, stream string) error { return checkTopic(namespace, "stream", stream) }

// checkShard checks a shard that need not be named.
func checkShard(shard string) error {
	if shard == "" {
		return nil
	}
	return CheckName("shard", shard)
}

func checkDuration(what, field string, d, most time.Duration) error {
	switch {
	case d < 0:
		return badOf(what, BadValue, "%s is %s, must not be negative", field, d)
	case d > most:
		return badOf(what, BadValue, "%s is %s, at most %s are allowed", field, d, most)
	}
	return nil
}

func badStream(r Reason, format string, args ...any) error {
	return badOf("stream", r, format, args...)
}

func badOf(what string, r Reason, format string, args ...any) error {
	return &Error{Op: "check " + what, Reason: r, Err: fmt.Errorf(format, args...)}
}

// Validate names the first thing that makes no sense: BadName for names, keys and
// shards, BadValue for the rest, TooLarge for what is too much. Where there are several
// messages the error begins with the one that it is about, counted from 0:
// "messages[7]: …". It costs no allocation when all is well.
func (a *Append) Validate() error {
	if err := checkEither("append", a.Namespace, a.Stream, a.Channel); err != nil {
		return err
	}
	if err := a.checkShard(); err != nil {
		return err
	}
	switch {
	case len(a.Messages) == 0:
		return badOf("append", BadValue, "it has no messages, must have at least one")
	case len(a.Messages) > MaxAppendMessages:
		return badOf("append", TooLarge, "it has %d messages, at most %d are allowed", len(a.Messages), MaxAppendMessages)
	case a.IfLast != nil && a.IfEmpty:
		return badOf("append", BadValue, "IfLast and IfEmpty exclude each other: an empty shard has no last message")
	}
	if a.Producer != "" {
		if err := checkText("producer", a.Producer, MaxProducerBytes); err != nil {
			return err
		}
	}
	bytes, last := 0, uint64(0)
	for i := range a.Messages {
		if err := a.Messages[i].validate(); err != nil {
			return a.MessageError(i, err)
		}
		if err := a.checkNumber(i, last); err != nil {
			return a.MessageError(i, err)
		}
		last = a.Messages[i].Number
		bytes += len(a.Messages[i].Payload)
	}
	if bytes > MaxAppendBytes {
		return a.tooLarge(bytes)
	}
	return nil
}

// checkNumber checks the number of a message; last is that of the one before.
func (a *Append) checkNumber(i int, last uint64) error {
	switch n := a.Messages[i].Number; {
	case a.Producer == "" && n != 0:
		return badOf("message", BadValue, "number is %d, and the append names no producer", n)
	case a.Producer == "" || n > last:
		return nil
	case n == 0:
		return badOf("message", BadValue, "number is missing: with a producer each message has one, from 1 on")
	default:
		return badOf("message", BadValue, "number is %d, must be greater than that of the message before, which is %d", n, last)
	}
}

// MessageError says which message of the append an error is about, where there are
// several.
func (a *Append) MessageError(i int, err error) error {
	if len(a.Messages) == 1 {
		return badOf("append", ReasonOf(err), "%w", bare(err))
	}
	return badOf("append", ReasonOf(err), "messages[%d]: %w", i, bare(err))
}

func (a *Append) tooLarge(bytes int) error {
	return badOf("append", TooLarge, "its %d messages have %d bytes, at most %d are allowed together", len(a.Messages), bytes, MaxAppendBytes)
}

// CheckSize is the error, TooLarge, of an append that has that many bytes encoded, if
// that is too much.
func (a *Append) CheckSize(bytes int) error {
	if bytes > MaxAppendBytes {
		return a.tooLarge(bytes)
	}
	return nil
}

// validate checks what stands in a message by itself.
func (m *StreamMessage) validate() error {
	if m.ID != "" {
		if err := checkText("id", m.ID, MaxMessageIDBytes); err != nil {
			return err
		}
	}
	if m.Type != "" {
		if err := checkText("type", m.Type, MaxMessageTypeBytes); err != nil {
			return err
		}
	}
	if m.Key != "" {
		if err := CheckKey(m.Key); err != nil {
			return err
		}
	}
	if m.ReplyTo != (Address{}) {
		if err := m.checkReplyTo(); err != nil {
			return err
		}
	}
	if n := m.contextBytes(); n > MaxMessageContextBytes {
		return badOf("message", TooLarge, "headers, source, principal, content type, correlation id and trace context have %d bytes, at most %d are allowed together",
			n, MaxMessageContextBytes)
	}
	if !m.Time.IsZero() && (m.Time.Before(earliest) || m.Time.After(latest)) {
		return badOf("message", BadValue, "its time is %s, must be between 1678 and 2262", m.Time.UTC().Format(time.RFC3339))
	}
	return nil
}

// contextBytes is the size of what MaxMessageContextBytes bounds.
func (m *StreamMessage) contextBytes() int {
	n := len(m.Source) + len(m.Principal) + len(m.ContentType) + len(m.CorrelationID) + len(m.TraceParent) + len(m.TraceState)
	for _, h := range m.Headers {
		n += len(h.Name) + len(h.Value)
	}
	return n
}

// checkReplyTo checks the stream that a reply is to be appended to.
func (m *StreamMessage) checkReplyTo() error {
	if err := checkPlace(m.ReplyTo.Namespace, m.ReplyTo.Name); err != nil {
		return badOf("message", BadName, "reply to: %w", bare(err))
	}
	if err := checkShard(m.ReplyTo.Key); err != nil {
		return badOf("message", BadName, "reply to: %w", bare(err))
	}
	return nil
}

// checkText checks an id or a type that somebody has thought of.
func checkText(what, s string, most int) error {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f { // else it is printable ASCII, which is the rule
			return checkLetters(what, s, most)
		}
	}
	if len(s) > most {
		return badOf(what, BadValue, "%s has %d bytes, at most %d are allowed", what, len(s), most)
	}
	return nil
}

func checkLetters(what, s string, most int) error {
	switch {
	case len(s) > most:
		return badOf(what, BadValue, "%s has %d bytes, at most %d are allowed", what, len(s), most)
	case !utf8.ValidString(s):
		return badOf(what, BadValue, "%s %q is not UTF-8", what, clip(s))
	case strings.ContainsFunc(s, unicode.IsControl):
		return badOf(what, BadValue, "%s %q has a control character", what, clip(s))
	}
	return nil
}

// CheckMessageID checks an id that a producer gives a message: 1 to 255 bytes of UTF-8
// without control characters. The error's reason is BadValue.
func CheckMessageID(id string) error {
	if id == "" {
		return badOf("id", BadValue, "id is empty")
	}
	return checkText("id", id, MaxMessageIDBytes)
}

// WithDefaults returns the read with the defaults of what is not set.
func (r Read) WithDefaults() Read {
	r.Namespace, r.Shard = cmp.Or(r.Namespace, DefaultNamespace), cmp.Or(r.Shard, DefaultShard)
	r.From = cmp.Or(r.From, FromStart)
	r.Limit, r.Bytes = cmp.Or(r.Limit, DefaultReadLimit), cmp.Or(r.Bytes, MaxReadBytes)
	return r
}

// Validate names the first field that makes no sense: BadName for names, BadValue
// for the rest.
func (r *Read) Validate() error {
	if err := checkPlace(r.Namespace, r.Stream); err != nil {
		return err
	}
	if err := checkShard(r.Shard); err != nil {
		return err
	}
	if r.From != "" {
		if _, err := r.From.Parse(); err != nil {
			return err
		}
	}
	switch {
	case r.Limit < 0 || r.Limit > MaxReadLimit:
		return badOf("read", BadValue, "limit is %d, must be 1 to %d, or 0 for %d", r.Limit, MaxReadLimit, DefaultReadLimit)
	case r.Bytes < 0 || r.Bytes > MaxReadBytes:
		return badOf("read", BadValue, "bytes is %d, must be 1 to %d, or 0 for as much", r.Bytes, MaxReadBytes)
	case r.Wait < 0:
		return badOf("read", BadValue, "wait is %s, must not be negative", r.Wait)
	}
	return nil
}
