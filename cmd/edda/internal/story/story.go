// Package story tells what a node does by doing it: it sends a node with the
// example services and an app of commands a few dozen requests over HTTP, prints what it sent and what
// came back, and checks each answer against what was promised.
package story

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

// Stage is where the story plays.
type Stage struct {
	Out io.Writer
	// Colour says that Out shows colours.
	Colour bool
	// Client speaks to the node, which hosts the example services and those of package club,
	// whose newsletter is called weekly and the Suffix.
	Client *eddahttp.Client
	// Restart stops the node without letting handlers finish and opens it again
	// from its directory. It returns how long it was away.
	Restart func(context.Context) (time.Duration, error)
	// Suffix makes the keys of this telling its own, in a directory that may hold
	// earlier ones. Empty in a new directory.
	Suffix string
}

// Told is what came of telling the story.
type Told struct {
	// Wrong is how many of its steps did not go as told.
	Wrong int
	// Event is the id of the event that a command made; zero if none did.
	Event edda.ID
}

// Tell tells the story. The error is the context's, if that ended.
func Tell(ctx context.Context, s Stage) (Told, error) {
	t := &teller{Stage: s, ctx: ctx}
	for i, chapter := range []struct {
		title string
		tell  func(*teller)
	}{
		{"A key keeps its state, and a status is a reply like any other", users},
		{"Requests of one key never overlap", counter},
		{"A repeated request is not done twice", repeat},
		{"Acknowledged now, replied to later", later},
		{"What fails is tried again", retries},
		{"What has no tries left waits for a person", letters},
		{"What is half done is undone", trip},
		{"A message goes to one member of a group, until it is done", stream},
		{"A channel is heard once and in order, also by who was away", channel},
		{"A command stores its event with your tables, or takes back what it told others", command},
		{"A stop in the middle loses nothing", restart},
	} {
		if ctx.Err() != nil {
			break
		}
		t.title(i+1, chapter.title)
		chapter.tell(t)
	}
	return Told{t.wrong, t.event}, ctx.Err()
}

// teller sends requests and prints what becomes of them.
type teller struct {
	Stage
	ctx   context.Context
	wrong int
	// point is where the listener of the channel left.
	point edda.From
	// event is what the command made.
	event edda.ID
}

// maxWait bounds every wait of the story.
const maxWait = 10 * time.Second

const (
	bold  = "1"
	dim   = "2"
	green = "32"
	red   = "31"
)

func (t *teller) paint(colour, s string) string {
	if !t.Colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func (t *teller) title(n int, text string) {
	fmt.Fprintf(t.Out, "\n%s\n", t.paint(bold, fmt.Sprintf("%d. %s", n, text)))
}

// sayf explains what was just seen.
func (t *teller) sayf(format string, args ...any) {
	fmt.Fprintln(t.Out, t.paint(dim, "   "+fmt.Sprintf(format, args...)))
}

// width is how wide the left column is.
const width = 64

// line prints what was sent, what came back and whether that is as told.
func (t *teller) line(sent, got string, ok bool, want string) {
	t.check(ok, fmt.Sprintf("%-*s %s", width, sent, got), want)
}

// check prints a fact and whether it is as told.
func (t *teller) check(ok bool, fact, want string) {
	if ok {
		fmt.Fprintf(t.Out, " %s %s\n", t.paint(green, "✓"), fact)
		return
	}
	t.wrong++
	fmt.Fprintf(t.Out, " %s %s\n   %s\n", t.paint(red, "✗"), fact, t.paint(red, "wanted "+want))
}

// to is the address of a key of this telling.
func (t *teller) to(service, key string) edda.Address {
	return edda.Address{Name: service, Key: key + t.Suffix}
}

// post sends a call and prints it with what came back. Options come in
// parentheses, as the headers that they are.
func (t *teller) post(c eddahttp.Call, want string) *eddahttp.Answer {
	if len(c.Payload) > 0 {
		c.ContentType = "application/json"
	}
	answer, err := t.Client.Call(t.ctx, c)
	got := outcome(answer, err)
	t.line(spell(t.Client, c), got, matches(got, want), want)
	return answer
}

// spell writes a call as the request it is.
func spell(c *eddahttp.Client, call eddahttp.Call) string {
	s := "POST " + c.CallPath(call.To, call.Method)
	if len(call.Payload) > 0 {
		s += " " + string(call.Payload)
	}
	switch {
	case call.IdempotencyKey != "":
		s += "  Idempotency-Key: " + call.IdempotencyKey
	case call.Delay > 0:
		s += "  Edda-Delay: " + call.Delay.String()
	case call.Async:
		s += "  Prefer: respond-async"
	}
	return s
}

// outcome says in a few words what came back.
func outcome(a *eddahttp.Answer, err error) string {
	switch {
	case err != nil:
		if reason := edda.ReasonOf(err); reason != edda.Internal {
			return fmt.Sprintf("%d %s", reason.HTTPStatus(), reason)
		}
		return err.Error()
	case a.Ack != nil:
		return "202 accepted (" + string(a.Ack.Durability) + ")"
	}
	if a.Reply.Replayed {
		return replied(a.Reply) + " (replayed)"
	}
	return replied(a.Reply)
}

func replied(r *edda.Reply) string { return fmt.Sprintf("%d %s", r.Status, bytes.TrimSpace(r.Payload)) }

// matches reports whether an outcome is the one wanted; one wanted that ends in
// "…" is what it begins with.
func matches(got, want string) bool {
	if begin, open := strings.CutSuffix(want, "…"); open {
		return strings.HasPrefix(got, begin)
	}
	return got == want
}

// reply waits for a request's reply and prints it.
func (t *teller) reply(id edda.ID, want string) *edda.Reply {
	a, err := t.Client.Reply(t.ctx, id, maxWait)
	got := outcome(a, err)
	if a != nil && a.Reply != nil {
		got = replied(a.Reply) // asked for by its id, which is no repetition
	}
	t.line("GET  /v1/requests/"+brief(id)+"/reply?wait=10s", got, matches(got, want), want)
	if err != nil {
		return nil
	}
	return a.Reply
}

// brief shortens an id to fit a line.
func brief(id edda.ID) string {
	s := id.String()
	if len(s) < 8 {
		return s
	}
	return s[:8] + "…" + s[len(s)-4:]
}
