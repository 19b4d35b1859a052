package client_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

var billing = edda.GroupRef{Stream: "orders", Group: "billing"}

func (p *streamPlay) group(what string, g *edda.Group, err error) {
	if err != nil {
		p.err(what, err)
		return
	}
	p.notef("%s: %+v, recent %t, cursor %v, lag %d, pending %d", what, g.GroupSpec, time.Since(g.CreatedAt).Abs() < time.Hour, g.Cursor, g.Lag, g.Pending)
	for _, m := range g.Members {
		p.notef("member %s has %d, seen %t", m.Name, m.Leases, time.Since(m.LastSeen).Abs() < time.Hour)
	}
}

func (p *streamPlay) deliver(what, member string, most int) []edda.Delivery {
	p.t.Helper()
	got, err := p.ReadGroup(p.ctx, edda.GroupRead{GroupRef: billing, Member: member, Max: most, Wait: patience})
	if err != nil {
		p.err(what, err)
	}
	for i := range got {
		p.notef("%s: attempt %d, a lease %t, %s", what, got[i].Attempt, got[i].Lease != "", p.message(&got[i].StreamMessage))
	}
	return got
}

func (p *streamPlay) settled(what string, s *edda.Settled, err error) {
	if err != nil {
		p.err(what, err)
		return
	}
	p.notef("%s: %d done, %d stale", what, s.Done, len(s.Stale))
}

func leases(ds ...edda.Delivery) edda.Settle {
	s := edda.Settle{GroupRef: billing}
	for i := range ds {
		s.Leases = append(s.Leases, ds[i].Lease)
	}
	return s
}

func orders(n int) *edda.Append {
	a := &edda.Append{Stream: "orders"}
	for i := range n {
		a.Messages = append(a.Messages, edda.StreamMessage{ID: fmt.Sprint(i), Type: "placed", Key: "k"})
	}
	return a
}

