package rpcgw

import (
	"context"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// SetGroup creates a group, or changes one.
func (g *Gateway) SetGroup(ctx context.Context, r *eddav1.SetGroupRequest) (*eddav1.SetGroupResponse, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	gr, created, err := g.groups.SetGroup(ctx, groupSpecOf(r.GetGroup()))
	if err != nil {
		return nil, err
	}
	return &eddav1.SetGroupResponse{Group: groupView(gr, "", "", new(room(maxViewBytes))), Created: created}, nil
}

// GetGroup returns what is known of a group.
func (g *Gateway) GetGroup(ctx context.Context, r *eddav1.GetGroupRequest) (*eddav1.Group, error) {
	ref := groupRefOf(r.GetGroup())
	if err := grantOf(ctx).CheckSeeStream(ref.Namespace, ref.Stream); err != nil {
		return nil, err
	}
	gr, err := g.groups.Group(ctx, ref)
	if err != nil {
		return nil, err
	}
	return groupView(gr, r.GetAfterShard(), r.GetAfterMember(), new(room(maxViewBytes))), nil
}

// ListGroups returns a page of the groups of a stream.
func (g *Gateway) ListGroups(ctx context.Context, r *eddav1.ListGroupsRequest) (*eddav1.ListGroupsResponse, error) {
	if err := grantOf(ctx).CheckSeeStream(r.GetNamespace(), r.GetStream()); err != nil {
		return nil, err
	}
	limit, err := listLimit("list groups of stream "+r.GetStream(), r.GetLimit())
	if err != nil {
		return nil, err
	}
	all, err := g.groups.Groups(ctx, r.GetNamespace(), r.GetStream())
	if err != nil {
		return nil, err
	}
	out := new(eddav1.ListGroupsResponse)
	left := room(maxViewBytes)
	for i, gr := range groupsAfter(all, r.GetAfter()) {
		v := groupView(&gr, "", "", &left)
		if i == limit || left < 0 && i > 0 {
			out.Next = out.GetGroups()[i-1].GetSpec().GetName()
			break
		}
		out.Groups = append(out.Groups, v)
	}
	return out, nil
}

// DeleteGroup removes a group.
func (g *Gateway) DeleteGroup(ctx context.Context, r *eddav1.GroupRef) (*eddav1.DeleteGroupResponse, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	if err := g.groups.DeleteGroup(ctx, groupRefOf(r)); err != nil {
		return nil, err
	}
	return new(eddav1.DeleteGroupResponse), nil
}

// ResetGroup sets the cursor of a group.
func (g *Gateway) ResetGroup(ctx context.Context, r *eddav1.ResetGroupRequest) (*eddav1.Group, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	gr, err := g.groups.ResetGroup(ctx, groupRefOf(r.GetGroup()), r.GetShard(), edda.From(r.GetTo()))
	if err != nil {
		return nil, err
	}
	return groupView(gr, "", "", new(room(maxViewBytes))), nil
}

// ReadGroup gives a member messages.
func (g *Gateway) ReadGroup(ctx context.Context, r *eddav1.ReadGroupRequest) (*eddav1.Deliveries, error) {
	ref := groupRefOf(r.GetGroup())
	if err := grantOf(ctx).CheckConsume(ref.Namespace, ref.Stream); err != nil {
		return nil, err
	}
	wait, err := waitOf("read group "+ref.String(), r.GetWait())
	if err != nil {
		return nil, err
	}
	got, err := g.groups.ReadGroup(ctx, edda.GroupRead{GroupRef: ref, Member: r.GetMember(), Max: int(r.GetMax()), Wait: wait})
	if err != nil {
		return nil, err
	}
	return deliveriesView(got), nil
}

// Ack says that messages were handled.
func (g *Gateway) Ack(ctx context.Context, r *eddav1.SettleRequest) (*eddav1.Settled, error) {
	return settle(ctx, r, g.groups.Ack)
}

// Reject says that handling messages failed.
func (g *Gateway) Reject(ctx context.Context, r *eddav1.SettleRequest) (*eddav1.Settled, error) {
	return settle(ctx, r, g.groups.Reject)
}

// Extend keeps leases from ending.
func (g *Gateway) Extend(ctx context.Context, r *eddav1.SettleRequest) (*eddav1.Settled, error) {
	return settle(ctx, r, g.groups.Extend)
}

// settle has the backend do what a member says of its leases.
func settle(ctx context.Context, r *eddav1.SettleRequest, do func(context.Context, edda.Settle) (*edda.Settled, error)) (*eddav1.Settled, error) {
	s := edda.Settle{GroupRef: groupRefOf(r.GetGroup()), Leases: r.GetLeases(), Error: r.GetError(), For: time.Duration(r.GetDuration())}
	if err := grantOf(ctx).CheckConsume(s.Namespace, s.Stream); err != nil {
		return nil, err
	}
	done, err := do(ctx, s)
	if err != nil {
		return nil, err
	}
	return &eddav1.Settled{Done: uint64(done.Done), Stale: done.Stale}, nil
}
