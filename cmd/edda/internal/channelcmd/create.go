package channelcmd

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

// channelFlags are the flags that say what a channel is to be like.
type channelFlags struct {
	from []string
	age  string
	spec edda.ChannelSpec
}

func (c *channelFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&c.from, "from", nil, "a `STREAM[=PATTERN,...]` that feeds it: all its messages, or those whose type matches a pattern; can be repeated")
	f.Uint64Var(&c.spec.History.Count, "history-count", edda.DefaultHistoryCount, "keep the latest `N` messages that were published")
	f.StringVar(&c.age, "history-age", "24h", "keep them for this long: a `DURATION` such as 1h or 30d")
}

// read checks the flags and puts them into the specification.
func (c *channelFlags) read() error {
	for _, text := range c.from {
		stream, patterns, some := strings.Cut(text, "=")
		i := slices.IndexFunc(c.spec.From, func(s edda.ChannelSource) bool { return s.Stream == stream })
		switch {
		case stream == "" || some && patterns == "":
			return cli.WrongUse("--from is %q, must be STREAM, or STREAM=PATTERN such as 'orders=order.*'", text)
		case i < 0:
			i = len(c.spec.From)
			c.spec.From = append(c.spec.From, edda.ChannelSource{Stream: stream})
		case !some || len(c.spec.From[i].Patterns) == 0:
			return cli.WrongUse("--from names the stream %q twice, one of them without a pattern, which means all its messages: leave one out", stream)
		}
		if some {
			c.spec.From[i].Patterns = append(c.spec.From[i].Patterns, strings.Split(patterns, ",")...)
		}
	}
	if c.spec.History.Count == 0 {
		return cli.WrongUse("--history-count is 0, must be at least 1")
	}
	var err error
	if c.spec.History.Age, err = human.ParseDuration(c.age); err != nil || c.spec.History.Age <= 0 {
		return cli.WrongUse("--history-age is %q, must be a duration above zero such as 90s, 72h or 30d", c.age)
	}
	if err := c.spec.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	return nil
}

func (a *area) create() *cobra.Command {
	var f channelFlags
	cmd := &cobra.Command{
		Use:   "create CHANNEL",
		Short: "Create a channel, or change one, and say which",
		Long: `Creates a channel, or changes one that there is: what no flag says has its default
then, and a stream that is not named feeds it no more.

A pattern says which types of messages are meant, segment by segment: order.placed,
order.:what for any one segment, order.:what? for one or none, order.* for one or more.`,
		Example: `  ` + a.Program + ` channels create chat --history-count 100 --history-age 7d
  ` + a.Program + ` channels create shop --from orders --from 'stock=item.*,*.empty'`,
		Args: cobra.ExactArgs(1),
	}
	f.add(cmd.Flags())
	cmd.RunE = a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		f.spec.Name = args[0]
		if err := f.read(); err != nil {
			return err
		}
		ch, created, err := c.SetChannel(ctx, f.spec)
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(struct {
				Created bool `json:"created"`
				streamjson.Channel
			}{created, streamjson.NewChannel(ch)})
		}
		a.SayMade(created, ch.Name)
		return a.printChannel(ch)
	})
	return cmd
}
