package streamcmd

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
	"github.com/edda-io/edda/cmd/edda/internal/message"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
	"github.com/edda-io/edda/stream"
)

// appendFlags are the flags of streams append.
type appendFlags struct {
	message.Flags
	shard, expect, replyTo, waitReply string
	producer                          string
	wait                              time.Duration
	// replies is where the reply is waited for, without a name when nobody waits.
	replies edda.Address
}

func (f *appendFlags) add(flags *pflag.FlagSet) {
	f.AddFlags(flags, message.Append, "what groups keep the order for")
	flags.StringVar(&f.shard, "shard", "", "the `SHARD` to append to (default default)")
	flags.StringVar(&f.producer, "producer", "", "who numbers the messages: those of numbers that were there before are not appended again")
	flags.Uint64Var(&f.Message.Number, "number", 0, "with --producer: the number of the message, or of the first line (default 1 with --lines)")
	flags.StringVar(&f.replyTo, "reply-to", "", "where its reply goes: `STREAM`, STREAM/SHARD or NAMESPACE:STREAM/SHARD")
	flags.StringVar(&f.expect, "expect", "", "append only if the shard's last offset is this `OFFSET`, or if it has no message: none")
	flags.StringVar(&f.waitReply, "wait-reply", "", "have the reply go to this `STREAM`, wait for it and print it")
	flags.DurationVar(&f.wait, "wait", 30*time.Second, "with --wait-reply: wait so long, at most 10m")
}

// read checks the flags, and which of them go together.
func (f *appendFlags) read(flags *pflag.FlagSet, args []string, namespace string) error {
	if err := f.Check(args); err != nil {
		return err
	}
	switch {
	case f.Lines && f.expect != "":
		return cli.WrongUse("--expect is for one message, and --lines makes many: leave one out")
	case f.Lines && f.waitReply != "":
		return cli.WrongUse("--wait-reply waits for one reply, and --lines makes many messages: leave one out")
	case f.producer == "" && f.Message.Number != 0:
		return cli.WrongUse("--number is for --producer NAME, which is missing")
	case f.producer != "" && f.Message.Number == 0 && !f.Lines:
		return cli.WrongUse("--producer needs the --number of the message")
	case f.replyTo != "" && f.waitReply != "":
		return cli.WrongUse("--wait-reply says where the reply goes: leave --reply-to out")
	case flags.Changed("wait") && f.waitReply == "":
		return cli.WrongUse("--wait is for --wait-reply STREAM, which is missing")
	case f.wait <= 0 || f.wait > 10*time.Minute:
		return cli.WrongUse("--wait is %v, must be above zero and at most 10m", f.wait)
	}
	if f.producer != "" {
		f.Message.Number = max(f.Message.Number, 1)
	}
	if to := cmp.Or(f.replyTo, f.waitReply); to != "" {
		a, err := streamjson.ParseReplyTo(namespace, to)
		if err != nil {
			return cli.AsWrongUse(err)
		}
		f.Message.ReplyTo = a
	}
	if f.waitReply != "" {
		if f.Message.ReplyTo.Namespace != cmp.Or(namespace, edda.DefaultNamespace) {
			return cli.WrongUse("--wait-reply is %q, must be a stream of the namespace that --namespace names", f.waitReply)
		}
		f.replies = f.Message.ReplyTo
	}
	return nil
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

func (a *area) append() *cobra.Command {
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
		if f.Lines {
			to := edda.Append{Stream: args[0], Shard: f.shard, Producer: f.producer}
			return f.SendLines(ctx, a.Invocation, to, c.Append)
		}
		return a.appendOne(ctx, c, args, &f)
	})
	return cmd
}

func (a *area) appendOne(ctx context.Context, c *eddahttp.Client, args []string, f *appendFlags) error {
	m, err := f.One(a.Invocation, args)
	if err != nil {
		return err
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
func (a *area) sayAppended(at *edda.Appended, d edda.Durability, write func([]byte) (int, error)) {
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
func (a *area) awaitReply(ctx context.Context, c *eddahttp.Client, f *appendFlags, id string) error {
	m, err := c.AwaitMessage(ctx, f.replies.Name, id, f.wait)
	switch reason := edda.ReasonOf(err); {
	case reason == edda.NoMessage || reason == edda.NoStream: // the reply makes the stream
		return fmt.Errorf("no reply came to %s within %v; the message is stored and may be handled yet: ask for it again with the same --id %s",
			f.replies.Name, f.wait, human.Plain(id))
	case err != nil:
		return err
	}
	if err := a.printMessages([]edda.StreamMessage{*m}, &message.View{Raw: !a.JSON}); err != nil {
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
