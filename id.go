package edda

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"
)

// ID names a message. It is a UUID of version 7 (RFC 9562): it sorts roughly by
// the time it was made. Its last two bytes are the first two of the address
// hash, so that a node finds the partition of an id without asking around.
type ID [16]byte

// NewID makes an id for a message that lives at the given address hash. It is
// unique for all practical purposes (46 random bits beside the millisecond and
// 12 more), but no secret.
func NewID(hash uint64, now time.Time) ID {
	var id ID
	lo, hi := rand.Uint64(), rand.Uint32()
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|uint64(hi&0x0fff)|0x7000)
	binary.BigEndian.PutUint64(id[8:], lo&0x3fff_ffff_ffff_0000|0x8000_0000_0000_0000|hash>>48)
	return id
}

// Route returns the two leading bytes of the address hash the id was made for.
func (id ID) Route() uint16 { return binary.BigEndian.Uint16(id[14:]) }

// IsZero reports whether the id is unset.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the usual text form of a UUID, or "" when the id is unset.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	var b [36]byte
	id.put(b[:])
	return string(b[:])
}

func (id ID) put(b []byte) {
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
}

// MarshalText is String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID; empty text is the unset id.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	v, err := ParseID(string(text))
	*id = v
	return err
}

// ParseID reads the text form of an id. It accepts exactly what String returns,
// in either case.
func ParseID(s string) (ID, error) {
	var id ID
	bad := func() (ID, error) {
		return ID{}, &Error{Op: "parse id", Reason: BadValue, Err: fmt.Errorf("id %q is not a UUID", clip(s))}
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return bad()
	}
	text := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(id[:], []byte(text)); err != nil || id.IsZero() {
		return bad()
	}
	return id, nil
}

// clip shortens text that somebody else wrote before it goes into an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