var groupCases = []streamCase{
	{"groups", func(p *streamPlay) {
		spec := edda.GroupSpec{
			Stream: "orders", Name: "billing", From: edda.FromStart, MinMembers: 2, MaxMembers: 3, ProcessingTimeout: time.Minute, IdleTimeout: time.Hour,
			Retry: edda.RetryPolicy{Max: -1, Delay: time.Second, MaxDelay: time.Minute, Backoff: 1.5, Jitter: -1},
		}
		for _, what := range []string{"set", "again"} {
			g, created, err := p.SetGroup(p.ctx, spec)
			p.group(fmt.Sprint(what, created), g, err)
		}
		g, created, err := p.SetGroup(p.ctx, edda.GroupSpec{Stream: "orders", Name: "audit"})
		p.group(fmt.Sprint("defaults ", created), g, err)
		p.append("append", orders(3))
		g, err = p.Group(p.ctx, billing)
		p.group("look", g, err)
		all, err := p.Groups(p.ctx, "", "orders")
		p.err("list", err)
		for i := range all {
			p.group("listed", &all[i], nil)
		}
		s, err := p.Stream(p.ctx, "", "orders")
		p.stream("stream", s, err)
		g, err = p.ResetGroup(p.ctx, billing, "", edda.FromEnd)
		p.group("reset", g, err)
		g, err = p.ResetGroup(p.ctx, billing, "default", edda.FromOffset(1))
		p.group("reset a shard", g, err)
		_, err = p.ResetGroup(p.ctx, billing, "default", "soon")
		p.err("reset to nowhere", err)
		_, err = p.ResetGroup(p.ctx, billing, "a b", edda.FromEnd)
		p.err("reset what is no shard", err)
		p.err("delete", p.DeleteGroup(p.ctx, billing))
		p.err("delete again", p.DeleteGroup(p.ctx, billing))
		_, err = p.Group(p.ctx, billing)
		p.err("look", err)
		_, err = p.ResetGroup(p.ctx, billing, "", edda.FromEnd)
		p.err("reset", err)
		_, err = p.Groups(p.ctx, "", "none")
		p.err("groups of nothing", err)
		_, err = p.Groups(p.ctx, "", "a b")
		p.err("bad name", err)
		_, err = p.Group(p.ctx, edda.GroupRef{Stream: "none", Group: "billing"})
		p.err("no stream", err)
		for _, bad := range []edda.GroupSpec{
			{}, {Stream: "orders", Name: "x", MinMembers: -1}, {Stream: "orders", Name: "x", MinMembers: 3, MaxMembers: 2},
			{Stream: "orders", Name: "x", From: "soon"}, {Stream: "orders", Name: "x", Retry: edda.RetryPolicy{Max: -2}}, {Stream: "orders", Name: "x", IdleTimeout: -1},
		} {
			_, _, err := p.SetGroup(p.ctx, bad)
			p.err("bad group", err)
		}
	}},
	{"members", func(p *streamPlay) {
		g, _, err := p.SetGroup(p.ctx, edda.GroupSpec{
			Stream: "orders", Name: "billing", From: edda.FromStart, MaxMembers: 2, Retry: edda.RetryPolicy{Max: 2, Delay: time.Millisecond, Jitter: -1},
		})
		p.group("set", g, err)
		p.append("append", &edda.Append{Stream: "orders", Messages: []edda.StreamMessage{full(), {ID: "b"}, {ID: "c"}}})
		first := p.deliver("a", "a", 1)
		s, err := p.Extend(p.ctx, leases(first...))
		p.settled("extend", s, err)
		s, err = p.Ack(p.ctx, leases(first...))
		p.settled("ack", s, err)
		s, err = p.Ack(p.ctx, leases(first...))
		p.settled("ack again", s, err)
		second := p.deliver("b", "b", 1)
		g, err = p.Group(p.ctx, billing)
		p.group("look", g, err)
		p.deliver("one too many", "c", 1)
		reject := leases(second...)
		reject.Error, reject.For = "no ink", time.Millisecond
		s, err = p.Reject(p.ctx, reject)
		p.settled("reject", s, err)
		at := len(p.log)
		for got := 0; got < 2; {
			more := p.deliver("the rest", "b", 1)
			s, err = p.Ack(p.ctx, leases(more...))
			p.settled("ack", s, err)
			got += len(more)
		}
		slices.Sort(p.log[at:]) // what was rejected may come before the other or after it
		g, err = p.Group(p.ctx, billing)
		p.group("look", g, err)
		for what, bad := range map[string]edda.Settle{
			"no leases": {GroupRef: billing}, "an empty one": {GroupRef: billing, Leases: []string{""}}, "what is no lease": {GroupRef: billing, Leases: []string{"x"}},
		} {
			_, err := p.Ack(p.ctx, bad)
			if edda.ReasonOf(err) != edda.BadValue {
				p.t.Errorf("%s: %v", what, err)
			}
		}
		_, err = p.Reject(p.ctx, edda.Settle{GroupRef: billing, Leases: []string{first[0].Lease}, For: -1})
		p.err("negative", err)
	}},
	{"reads", func(p *streamPlay) {
		p.deliver("no stream", "a", 1)
		p.append("append", orders(1))
		p.deliver("no group", "a", 1)
		_, _, err := p.SetGroup(p.ctx, edda.GroupSpec{Stream: "orders", Name: "billing"})
		p.err("set", err)
		p.deliver("no member", "", 1)
		p.deliver("too many", "a", 1001)
		p.deliver("negative", "a", -1)
		got, err := p.ReadGroup(p.ctx, edda.GroupRead{GroupRef: billing, Member: "a", Wait: time.Millisecond})
		p.err(fmt.Sprint("in vain ", len(got)), err)
		_, err = p.ReadGroup(p.ctx, edda.GroupRead{GroupRef: billing, Member: "a", Wait: -1})
		p.err("bad wait", err)
	}},
}
