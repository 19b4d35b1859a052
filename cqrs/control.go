package cqrs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// maxPageBytes bounds the events of a page that is sent as a reply.
const maxPageBytes = 2 << 20

// What the methods of cqrs.NAME take beside EventFilter.
type (
	nothing struct{}
	// idInput names an event, or a command, or of a trace a correlation id too.
	idInput struct {
		ID string `json:"id"`
	}
	// typeInput names a type of command or event.
	typeInput struct {
		Type string `json:"type"`
	}
	// handlerInput names a handler as BROADCASTER/NAME, or NAME alone where there is one of it.
	handlerInput struct {
		Handler string `json:"handler"`
	}
	// deadInput says which dead letters to list; After is the next of the page before.
	deadInput struct {
		Handler string `json:"handler,omitempty"`
		Waiting bool   `json:"waiting,omitempty"`
		Limit   int    `json:"limit,omitempty"`
		After   string `json:"after,omitempty"`
	}
	// letterInput names a dead letter.
	letterInput struct {
		Handler string `json:"handler"`
		Event   string `json:"event_uuid"`
	}
	// filterInput is an EventFilter with its ids as text.
	filterInput struct {
		EventFilter
		CommandID   string `json:"command_uuid,omitempty"`
		CausationID string `json:"causation_uuid,omitempty"`
	}
)

// items is a page of anything.
type items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// controlMethods adds what `edda cqrs` calls. What cannot be done is a reply of the reason's
// status, a JSON object with reason and detail: asking again would not help.
func (a *App) controlMethods(s *edda.Service) {
	control(a, s, "events", func(ctx *edda.Context, in filterInput) (any, error) { return a.controlEvents(ctx, &in) })
	control(a, s, "event", func(ctx *edda.Context, in idInput) (any, error) {
		e, err := a.eventOrCommand(ctx, in.ID)
		if err == nil && e == nil {
			err = noEvent(in.ID)
		}
		if err != nil {
			return nil, queryError("read event "+in.ID, err)
		}
		return e, nil
	})
	control(a, s, "trace", func(ctx *edda.Context, in idInput) (any, error) {
		t, err := a.Trace(ctx, in.ID)
		if err == nil {
			for _, r := range t.Roots {
				r.strip()
			}
		}
		return t, err
	})
	control(a, s, "handlers", func(*edda.Context, nothing) (any, error) { return items[HandlerInfo]{Items: a.Handlers()}, nil })
	control(a, s, "match", func(_ *edda.Context, in typeInput) (any, error) {
		if in.Type == "" {
			return nil, badValue("match", "type is missing: that of a command or an event")
		}
		return a.Match(in.Type), nil
	})
	control(a, s, "projections", func(ctx *edda.Context, _ nothing) (any, error) {
		all, err := a.Projections(ctx)
		return items[Projection]{Items: all}, err
	})
	edda.Handle(s, "rebuild", a.controlRebuild)
	control(a, s, "pause", func(ctx *edda.Context, in handlerInput) (any, error) {
		return a.controlHandler(ctx, in.Handler, a.PauseProjection)
	})
	control(a, s, "resume", func(ctx *edda.Context, in handlerInput) (any, error) {
		return a.controlHandler(ctx, in.Handler, a.ResumeProjection)
	})
	control(a, s, "dead", func(ctx *edda.Context, in deadInput) (any, error) { return a.controlDead(ctx, &in) })
	control(a, s, "retry", func(ctx *edda.Context, in letterInput) (any, error) {
		return a.controlLetter(ctx, &in, a.RetryDead)
	})
	control(a, s, "drop", func(ctx *edda.Context, in letterInput) (any, error) {
		return a.controlLetter(ctx, &in, a.DropDead)
	})
}

// control adds a method that answers in JSON.
func control[In any](a *App, s *edda.Service, method string, f func(ctx *edda.Context, in In) (any, error)) {
	edda.Handle(s, method, func(ctx *edda.Context, in In) (*edda.Reply, error) {
		if err := a.life.awaitStart(ctx); err != nil {
			return nil, err
		}
		out, err := f(ctx, in)
		if err != nil {
			return refusal(err, nil), nil
		}
		return jsonReply(out)
	})
}

func jsonReply(v any) (*edda.Reply, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, edda.Final(string(edda.Internal), "write the reply: %v", err)
	}
	return &edda.Reply{ContentType: "application/json", Payload: b}, nil
}

