package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/edda-io/edda"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/record"
)

var _ edda.StreamBackend = (*Node)(nil)

// streamHome is the partition that a stream lives in.
func (n *Node) streamHome(namespace, name string) *partition {
	return n.homeOf(edda.StreamHash(namespace, name))
}

// streamChange is a record about a stream, and whoever waits for what becomes of it.
type streamChange struct {
	op string
	// seen is called in the partition's goroutine with each effect that the record has on
	// streams.
	seen func(p *partition, e *streamfold.Effect)
	err  error      // why it was refused
	done chan error // gets one
}

// changeStream makes a record about a stream durable. When it returns nil seen has been
// called.
func (n *Node) changeStream(ctx context.Context, p *partition, op string, rec []byte, seen func(*partition, *streamfold.Effect)) error {
	c := &streamChange{op: op, seen: seen, done: make(chan error, 1)}
	ok := p.in.do(func() {
		if n.draining.Load() {
			c.done <- n.notRunning(op)
			return
		}
		p.propose(rec, proposal{stream: &streamPart{change: c}})
	})
	if !ok {
		return n.notRunning(op)
	}
	return n.wait(ctx, op, c.done)
}

// SetStream creates a stream, or changes one. See edda.StreamBackend.
func (n *Node) SetStream(ctx context.Context, spec edda.StreamSpec) (st *edda.Stream, created bool, err error) {
	if err := spec.Validate(); err != nil {
		return nil, false, err
	}
	spec = spec.WithDefaults()
	set := record.StreamSet{StreamSpec: spec}
	var view *edda.Stream
	var isNew bool
	err = n.changeStream(ctx, n.streamHome(spec.Namespace, spec.Name), "set stream "+spec.Name, set.AppendTo(nil), func(p *partition, e *streamfold.Effect) {
		if e.Kind == streamfold.Created || e.Kind == streamfold.Changed {
			view, isNew = p.streamView(e.Stream), e.Kind == streamfold.Created
		}
	})
	if err != nil {
		return nil, false, err
	}
	return view, isNew, nil
}

// DeleteStream removes a stream. See edda.StreamBackend.
func (n *Node) DeleteStream(ctx context.Context, namespace, name string) error {
	namespace, err := checkStream(namespace, name)
	if err != nil {
		return err
	}
	r := record.StreamRemoved{Namespace: namespace, Name: name}
	return n.changeStream(ctx, n.streamHome(namespace, name), "delete stream "+name, r.AppendTo(nil), nil)
}

// TrimStream removes messages. See edda.StreamBackend.
func (n *Node) TrimStream(ctx context.Context, namespace, name, shard string, before edda.From) (*edda.Stream, error) {
	if err := (&edda.Read{Namespace: namespace, Stream: name, Shard: shard}).Validate(); err != nil {
		return nil, err
	}
	namespace = cmp.Or(namespace, edda.DefaultNamespace)
	op := "trim stream " + name
	at, err := before.Parse()
	if err == nil && at.Kind != edda.AtOffset && at.Kind != edda.AtTime {
		err = &edda.Error{Reason: edda.BadValue, Err: fmt.Errorf("before is %q, must be an offset or a time", before)}
	}
	if err != nil {
		return nil, &edda.Error{Op: op, Reason: edda.BadValue, Err: err}
	}
	r := record.StreamTrimmed{Namespace: namespace, Name: name, Shard: shard}
	if at.Kind == edda.AtOffset {
		r.Shard, r.Offset = cmp.Or(shard, edda.DefaultShard), at.Offset
	} else {
		r.Time = at.Time.UnixNano()
	}
	var view *edda.Stream
	err = n.changeStream(ctx, n.streamHome(namespace, name), op, r.AppendTo(nil), func(p *partition, e *streamfold.Effect) {
		if e.Kind == streamfold.Trimmed {
			view = p.streamView(e.Stream)
		}
	})
	if err != nil {
		return nil, err
	}
	return view, nil
}

// Stream returns what is known of a stream. See edda.StreamBackend.
func (n *Node) Stream(ctx context.Context, namespace, name string) (*edda.Stream, error) {
	namespace, err := checkStream(namespace, name)
	if err != nil {
		return nil, err
	}
	op := "look up stream " + name
	p := n.streamHome(namespace, name)
	var view *edda.Stream
	var failed error
	if err := n.inPartition(ctx, p, op, func() {
		s, err := p.findStream(op, namespace, name)
		if failed = err; err == nil {
			view = p.streamView(s)
		}
	}); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	return view, nil
}

