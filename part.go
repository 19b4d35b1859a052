package edda

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// MaxPartBytes is the size of one part of a reply at most, its content type
// included: 1 MiB.
const MaxPartBytes = 1 << 20

// Part is a part of a reply, as a caller reads it while the handler still works.
// Parts are no outcome: an attempt that yielded some may fail, and then the next
// attempt begins anew.
type Part struct {
	// Attempt is the attempt that yielded the part.
	Attempt int
	// Number rises by one with each part of the attempt, from 1. Only after an
	// attempt that was handed back, and is not counted, do the numbers go on above
	// those that it used.
	Number int
	// Reset says that what was read before is void, because a later attempt has
	// taken its place. A reset has a number of its own, below those of the attempt's
	// parts, and no payload.
	Reset bool
	// ContentType is the media type of Payload.
	ContentType string
	// Payload is opaque. The caller must not change it, and may keep it.
	Payload []byte
}

// ID names the part within its request.
func (p *Part) ID() PartID { return PartID{p.Attempt, p.Number} }

// PartID names a part of a request's reply, or stands for the place after it. As
// text it is "2.7": attempt 2, part 7. The zero PartID, "0.0", comes before all
// parts.
type PartID struct{ Attempt, Number int }

// String returns the id as text.
func (id PartID) String() string {
	b := strconv.AppendInt(make([]byte, 0, 16), int64(id.Attempt), 10)
	return string(strconv.AppendInt(append(b, '.'), int64(id.Number), 10))
}

// Compare is negative when id comes before other, zero when they are the same,
// and else positive.
func (id PartID) Compare(other PartID) int {
	return cmp.Or(cmp.Compare(id.Attempt, other.Attempt), cmp.Compare(id.Number, other.Number))
}

// MarshalText returns the id as text.
func (id PartID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what ParsePartID reads.
func (id *PartID) UnmarshalText(text []byte) (err error) {
	*id, err = ParsePartID(string(text))
	return err
}

// ParsePartID reads what String returns; the empty string is zero. The error's
// reason is BadValue.
func ParsePartID(s string) (PartID, error) {
	if s == "" {
		return PartID{}, nil
	}
	attempt, number, _ := strings.Cut(s, ".")
	a, err1 := strconv.ParseUint(attempt, 10, 31)
	n, err2 := strconv.ParseUint(number, 10, 31)
	id := PartID{int(a), int(n)}
	if err1 != nil || err2 != nil || a == 0 && n != 0 || id.String() != s {
		return PartID{}, &Error{Op: "read the number of a part", Reason: BadValue,
			Err: fmt.Errorf("%q is no number of a part; it must be ATTEMPT.PART, such as 2.7", clip(s))}
	}
	return id, nil
}

// PartWriter takes the parts that a handler yields. What runs handlers implements
// it, and hands it over in Dispatch.
type PartWriter interface {
	// WritePart takes one part. It returns once the part is on its way, in order: it
	// waits only while too many of the attempt's parts are not durable yet. It must
	// not keep the payload. It is safe for concurrent use.
	WritePart(ctx context.Context, contentType string, payload []byte) error
}

// errNoParts: a handler yields a part where nobody takes it.
var errNoParts = errors.New("whatever runs this handler takes no parts")

// Part yields a part of the reply: callers who read the parts of the request get
// it as soon as it is durable, however long the handler goes on. The reply itself
// comes after the parts; it need not repeat them. Part returns once the part is
// on its way, and waits only while too many before it are not durable yet. The
// payload is the handler's again.
//
// An error means that the part, and every later one, is not part of the reply:
// TooLarge when the part, or all parts of the attempt together, are over a limit
// of the node; Fenced when the attempt was given up, and its outcome will be
// refused as well. A handler that cannot do without the part returns the error.
func (c *Context) Part(contentType string, payload []byte) error {
	const op = "yield a part"
	if n := len(contentType) + len(payload); n > MaxPartBytes {
		return &Error{Op: op, Reason: TooLarge, Err: fmt.Errorf("the part has %d bytes, at most %d are allowed", n, MaxPartBytes)}
	}
	c.mu.Lock()
	over := c.over
	c.mu.Unlock()
	switch {
	case over:
		return errOver
	case c.d.Parts == nil:
		return fmt.Errorf("%s: %w", op, errNoParts)
	}
	return c.d.Parts.WritePart(c, contentType, payload)
}

// Yield yields v as a part of the reply, encoded as JSON. See Context.Part.
func Yield[T any](c *Context, v T) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("part: %w", err)
	}
	return c.Part("application/json", b)
}

// Parts yields the parts of a request's reply that come after the given one, each
// as soon as it is durable, and ends with the request: without an error when it
// has succeeded (Wait then returns the reply), else with its *Error, as Wait
// returns it. To go on after a broken connection, or in another process, name the
// last part that was read; the zero PartID begins with the first.
//
// When a later attempt takes the place of one whose parts were read, a Part with
// Reset comes first: what was read before is void.
//
// Parts are kept as long as the reply; after that, or when nobody asked for it to
// be kept, the error is ReplyExpired. When ctx ends first the error is Timeout,
// and the request goes on. A reader may be as slow as it likes: it holds up
// neither the handler nor other readers.
func (c *Client) Parts(ctx context.Context, id ID, after PartID) iter.Seq2[Part, error] {
	return c.backend.Parts(ctx, c.namespace, id, after)
}
