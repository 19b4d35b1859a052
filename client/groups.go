package client

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// SetGroup creates a group, or changes one. See edda.GroupBackend. When the connection
// broke before the answer, created may be false of a group that this call has created.
func (c *Conn) SetGroup(ctx context.Context, g edda.GroupSpec) (gr *edda.Group, created bool, err error) {
	op := "set group " + g.Service()
	if err := g.Validate(); err != nil {
		return nil, false, err
	}
	b, _, err := c.tell(ctx, op, streamService+"SetGroup", rpcconn.AppendGroup(nil, 1, &g), true)
	if err != nil {
		return nil, false, err
	}
	view, created, err := readSet(op, b)
	if err != nil {
		return nil, false, err
	}
	gr, err = c.wholeGroupAfter(ctx, op, view)
	return gr, created, err
}

// Group returns what is known of a group. See edda.GroupBackend.
func (c *Conn) Group(ctx context.Context, g edda.GroupRef) (*edda.Group, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	op := "look up group " + g.WithDefaults().String()
	gr, more, err := c.groupPage(ctx, op, g, "", "")
	if err != nil {
		return nil, err
	}
	return c.wholeGroup(ctx, op, gr, more)
}

// groupPage asks for a group with its cursor after a shard, and its members after one,
// as much as the node gives.
func (c *Conn) groupPage(ctx context.Context, op string, g edda.GroupRef, shard, member string) (gr *edda.Group, more *groupRest, err error) {
	req := appendGroupRef(nil, g)
	req = wire.AppendString(req, 2, shard)
	b, err := c.ask(ctx, op, streamService+"GetGroup", edda.ID{}, wire.AppendString(req, 3, member))
	if err != nil {
		return nil, nil, err
	}
	return readGroup(op, b)
}

// wholeGroup completes the cursor and the members of a group.
func (c *Conn) wholeGroup(ctx context.Context, op string, g *edda.Group, more *groupRest) (*edda.Group, error) {
	shard, member := "", ""
	for more != nil {
		if more.shard != "" {
			shard = more.shard
		}
		if more.member != "" {
			member = more.member
		}
		page, again, err := c.groupPage(ctx, op, edda.GroupRef{Namespace: g.Namespace, Stream: g.Stream, Group: g.Name}, shard, member)
		if err != nil {
			return nil, err
		}
		maps.Copy(page.Cursor, g.Cursor)
		page.Members = append(g.Members, page.Members...)
		g, more = page, again
	}
	return g, nil
}

// wholeGroupAfter is wholeGroup for what is answered to a change, which was made in any
// case.
func (c *Conn) wholeGroupAfter(ctx context.Context, op string, answer []byte) (*edda.Group, error) {
	g, more, err := readGroup(op, answer)
	if err != nil {
		return nil, err
	}
	if g, err = c.wholeGroup(ctx, op, g, more); err != nil {
		return nil, unknownTo(op, err)
	}
	return g, nil
}

// Groups returns all groups of a stream. See edda.GroupBackend.
func (c *Conn) Groups(ctx context.Context, namespace, stream string) ([]edda.Group, error) {
	op := "list groups of stream " + stream
	if err := checkStream(namespace, stream); err != nil {
		return nil, err
	}
	var all []edda.Group
	for after, more := "", true; more; more = after != "" {
		req := wire.AppendUint(streamRef(namespace, stream), 3, maxList)
		b, err := c.ask(ctx, op, streamService+"ListGroups", edda.ID{}, wire.AppendString(req, 4, after))
		if err != nil {
			return nil, err
		}
		after = ""
		err = eachField(op, b, func(f *wire.Field) error {
			switch f.Num {
			case 1:
				g, rest, err := readGroup(op, f.Bytes)
				if err == nil {
					g, err = c.wholeGroup(ctx, op, g, rest)
				}
				if err != nil {
					return err
				}
				all = append(all, *g)
			case 2:
				after = string(f.Bytes)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// DeleteGroup removes a group. See edda.GroupBackend. When the connection breaks before
// the answer the error is OutcomeUnknown: a second time might remove one that was created
// since.
func (c *Conn) DeleteGroup(ctx context.Context, g edda.GroupRef) error {
	if err := g.Validate(); err != nil {
		return err
	}
	_, _, err := c.tell(ctx, "delete group "+g.WithDefaults().String(), streamService+"DeleteGroup", groupFields(nil, g), false)
	return err
}

// ResetGroup sets the cursor of a group. See edda.GroupBackend. When the connection breaks
// before the answer the error is OutcomeUnknown: a second time would take from the members
// what they have got since.
func (c *Conn) ResetGroup(ctx context.Context, g edda.GroupRef, shard string, to edda.From) (*edda.Group, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	op := "reset group " + g.WithDefaults().String()
	req := wire.AppendString(appendGroupRef(nil, g), 2, rpcconn.Text(shard))
	b, _, err := c.tell(ctx, op, streamService+"ResetGroup", wire.AppendString(req, 3, rpcconn.Text(string(to))), false)
	if err != nil {
		return nil, err
	}
	return c.wholeGroupAfter(ctx, op, b)
}

// ReadGroup gives a member messages. See edda.GroupBackend. When the connection breaks
// before the answer, the member is asked for again; what it was given and has not heard of
// comes again once its lease has ended.
func (c *Conn) ReadGroup(ctx context.Context, r edda.GroupRead) ([]edda.Delivery, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	op := "read group " + r.GroupRef.WithDefaults().String()
	until := time.Now().Add(r.Wait)
	for left := r.Wait; ; left = time.Until(until) {
		once := min(max(left, 0), longWait)
		req := wire.AppendString(appendGroupRef(nil, r.GroupRef), 2, r.Member)
		req = wire.AppendUint(req, 3, uint64(r.Max))
		b, err := c.ask(ctx, op, streamService+"ReadGroup", edda.ID{}, wire.AppendUint(req, 4, uint64(once)))
		if err != nil {
			return nil, err
		}
		got, err := readDeliveries(op, b)
		if err != nil || len(got) > 0 || once < longWait {
			return got, err
		}
	}
}

// Ack says that messages were handled. See edda.GroupBackend. It is sent again when the
// connection breaks; when leases are then found to have ended, and nobody can tell by
// what, the error is OutcomeUnknown.
func (c *Conn) Ack(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	return c.settle(ctx, "acknowledge messages of group ", "Ack", s)
}

// Reject says that handling messages failed. See edda.GroupBackend. It is sent again as
// Ack is.
func (c *Conn) Reject(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	return c.settle(ctx, "reject messages of group ", "Reject", s)
}

// Extend keeps leases from ending. See edda.GroupBackend.
func (c *Conn) Extend(ctx context.Context, s edda.Settle) (*edda.Settled, error) {
	return c.settle(ctx, "extend leases of group ", "Extend", s)
}

// settle makes a call about leases.
func (c *Conn) settle(ctx context.Context, what, method string, s edda.Settle) (*edda.Settled, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	op := what + s.GroupRef.WithDefaults().String()
	b, repeated, err := c.tell(ctx, op, streamService+method, settleRequest(&s), true)
	if err != nil {
		return nil, err
	}
	done, err := readSettled(op, b)
	if err == nil && repeated && method != "Extend" && len(done.Stale) > 0 {
		return nil, &edda.Error{Op: op, Reason: edda.OutcomeUnknown,
			Err: fmt.Errorf("the connection broke, and %d of %d leases have ended now; whether by this call is not known", len(done.Stale), len(s.Leases))}
	}
	return done, err
}
