package main

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
)

// A user is created: everything is there, and everybody hears of it once.
func TestCreateUser(t *testing.T) {
	onEach(t, func(w *world) {
		out := w.create(User{ID: "42", Email: "ada@example.com", Name: "Ada"})
		e := out.Event
		if e.Type != "user.42.created" || e.Pattern != created || e.Object != "User" || e.Key != "42" || e.Version != 1 || !e.Live {
			w.Errorf("got the event %+v", e)
		}
		if e.CommandID != out.Command || e.CorrelationID != out.Command.String() || !e.CausationID.IsZero() {
			w.Errorf("got command %s, correlation %s and causation %s", e.CommandID, e.CorrelationID, e.CausationID)
		}
		wants(w, "chain_before", e.Before, "User.isUnique")
		wants(w, "chain_saga", e.Saga, "join")
		wants(w, "chain_after", e.After, "User.addRef")
		wants(w, "chain_events", e.Chain, "Profile.save", "FriendList.begin", "FriendList.save", "Invitation.save")
		var data struct {
			User

			FirstFriend Entry `json:"first_friend"`
		}
		w.must(e.Decode(&data))
		if data.Ref != "ref-1" || data.FirstFriend.UserID != "42" || data.FirstFriend.Friend != "Edda" {
			w.Errorf("got the data %s", e.Data)
		}
		w.entryOf(e)

		s := w.tables(out)
		wants(w, "profiles", s.Profiles, profile{User{ID: "42", Email: "ada@example.com", Name: "Ada", Ref: "ref-1"}, 1})
		wants(w, "events", s.Events, "user.42.created", "friend_list_entry.created")
		wants(w, "log", s.Log, "user.42.created by create.user")
		wants(w, "channel", w.heard(out), "user.42.created")
		wants(w, "told", w.told(), "join Ada")

		again := w.command(User{ID: "42", Email: "ada@example.com", Name: "Ada"}, "")
		again.ID = out.Command
		same, err := w.app.Do(w.Context(), again)
		if err != nil || !same.Replayed || same.Event.ID != e.ID {
			w.Errorf("repeated, the command is answered with %+v, %v; want the same event", same, err)
		}
		wants(w, "told", w.told(), "join Ada")
	})
}

// entryOf checks the event of the command that followed from an event.
func (w *world) entryOf(cause *cqrs.Event) {
	w.Helper()
	children, err := w.app.Children(w.Context(), cause.ID)
	if err != nil || len(children) != 1 {
		w.Fatalf("got %d children, %v; want the entry of the list of friends", len(children), err)
	}
	e := children[0]
	if e.Type != "friend_list_entry.created" || e.CausationID != cause.ID || e.CausationLevel != 1 || e.CorrelationID != cause.CorrelationID {
		w.Errorf("got the event %s with causation %s, level %d and correlation %s", e.Type, e.CausationID, e.CausationLevel, e.CorrelationID)
	}
	wants(w, "chain_events of the entry", e.Chain, "FriendListEntry.save")
}

// Wherever it fails and however, nothing is stored, nobody hears of it, and the third party,
// if it was told, is told to forget it, once.
func TestCreateUserFails(t *testing.T) {
	onEach(t, func(w *world) {
		var want []string
		for _, c := range []struct {
			trouble string
			reason  edda.Reason
			undone  bool
		}{
			{"before", edda.Failed, false},
			{"before:panic", edda.Panicked, false},
			{"call", edda.Failed, false},
			{"after", edda.Failed, true},
			{"after:panic", edda.Panicked, true},
			{"profile", edda.Failed, true},
			{"profile:panic", edda.Panicked, true},
			{"friends", edda.Failed, true},
			{"friends:panic", edda.Panicked, true},
			{"commit", edda.Failed, true},
		} {
			cmd := w.command(User{Email: "ada@example.com", Name: "Ada"}, c.trouble)
			id := cmd.ID
			out, err := w.app.Do(w.Context(), cmd)
			if err == nil || edda.ReasonOf(err) != c.reason {
				w.Errorf("%s: got %+v and the error %v, want one of reason %s", c.trouble, out, err, c.reason)
			}
			if c.undone {
				w.undone(id)
				want = append(want, "join Ada", "redact Ada")
			}
			wants(w, "told after "+c.trouble, w.told(), want...)
		}
		if n := w.party.Repeats(); n != 0 {
			w.Errorf("the third party was told %d things more than once", n)
		}
		w.onlyEva()
	})
}

