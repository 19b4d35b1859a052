package main

import (
	"github.com/spf13/cobra"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/setting"
)

// settingsHelp says how a node is told its settings.
const settingsHelp = `Each setting is a flag, a variable of the environment and a line of the YAML file
that --config names; a flag is stronger than a variable, a variable than the file:

  --tls-cert node.crt      EDDA_TLS_CERT=node.crt      tls: {cert: node.crt}

Credentials are a map in the file, a list NAME=TOKEN,NAME=TOKEN in the variable, and
so are pages, PATH=DIR. Grants, which say who may do what, and routes, which make
messages of web requests, stand in the file alone. Without credentials everybody is
anonymous, and the node listens on loopback only.

docs/configuration.md has all of it.`

func (a *app) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node in production",
		Long: `Runs a node until SIGTERM or Ctrl-C; then it takes nothing new, lets handlers
finish for drainTimeout, and ends. A second signal ends it at once. It hosts no
service itself: workers come and host theirs.

` + settingsHelp,
		Example: `  ` + a.Program + ` serve --dir /var/lib/edda
  ` + a.Program + ` serve --config /etc/edda.yaml
  ` + a.Program + ` serve --dir /var/lib/edda --listen :7400 --tls-cert node.crt --tls-key node.key --config grants.yaml`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{cli.NoNode: "true"},
		RunE:        a.runsNode(setting.Serve),
	}
	setting.AddFlags(cmd.Flags(), setting.Serve)
	return cmd
}

// runsNode returns what a command does that runs a node.
func (a *app) runsNode(c setting.Command) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		s, err := setting.Load(cmd.Flags(), a.Environ, c)
		if err != nil {
			return cli.AsWrongUse(err)
		}
		return a.runNode(cmd.Context(), s, c)
	}
}
