package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/eddahttp"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// defaultURL is where a node is looked for.
const defaultURL = "http://127.0.0.1:7400"

// invocation is one call of the program, with all it takes from its process.
type invocation struct {
	args    []string
	environ []string
	// program is how it was called, for commands that it prints to be copied.
	program        string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// app is what the commands share.
type app struct {
	invocation
	url, token, namespace     string
	ca, clientCert, clientKey string
	json                      bool
	// urlFlag and namespaceFlag say that these came as flags, which commands to copy must
	// repeat.
	urlFlag, namespaceFlag bool
	// cqrsApp is the app that is asked.
	cqrsApp string
	// started says that arguments and flags were right, so that what goes wrong from
	// then on is the work.
	started bool
}

// usageError is wrong use that only the command itself can see.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func wrongUse(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// silentError ends a command whose output has said already what went wrong.
type silentError struct{ error }

// run runs one command and returns the exit code.
func run(ctx context.Context, inv invocation) int {
	a := &app{invocation: inv}
	root := a.root()
	root.SetArgs(inv.args)
	root.SetIn(inv.stdin)
	root.SetOut(inv.stdout)
	root.SetErr(inv.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if _, silent := errors.AsType[silentError](err); silent {
		return exitFailed
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		a.sayInterrupted(cmd, err)
		return exitFailed
	}
	fmt.Fprintf(inv.stderr, "edda: %s\n", describe(err))
	if !a.started || isWrongUse(err) {
		fmt.Fprintf(inv.stderr, "  see: %s --help\n", a.path(cmd))
		return exitUsage
	}
	for _, h := range a.hints(cmd, err) {
		fmt.Fprintf(inv.stderr, "  %s\n", h)
	}
	return exitFailed
}

// isWrongUse reports whether the command saw that it was used wrongly, or the
// node did: the values that it refuses come from arguments and flags.
func isWrongUse(err error) bool {
	_, usage := errors.AsType[*usageError](err)
	reason := edda.ReasonOf(err)
	return usage || reason == edda.BadValue || reason == edda.BadName || reason == edda.UnknownField
}

// path returns how a command is called.
func (a *app) path(cmd *cobra.Command) string {
	return a.program + strings.TrimPrefix(cmd.CommandPath(), "edda")
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "edda",
		Short: "An ordered, durable backbone for services",
		Long: `Edda is an ordered, durable backbone for services: one node keeps every
request on disk before it acknowledges it, handles the requests of a key one at
a time and in order, and keeps reply and state together.

  ` + a.program + ` demo             see it happen
  ` + a.program + ` dev --example    a node to work against
  ` + a.program + ` serve            a node in production`,
		Args:          noSuchCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			err := cmp.Or(refuseClientFlags(cmd), refuseEmpty(cmd))
			a.started = err == nil
			a.urlFlag, a.namespaceFlag = cmd.Flags().Changed("url"), cmd.Flags().Changed("namespace")
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.url, "url", a.getenv("EDDA_URL", defaultURL), "`URL` of the node to talk to (or EDDA_URL)")
	flags.StringVar(&a.token, "token", "", "bearer `TOKEN` to show it (or EDDA_TOKEN)")
	flags.StringVar(&a.ca, "ca", "", "PEM `FILE` with the CA that it is of, for https (or EDDA_CA; default the system's)")
	flags.StringVar(&a.clientCert, "client-cert", "", "PEM `FILE` with the certificate to show it (or EDDA_CLIENT_CERT)")
	flags.StringVar(&a.clientKey, "client-key", "", "PEM `FILE` with the key of that (or EDDA_CLIENT_KEY)")
	flags.StringVar(&a.namespace, "namespace", a.getenv("EDDA_NAMESPACE", ""), "`NAMESPACE` to work in (or EDDA_NAMESPACE)")
	flags.BoolVar(&a.json, "json", false, "print JSON")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(a.dev(), a.serve(), a.demo(), a.call(), a.requests(), a.deadLetters(), a.services(), a.workers(), a.sagas(), a.streams(), a.channels(), a.cqrs(), a.log(), newBenchCommand(), a.version())
	root.SetFlagErrorFunc(badFlag)
	a.sayUsage(root)
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		for _, name := range clientFlags {
			flags.Lookup(name).Hidden = !talksToNode(cmd)
		}
		help(cmd, args)
	})
	return root
}

