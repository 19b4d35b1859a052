package cqrs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// oddTexts are texts of errors that PostgreSQL takes in no column.
var oddTexts = map[string]string{
	"NUL":            "a\x00b",
	"no UTF-8":       "a\xffb",
	"cut in a rune":  strings.Repeat("a", 1999) + "éé",
	"long, no ASCII": strings.Repeat("€", 2000),
}

func TestEventualHandlerGoesOnWhateverItsErrorSays(t *testing.T) {
	for name, text := range oddTexts {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db driver.DB) {
				b := newUsers()
				b.Projector("Journal.write", journals(func(_ context.Context, e *Event) error {
					if e.Key == "bad" {
						return errors.New(text)
					}
					return nil
				}), nil, late(2, ""))
				w := startLate(t, db, b)
				w.exec(journal)
				bad := w.user("bad", "1")
				w.wait(journalHandler, w.user("good", "2").Position)
				w.is("SELECT line FROM journal", "2")
				w.until("the event is a dead letter", func() bool {
					return edda.ReasonOf(w.Wait(t.Context(), journalHandler, bad.Position)) == edda.Dead
				})
			})
		})
	}
}

func TestCommandIsGivenUpWhateverItsErrorSays(t *testing.T) {
	for name, text := range oddTexts {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db driver.DB) {
				h := newHost(t, db)
				id := edda.NewID(1, time.Now())
				h.flow.faults.set("join told", id, func(context.Context, *Tx) error { return errors.New(text) })
				h.refused(h.create(id), edda.Failed, "call join: ")
				h.heard(id, 1, "do join", "undo join")
				h.notStored(id)
			})
		})
	}
}
