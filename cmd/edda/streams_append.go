package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
	"github.com/edda-io/edda/stream"
)

// appendFlags are the flags of streams append.
type appendFlags struct {
	shard, expect, replyTo, waitReply string
	producer                          string
	headers                           []string
	wait                              time.Duration
	lines                             bool
	// message is what every message has beside its payload.
	message edda.StreamMessage
	// replies is where the reply is waited for, without a name when nobody waits.
	replies edda.Address
}

func (f *appendFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.message.Type, "type", "", "what the message is about (default message)")
	flags.StringVar(&f.message.Key, "key", "", "what groups keep the order for")
	flags.StringVar(&f.shard, "shard", "", "the `SHARD` to append to (default default)")
	flags.StringVar(&f.message.ID, "id", "", "`ID` of the message: with one that was there before nothing is appended again")
	flags.StringVar(&f.producer, "producer", "", "who numbers the messages: those of numbers that were there before are not appended again")
	flags.Uint64Var(&f.message.Number, "number", 0, "with --producer: the number of the message, or of the first line (default 1 with --lines)")
	flags.StringVar(&f.replyTo, "reply-to", "", "where its reply goes: `STREAM`, STREAM/SHARD or NAMESPACE:STREAM/SHARD")
	flags.StringArrayVar(&f.headers, "header", nil, "a header `'NAME: VALUE'` of the message; can be repeated")
	flags.StringVar(&f.message.ContentType, "content-type", "", "content `TYPE` of DATA")
	flags.StringVar(&f.expect, "expect", "", "append only if the shard's last offset is this `OFFSET`, or if it has no message: none")
	flags.BoolVar(&f.lines, "lines", false, "append each line of standard input as a message")
	flags.StringVar(&f.waitReply, "wait-reply", "", "have the reply go to this `STREAM`, wait for it and print it")
	flags.DurationVar(&f.wait, "wait", 30*time.Second, "with --wait-reply: wait so long, at most 10m")
}

// read checks the flags, and which of them go together.
func (f *appendFlags) read(flags *pflag.FlagSet, args []string, namespace string) error {
	alone := len(args) > 1
	switch {
	case f.lines && alone:
		return cli.WrongUse("with --lines the messages come from standard input: leave DATA out")
	case f.lines && f.expect != "":
		return cli.WrongUse("--expect is for one message, and --lines makes many: leave one out")
	case f.lines && f.waitReply != "":
		return cli.WrongUse("--wait-reply waits for one reply, and --lines makes many messages: leave one out")
	case f.producer == "" && f.message.Number != 0:
		return cli.WrongUse("--number is for --producer NAME, which is missing")
	case f.producer != "" && f.message.Number == 0 && !f.lines:
		return cli.WrongUse("--producer needs the --number of the message")
	case f.replyTo != "" && f.waitReply != "":
		return cli.WrongUse("--wait-reply says where the reply goes: leave --reply-to out")
	case flags.Changed("wait") && f.waitReply == "":
		return cli.WrongUse("--wait is for --wait-reply STREAM, which is missing")
	case f.wait <= 0 || f.wait > 10*time.Minute:
		return cli.WrongUse("--wait is %v, must be above zero and at most 10m", f.wait)
	}
	if f.producer != "" {
		f.message.Number = max(f.message.Number, 1)
	}
	if to := cmp.Or(f.replyTo, f.waitReply); to != "" {
		a, err := streamjson.ParseReplyTo(namespace, to)
		if err != nil {
			return cli.AsWrongUse(err)
		}
		f.message.ReplyTo = a
	}
	if f.waitReply != "" {
		if f.message.ReplyTo.Namespace != cmp.Or(namespace, edda.DefaultNamespace) {
			return cli.WrongUse("--wait-reply is %q, must be a stream of the namespace that --namespace names", f.waitReply)
		}
		f.replies = f.message.ReplyTo
	}
	return cli.AddHeaders(&f.message.Headers, f.headers)
}

// expectation puts what must hold of the shard into an append.
func (f *appendFlags) expectation(to *edda.Append) error {
	switch f.expect {
	case "":
	case "none":
		to.IfEmpty = true
	default:
		n, err := strconv.ParseUint(f.expect, 10, 64)
		if err != nil {
			return cli.WrongUse("--expect is %q, must be the offset of the shard's last message, or none when there is none", f.expect)
		}
		to.IfLast = &n
	}
	return nil
}

