package sagacmd

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/sagadraw"
	"github.com/edda-io/edda/internal/eddahttp"
)

// follow shows a saga until it has ended, or for as long as was asked for. On a
// terminal it is drawn again whenever something may have happened.
func (a *area) follow(cmd *cobra.Command, client *eddahttp.Client, id string, most time.Duration, v view) error {
	began := time.Now()
	s, err := a.awaitSaga(cmd.Context(), client, id, most, v)
	switch {
	case err != nil && cmd.Context().Err() != nil:
		return cli.Interrupted("the saga goes on: " + a.Spell("sagas show", human.Plain(id), "--wait"))
	case err != nil:
		return err
	}
	if !v.quiet || a.JSON {
		if err := a.printSaga(s, v); err != nil {
			return err
		}
	}
	switch {
	case s.State == edda.SagaSucceeded:
		return nil
	case s.State.Ended():
		return fmt.Errorf("saga %s is %s", id, s.State)
	default:
		return fmt.Errorf("saga %s is %s after %s", id, s.State, human.Duration(time.Since(began)))
	}
}

// Waits for a node's answer. A look at a saga that is drawn while it runs is short,
// so that what happens is seen; the others are as long as nodes let one wait.
const (
	shortLook = 500 * time.Millisecond
	longLook  = 5 * time.Minute
)

func (a *area) awaitSaga(ctx context.Context, client *eddahttp.Client, id string, most time.Duration, v view) (*edda.Saga, error) {
	began := time.Now()
	screen := a.screen(v)
	if screen != nil {
		defer screen.show("")
	}
	for {
		look := longLook
		if screen != nil {
			look = shortLook
		}
		if most > 0 {
			look = max(time.Millisecond, min(look, most-time.Since(began)))
		}
		s, err := client.Saga(ctx, id, look)
		if err != nil || s.State.Ended() || most > 0 && time.Since(began) >= most {
			return s, err
		}
		if screen != nil {
			text, _ := sagadraw.Text(s, a.drawing(v.all))
			screen.show(text)
		}
	}
}

// screen is the end of a terminal, where a drawing takes the place of the one before.
type screen struct {
	out io.Writer
	// lines are those of the terminal; shown is what stands on it.
	lines int
	shown string
}

// screen returns nil where nobody looks on.
func (a *area) screen(v view) *screen {
	_, lines := cli.TerminalSize(a.Stdout)
	if lines == 0 || a.Getenv("TERM", "") == "dumb" || a.JSON || v.mermaid || v.quiet {
		return nil
	}
	return &screen{out: a.Stdout, lines: lines}
}

// show replaces what was shown, in one piece, with as much of a text as there is
// room for.
func (s *screen) show(text string) {
	all := strings.SplitAfter(text, "\n")
	if room := max(s.lines-1, 1); len(all) > room {
		text = strings.Join(all[:room], "")
	}
	if text == s.shown {
		return
	}
	wipe := ""
	if n := strings.Count(s.shown, "\n"); n > 0 {
		wipe = fmt.Sprintf("\x1b[%dA\x1b[J", n)
	}
	fmt.Fprint(s.out, wipe+text)
	s.shown = text
}
