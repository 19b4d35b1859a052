package stream_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// fake keeps streams and groups in memory, as far as the package asks for them. What a
// node does is for the tests with a node.
type fake struct {
	mu      sync.Mutex
	streams map[string]*fakeStream
	fail    func(op string) error // what a call fails with; nil: it does not
	changed chan struct{}         // closed with every change
	calls   map[string]int
}

type fakeStream struct {
	spec   edda.StreamSpec
	shards map[string]*fakeShard
	groups map[string]map[string]uint64 // cursors by group and shard
}

type fakeShard struct {
	first uint64
	all   []edda.StreamMessage // from first on
}

func newFake() *fake {
	return &fake{streams: map[string]*fakeStream{}, changed: make(chan struct{}), calls: map[string]int{}}
}

func (f *fake) failWith(fail func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// enter begins a call; the caller unlocks.
func (f *fake) enter(op string) error {
	f.mu.Lock()
	f.calls[op]++
	if f.fail == nil {
		return nil
	}
	return f.fail(op)
}

func (f *fake) change() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait waits for a change with the lock let go. It returns false when the wait is over.
func (f *fake) wait(ctx context.Context, over <-chan time.Time) bool {
	changed := f.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case <-changed:
		return true
	case <-over:
	case <-ctx.Done():
	}
	return false
}

func (f *fake) stream(ns, name string) (*fakeStream, error) {
	if s := f.streams[cmp.Or(ns, edda.DefaultNamespace)+"/"+name]; s != nil {
		return s, nil
	}
	return nil, &edda.Error{Op: "find stream " + name, Reason: edda.NoStream}
}

func (f *fake) make(ns, name string) *fakeStream {
	if s, err := f.stream(ns, name); err == nil {
		return s
	}
	s := &fakeStream{shards: map[string]*fakeShard{}, groups: map[string]map[string]uint64{}}
	f.streams[cmp.Or(ns, edda.DefaultNamespace)+"/"+name] = s
	return s
}

func (s *fakeStream) shard(name string) *fakeShard {
	name = cmp.Or(name, edda.DefaultShard)
	if s.shards[name] == nil {
		s.shards[name] = &fakeShard{}
	}
	return s.shards[name]
}

func (sh *fakeShard) end() uint64 { return sh.first + uint64(len(sh.all)) }

func (sh *fakeShard) offset(from edda.From) uint64 {
	switch from {
	case "", edda.FromStart:
		return sh.first
	case edda.FromEnd:
		return sh.end()
	}
	if n, err := strconv.ParseUint(string(from), 10, 64); err == nil {
		return max(n, sh.first)
	}
	t, err := time.Parse(time.RFC3339Nano, string(from))
	if err != nil {
		panic(err)
	}
	for i := range sh.all {
		if !sh.all[i].Time.Before(t) {
			return sh.all[i].Offset
		}
	}
	return sh.end()
}

func (f *fake) SetStream(_ context.Context, s edda.StreamSpec) (*edda.Stream, bool, error) {
	defer f.mu.Unlock()
	if err := f.enter("SetStream"); err != nil {
		return nil, false, err
	}
	_, err := f.stream(s.Namespace, s.Name)
	f.make(s.Namespace, s.Name).spec = s
	return &edda.Stream{StreamSpec: s}, err != nil, nil
}

func (f *fake) Stream(_ context.Context, ns, name string) (*edda.Stream, error) {
	defer f.mu.Unlock()
	if err := f.enter("Stream"); err != nil {
		return nil, err
	}
	s, err := f.stream(ns, name)
	if err != nil {
		return nil, err
	}
	return &edda.Stream{StreamSpec: s.spec}, nil
}

func (f *fake) Streams(_ context.Context, ns string, _ int, after string) ([]edda.Stream, string, error) {
	defer f.mu.Unlock()
	if err := f.enter("Streams"); err != nil {
		return nil, "", err
	}
	var names []string
	for name := range f.streams {
		if name = name[len(ns)+1:]; name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, "", nil
	}
	return []edda.Stream{{StreamSpec: edda.StreamSpec{Name: names[0]}}}, names[0], nil // pages of one
}

