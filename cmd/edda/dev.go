package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/setting"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/node"
)

func (a *app) dev() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a node to work against",
		Long: `Runs a node until SIGTERM or Ctrl-C; then it takes nothing new, lets handlers
finish for drainTimeout, and ends. A second signal ends it at once.

` + settingsHelp,
		Example: `  ` + a.Program + ` dev --example
  ` + a.Program + ` dev --dir /var/lib/edda --listen 0.0.0.0:7400 --credential ada=s3cret
  ` + a.Program + ` dev --config edda.yaml`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{cli.NoNode: "true"},
		RunE:        a.runsNode(setting.Dev),
	}
	setting.AddFlags(cmd.Flags(), setting.Dev)
	return cmd
}

// runNode runs a node until the context ends.
func (a *app) runNode(ctx context.Context, s *setting.Node, c setting.Command) error {
	var services []*edda.Service
	if s.Example {
		services = examples.Services()
	}
	v, err := serve(ctx, s, services, a.Stderr)
	if err != nil {
		return err
	}
	if err := a.banner(ctx, s, v, c); err != nil {
		return errors.Join(err, a.drain(ctx, v, s.DrainTimeout))
	}
	return errors.Join(v.run(ctx), a.drain(ctx, v, s.DrainTimeout))
}

// drain stops a node in its time, and says so.
func (a *app) drain(ctx context.Context, v *server, timeout time.Duration) error {
	if ctx.Err() != nil && !a.JSON {
		fmt.Fprintf(a.Stdout, "\ndraining for at most %v; again to stop at once\n", timeout)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	err := v.stop(ctx)
	if err == nil && !a.JSON {
		fmt.Fprintln(a.Stdout, "stopped")
	}
	return err
}

// banner says what runs where, and what to try.
func (a *app) banner(ctx context.Context, s *setting.Node, v *server, c setting.Command) error {
	hosted, _, err := v.node.Services(ctx, edda.DefaultNamespace, node.Page{Limit: 1000})
	if err != nil {
		return err
	}
	var names []string
	for _, h := range hosted {
		names = append(names, h.Name)
	}
	if a.JSON {
		return a.PrintJSON(struct {
			URL        string          `json:"url"`
			Version    string          `json:"version"`
			Dir        string          `json:"dir,omitempty"`
			Durability edda.Durability `json:"durability"`
			Services   []string        `json:"services"`
			Routes     []string        `json:"routes,omitempty"`
			Pages      []string        `json:"pages,omitempty"`
		}{v.url, buildVersion(), dirOf(s), s.Durability, append([]string{}, names...), routes(s), pages(s, v.url)})
	}
	fmt.Fprintf(a.Stdout, "edda %s is up after %s at %s\n\n", buildVersion(), v.took.Round(time.Millisecond), v.url)
	if err := a.Fields(
		"  data", dirOf(s),
		"  durability", promise(s.Durability),
		"  services", strings.Join(names, ", "),
		"  callers", callers(s),
		"  routes", strings.Join(routes(s), ", "),
		"  pages", strings.Join(pages(s, v.url), ", "),
	); err != nil {
		return err
	}
	if c == setting.Serve {
		return nil
	}
	fmt.Fprintf(a.Stdout, "\n  try\n")
	for _, line := range a.tries(s, v.url) {
		fmt.Fprintf(a.Stdout, "    %s\n", line)
	}
	fmt.Fprintf(a.Stdout, "\n  Ctrl-C drains and stops it.\n")
	return nil
}

func dirOf(s *setting.Node) string {
	if s.Durability == edda.Memory {
		return ""
	}
	return s.Dir
}

// promise says what an acknowledgement means.
func promise(d edda.Durability) string {
	switch d {
	case edda.OS:
		return "os: what is acknowledged survives kill -9, but not the loss of power"
	case edda.Memory:
		return "memory: nothing survives the end of this process"
	default:
		return "fsync: what is acknowledged is on disk"
	}
}

// callers says who may come.
func callers(s *setting.Node) string {
	if s.Anonymous() {
		return "anonymous, from this machine"
	}
	var ways []string
	if n := len(s.Tokens); n > 0 {
		ways = append(ways, fmt.Sprintf("%d with a token", n))
	}
	if s.JWT.Keys != "" {
		ways = append(ways, "with a JSON Web Token of "+s.JWT.Issuer)
	}
	if s.TLS.ClientCAFile != "" {
		ways = append(ways, "with a certificate")
	}
	if s.AuthService.Service != "" {
		ways = append(ways, "whom the service "+s.AuthService.Service+" knows")
	}
	return strings.Join(ways, ", ")
}

// routes says what is served by configuration.
func routes(s *setting.Node) []string {
	all := make([]string, len(s.Routes))
	for i := range s.Routes {
		all[i] = s.Routes[i].Route
	}
	return all
}

// pages says where sites are.
func pages(s *setting.Node, url string) []string {
	all := make([]string, len(s.Pages))
	for i, p := range s.Pages {
		all[i] = url + strings.TrimSuffix(p.Path, "/") + "/"
	}
	return all
}

// environment is what comes before a command to copy, for it to find a node.
func environment(url string) string {
	if url == cli.DefaultURL {
		return ""
	}
	return "EDDA_URL=" + url + " "
}

// tries returns commands to copy.
func (a *app) tries(s *setting.Node, url string) []string {
	env, auth := environment(url), ""
	if s.Encrypted() {
		env += "EDDA_CA=CA.pem "
		auth = " --cacert CA.pem"
	}
	if !s.Anonymous() {
		env += "EDDA_TOKEN=... "
		auth += " -H 'Authorization: Bearer ...'"
	}
	if !s.Example {
		return []string{
			env + a.Program + " services ls",
			"curl " + url + "/v1/node" + auth,
			a.Program + " dev --example    # the same, with services to call",
		}
	}
	return []string{
		env + a.Program + ` call counter/visits add '{"n":1}'`,
		"curl " + url + `/v1/call/counter/visits/add -H 'Content-Type: application/json' -d '{"n":1}'` + auth,
		env + a.Program + " services ls",
		env + a.Program + " channels create chat",
		env + a.Program + " channels subscribe chat    # and, in another terminal:",
		env + a.Program + ` channels publish chat '{"text":"hello"}' --type said`,
	}
}