func (a *app) streamsAppend() *cobra.Command {
	var f appendFlags
	cmd := &cobra.Command{
		Use:   "append STREAM [DATA|-]",
		Short: "Append a message to a stream, or each line of standard input",
		Long: `Appends a message to a stream, which is created when there is none. DATA is the
payload as it is, empty when left out; - reads it from standard input. Its content
type is JSON when it is JSON, else text.

With --lines each line of standard input is a message. They are appended in their
order, many at a time, as fast as they come. With --id too the id of line N is ID-N,
so that the command can be repeated and appends nothing twice. With --producer it
can be repeated at any time: the shard keeps the last number of each producer.

With --wait-reply the message asks for a reply on that stream, and the command waits
for it and prints it; the exit code is 1 when it says that handling failed.`,
		Example: `  ` + a.Program + ` streams append orders '{"id":17}' --type order.placed --key ada --id order-17
  ` + a.Program + ` streams append orders '{"id":18}' --expect 41
  ` + a.Program + ` streams append orders '{"id":19}' --wait-reply orders.replies --wait 10s
  ` + a.Program + ` streams append readings --lines --id import-1 < readings.ndjson`,
		Args: cobra.RangeArgs(1, 2),
	}
	f.add(cmd.Flags())
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if err := f.read(cmd.Flags(), args, a.Namespace); err != nil {
			return err
		}
		if f.lines {
			return a.appendLines(ctx, c, args[0], &f)
		}
		return a.appendOne(ctx, c, args, &f)
	})
	return cmd
}

func (a *app) appendOne(ctx context.Context, c *eddahttp.Client, args []string, f *appendFlags) error {
	m := f.message
	if len(args) > 1 {
		var err error
		if m.Payload, err = a.Data(args[1]); err != nil {
			return err
		}
		m.ContentType = cmp.Or(m.ContentType, cli.GuessType(m.Payload))
	}
	if f.replies.Name != "" && m.ID == "" {
		m.ID = edda.NewID(rand.Uint64(), time.Now()).String()
	}
	ap := edda.Append{Stream: args[0], Shard: f.shard, Producer: f.producer, Messages: []edda.StreamMessage{m}}
	if err := f.expectation(&ap); err != nil {
		return err
	}
	if err := ap.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	ack, err := c.Append(ctx, &ap)
	if err != nil {
		return err
	}
	if f.replies.Name != "" {
		a.sayAppended(&ack.Items[0], ack.Durability, a.Stderr.Write)
		return a.awaitReply(ctx, c, f, ack.Items[0].ID)
	}
	if a.JSON {
		return a.PrintJSON(struct {
			streamjson.Appended
			Durability edda.Durability `json:"durability,omitempty"`
		}{streamjson.Appended{
			ID: ack.Items[0].ID, Shard: ack.Items[0].Shard, Offset: ack.Items[0].Offset, Position: ack.Position, Replayed: ack.Items[0].Replayed,
			Unknown: ack.Items[0].Unknown,
		}, ack.Durability})
	}
	a.sayAppended(&ack.Items[0], ack.Durability, a.Stdout.Write)
	return nil
}

// sayAppended says where a message is.
func (a *app) sayAppended(at *edda.Appended, d edda.Durability, write func([]byte) (int, error)) {
	done := "appended"
	if at.Replayed {
		done = "found"
	}
	where := fmt.Sprintf("offset %d", at.Offset)
	if at.Unknown {
		where = "an offset that is not known any more"
	}
	if at.Shard != edda.DefaultShard {
		where += " of shard " + at.Shard
	}
	_, _ = write(fmt.Appendf(nil, "%s %s at %s (%s)\n", done, human.Plain(at.ID), human.Plain(where), d)) // as with everything that is said
}

// awaitReply prints the reply to a message.
func (a *app) awaitReply(ctx context.Context, c *eddahttp.Client, f *appendFlags, id string) error {
	m, err := c.AwaitMessage(ctx, f.replies.Name, id, f.wait)
	switch reason := edda.ReasonOf(err); {
	case reason == edda.NoMessage || reason == edda.NoStream: // the reply makes the stream
		return fmt.Errorf("no reply came to %s within %v; the message is stored and may be handled yet: ask for it again with the same --id %s",
			f.replies.Name, f.wait, human.Plain(id))
	case err != nil:
		return err
	}
	if err := a.printMessages([]edda.StreamMessage{*m}, &messageView{raw: !a.JSON}); err != nil {
		return err
	}
	if m.Type != stream.TypeError {
		return nil
	}
	var why struct{ Reason, Message string }
	if json.Unmarshal(m.Payload, &why) != nil || why.Message == "" {
		return fmt.Errorf("the reply is an error")
	}
	return fmt.Errorf("the reply is an error: %s (%s)", human.Plain(why.Message), human.Plain(why.Reason))
}
