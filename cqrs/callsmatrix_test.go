package cqrs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/node"
)

// TestCreateUserFails lets each step of Create User fail in each way. Nothing is stored then,
// and each call that may have been made is undone once, the later one first.
func TestCreateUserFails(t *testing.T) {
	places := []struct {
		name  string
		in    bool     // the transaction
		heard []string // by the partner
	}{
		{"validator", false, nil},
		{"before", false, nil},
		{"join", false, []string{"undo join"}},
		{"join told", false, []string{"do join", "undo join"}},
		{"mail", false, []string{"do join", "undo mail", "undo join"}},
		{"mail told", false, []string{"do join", "do mail", "undo mail", "undo join"}},
		{"after", false, []string{"do join", "do mail", "undo mail", "undo join"}},
		{"projector", true, []string{"do join", "do mail", "undo mail", "undo join"}},
		{"processor", false, []string{"do join", "do mail", "undo mail", "undo join"}},
		{"child", true, []string{"do join", "do mail", "undo mail", "undo join"}},
	}
	failures := []struct {
		name   string
		fault  func(context.Context, *Tx) error
		reason edda.Reason
		in     bool // a transaction alone
	}{
		{"error", failing, edda.Failed, false},
		{"its own reason", func(context.Context, *Tx) error {
			return &edda.Error{Op: "ask", Reason: edda.NotAllowed, Err: errors.New("who are you")}
		}, edda.NotAllowed, false},
		{"panic", panicking, edda.Panicked, false},
		{"SQL error", sqlFailing, edda.Failed, true},
	}
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		for _, p := range places {
			for _, f := range failures {
				if f.in && !p.in {
					continue
				}
				t.Run(p.name+" "+f.name, func(t *testing.T) {
					h.t = t
					id := newID()
					h.flow.faults.set(p.name, id, f.fault)
					reason := f.reason
					if p.name == "validator" && reason == edda.Failed {
						reason = edda.BadSchema
					}
					_, err := h.Do(t.Context(), h.create(id))
					if edda.ReasonOf(err) != reason {
						t.Errorf("Do returned %v (%s), want %s", err, edda.ReasonOf(err), reason)
					}
					h.heard(id, 1, p.heard...)
					h.notStored(id)
				})
			}
		}
	})
}

// TestCreateUserHangs lets each step take longer than its timeout. Its transaction is
// undone, and what it made as well.
func TestCreateUserHangs(t *testing.T) {
	undone := []string{"do join", "do mail", "undo mail", "undo join"}
	onBoth(t, func(t *testing.T, db driver.DB) {
		for place, heard := range map[string][]string{
			"before": nil, "join": {"undo join"}, "join told": {"do join", "undo join"}, "mail told": undone,
			"after": undone, "projector": undone, "processor": undone, "child": undone,
		} {
			t.Run(place, func(t *testing.T) {
				short, _, _ := strings.Cut(place, " ")
				h := hostWith(t, &faultyDB{DB: db}, &flow{partner: &partner{}, faults: &faults{}, short: short}, node.Options{Durability: edda.Memory})
				id := newID()
				h.flow.faults.set(place, id, hanging)
				h.refused(h.create(id), edda.Timeout, "took longer than its timeout of 50ms")
				h.heard(id, 1, heard...)
				h.notStored(id)
			})
		}
	})
}

// TestCreateUserCancelled ends the caller's context at each step.
func TestCreateUserCancelled(t *testing.T) {
	all := []string{"do join", "do mail", "undo mail", "undo join"}
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		for place, heard := range map[string][]string{
			"validator": nil, "before": nil,
			"join": {"undo join"}, "join told": all[:1:1],
			"mail told": all, "after": all, "projector": all, "processor": all, "child": all,
		} {
			t.Run(place, func(t *testing.T) {
				h.t = t
				id := newID()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				h.flow.faults.set(place, id, once(func(inner context.Context, _ *Tx) error {
					cancel()
					if place != "validator" { // whose context is the caller's
						<-inner.Done()
					}
					return inner.Err()
				}))
				_, err := h.Do(ctx, h.create(id))
				if r := edda.ReasonOf(err); r != edda.Cancelled && place != "validator" {
					t.Errorf("Do returned %v (%s), want %s", err, r, edda.Cancelled)
				}
				if place == "join told" {
					heard = []string{"do join", "undo join"}
				}
				h.heard(id, 1, heard...)
				h.notStored(id)
			})
		}
	})
}

// TestCreateUserCommit lets the commit fail.
func TestCreateUserCommit(t *testing.T) {
	made := []string{"do join", "do mail"}
	undone := append(slices.Clone(made), "undo mail", "undo join")
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		for _, c := range []struct {
			name   string
			fault  commitFault
			reason edda.Reason
			heard  []string
		}{
			{"error", func(context.Context, func() error) error { return errRollback }, edda.Unavailable, undone},
			{"busy", func(context.Context, func() error) error { return driver.ErrBusy }, edda.Unavailable, undone},
			{"lost and not stored", lostBefore, edda.Unavailable, undone},
			{"lost and stored", lostAfter, "", made},
		} {
			t.Run(c.name, func(t *testing.T) {
				h.t = t
				id := newID()
				h.flow.faults.set("after", id, func(context.Context, *Tx) error {
					h.db.nextCommit(c.fault)
					return nil
				})
				out, err := h.Do(t.Context(), h.create(id))
				if edda.ReasonOf(err) != c.reason {
					t.Errorf("Do returned %v (%s), want %s", err, edda.ReasonOf(err), c.reason)
				}
				h.heard(id, 1, c.heard...)
				if c.reason != "" {
					h.notStored(id)
					return
				}
				h.stored(id)
				if out == nil || out.Replayed || out.Event == nil || out.Position == (Position{}) {
					t.Errorf("the outcome is %+v, want that of a command just done", out)
				}
			})
		}
	})
}

// TestCreateUserConflict changes the user while the calls are made.
func TestCreateUserConflict(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		id := newID()
		h.flow.faults.set("mail told", id, once(func(ctx context.Context, _ *Tx) error {
			d, err := users.Stage(user{ID: id.String(), Email: "bob@example.org"})
			if err == nil {
				_, err = h.Do(ctx, &Command{Type: "update.user", Data: d})
			}
			return err
		}))
		h.refused(h.create(id), edda.Conflict, "version")
		h.heard(id, 1, "do join", "do mail", "undo mail", "undo join")
		h.is("SELECT event_type FROM edda_events", "user."+id.String()+".updated")
	})
}
