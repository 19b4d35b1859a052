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

// ReplyHead is a reply without its headers.
type ReplyHead struct {
	Status      int
	ContentType []byte // aliases the reply
	Size        int    // of the payload
	Payload     []byte // aliases the reply
}

// ReadReply reads an encoded edda.Reply without its headers. It allocates nothing.
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
			h.Payload, h.Size = f.Bytes, len(f.Bytes)
		}
	}
	if h.Size == 0 {
		h.Status = cmp.Or(h.Status, 204)
	}
	h.Status = cmp.Or(h.Status, 200)
	return h, r.Err()
}
