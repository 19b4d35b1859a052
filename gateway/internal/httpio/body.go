package httpio

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/edda-io/edda"
)

// Body reads the whole body of a request into a buffer of its size, which the caller may
// keep. One that is larger than the limit is refused, TooLarge, before it is read.
func Body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	n := r.ContentLength
	switch {
	case n == 0:
		return nil, nil
	case n > limit:
		return nil, tooLarge(limit)
	}
	c := http.NewResponseController(w)
	if c.SetReadDeadline(time.Now().Add(BodyTimeout)) == nil {
		// Left in place it would end the request's context while the caller waits.
		defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	}
	if n < 0 || n > LargeBody {
		return readLarge(r.Body, n, limit)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		return nil, badBody(err)
	}
	return b, nil
}

// readLarge reads a body of n bytes, or of any size when n is negative. The
// buffer grows with what arrives, not with what was announced.
func readLarge(r io.Reader, n, limit int64) ([]byte, error) {
	size := int64(4 << 10)
	if n >= 0 {
		size, limit = LargeBody, n
	}
	b := make([]byte, 0, min(limit+1, size))
	for {
		m, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+m]
		switch {
		case int64(len(b)) > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF) && (n < 0 || int64(len(b)) == n):
			return b, nil
		case err != nil:
			return nil, badBody(err)
		case len(b) == cap(b):
			size = min(2*size, limit+1)
			b = append(make([]byte, 0, size), b...)
		}
	}
}

func tooLarge(limit int64) error {
	return &edda.Error{Reason: edda.TooLarge, Err: unreadError{limit}}
}

// unreadError refuses a body of which much may be unread.
type unreadError struct{ limit int64 }

func (e unreadError) Error() string {
	return "the body has more than " + strconv.FormatInt(e.limit, 10) + " bytes"
}

// hangUpTime is how long the sender of a body that nobody reads may take to stop.
const hangUpTime = 500 * time.Millisecond

// awaitHangUp sends off an answer to a request of HTTP/2 whose body was left unread, and
// waits until its sender has it and stops. When the handler returns the server resets the stream, and
// a sender that is in the middle of its body may take that for the end of the answer too.
func awaitHangUp(w http.ResponseWriter, r *http.Request) {
	if http.NewResponseController(w).Flush() != nil {
		return // there is nobody, or nothing to wait for
	}
	t := time.NewTimer(hangUpTime)
	defer t.Stop()
	select {
	case <-r.Context().Done():
	case <-t.C:
	}
}

// badBody is a body that ended early, came too slowly or is badly framed.
func badBody(err error) error {
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(e.Limit)
	}
	return refuse(edda.BadValue, "the body could not be read")
}