// refusal is the reply that says why something was not done.
func refusal(err error, result any) *edda.Reply {
	reason := edda.ReasonOf(err)
	b, wrong := json.Marshal(struct {
		Reason edda.Reason `json:"reason"`
		Detail string      `json:"detail"`
		Result any         `json:"result,omitempty"`
	}{reason, err.Error(), result})
	if wrong != nil {
		b = nil
	}
	return &edda.Reply{Status: reason.HTTPStatus(), ContentType: "application/json", Payload: b}
}

// controlEvents is a page of events that is small enough for a reply.
func (a *App) controlEvents(ctx *edda.Context, in *filterInput) (*EventPage, error) {
	f := in.EventFilter
	for text, id := range map[*string]*edda.ID{&in.CommandID: &f.CommandID, &in.CausationID: &f.CausationID} {
		if *text == "" {
			continue
		}
		var err error
		if *id, err = edda.ParseID(*text); err != nil {
			return nil, err
		}
	}
	page, err := a.Events(ctx, f)
	if err != nil {
		return nil, err
	}
	size := 0
	for i, e := range page.Items {
		if size += (*ledger.Event)(e).Size() + 512; size > maxPageBytes && i > 0 {
			page.Items, page.Next = page.Items[:i], page.Items[i-1].Position.String()
			break
		}
	}
	return page, nil
}

// strip leaves the data out, which is asked for by event.
func (n *TraceNode) strip() {
	n.Event.Data, n.Event.Metadata, n.Event.Includes = nil, nil, nil
	for _, child := range n.Children {
		child.strip()
	}
}

// handlerNamed is the whole name of a handler of events.
func (a *App) handlerNamed(name string) (string, error) {
	var all, found []string
	for b, h := range a.table.handlers() {
		id := handlerID(b, h)
		switch {
		case id == name:
			return id, nil
		case h.name == name:
			found = append(found, id)
		}
		all = append(all, id)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", &edda.Error{Reason: edda.BadName, Err: fmt.Errorf("there are several handlers %s: say which, %s", name, strings.Join(found, " or "))}
	case strings.Contains(name, "/"):
		return name, nil // perhaps there was one, whose row is there
	}
	return "", &edda.Error{Reason: edda.BadName, Err: fmt.Errorf("there is no handler of events %q%s", name, known(all))}
}

// controlHandler does something to a handler, and answers with its whole name.
func (a *App) controlHandler(ctx *edda.Context, handler string, do func(ctx context.Context, handler string) error) (any, error) {
	name, err := a.handlerNamed(handler)
	if err != nil {
		return nil, err
	}
	return handlerInput{name}, do(ctx, name)
}

// controlDead lists dead letters.
func (a *App) controlDead(ctx *edda.Context, in *deadInput) (*items[DeadLetter], error) {
	const defaultLimit = 100
	f := DeadLetterFilter{Waiting: in.Waiting, Limit: cmp.Or(in.Limit, defaultLimit)}
	if f.Limit < 1 || f.Limit > MaxEvents {
		return nil, badValue("list dead letters", "limit is %d, must be 1 to %d", f.Limit, MaxEvents)
	}
	if in.Handler != "" {
		var err error
		if f.Handler, err = a.handlerNamed(in.Handler); err != nil {
			return nil, err
		}
	}
	if in.After != "" {
		handler, place, _ := strings.Cut(in.After, "@")
		p, err := ParsePosition(place)
		if err != nil || handler == "" {
			return nil, badValue("list dead letters", "after must be the next of a page before")
		}
		f.After = &DeadLetter{Handler: handler, Position: p}
	}
	f.Limit++ // one more tells whether there is a next page
	all, err := a.DeadLetters(ctx, f)
	if err != nil {
		return nil, err
	}
	page := &items[DeadLetter]{Items: all}
	if n := f.Limit - 1; len(all) > n {
		page.Items, page.Next = all[:n], all[n-1].Handler+"@"+all[n-1].Position.String()
	}
	return page, nil
}

// controlLetter does something to a dead letter.
func (a *App) controlLetter(ctx *edda.Context, in *letterInput, do func(ctx context.Context, handler string, event edda.ID) error) (any, error) {
	name, err := a.handlerNamed(in.Handler)
	if err != nil {
		return nil, err
	}
	id, err := edda.ParseID(in.Event)
	if err != nil {
		return nil, err
	}
	return letterInput{name, id.String()}, do(ctx, name, id)
}