func (f *fake) DeleteStream(_ context.Context, ns, name string) error {
	defer f.mu.Unlock()
	if err := f.enter("DeleteStream"); err != nil {
		return err
	}
	delete(f.streams, cmp.Or(ns, edda.DefaultNamespace)+"/"+name)
	f.change()
	return nil
}

func (f *fake) Append(_ context.Context, a *edda.Append) (*edda.AppendAck, error) {
	defer f.mu.Unlock()
	if err := f.enter("Append"); err != nil {
		return nil, err
	}
	return f.append(a)
}

func (f *fake) append(a *edda.Append) (*edda.AppendAck, error) {
	s := f.make(a.Namespace, a.Stream)
	sh := s.shard(a.Shard)
	if a.IfEmpty && len(sh.all) > 0 || a.IfLast != nil && *a.IfLast+1 != sh.end() {
		return nil, &edda.Error{Reason: edda.ExpectedOffset}
	}
	ack := &edda.AppendAck{}
	for _, m := range a.Messages {
		if at := slices.IndexFunc(sh.all, func(o edda.StreamMessage) bool { return m.ID != "" && o.ID == m.ID }); at >= 0 {
			ack.Items = append(ack.Items, edda.Appended{ID: m.ID, Shard: a.Shard, Offset: sh.all[at].Offset, Replayed: true})
			continue
		}
		m.Shard, m.Offset, m.Principal = cmp.Or(a.Shard, edda.DefaultShard), sh.end(), a.Principal
		m.ID = cmp.Or(m.ID, fmt.Sprint("made-", m.Offset))
		m.Type = cmp.Or(m.Type, edda.DefaultMessageType)
		if m.Time.IsZero() {
			m.Time = time.Now()
		}
		sh.all = append(sh.all, m)
		ack.Items = append(ack.Items, edda.Appended{ID: m.ID, Shard: m.Shard, Offset: m.Offset})
	}
	f.change()
	return ack, nil
}

func (f *fake) ReadStream(ctx context.Context, r edda.Read) (*edda.StreamPage, error) {
	defer f.mu.Unlock()
	var over <-chan time.Time
	if r.Wait > 0 {
		over = time.After(r.Wait)
	}
	from, known := uint64(0), false
	for {
		var s *fakeStream
		err := f.enter("ReadStream")
		if err == nil {
			s, err = f.stream(r.Namespace, r.Stream)
		}
		if err != nil {
			return nil, err
		}
		sh := s.shard(r.Shard)
		if !known {
			from, known = sh.offset(r.From), true
		}
		from = max(from, sh.first)
		p := &edda.StreamPage{First: sh.first, Next: from, End: sh.end()}
		if from < sh.end() {
			rest := sh.all[from-sh.first:]
			p.Messages = slices.Clone(rest[:min(len(rest), cmp.Or(r.Limit, 100))])
			p.Next = from + uint64(len(p.Messages))
		}
		if len(p.Messages) > 0 || over == nil {
			return p, nil
		}
		if !f.wait(ctx, over) {
			return p, ctx.Err()
		}
		f.mu.Unlock() // which enter locks again
	}
}

func (f *fake) AwaitMessage(ctx context.Context, ns, name, id string, wait time.Duration) (*edda.StreamMessage, error) {
	defer f.mu.Unlock()
	over := time.After(wait)
	for {
		var s *fakeStream
		err := f.enter("AwaitMessage")
		if err == nil {
			s, err = f.stream(ns, name)
		}
		if err != nil {
			return nil, err
		}
		for _, sh := range s.shards {
			for i := range sh.all {
				if sh.all[i].ID == id {
					return new(sh.all[i]), nil
				}
			}
		}
		if !f.wait(ctx, over) {
			return nil, cmp.Or(ctx.Err(), error(&edda.Error{Reason: edda.NoMessage}))
		}
		f.mu.Unlock()
	}
}

