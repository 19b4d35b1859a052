package record

import (
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// GroupSet creates a consumer group, or changes one.
type GroupSet struct{ edda.GroupSpec }

// AppendTo appends the whole record.
func (g *GroupSet) AppendTo(b []byte) []byte { return g.AppendFields(AppendHeader(b, TypeGroupSet)) }

// AppendFields appends the record without its header.
func (g *GroupSet) AppendFields(b []byte) []byte {
	b = wire.AppendString(b, 1, g.Namespace)
	b = wire.AppendString(b, 2, g.Stream)
	b = wire.AppendString(b, 3, g.Name)
	b = wire.AppendString(b, 4, string(g.From))
	b = wire.AppendUint(b, 5, uint64(g.MinMembers))
	b = wire.AppendUint(b, 6, uint64(g.MaxMembers))
	b = wire.AppendUint(b, 7, uint64(g.ProcessingTimeout))
	b = wire.AppendUint(b, 8, uint64(g.IdleTimeout))
	return wire.AppendBytes(b, 9, appendRetry([]byte{}, &g.Retry))
}

// Decode reads the body of a record.
func (g *GroupSet) Decode(body []byte) error {
	*g = GroupSet{}
	err := fields(TypeGroupSet, body, func(f *wire.Field) (err error) {
		switch f.Num {
		case 1:
			g.Namespace = string(f.Bytes)
		case 2:
			g.Stream = string(f.Bytes)
		case 3:
			g.Name = string(f.Bytes)
		case 4:
			g.From = edda.From(f.Bytes)
		case 5:
			g.MinMembers = int(f.Uint)
		case 6:
			g.MaxMembers = int(f.Uint)
		case 7:
			g.ProcessingTimeout = time.Duration(f.Uint)
		case 8:
			g.IdleTimeout = time.Duration(f.Uint)
		case 9:
			g.Retry, err = readRetry(f.Bytes)
		}
		return err
	})
	if err == nil && (g.Namespace == "" || g.Stream == "" || g.Name == "") {
		return fmt.Errorf("%s record without a namespace, a stream or a name", TypeGroupSet)
	}
	return err
}

// GroupChanged is a group that was removed, or that takes in more messages.
type GroupChanged struct {
	Namespace string
	Stream    string
	Group     string
}

// AppendTo appends the whole record, of type TypeGroupRemoved or TypeGroupAdvanced.
func (g *GroupChanged) AppendTo(b []byte, t Type) []byte {
	b = wire.AppendString(AppendHeader(b, t), 1, g.Namespace)
	b = wire.AppendString(b, 2, g.Stream)
	return wire.AppendString(b, 3, g.Group)
}

// Decode reads the body of a record.
func (g *GroupChanged) Decode(body []byte) error {
	*g = GroupChanged{}
	return fields(TypeGroupRemoved, body, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			g.Namespace = string(f.Bytes)
		case 2:
			g.Stream = string(f.Bytes)
		case 3:
			g.Group = string(f.Bytes)
		}
		return nil
	})
}

// GroupReset sets a group's cursor.
type GroupReset struct {
	GroupChanged
	// Shard is empty for all.
	Shard string
	To    edda.From
}

// AppendTo appends the whole record.
func (g *GroupReset) AppendTo(b []byte) []byte {
	b = g.GroupChanged.AppendTo(b, TypeGroupReset)
	b = wire.AppendString(b, 4, g.Shard)
	return wire.AppendString(b, 5, string(g.To))
}

// Decode reads the body of a record.
func (g *GroupReset) Decode(body []byte) error {
	*g = GroupReset{}
	if err := g.GroupChanged.Decode(body); err != nil {
		return err
	}
	return fields(TypeGroupReset, body, func(f *wire.Field) error {
		switch f.Num {
		case 4:
			g.Shard = string(f.Bytes)
		case 5:
			g.To = edda.From(f.Bytes)
		}
		return nil
	})
}

// Delivery says which message of which stream a request is, and for which group. Stream
// and Group are serial numbers.
type Delivery struct {
	Stream uint64
	Group  uint64
	Shard  string
	Offset uint64
	// ID is the message's; the request has one of its own.
	ID string
	// Retried says that the request was a dead letter before, with which the group was done.
	Retried bool

	unknown string // fields of a later release
}

// AppendDeliveryRef appends a bytes field with the delivery's fields, or nothing when it is nil.
func AppendDeliveryRef(b []byte, field int, d *Delivery) []byte {
	if d == nil {
		return b
	}
	b, mark := wire.Begin(b, field)
	b = wire.AppendUint(b, 1, d.Stream)
	b = wire.AppendUint(b, 2, d.Group)
	b = wire.AppendString(b, 3, d.Shard)
	b = wire.AppendUint(b, 4, d.Offset)
	b = wire.AppendString(b, 5, d.ID)
	b = appendBool(b, 6, d.Retried)
	b = append(b, d.unknown...)
	wire.End(b, mark)
	return b
}

// ReadDeliveryRef reads what AppendDeliveryRef has put into a field.
func ReadDeliveryRef(b []byte) (*Delivery, error) {
	d := &Delivery{}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			d.Stream = f.Uint
		case 2:
			d.Group = f.Uint
		case 3:
			d.Shard = string(f.Bytes)
		case 4:
			d.Offset = f.Uint
		case 5:
			d.ID = string(f.Bytes)
		case 6:
			d.Retried = f.Uint != 0
		default:
			d.unknown += string(f.Raw)
		}
	}
	return d, r.Err()
}