// needsCommand refuses a group of commands that is called without one.
func needsCommand(cmd *cobra.Command, _ []string) error {
	return wrongUse("%s needs a command: %s", cmd.CommandPath(), commands(cmd))
}

// commands lists the commands of a group.
func commands(cmd *cobra.Command) string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	return strings.Join(names, ", ")
}

// group is a command that is nothing but its commands.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: noSuchCommand, RunE: needsCommand}
	g.AddCommand(commands...)
	return g
}

// noSuchCommand refuses a command that a group has not, and names those that look like it,
// else all.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		return fmt.Errorf("%s has no command %q, but %s", cmd.CommandPath(), args[0], strings.Join(similar, ", "))
	}
	return fmt.Errorf("%s has no command %q: it has %s", cmd.CommandPath(), args[0], commands(cmd))
}

// noNode marks commands that talk to no node, and groups of them.
const noNode = "talks to no node"

func talksToNode(cmd *cobra.Command) bool {
	for c := cmd; c != nil; c = c.Parent() {
		if c.Annotations[noNode] != "" {
			return false
		}
	}
	return true
}

// clientFlags are the flags that say how to talk to a node.
var clientFlags = []string{"url", "token", "ca", "client-cert", "client-key", "namespace"}

// refuseClientFlags refuses, with a command that talks to no node, flags that
// would be without effect.
func refuseClientFlags(cmd *cobra.Command) error {
	if talksToNode(cmd) {
		return nil
	}
	for _, name := range clientFlags {
		if cmd.Flags().Changed(name) {
			return wrongUse("--%s says how to talk to a node, which %s does not do", name, cmd.CommandPath())
		}
	}
	return nil
}

// getenv returns a variable of the environment, or a default when it is unset or
// empty.
func (a *app) getenv(name, value string) string {
	for _, v := range a.environ {
		if n, given, _ := strings.Cut(v, "="); n == name && given != "" {
			value = given
		}
	}
	return value
}

// client returns a client of the node that the flags name. The token is read
// from the environment here, so that no help text shows it.
func (a *app) client() (*eddahttp.Client, error) {
	o := eddahttp.Options{Token: cmp.Or(a.token, a.getenv("EDDA_TOKEN", "")), Namespace: a.namespace}
	if strings.HasPrefix(a.url, "https://") {
		encryption, err := auth.ClientTLS(auth.ClientTLSOptions{
			CAFile:   cmp.Or(a.ca, a.getenv("EDDA_CA", "")),
			CertFile: cmp.Or(a.clientCert, a.getenv("EDDA_CLIENT_CERT", "")),
			KeyFile:  cmp.Or(a.clientKey, a.getenv("EDDA_CLIENT_KEY", "")),
		})
		if err != nil {
			return nil, &usageError{err}
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = encryption
		o.Transport = t
	} else if a.ca+a.clientCert+a.clientKey != "" {
		return nil, wrongUse("--ca, --client-cert and --client-key are for a node at https://, and its URL is %q", a.url)
	}
	c, err := eddahttp.New(a.url, o)
	if _, ofName := errors.AsType[*edda.Error](err); err != nil && !ofName && !a.urlFlag {
		return nil, wrongUse("EDDA_URL in the environment: %w", err)
	} else if err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

// isTerminal reports whether w shows colours to a person.
func (a *app) isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || a.getenv("NO_COLOR", "") != "" || a.getenv("TERM", "") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
