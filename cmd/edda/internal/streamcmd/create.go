package streamcmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

// streamFlags are the flags that say what a stream is to be like.
type streamFlags struct {
	age, bytes, dedupe string
	spec               edda.StreamSpec
}

func (s *streamFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&s.spec.Shards, "shard", nil, "a `SHARD` there may be, can be repeated; any when left out")
	f.StringVar(&s.age, "retain-age", "", "keep messages for this long: a `DURATION` such as 72h or 30d")
	f.Uint64Var(&s.spec.Retention.Count, "retain-count", 0, "keep the latest `N` messages of each shard")
	f.StringVar(&s.bytes, "retain-bytes", "", "keep the latest messages of each shard, up to so many `BYTES`: 1GiB, 64MiB")
	f.StringVar(&s.dedupe, "dedupe", "", "know the ids of messages for this long: a `DURATION`, 30d at most (default 24h)")
}

// read checks the flags and puts them into the specification.
func (s *streamFlags) read(flags *pflag.FlagSet) error {
	for _, d := range []struct {
		flag, text string
		into       *time.Duration
	}{{"retain-age", s.age, &s.spec.Retention.Age}, {"dedupe", s.dedupe, &s.spec.Dedupe}} {
		if !flags.Changed(d.flag) {
			continue
		}
		v, err := human.ParseDuration(d.text)
		if err != nil || v <= 0 {
			return cli.WrongUse("--%s is %q, must be a duration above zero such as 90s, 72h or 30d", d.flag, d.text)
		}
		*d.into = v
	}
	if flags.Changed("retain-count") && s.spec.Retention.Count == 0 {
		return cli.WrongUse("--retain-count is 0, must be at least 1: leave it out for no limit")
	}
	if flags.Changed("retain-bytes") {
		n, err := human.ParseNumber(s.bytes)
		if err != nil || n < 1 {
			return cli.WrongUse("--retain-bytes is %q, must be a number above zero such as 65536, 64KiB or 1GiB", s.bytes)
		}
		s.spec.Retention.Bytes = uint64(n)
	}
	if err := s.spec.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	return nil
}

func (a *area) create() *cobra.Command {
	var s streamFlags
	cmd := &cobra.Command{
		Use:   "create STREAM",
		Short: "Create a stream, or change one, and say which",
		Long: `Creates a stream, or changes one that there is: what no flag says has its default
then, which is to keep everything, to allow any shard, and to know ids for 24h. A
stream need not be created: the first message does that, with the defaults.`,
		Example: `  ` + a.Program + ` streams create orders --retain-age 30d --retain-bytes 1GiB
  ` + a.Program + ` streams create readings --shard north --shard south --retain-count 100000 --dedupe 1h`,
		Args: cobra.ExactArgs(1),
	}
	s.add(cmd.Flags())
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		s.spec.Name = args[0]
		if err := s.read(cmd.Flags()); err != nil {
			return err
		}
		st, created, err := c.SetStream(ctx, s.spec)
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(struct {
				Created bool `json:"created"`
				streamjson.Stream
			}{created, streamjson.NewStream(st)})
		}
		a.SayMade(created, st.Name)
		return a.printStream(st)
	})
	return cmd
}
