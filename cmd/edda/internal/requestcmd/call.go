package requestcmd

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/internal/eddahttp"
)

// Call returns the command call.
func Call(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	var c eddahttp.Call
	var headers []string
	var include, parts bool
	cmd := &cobra.Command{
		Use:   "call SERVICE[/KEY] METHOD [DATA|-]",
		Short: "Call a service and print the reply",
		Long: `Calls a method of a service, an ordered one by its key, and prints the reply.
DATA is sent as it is; - reads it from standard input. Its content type is JSON
when it is JSON, else text. A reply whose status is 400 or above is printed too,
and the exit code is 1. With --parts the parts of the reply are printed as they
come, each on a line of its own, before the reply.`,
		Example: `  ` + a.Program + ` call users/ada allow '{"email":"ada@example.com"}'
  ` + a.Program + ` call counter/visits add '{"n":1}' --idempotency-key visit-17
  ` + a.Program + ` call slow nap '{"ms":5000}' --async
  ` + a.Program + ` call counter/visits add '{"n":1}' --async --delay 1m`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.fillCall(&c, args, headers); err != nil {
				return err
			}
			if err := checkTimes(cmd.Flags(), &c); err != nil {
				return err
			}
			if parts && c.Async {
				return cli.WrongUse("--parts waits for what --async does not: leave one out, or read the parts later with requests parts ID")
			}
			client, err := a.Client()
			if err != nil {
				return err
			}
			if parts {
				return a.AboutService(c.To, a.callParts(cmd.Context(), client, c, include))
			}
			answer, err := client.Call(cmd.Context(), c)
			if err != nil {
				return a.AboutService(c.To, err)
			}
			return a.printAnswer(answer, include)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.Async, "async", false, "do not wait for the reply: print the request's id once it is durable")
	f.DurationVar(&c.Wait, "wait", 0, "listen so long, in whole seconds (default 30s)")
	f.StringVar(&c.IdempotencyKey, "idempotency-key", "", "make a repeated call join the first, or get its reply")
	f.StringArrayVar(&headers, "header", nil, "send `'NAME: VALUE'` to the handler; can be repeated")
	f.StringVar(&c.ContentType, "content-type", "", "content `TYPE` of DATA")
	f.DurationVar(&c.Delay, "delay", 0, "start no earlier than so long from now")
	f.DurationVar(&c.Deadline, "deadline", 0, "do not start, or go on, after so long")
	f.StringVar(&c.CorrelationID, "correlation-id", "", "`ID` of the story that the request is part of")
	f.BoolVarP(&include, "include", "i", false, "print status and headers too")
	f.BoolVar(&parts, "parts", false, "print the parts of the reply as they come; --wait is for the first")
	return cmd
}

// fillCall reads the arguments into a call.
func (a *area) fillCall(c *eddahttp.Call, args, headers []string) error {
	var err error
	if c.To, err = edda.ParseAddress(args[0]); err != nil {
		return cli.AsWrongUse(err)
	}
	c.Method = args[1]
	if err := edda.CheckName("method", c.Method); err != nil {
		return cli.AsWrongUse(err)
	}
	if err := cli.AddHeaders(&c.Headers, headers); err != nil {
		return err
	}
	if len(args) < 3 {
		return nil
	}
	c.Payload, c.ContentType, err = a.Payload(args[2], c.ContentType)
	return err
}

// checkTimes refuses times that would be without effect, or have another.
func checkTimes(flags *pflag.FlagSet, c *eddahttp.Call) error {
	switch {
	case c.Delay < 0:
		return cli.WrongUse("--delay is %v, must not be negative", c.Delay)
	case flags.Changed("deadline") && c.Deadline <= 0:
		return cli.WrongUse("--deadline is %v, must be above zero", c.Deadline)
	case flags.Changed("wait") && c.Async:
		return cli.WrongUse("--wait waits for what --async does not: leave one out, or wait later with requests reply ID --wait %v", c.Wait)
	case flags.Changed("wait") && (c.Wait <= 0 || c.Wait%time.Second != 0):
		return cli.WrongUse("--wait is %v, must be whole seconds, at least 1s; --async does not wait", c.Wait)
	}
	return nil
}
