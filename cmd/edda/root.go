package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda/cmd/edda/internal/channelcmd"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/cqrscmd"
	"github.com/edda-io/edda/cmd/edda/internal/logcmd"
	"github.com/edda-io/edda/cmd/edda/internal/requestcmd"
	"github.com/edda-io/edda/cmd/edda/internal/sagacmd"
	"github.com/edda-io/edda/cmd/edda/internal/servicecmd"
	"github.com/edda-io/edda/cmd/edda/internal/streamcmd"
)

// app is the program, called once.
type app struct{ *cli.Invocation }

// run runs one command and returns the exit code.
func run(ctx context.Context, inv *cli.Invocation) int {
	a := &app{inv}
	return inv.Execute(ctx, a.root())
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "edda",
		Short: "An ordered, durable backbone for services",
		Long: `Edda is an ordered, durable backbone for services: one node keeps every
request on disk before it acknowledges it, handles the requests of a key one at
a time and in order, and keeps reply and state together.

  ` + a.Program + ` demo             see it happen
  ` + a.Program + ` dev --example    a node to work against
  ` + a.Program + ` serve            a node in production`,
	}
	root.AddCommand(
		a.dev(), a.serve(), a.demo(), newBenchCommand(), a.version(),
		requestcmd.Call(a.Invocation), requestcmd.Requests(a.Invocation), requestcmd.DeadLetters(a.Invocation),
		servicecmd.Services(a.Invocation), servicecmd.Workers(a.Invocation),
		sagacmd.New(a.Invocation), streamcmd.New(a.Invocation), channelcmd.New(a.Invocation), cqrscmd.New(a.Invocation), logcmd.New(a.Invocation),
	)
	return root
}
