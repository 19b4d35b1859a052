package client

import (
	"cmp"
	"math"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// groupRest says after which shard of the cursor, and which member, a group goes on that
// did not fit. What is empty has none yet.
type groupRest struct{ shard, member string }

// readGroup reads a group, and where it goes on; nil when it is whole.
func readGroup(op string, b []byte) (g *edda.Group, more *groupRest, err error) {
	g = &edda.Group{Cursor: map[string]uint64{}}
	var rest groupRest
	isMore := false
	err = eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			return readGroupSpec(op, f.Bytes, &g.GroupSpec)
		case 2:
			g.CreatedAt = timeOf(f.Uint)
		case 3:
			shard, offset, err := readCursor(op, f.Bytes)
			g.Cursor[shard], rest.shard = offset, shard
			return err
		case 4:
			g.Lag = f.Uint
		case 5:
			g.Pending = int(f.Uint)
		case 6:
			m, err := readMember(op, f.Bytes)
			g.Members, rest.member = append(g.Members, m), m.Name
			return err
		case 7:
			isMore = f.Uint != 0
		}
		return nil
	})
	if isMore {
		more = &rest
	}
	return g, more, err
}

func readCursor(op string, b []byte) (shard string, offset uint64, err error) {
	err = eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			shard = string(f.Bytes)
		case 2:
			offset = f.Uint
		}
		return nil
	})
	return shard, offset, err
}

func readMember(op string, b []byte) (m edda.Member, err error) {
	err = eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			m.Name = string(f.Bytes)
		case 2:
			m.Leases = int(f.Uint)
		case 3:
			m.LastSeen = timeOf(f.Uint)
		}
		return nil
	})
	return m, err
}

func readGroupSpec(op string, b []byte, g *edda.GroupSpec) error {
	err := eachField(op, b, func(f *wire.Field) error {
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
			return readRetry(op, f.Bytes, &g.Retry)
		}
		return nil
	})
	g.Namespace = cmp.Or(g.Namespace, edda.DefaultNamespace)
	return err
}

func readRetry(op string, b []byte, r *edda.RetryPolicy) error {
	return eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			r.Max = int(int64(f.Uint))
		case 2:
			r.Delay = time.Duration(f.Uint)
		case 3:
			r.MaxDelay = time.Duration(f.Uint)
		case 4:
			r.Backoff = math.Float64frombits(f.Uint)
		case 5:
			r.Jitter = math.Float64frombits(f.Uint)
		}
		return nil
	})
}

// readDeliveries reads messages with their leases; payloads alias b.
func readDeliveries(op string, b []byte) (ds []edda.Delivery, err error) {
	var all messages
	err = eachField(op, b, func(f *wire.Field) error {
		if f.Num != 1 {
			return nil
		}
		ds = append(ds, edda.Delivery{})
		d := &ds[len(ds)-1]
		return eachField(op, f.Bytes, func(f *wire.Field) error {
			switch f.Num {
			case 1:
				return all.read(op, f.Bytes, &d.StreamMessage)
			case 2:
				d.Lease = string(f.Bytes)
			case 3:
				d.Attempt = int(f.Uint)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return ds, nil
}

func readSettled(op string, b []byte) (*edda.Settled, error) {
	s := new(edda.Settled)
	err := eachField(op, b, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			s.Done = int(f.Uint)
		case 2:
			s.Stale = append(s.Stale, string(f.Bytes))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
