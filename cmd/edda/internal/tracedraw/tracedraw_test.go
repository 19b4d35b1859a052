package tracedraw_test

import (
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/tracedraw"
	"github.com/edda-io/edda/cqrs"
)

var began = time.Date(2026, 11, 21, 9, 0, 0, 123_000_000, time.UTC)

func event(id byte, command byte, from, typ, object string, after time.Duration) *cqrs.Event {
	return &cqrs.Event{
		ID: edda.ID{15: id}, CommandID: edda.ID{14: 1, 15: command}, CorrelationType: from, Type: typ, Object: object, Key: "42", Version: uint64(id),
		CreatedAt: began.Add(after),
	}
}

func TestText(t *testing.T) {
	user := event(1, 1, "create.user", "user.42.created", "User", 0)
	user.Before, user.Saga, user.After, user.Chain = []string{"Users.isUnique", "Users.check"}, []string{"crm"}, []string{"Users.addRef"}, []string{"Profiles.save", "Friends.add"}
	friends := event(2, 2, "create.friend", "friend.created", "Friend.list", 3*time.Millisecond)
	friends.Items = []cqrs.Item{{Key: "42"}, {Key: "43"}, {Key: "44"}}
	friends.Before = []string{"Friends.check"}
	told := event(3, 2, "create.friend", "friend.told", "Friend", 3*time.Millisecond)
	told.Before = friends.Before
	last := event(4, 4, "greet\x1b[31m", "greeted", "User", 90*time.Second)
	trace := &cqrs.Trace{Roots: []*cqrs.TraceNode{
		{Event: user, Eventual: []cqrs.Handled{
			{Handler: "Users/Log.write", State: "done"}, {Handler: "Users/Search.index", State: "pending"},
			{Handler: "Users/Mail.send", State: "waiting", Attempts: 2, NextAt: began.Add(time.Minute), Error: "no post\n"},
			{Handler: "Users/Bill.write", State: "waiting"}, {Handler: "Users/Fax.send", State: "dead", Attempts: 1, Error: "busy"},
		}, Children: []*cqrs.TraceNode{
			{Event: friends, Asked: true, Children: []*cqrs.TraceNode{{Event: told}}},
			{Event: last},
		}},
		{Event: event(5, 5, "create.user", "user.7.created", "User", time.Hour)},
	}}
	const want = `create.user → user.42.created  User/42 v1  2026-11-21T09:00:00.123Z
│ event   00000000-0000-0000-0000-000000000001
│ before  Users.isUnique, Users.check
│ calls   crm
│ after   Users.addRef
│ strong  Profiles.save, Friends.add
│ later   ✓ Log.write  · Search.index  ↻ Mail.send (waits, failed 2 times, again in 1m0s, no post )  ↻ Bill.write (waits)  ✗ Fax.send (dead, failed once, busy)
├─ create.friend → friend.created  Friend.list/42 and 2 more v2  +3.0ms  ◄
│  │ event   00000000-0000-0000-0000-000000000002
│  │ before  Friends.check
│  └─ friend.told (derived)  Friend/42 v3  +3.0ms
│       event   00000000-0000-0000-0000-000000000003
└─ greet�[31m → greeted  User/42 v4  +1m30s
     event   00000000-0000-0000-0000-000000000004

create.user → user.7.created  User/42 v5  2026-11-21T10:00:00.123Z
  event   00000000-0000-0000-0000-000000000005
`
	if got := tracedraw.Text(trace, began); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