// A step that hangs is given up, and it is as if it had failed. Where a step before it was too
// late already, that too was undone, and it is tried again.
func TestCreateUserHangs(t *testing.T) {
	onEachWith(t, short, func(w *world) {
		w.flow.trouble.hangs = make(chan struct{}, 100)
		for _, c := range []struct {
			trouble string
			undone  bool
		}{
			{"before:hang", false},
			{"after:hang", true},
			{"profile:hang", true},
			{"friends:hang", true},
		} {
			for hung := false; !hung; {
				before := len(w.told())
				cmd := w.command(User{Email: "ada@example.com", Name: "Ada"}, c.trouble)
				id := cmd.ID
				out, err := w.app.Do(w.Context(), cmd)
				if err == nil || edda.ReasonOf(err) != edda.Timeout {
					w.Fatalf("%s: got %+v and the error %v, want one of reason %s", c.trouble, out, err, edda.Timeout)
				}
				for len(w.flow.trouble.hangs) > 0 {
					<-w.flow.trouble.hangs
					hung = true
				}
				var want []string
				if hung && c.undone || !hung && w.saga(id) != nil {
					w.undone(id)
					want = []string{"join Ada", "redact Ada"}
				}
				wants(w, "told after "+c.trouble, w.told()[before:], want...)
			}
		}
		w.onlyEva()
	})
}

// A call that fails once the third party knows is made again, under the same id; in the end the third
// party is told to forget it, once.
func TestCreateUserFailsOnceThePartyKnows(t *testing.T) {
	onEach(t, func(w *world) {
		var want []string
		for _, c := range []struct {
			trouble string
			reason  edda.Reason
		}{
			{"called", edda.Failed},
			{"called:panic", edda.Panicked},
		} {
			cmd := w.command(User{Email: "ada@example.com", Name: "Ada"}, c.trouble)
			id := cmd.ID
			out, err := w.app.Do(w.Context(), cmd)
			if err == nil || edda.ReasonOf(err) != c.reason {
				w.Errorf("%s: got %+v and the error %v, want one of reason %s", c.trouble, out, err, c.reason)
			}
			w.undone(id)
			want = append(want, "join Ada", "redact Ada")
			wants(w, "told after "+c.trouble, w.told(), want...)
		}
		w.onlyEva()
	})
}

// onlyEva creates Eva, and checks that nothing else was stored or heard. While timeouts are
// short, she is created as often as a step is too late.
func (w *world) onlyEva() {
	w.Helper()
	eva := User{ID: "eva", Email: "eva@example.com", Name: "Eva"}
	cmd := w.command(eva, "")
	id := cmd.ID
	out, err := w.app.Do(w.Context(), cmd)
	for w.flow.timeout == short && edda.ReasonOf(err) == edda.Timeout {
		if w.saga(id) != nil {
			w.undone(id)
		}
		cmd = w.command(eva, "")
		id = cmd.ID
		out, err = w.app.Do(w.Context(), cmd)
	}
	if err != nil {
		w.Fatal(err)
	}
	s := w.tables(out)
	wants(w, "profiles", s.Profiles, profile{User{ID: "eva", Email: "eva@example.com", Name: "Eva", Ref: refOf(w, out)}, 1})
	wants(w, "events", s.Events, "user.eva.created", "friend_list_entry.created")
	wants(w, "log", s.Log, "user.eva.created by create.user")
	wants(w, "channel", w.heard(out), "user.eva.created")
	wants(w, "members", w.party.Members(), "Eva")
}

// refOf returns what the third party called the user of an outcome.
func refOf(w *world, out *cqrs.Outcome) string {
	w.Helper()
	var u User
	w.must(out.Event.Decode(&u))
	return u.Ref
}

// Each projection, made anew from the events, is what is there.
func TestRebuild(t *testing.T) {
	onEach(t, func(w *world) {
		for _, name := range []string{"ada", "bob", "eve"} {
			w.create(User{ID: name, Email: name + "@example.com", Name: name})
		}
		for _, projector := range []string{"Profile.save", "FriendListEntry.save", "FriendList.save"} {
			r, err := w.app.Rebuild(w.Context(), "users/"+projector, cqrs.RebuildOptions{})
			if err != nil {
				w.Fatalf("%s: %v", projector, err)
			}
			if r.Events != 3 || r.Replaced || len(r.Tables) != 1 {
				w.Errorf("%s: got %+v, want 3 events, and a table that is as it was", projector, r)
			}
		}
	})
}
