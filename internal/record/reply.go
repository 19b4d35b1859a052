package record

import (
	"cmp"

	"github.com/edda-io/edda/internal/wire"
)

// The fields of an encoded edda.Reply that ReadReply reads.
const (
	replyStatus      = 1
	replyContentType = 3
	replyPayload     = 4
)

// ReplyHead is what is said of a reply whose body is not looked at.
type ReplyHead struct {
	Status      int
	ContentType []byte // aliases the reply
	Size        int    // of the payload
}

// ReadReply reads the head of an encoded edda.Reply. It allocates nothing.
func ReadReply(b []byte) (ReplyHead, error) {
	var h ReplyHead
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case replyStatus:
			h.Status = int(f.Uint)
		case replyContentType:
			h.ContentType = f.Bytes
		case replyPayload:
			h.Size = len(f.Bytes)
		}
	}
	if h.Size == 0 {
		h.Status = cmp.Or(h.Status, 204)
	}
	h.Status = cmp.Or(h.Status, 200)
	return h, r.Err()
}
