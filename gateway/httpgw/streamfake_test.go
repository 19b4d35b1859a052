package httpgw

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

// fakeStreams is a backend that keeps streams in memory and notes what it was asked.
// When fails is set, that is its answer to everything.
type fakeStreams struct {
	fails error

	mu      sync.Mutex
	asked   []string
	spec    edda.StreamSpec
	append  *edda.Append
	read    edda.Read
	wait    time.Duration
	trimmed string
	streams map[string]*fakeStream
	rang    chan struct{} // closed when something changes
	waiting chan struct{} // gets one for each reader that begins to wait, unless nil
}

type fakeStream struct {
	edda.Stream
	messages map[string][]edda.StreamMessage
}

func (f *fakeStreams) ask(method string) error {
	f.asked = append(f.asked, method)
	return f.fails
}

// ring wakes whoever waits. The mutex is held.
func (f *fakeStreams) ring() {
	if f.rang != nil {
		close(f.rang)
		f.rang = nil
	}
}

func (f *fakeStreams) find(namespace, name string) (*fakeStream, error) {
	if s := f.streams[namespace+":"+name]; s != nil {
		return s, nil
	}
	return nil, &edda.Error{Op: "find stream", Reason: edda.NoStream, Err: fmt.Errorf("there is no stream %q", name)}
}

// ensure returns the stream, which it makes when there is none.
func (f *fakeStreams) ensure(namespace, name string) (*fakeStream, bool) {
	if s, err := f.find(namespace, name); err == nil {
		return s, false
	}
	s := &fakeStream{messages: map[string][]edda.StreamMessage{}}
	s.Namespace, s.Name, s.CreatedAt, s.Offsets = namespace, name, at(1), map[string]edda.Offsets{}
	if f.streams == nil {
		f.streams = map[string]*fakeStream{}
	}
	f.streams[namespace+":"+name] = s
	return s, true
}

func (f *fakeStreams) SetStream(_ context.Context, s edda.StreamSpec) (*edda.Stream, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ask("set"); err != nil {
		return nil, false, err
	}
	f.spec = s
	st, created := f.ensure(s.Namespace, s.Name)
	st.StreamSpec = s
	return &st.Stream, created, nil
}

func (f *fakeStreams) Stream(_ context.Context, namespace, name string) (*edda.Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ask("show"); err != nil {
		return nil, err
	}
	s, err := f.find(namespace, name)
	if err != nil {
		return nil, err
	}
	return &s.Stream, nil
}

