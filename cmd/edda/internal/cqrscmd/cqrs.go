// Package cqrscmd has the commands that are about apps of package cqrs, which they ask
// through the node.
package cqrscmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/internal/eddahttp"
)

// area is what these commands share.
type area struct {
	*cli.Invocation
	// app is the name of the app that is asked, "" for the only one there is.
	app string
}

// New returns the command cqrs.
func New(in *cli.Invocation) *cobra.Command {
	a := &area{Invocation: in}
	g := cli.Group("cqrs", "Look at events and what they brought about, projections and handlers",
		a.events(), a.event(), a.trace(),
		a.projections(), a.rebuild(),
		a.withHandler("pause", "Let an eventual handler stop, in all processes", "paused"),
		a.withHandler("resume", "Let a paused handler go on", "resumed"),
		a.dead(),
		a.handlers(), a.match())
	g.Long = `An app of package cqrs turns commands into events, in a SQL database, and handles
them: docs/cqrs.md says all about it. These commands ask the app itself, through
its service cqrs.NAME, so one of its processes must be there.`
	g.Example = `  ` + a.Program + ` cqrs events --type 'user.*' --since 1h
  ` + a.Program + ` cqrs trace ID                 what brought an event about, and what it did
  ` + a.Program + ` cqrs match create.user        what a command leads to, and why
  ` + a.Program + ` cqrs projections              how far eventual handlers have come`
	g.PersistentFlags().StringVar(&a.app, "app", "", "`NAME` of the app; the only one there is when left out")
	return g
}

// service finds the service to ask.
func (a *area) service(ctx context.Context, c *eddahttp.Client) (string, error) {
	if a.app != "" {
		name := cli.AppPrefix + strings.TrimPrefix(a.app, cli.AppPrefix)
		if err := edda.CheckName("app", name); err != nil {
			return "", cli.AsWrongUse(err)
		}
		return name, nil
	}
	var apps []string
	const pageSize = 1000
	for q := (eddahttp.Query{Limit: pageSize}); ; {
		p, err := c.Services(ctx, q)
		if err != nil {
			return "", err
		}
		for i := range p.Items {
			if name, is := strings.CutPrefix(p.Items[i].Name, cli.AppPrefix); is {
				apps = append(apps, name)
			}
		}
		if q.After = p.Next; p.Next == "" {
			break
		}
	}
	switch len(apps) {
	case 0:
		none := &edda.Error{Reason: edda.UnknownService, Err: errors.New("the node knows of no app: none has a service cqrs.NAME")}
		return "", a.aboutApp(edda.Address{Name: cli.AppPrefix + "NAME"}, none)
	case 1:
		return cli.AppPrefix + apps[0], nil
	}
	return "", cli.WrongUse("there are %d apps: say which with --app %s", len(apps), strings.Join(apps, " or --app "))
}

// ask calls a method of the app and reads its answer, which with --json is printed as it is.
// Done reports that it was.
func (a *area) ask(ctx context.Context, method string, in, out any) (done bool, err error) {
	client, err := a.Client()
	if err != nil {
		return false, err
	}
	call, err := a.call(ctx, client, method, in)
	if err != nil {
		return false, err
	}
	answer, err := client.Call(ctx, *call)
	if err != nil {
		return false, a.aboutApp(call.To, err)
	}
	return a.answered(call.To, answer, out)
}

// aboutApp adds to an error what would be right of the app.
func (a *area) aboutApp(service edda.Address, err error) error {
	if edda.ReasonOf(err) == edda.NoDeadLetter {
		return cli.WithHint(err, "what there is: "+a.Spell("cqrs dead", "--waiting"))
	}
	return a.AboutService(service, err)
}

func (a *area) call(ctx context.Context, c *eddahttp.Client, method string, in any) (*eddahttp.Call, error) {
	service, err := a.service(ctx, c)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return &eddahttp.Call{To: edda.Address{Name: service}, Method: method, ContentType: "application/json", Payload: b}, nil
}

// answered reads an answer of the app that has the service.
func (a *area) answered(service edda.Address, answer *eddahttp.Answer, out any) (done bool, err error) {
	r := answer.Reply
	if r == nil {
		return false, &edda.Error{Reason: edda.Timeout, RequestID: answer.Ack.ID, Err: errors.New("there is no answer yet")}
	}
	if r.Status >= 400 {
		return false, a.aboutApp(service, refused(r))
	}
	if a.JSON {
		return true, a.PrintJSON(json.RawMessage(r.Payload))
	}
	if err := json.Unmarshal(r.Payload, out); err != nil {
		return false, fmt.Errorf("read the answer of %s: %w", service.Name, err)
	}
	return false, nil
}

// refused is the error that an app replied with.
func refused(r *edda.Reply) error {
	var why struct {
		Reason edda.Reason
		Detail string
	}
	if json.Unmarshal(r.Payload, &why) != nil || why.Reason == "" {
		return fmt.Errorf("the app answered with status %d: %s", r.Status, r.Payload)
	}
	return &edda.Error{Reason: why.Reason, Err: errors.New(why.Detail)}
}
