package rpcgw

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// fakeStreams is a backend that knows one stream with one group, and notes what it is
// asked to do.
type fakeStreams struct {
	stream *edda.Stream
	group  *edda.Group
	page   *edda.StreamPage // of a read, which waits when it is nil

	mu     sync.Mutex // guards what follows
	asked  []string
	append *edda.Append
	spec   any // a StreamSpec or a GroupSpec
	read   edda.Read
	settle edda.Settle
}

func (f *fakeStreams) notef(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fakeStreams) SetStream(_ context.Context, s edda.StreamSpec) (*edda.Stream, bool, error) {
	f.notef("set stream")
	f.spec = s
	return f.stream, true, nil
}

func (f *fakeStreams) Stream(_ context.Context, namespace, name string) (*edda.Stream, error) {
	f.notef("stream %s:%s", namespace, name)
	return f.stream, nil
}

func (f *fakeStreams) Streams(_ context.Context, namespace string, limit int, after string) ([]edda.Stream, string, error) {
	f.notef("list %s, %d after %q", namespace, limit, after)
	page := make([]edda.Stream, limit)
	for i := range page {
		page[i] = *f.stream
		page[i].Name = fmt.Sprint([]string{"orders", "other"}[i%2], i)
	}
	return page, page[limit-1].Name, nil
}

func (f *fakeStreams) DeleteStream(_ context.Context, namespace, name string) error {
	f.notef("delete stream %s:%s", namespace, name)
	return nil
}

func (f *fakeStreams) Append(_ context.Context, a *edda.Append) (*edda.AppendAck, error) {
	f.notef("append")
	f.append = a
	if a.IfLast != nil && *a.IfLast == 0 {
		return nil, &edda.Error{Op: "append", Reason: edda.ExpectedOffset, Err: &edda.OffsetError{Last: 41}}
	}
	if a.IfEmpty {
		return nil, &edda.Error{Op: "append", Reason: edda.ExpectedOffset, Err: &edda.OffsetError{Empty: true}}
	}
	if a.Producer != "" {
		return &edda.AppendAck{
			Items: []edda.Appended{{ID: "a", Shard: "eu", Replayed: true, Unknown: true}}, Last: edda.Numbered{Number: 9, Offset: 4, ID: "b"},
			Position: "p", Durability: edda.Fsync,
		}, nil
	}
	return &edda.AppendAck{Items: []edda.Appended{{ID: "a", Shard: "eu", Offset: 3, Replayed: true}}, Position: "p", Durability: edda.Fsync}, nil
}

func (f *fakeStreams) ReadStream(ctx context.Context, r edda.Read) (*edda.StreamPage, error) {
	f.mu.Lock()
	f.read = r
	page := f.page
	f.mu.Unlock()
	f.notef("read %s, wait %v", r.From, r.Wait)
	if page != nil && (r.Wait == 0 || r.From == edda.FromOffset(page.First)) {
		return page, nil
	}
	<-ctx.Done()
	return nil, &edda.Error{Op: "read", Reason: edda.Timeout, Err: context.Cause(ctx)}
}

func (f *fakeStreams) AwaitMessage(_ context.Context, namespace, stream, id string, wait time.Duration) (*edda.StreamMessage, error) {
	f.notef("await %s:%s %s for %v", namespace, stream, id, wait)
	return &f.page.Messages[0], nil
}

func (f *fakeStreams) TrimStream(_ context.Context, namespace, stream, shard string, before edda.From) (*edda.Stream, error) {
	f.notef("trim %s:%s %s before %s", namespace, stream, shard, before)
	return f.stream, nil
}

func (f *fakeStreams) SetGroup(_ context.Context, g edda.GroupSpec) (*edda.Group, bool, error) {
	f.notef("set group")
	f.spec = g
	return f.group, true, nil
}

func (f *fakeStreams) Group(_ context.Context, g edda.GroupRef) (*edda.Group, error) {
	f.notef("group %s", g)
	return f.group, nil
}

func (f *fakeStreams) Groups(_ context.Context, namespace, stream string) ([]edda.Group, error) {
	f.notef("groups %s:%s", namespace, stream)
	all := make([]edda.Group, 5)
	for i := range all {
		all[i] = *f.group
		all[i].Name = string(rune('a' + i))
	}
	return all, nil
}

func (f *fakeStreams) DeleteGroup(_ context.Context, g edda.GroupRef) error {
	f.notef("delete group %s", g)
	return nil
}

func (f *fakeStreams) ResetGroup(_ context.Context, g edda.GroupRef, shard string, to edda.From) (*edda.Group, error) {
	f.notef("reset %s %s to %s", g, shard, to)
	return f.group, nil
}

func (f *fakeStreams) ReadGroup(_ context.Context, r edda.GroupRead) ([]edda.Delivery, error) {
	f.notef("read group %s as %s, %d for %v", r.GroupRef, r.Member, r.Max, r.Wait)
	return []edda.Delivery{{StreamMessage: f.page.Messages[0], Lease: "l", Attempt: 2}}, nil
}

func (f *fakeStreams) Ack(_ context.Context, s edda.Settle) (*edda.Settled, error) {
	return f.settled("ack", s)
}

func (f *fakeStreams) Reject(_ context.Context, s edda.Settle) (*edda.Settled, error) {
	return f.settled("reject", s)
}

func (f *fakeStreams) Extend(_ context.Context, s edda.Settle) (*edda.Settled, error) {
	return f.settled("extend", s)
}

func (f *fakeStreams) settled(what string, s edda.Settle) (*edda.Settled, error) {
	f.notef("%s %s", what, strings.Join(s.Leases, "+"))
	f.settle = s
	if s.Error == "fail" {
		return nil, errors.New("it failed")
	}
	return &edda.Settled{Done: 1, Stale: []string{"old"}}, nil
}