func (f *fakeStreams) Streams(_ context.Context, namespace string, limit int, after string) ([]edda.Stream, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ask("list " + strconv.Itoa(limit) + " " + after); err != nil {
		return nil, "", err
	}
	var all []edda.Stream
	for _, s := range f.streams {
		if s.Namespace == namespace {
			all = append(all, s.Stream)
		}
	}
	slices.SortFunc(all, func(a, b edda.Stream) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all, "more", nil
}

func (f *fakeStreams) DeleteStream(_ context.Context, namespace, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ask("delete"); err != nil {
		return err
	}
	if _, err := f.find(namespace, name); err != nil {
		return err
	}
	delete(f.streams, namespace+":"+name)
	f.ring()
	return nil
}

func (f *fakeStreams) Append(_ context.Context, a *edda.Append) (*edda.AppendAck, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ask("append"); err != nil {
		return nil, err
	}
	f.append = a
	if err := a.Validate(); err != nil {
		return nil, err
	}
	shard := a.Shard
	if shard == "" {
		shard = edda.DefaultShard
	}
	var end uint64
	if s, err := f.find(a.Namespace, a.Stream); err == nil {
		end = uint64(len(s.messages[shard]))
	}
	if a.IfEmpty && end > 0 || a.IfLast != nil && *a.IfLast+1 != end {
		return nil, &edda.Error{Op: "append", Reason: edda.ExpectedOffset, Err: &edda.OffsetError{Last: end - 1, Empty: end == 0}}
	}
	s, _ := f.ensure(a.Namespace, a.Stream)
	ack := &edda.AppendAck{Position: "3-9", Durability: edda.Fsync}
	for i, m := range a.Messages {
		if before, ok := s.byID(m.ID); ok && m.ID != "" {
			ack.Items = append(ack.Items, edda.Appended{ID: m.ID, Shard: before.Shard, Offset: before.Offset, Replayed: true})
			continue
		}
		m.Shard, m.Offset = shard, uint64(len(s.messages[shard]))
		if m.ID == "" {
			m.ID = "made-" + strconv.Itoa(i)
		}
		if m.Type == "" {
			m.Type = edda.DefaultMessageType
		}
		if m.Time.IsZero() {
			m.Time = at(5)
		}
		s.messages[shard] = append(s.messages[shard], m)
		s.Offsets[shard] = edda.Offsets{End: m.Offset + 1, Bytes: 10 * (m.Offset + 1)}
		ack.Items = append(ack.Items, edda.Appended{ID: m.ID, Shard: shard, Offset: m.Offset})
	}
	f.ring()
	return ack, nil
}

func (s *fakeStream) byID(id string) (edda.StreamMessage, bool) {
	for _, ms := range s.messages {
		for _, m := range ms {
			if m.ID == id {
				return m, true
			}
		}
	}
	return edda.StreamMessage{}, false
}

func (f *fakeStreams) ReadStream(ctx context.Context, r edda.Read) (*edda.StreamPage, error) {
	until := time.NewTimer(r.Wait)
	defer until.Stop()
	r = r.WithDefaults()
	for {
		p, rang, err := f.look(&r)
		if err != nil || len(p.Messages) > 0 || r.Wait == 0 {
			return p, err
		}
		if f.waiting != nil {
			f.waiting <- struct{}{}
		}
		select {
		case <-rang:
		case <-until.C:
			r.Wait = 0
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// look returns what there is now, and what says that there may be more.
func (f *fakeStreams) look(r *edda.Read) (*edda.StreamPage, chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = *r
	if err := f.ask("read"); err != nil {
		return nil, nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, nil, err
	}
	s, err := f.find(r.Namespace, r.Stream)
	if err != nil {
		return nil, nil, err
	}
	all := s.messages[r.Shard]
	p := &edda.StreamPage{End: uint64(len(all))}
	switch place, _ := r.From.Parse(); place.Kind {
	case edda.AtOffset:
		p.Next = min(place.Offset, p.End)
	case edda.AtEnd:
		p.Next = p.End
	}
	r.From = edda.FromOffset(p.Next) // a reader at the end waits for what comes after it
	p.Messages = all[p.Next:min(p.End, p.Next+uint64(r.Limit))]
	p.Next += uint64(len(p.Messages))
	if f.rang == nil {
		f.rang = make(chan struct{})
	}
	return p, f.rang, nil
}

func (f *fakeStreams) AwaitMessage(_ context.Context, namespace, stream, id string, wait time.Duration) (*edda.StreamMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ask("await " + id); err != nil {
		return nil, err
	}
	f.wait = wait
	s, err := f.find(namespace, stream)
	if err != nil {
		return nil, err
	}
	if m, ok := s.byID(id); ok {
		return &m, nil
	}
	return nil, &edda.Error{Op: "await", Reason: edda.NoMessage, Err: fmt.Errorf("no message has the id %q", id)}
}

func (f *fakeStreams) TrimStream(_ context.Context, namespace, stream, shard string, before edda.From) (*edda.Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ask("trim"); err != nil {
		return nil, err
	}
	f.trimmed = shard + " " + string(before)
	s, err := f.find(namespace, stream)
	if err != nil {
		return nil, err
	}
	return &s.Stream, nil
}

// fakeGroups is a backend of groups that knows one, mail of orders, and notes what it was
// asked.
type fakeGroups struct {
	fails  error
	asked  []string
	spec   edda.GroupSpec
	reset  string
	read   edda.GroupRead
	settle edda.Settle
	names  []string // of the stream's groups
}

func (f *fakeGroups) ask(method string, g edda.GroupRef) error {
	f.asked = append(f.asked, method)
	if f.fails == nil && (g.Stream != "orders" || g.Group != "mail") {
		return &edda.Error{Op: "find group", Reason: edda.NoGroup}
	}
	return f.fails
}

func mail(namespace string) *edda.Group {
	g := &edda.Group{
		CreatedAt: at(1), Cursor: map[string]uint64{"default": 4}, Lag: 3, Pending: 2, Members: []edda.Member{{Name: "m1", Leases: 2, LastSeen: at(2)}},
	}
	g.GroupSpec = edda.GroupSpec{Namespace: namespace, Stream: "orders", Name: "mail", MaxMembers: 5}
	return g
}

func (f *fakeGroups) SetGroup(_ context.Context, g edda.GroupSpec) (*edda.Group, bool, error) {
	f.spec = g
	if f.asked = append(f.asked, "set"); f.fails != nil {
		return nil, false, f.fails
	}
	return mail(g.Namespace), g.Name != "mail", nil
}

func (f *fakeGroups) Group(_ context.Context, g edda.GroupRef) (*edda.Group, error) {
	return mail(g.Namespace), f.ask("show", g)
}

func (f *fakeGroups) Groups(context.Context, string, string) ([]edda.Group, error) {
	f.asked = append(f.asked, "list")
	var all []edda.Group
	for _, n := range f.names {
		all = append(all, edda.Group{GroupSpec: edda.GroupSpec{Stream: "orders", Name: n}})
	}
	return all, f.fails
}

func (f *fakeGroups) DeleteGroup(_ context.Context, g edda.GroupRef) error { return f.ask("delete", g) }

func (f *fakeGroups) ResetGroup(_ context.Context, g edda.GroupRef, shard string, to edda.From) (*edda.Group, error) {
	f.reset = shard + " " + string(to)
	return mail(g.Namespace), f.ask("reset", g)
}

func (f *fakeGroups) ReadGroup(_ context.Context, r edda.GroupRead) ([]edda.Delivery, error) {
	f.read = r
	return []edda.Delivery{{
		StreamMessage: edda.StreamMessage{ID: "a", Shard: "default", Offset: 7, Type: "placed", Payload: []byte("hi"), Time: at(3)},
		Lease:         "l-1", Attempt: 2,
	}}, f.ask("read", r.GroupRef)
}

func (f *fakeGroups) settled(method string, s edda.Settle) (*edda.Settled, error) {
	f.settle = s
	return &edda.Settled{Done: 1, Stale: s.Leases[1:]}, f.ask(method, s.GroupRef)
}

func (f *fakeGroups) Ack(_ context.Context, s edda.Settle) (*edda.Settled, error) {
	return f.settled("ack", s)
}

func (f *fakeGroups) Reject(_ context.Context, s edda.Settle) (*edda.Settled, error) {
	return f.settled("reject", s)
}

func (f *fakeGroups) Extend(_ context.Context, s edda.Settle) (*edda.Settled, error) {
	return f.settled("extend", s)
}

// streamsOf returns a gateway to backends of streams and groups alone.
func streamsOf(t testing.TB, f *fakeStreams, fg *fakeGroups, opts Options) *Gateway {
	t.Helper()
	g, err := build(nil, backends{calls: &fake{}, sagas: &fakeSagas{}, streams: f, groups: fg}, edda.Fsync, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
