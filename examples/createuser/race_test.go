package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/saga"
)

// Many ask for the same email at the same time, and all get past the hook. One gets it; the
// third party is told to forget the others.
func TestOneEmail(t *testing.T) {
	onEach(t, func(w *world) {
		const n = 8
		ids := make([]edda.ID, n)
		errs := make([]error, n)
		outs := make([]*cqrs.Outcome, n)
		var wg sync.WaitGroup
		for i := range n {
			c := w.command(User{ID: fmt.Sprint(i), Email: "ada@example.com", Name: fmt.Sprint(i)}, "")
			ids[i] = c.ID
			wg.Go(func() { outs[i], errs[i] = w.app.Do(w.Context(), c) })
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			if err == nil {
				if winner >= 0 {
					w.Errorf("both %d and %d have the email", winner, i)
				}
				winner = i
				continue
			}
			if s := w.saga(ids[i]); s != nil && s.State != edda.SagaCompensated {
				w.Errorf("the saga of %d, which failed with %v, is %s", i, err, s.State)
			}
		}
		if winner < 0 {
			w.Fatalf("nobody has the email: %v", errs)
		}
		name := fmt.Sprint(winner)
		wants(w, "members", w.party.Members(), name)
		s := w.tables(outs[winner])
		wants(w, "profiles", s.Profiles, profile{User{ID: name, Email: "ada@example.com", Name: name, Ref: refOf(w, outs[winner])}, 1})
		wants(w, "events", s.Events, "user."+name+".created", "friend_list_entry.created")
	})
}

// A commit that fails takes only itself back, though it was to be shared with others.
func TestCommitsFailAmongOthers(t *testing.T) {
	onEach(t, func(w *world) {
		const n = 12
		var failed []edda.ID
		var mu sync.Mutex // guards what follows, and failed
		var created []string
		var last *cqrs.Outcome
		var wg sync.WaitGroup
		for i := range n {
			trouble := ""
			if i%3 == 0 {
				trouble = "commit"
			}
			name := fmt.Sprintf("u%02d", i)
			c := w.command(User{ID: name, Email: name + "@example.com", Name: name}, trouble)
			id := c.ID
			wg.Go(func() {
				out, err := w.app.Do(w.Context(), c)
				if (err != nil) != (trouble != "") {
					w.Errorf("%s, which is to have the trouble %q: got %v", name, trouble, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = append(failed, id)
					return
				}
				created = append(created, name)
				if last == nil || last.Position.Before(out.Position) {
					last = out
				}
			})
		}
		wg.Wait()
		for _, id := range failed {
			w.undone(id)
		}
		slices.Sort(created)
		members := w.party.Members()
		slices.Sort(members)
		wants(w, "members", members, created...)
		var profiles []string
		for _, p := range w.tables(last).Profiles {
			profiles = append(profiles, p.ID)
		}
		wants(w, "profiles", profiles, created...)
		wants(w, "lines in the log", []int{len(w.tables(last).Log)}, len(created))
	})
}

// The caller leaves in the middle. Whatever is told, either all of it is there or nothing is,
// and whoever asks again with the same id is told what holds.
func TestCallerLeaves(t *testing.T) {
	for _, step := range []string{"before", "call", "called", "after", "profile", "friends"} {
		t.Run(step, func(t *testing.T) {
			onEach(t, func(w *world) {
				w.flow.trouble.hangs = make(chan struct{}, 100)
				w.flow.trouble.again = make(chan struct{})
				ctx, leave := context.WithCancel(w.Context())
				defer leave()
				c := w.command(User{ID: "ada", Email: "ada@example.com", Name: "Ada"}, step+":hang")
				again := *c
				left := make(chan error, 1)
				go func() {
					_, err := w.app.Do(ctx, c)
					left <- err
				}()
				<-w.flow.trouble.hangs
				leave()
				err := <-left
				if err == nil || !slices.Contains([]edda.Reason{edda.Cancelled, edda.OutcomeUnknown}, edda.ReasonOf(err)) && !errors.Is(err, context.Canceled) {
					w.Errorf("who leaves is told %v", err)
				}
				close(w.flow.trouble.again) // nothing hangs any more
				out, err := w.app.Do(w.Context(), &again)
				if err != nil {
					w.Fatalf("again: %v", err)
				}
				if s := w.saga(again.ID); s != nil && s.State != edda.SagaCompensated && s.State != edda.SagaSucceeded {
					w.Errorf("the saga of the first run is %s", s.State)
				}
				wants(w, "members", w.party.Members(), "Ada")
				s := w.tables(out)
				wants(w, "profiles", s.Profiles, profile{User{ID: "ada", Email: "ada@example.com", Name: "Ada", Ref: refOf(w, out)}, 1})
				wants(w, "events", s.Events, "user.ada.created", "friend_list_entry.created")
				wants(w, "channel", w.heard(out), "user.ada.created")
			})
		})
	}
}

// saga waits for the end of the saga of a command's first run; nil when there was none.
func (w *world) saga(c edda.ID) *edda.Saga {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), patience)
	defer cancel()
	s, err := saga.NewClient(w.node).Wait(ctx, c.String()+".1")
	if edda.ReasonOf(err) == edda.NoSaga {
		return nil
	}
	if err != nil {
		w.Fatal(err)
	}
	return s
}
