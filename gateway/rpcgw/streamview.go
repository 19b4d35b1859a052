package rpcgw

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// messageView writes a message of a stream.
func messageView(m *edda.StreamMessage) *eddav1.StreamMessage {
	v := &eddav1.StreamMessage{
		Id: printable(m.ID), Type: printable(m.Type), Key: m.Key, Source: printable(m.Source), Principal: printable(string(m.Principal)),
		Headers: headers(m.Headers), ContentType: printable(m.ContentType), Payload: m.Payload,
		CorrelationId: printable(m.CorrelationID), Traceparent: printable(m.TraceParent), Tracestate: printable(m.TraceState),
		Time: nanos(m.Time), Shard: m.Shard, Offset: m.Offset,
	}
	if m.ReplyTo != (edda.Address{}) {
		v.ReplyTo = &eddav1.Address{Namespace: m.ReplyTo.Namespace, Name: m.ReplyTo.Name, Key: m.ReplyTo.Key}
	}
	if !m.CausationID.IsZero() {
		v.CausationId = m.CausationID[:]
	}
	return v
}

func pageView(p *edda.StreamPage) *eddav1.StreamPage {
	v := &eddav1.StreamPage{Messages: make([]*eddav1.StreamMessage, len(p.Messages)), First: p.First, Next: p.Next, End: p.End}
	for i := range p.Messages {
		v.Messages[i] = messageView(&p.Messages[i])
	}
	return v
}

func appendedView(a *edda.AppendAck) *eddav1.AppendResponse {
	v := &eddav1.AppendResponse{Items: make([]*eddav1.Appended, len(a.Items)), Position: a.Position, Durability: string(a.Durability)}
	for i := range a.Items {
		it := &a.Items[i]
		v.Items[i] = &eddav1.Appended{Id: printable(it.ID), Shard: it.Shard, Offset: it.Offset, Replayed: it.Replayed, Unknown: it.Unknown}
	}
	if l := &a.Last; l.Number != 0 {
		v.Last = &eddav1.Numbered{Number: l.Number, Offset: l.Offset, Id: printable(l.ID)}
	}
	return v
}

// room counts what goes into one message.
type room int

// fits reports whether one more does, and takes its place.
func (r *room) fits(v proto.Message) bool {
	const tag = 4
	*r -= room(proto.Size(v) + tag)
	return *r >= 0
}

// streamView writes what is known of a stream, with as many of its shards after one as
// there is room for.
func streamView(s *edda.Stream, after string, r *room) *eddav1.Stream {
	v := &eddav1.Stream{
		Spec: &eddav1.StreamSpec{Namespace: s.Namespace, Name: s.Name, Shards: s.Shards, Dedupe: int64(s.Dedupe)},
		// Their names are bounded, and there are at most a thousand.
		Groups: s.Groups, CreatedAt: nanos(s.CreatedAt),
	}
	if k := s.Retention; k != (edda.Retention{}) {
		v.Spec.Retention = &eddav1.Retention{Age: int64(k.Age), Count: k.Count, Bytes: k.Bytes}
	}
	r.fits(v)
	for _, name := range namesAfter(s.Offsets, after) {
		o := s.Offsets[name]
		sh := &eddav1.ShardOffsets{Shard: name, First: o.First, End: o.End, Bytes: o.Bytes}
		if !r.fits(sh) && len(v.GetShards()) > 0 {
			v.MoreShards = true
			break
		}
		v.Shards = append(v.Shards, sh)
	}
	return v
}

// namesAfter returns the names after one, in order.
func namesAfter[V any](all map[string]V, after string) []string {
	names := slices.Sorted(maps.Keys(all))
	at, found := slices.BinarySearch(names, after)
	if found {
		at++
	}
	return names[at:]
}

// groupView writes what is known of a group, with as much of its cursor and as many of
// its members after some as there is room for.
func groupView(g *edda.Group, afterShard, afterMember string, r *room) *eddav1.Group {
	v := &eddav1.Group{
		Spec: &eddav1.GroupSpec{
			Namespace: g.Namespace, Stream: g.Stream, Name: g.Name, From: printable(string(g.From)),
			MinMembers: uint32(g.MinMembers), MaxMembers: uint32(g.MaxMembers),
			ProcessingTimeout: int64(g.ProcessingTimeout), IdleTimeout: int64(g.IdleTimeout), Retry: retryView(g.Retry),
		},
		CreatedAt: nanos(g.CreatedAt), Lag: g.Lag, Pending: uint64(g.Pending),
	}
	r.fits(v)
	first := true // something is in any case, so that whoever asks on gets on
	for _, name := range namesAfter(g.Cursor, afterShard) {
		c := &eddav1.ShardCursor{Shard: name, Offset: g.Cursor[name]}
		if !r.fits(c) && !first {
			v.More = true
			return v
		}
		v.Cursor, first = append(v.Cursor, c), false
	}
	at, _ := slices.BinarySearchFunc(g.Members, afterMember, func(m edda.Member, after string) int {
		if m.Name <= after {
			return -1
		}
		return strings.Compare(m.Name, after)
	})
	for i := at; i < len(g.Members); i++ {
		m := &eddav1.GroupMember{Name: printable(g.Members[i].Name), Leases: uint32(g.Members[i].Leases), LastSeen: nanos(g.Members[i].LastSeen)}
		if !r.fits(m) && !first {
			v.More = true
			return v
		}
		v.Members, first = append(v.Members, m), false
	}
	return v
}

// retryView writes a retry policy, nothing for the zero value.
func retryView(r edda.RetryPolicy) *eddav1.Retry {
	if r == (edda.RetryPolicy{}) {
		return nil
	}
	return &eddav1.Retry{Max: int32(r.Max), Delay: int64(r.Delay), MaxDelay: int64(r.MaxDelay), Backoff: r.Backoff, Jitter: r.Jitter}
}

func deliveriesView(ds []edda.Delivery) *eddav1.Deliveries {
	v := &eddav1.Deliveries{Items: make([]*eddav1.Delivery, len(ds))}
	for i := range ds {
		v.Items[i] = &eddav1.Delivery{Message: messageView(&ds[i].StreamMessage), Lease: ds[i].Lease, Attempt: uint32(ds[i].Attempt)}
	}
	return v
}