// checkStream checks names, and returns the namespace.
func checkStream(namespace, name string) (string, error) {
	if err := (&edda.Read{Namespace: namespace, Stream: name}).Validate(); err != nil {
		return "", err
	}
	return cmp.Or(namespace, edda.DefaultNamespace), nil
}

// findStream returns a stream that there is.
func (p *partition) findStream(op, namespace, name string) (*streamfold.Stream, error) {
	s := p.streams.Stream(namespace, name)
	if s == nil {
		return nil, errNoStream(op, namespace, name)
	}
	return s, nil
}

func errNoStream(op, namespace, name string) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.NoStream, Err: fmt.Errorf("there is no stream %q in the namespace %q", name, namespace)}
}

func errNoShard(op string, s *streamfold.Stream, shard string) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.NoShard,
		Err: fmt.Errorf("stream %q has the shards that were listed, and %q is not one of them", s.Spec.Name, shard)}
}

// offsetError is what an append that expected another offset is told.
func offsetError(e *streamfold.Effect) error {
	if e.Detail == "" {
		return &edda.OffsetError{Empty: true}
	}
	last, err := strconv.ParseUint(e.Detail, 10, 64)
	if err != nil {
		return errors.New(e.Detail)
	}
	return &edda.OffsetError{Last: last}
}

// streamView shows a stream as callers see it.
func (p *partition) streamView(s *streamfold.Stream) *edda.Stream {
	v := &edda.Stream{StreamSpec: s.Spec, CreatedAt: timeOf(s.CreatedAt), Offsets: make(map[string]edda.Offsets, len(s.Shards()))}
	v.Shards = slices.Clone(v.Shards)
	for _, sh := range s.Shards() {
		v.Offsets[sh.Name] = edda.Offsets{First: sh.First, End: sh.End, Bytes: sh.Bytes}
	}
	for _, g := range p.groups.Of(s) {
		v.Groups = append(v.Groups, g.Spec.Name)
	}
	return v
}

// Streams returns a page of streams. See edda.StreamBackend.
func (n *Node) Streams(ctx context.Context, namespace string, limit int, after string) ([]edda.Stream, string, error) {
	const op = "list streams"
	namespace, limit, err := checkList(op, namespace, limit, after)
	if err != nil {
		return nil, "", err
	}
	var names []string
	for _, p := range n.parts {
		if err := n.inPartition(ctx, p, op, func() { names = append(names, p.streamNames(namespace, after, limit+1)...) }); err != nil {
			return nil, "", err
		}
	}
	slices.Sort(names)
	next := ""
	if len(names) > limit {
		names = names[:limit]
		next = names[limit-1]
	}
	var items []edda.Stream
	for _, name := range names {
		s, err := n.Stream(ctx, namespace, name)
		if edda.ReasonOf(err) == edda.NoStream {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return nil, "", err
		}
		items = append(items, *s)
	}
	return items, next, nil
}

// checkList checks what a page of names is asked for with, and returns it with its
// defaults.
func checkList(op, namespace string, limit int, after string) (string, int, error) {
	limit, _, err := parsePage(op, Page{Limit: limit})
	if err != nil {
		return "", 0, err
	}
	namespace = cmp.Or(namespace, edda.DefaultNamespace)
	if err := edda.CheckName("namespace", namespace); err != nil {
		return "", 0, err
	}
	if after != "" {
		if err := edda.CheckName("cursor", after); err != nil {
			return "", 0, &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("the cursor %q is not one that a list has returned", after)}
		}
	}
	return namespace, limit, nil
}

// streamNames returns the names of some streams after a name, without those that are
// channels' own.
func (p *partition) streamNames(namespace, after string, limit int) (names []string) {
	for from, more := after, true; more; {
		more = false
		for s := range p.streams.From(namespace, from) {
			if s.Spec.Namespace != namespace || len(names) == limit {
				break
			}
			if _, own := edda.ChannelOf(s.Spec.Name); own {
				from, more = pastChannels, true
				break
			}
			if s.Spec.Name != after {
				names = append(names, s.Spec.Name)
			}
		}
	}
	return names
}

// pastChannels comes after the names of all channels' own streams, which may be very many:
// a slash follows the dot.
const pastChannels = "edda.channel/"