func (f *fake) TrimStream(_ context.Context, ns, name, shard string, before edda.From) (*edda.Stream, error) {
	defer f.mu.Unlock()
	if err := f.enter("TrimStream"); err != nil {
		return nil, err
	}
	s, err := f.stream(ns, name)
	if err != nil {
		return nil, err
	}
	sh := s.shard(shard)
	first := min(sh.offset(before), sh.end())
	sh.first, sh.all = first, sh.all[first-sh.first:]
	f.change()
	return &edda.Stream{StreamSpec: s.spec}, nil
}

func (f *fake) SetGroup(_ context.Context, g edda.GroupSpec) (*edda.Group, bool, error) {
	defer f.mu.Unlock()
	if err := f.enter("SetGroup"); err != nil {
		return nil, false, err
	}
	s := f.make(g.Namespace, g.Stream)
	cursor, there := s.groups[g.Name]
	if !there {
		cursor = map[string]uint64{}
		for name, sh := range s.shards {
			cursor[name] = sh.offset(cmp.Or(g.From, edda.FromEnd))
		}
		s.groups[g.Name] = cursor
	}
	return &edda.Group{GroupSpec: g, Cursor: maps.Clone(cursor)}, !there, nil
}

func (f *fake) group(g edda.GroupRef) (*edda.Group, *fakeStream, error) {
	s, err := f.stream(g.Namespace, g.Stream)
	if err != nil {
		return nil, nil, err
	}
	cursor, there := s.groups[g.Group]
	if !there {
		return nil, nil, &edda.Error{Op: "find group " + g.Group, Reason: edda.NoGroup}
	}
	return &edda.Group{GroupSpec: edda.GroupSpec{Namespace: g.Namespace, Stream: g.Stream, Name: g.Group}, Cursor: maps.Clone(cursor)}, s, nil
}

func (f *fake) Group(_ context.Context, g edda.GroupRef) (*edda.Group, error) {
	defer f.mu.Unlock()
	if err := f.enter("Group"); err != nil {
		return nil, err
	}
	gr, _, err := f.group(g)
	return gr, err
}

func (f *fake) Groups(_ context.Context, ns, name string) ([]edda.Group, error) {
	defer f.mu.Unlock()
	if err := f.enter("Groups"); err != nil {
		return nil, err
	}
	s, err := f.stream(ns, name)
	if err != nil {
		return nil, err
	}
	var all []edda.Group
	for name := range s.groups {
		all = append(all, edda.Group{GroupSpec: edda.GroupSpec{Name: name}})
	}
	return all, nil
}

func (f *fake) DeleteGroup(_ context.Context, g edda.GroupRef) error {
	defer f.mu.Unlock()
	if err := f.enter("DeleteGroup"); err != nil {
		return err
	}
	_, s, err := f.group(g)
	if err == nil {
		delete(s.groups, g.Group)
	}
	return err
}

func (f *fake) ResetGroup(_ context.Context, g edda.GroupRef, shard string, to edda.From) (*edda.Group, error) {
	defer f.mu.Unlock()
	if err := f.enter("ResetGroup"); err != nil {
		return nil, err
	}
	_, s, err := f.group(g)
	if err != nil {
		return nil, err
	}
	s.groups[g.Group][shard] = s.shard(shard).offset(to)
	gr, _, err := f.group(g)
	return gr, err
}

func (f *fake) ReadGroup(context.Context, edda.GroupRead) ([]edda.Delivery, error) {
	panic("the package reads for no member")
}
func (f *fake) Ack(context.Context, edda.Settle) (*edda.Settled, error) { panic("nor does it settle") }
func (f *fake) Reject(context.Context, edda.Settle) (*edda.Settled, error) {
	panic("nor does it settle")
}
func (f *fake) Extend(context.Context, edda.Settle) (*edda.Settled, error) {
	panic("nor does it settle")
}
