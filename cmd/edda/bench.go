package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/bench"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// errTargetMissed is what `edda bench --check` ends with.
var errTargetMissed = errors.New("a target was missed")

// benchFlags are the flags of `edda bench`.
type benchFlags struct {
	options    bench.Options
	durability string
	check      bool
	cpuProfile string
}

func newBenchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine lets Edda be",
		Long: "Bench measures rows, most of them beside a floor taken in the same run, which is the\n" +
			"least that this machine lets anybody do: one flush, a batch writer that only appends\n" +
			"and flushes, a bare HTTP echo. The ratio is the row's value divided by its floor; where\n" +
			"the floor is a latency, in µs, it is the row's latency divided by that, as the note at\n" +
			"the end of the line says. Rows that have no floor have no ratio.\n\n" +
			wrap("Rows: "+strings.Join(bench.Names(), ", ")+".", helpWidth),
		Example:     "  edda bench\n  edda bench --only call --in-flight 1024 --duration 10s --json",
		Args:        cobra.NoArgs,
		Annotations: map[string]string{cli.NoNode: "true"},
		RunE:        func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	fl, o := c.Flags(), &f.options
	fl.DurationVar(&o.Duration, "duration", bench.DefaultDuration, "how long each row is measured, its floor aside")
	fl.StringSliceVar(&o.Only, "only", nil, "rows to measure, with the floors they need (default all)")
	fl.IntSliceVar(&o.InFlight, "in-flight", nil, "variants to measure of the rows that have several (default all)")
	fl.StringVar(&o.Dir, "dir", "", "directory on the disk to measure (default a temporary one)")
	fl.StringVar(&f.durability, "durability", string(edda.Fsync), "fsync or os")
	fl.StringVar(&f.cpuProfile, "cpuprofile", "", "write a CPU profile to this file; floors have the label row=floor")
	fl.IntVar(&o.Completed, "completed", bench.DefaultCompleted, "completed requests in the directory of start-loaded, and messages in the stream of stream-read and those of start-streams; group-behind has ten times as many, and the saga of saga-wide at most as many steps")
	fl.IntVar(&o.Pending, "pending", bench.DefaultPending, "pending requests in the directory of start-loaded, and sagas in that of saga-waiting; the rows of live messages have at most as many WebSockets")
	fl.StringVar(&o.Postgres, "postgres", "", "connection string of a PostgreSQL server on which databases may be made, for the rows that end in -pg (default: without them)")
	fl.BoolVar(&f.check, "check", false, "exit with 1 when a target is missed")
	c.AddCommand(newBenchChildCommand())
	return c
}

// helpWidth is how wide the lines of help texts are.
const helpWidth = 84

// wrap breaks a text at spaces into lines of at most width bytes, longer words aside.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func (f *benchFlags) run(c *cobra.Command) (err error) {
	if err := f.refuse(c.Flags()); err != nil {
		return err
	}
	f.options.Durability = edda.Durability(f.durability)
	f.options.Child = benchChild
	if err := f.options.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	asJSON, err := c.Flags().GetBool("json")
	if err != nil {
		return err
	}
	if f.cpuProfile != "" {
		file, err := os.Create(f.cpuProfile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			return errors.Join(err, file.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, file.Close())
		}()
	}
	report, missed := bench.Table(c.OutOrStdout()), false
	if asJSON {
		report = bench.JSON(c.OutOrStdout())
	}
	if f.options.Postgres == "" && len(f.options.Only) == 0 {
		fmt.Fprintln(c.ErrOrStderr(), "The rows that end in -pg are left out: they need --postgres postgres://USER@HOST/DATABASE.")
	}
	err = bench.Run(c.Context(), f.options, func(r bench.Result) error {
		missed = missed || r.OK != nil && !*r.OK
		return report(r)
	})
	if err == nil && f.check && missed {
		return errTargetMissed
	}
	return err
}

// refuse says which flags have values that are none for them.
func (f *benchFlags) refuse(flags *pflag.FlagSet) error {
	o := &f.options
	if flags.Changed("duration") && o.Duration <= 0 {
		return cli.WrongUse("--duration is %v, must be above zero", o.Duration)
	}
	for name, n := range map[string]int{"completed": o.Completed, "pending": o.Pending} {
		if flags.Changed(name) && n < 1 {
			return cli.WrongUse("--%s is %d, must be at least 1", name, n)
		}
	}
	names := bench.Names()
	for _, name := range o.Only {
		if o.Postgres == "" && strings.HasSuffix(name, "-pg") && slices.Contains(names, name) {
			return cli.WrongUse("row %s needs a PostgreSQL server: name one with --postgres postgres://USER@HOST/DATABASE", name)
		}
	}
	return nil
}

// newBenchChildCommand returns the command that `edda bench` runs in processes
// of their own, to measure how they start.
func newBenchChildCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "child",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return bench.Child(c.Context(), c.OutOrStdout(), args)
		},
	}
}

// benchChild makes the command that runs this program as such a process.
func benchChild(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		return &exec.Cmd{Err: fmt.Errorf("find the program itself: %w", err)}
	}
	//nolint:gosec // the program starts itself
	return exec.CommandContext(ctx, self, append([]string{"bench", "child"}, args...)...)
}
