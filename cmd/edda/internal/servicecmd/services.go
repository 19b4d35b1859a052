// Package servicecmd has the commands that are about services and the workers that host them.
package servicecmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

// area is what these commands share.
type area struct{ *cli.Invocation }

// Services returns the command services.
func Services(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	return cli.Group("services", "Look at services, pause and resume them",
		a.servicesList(),
		a.withService("show NAME", "Show a service", 1, func(ctx context.Context, c *eddahttp.Client, args []string) (*edda.ServiceInfo, error) {
			return c.Service(ctx, args[0])
		}),
		a.servicesPut(),
		a.withService("pause NAME", "Start nothing new; what is sent meanwhile waits", 1, func(ctx context.Context, c *eddahttp.Client, args []string) (*edda.ServiceInfo, error) {
			return c.PauseService(ctx, args[0])
		}),
		a.withService("resume NAME", "Let a paused service go on", 1, func(ctx context.Context, c *eddahttp.Client, args []string) (*edda.ServiceInfo, error) {
			return c.ResumeService(ctx, args[0])
		}),
		a.withService("resume-key NAME KEY", "Let a stopped key go on with its next request", 2, func(ctx context.Context, c *eddahttp.Client, args []string) (*edda.ServiceInfo, error) {
			return c.ResumeKey(ctx, args[0], args[1])
		}),
		a.servicesRemove())
}

func (a *area) servicesList() *cobra.Command {
	var q eddahttp.Query
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List services",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.Listing(&q)
			if err != nil {
				return err
			}
			p, err := client.Services(cmd.Context(), q)
			if err != nil {
				return err
			}
			return cli.List(a.Invocation, p, "no services", []string{"NAME", "KIND", "METHODS", "WORKERS", "IN FLIGHT", "QUEUED", "STATE"},
				func(s *edda.ServiceInfo) []string {
					return []string{
						s.Name, string(s.Kind), methods(s), workersOf(s), fmt.Sprint(s.InFlight), fmt.Sprint(s.Queued), serviceState(s),
					}
				})
		},
	}
	cli.AddPaging(cmd.Flags(), &q)
	return cmd
}

func methods(s *edda.ServiceInfo) string {
	if len(s.Methods) == 0 {
		return "any"
	}
	return strings.Join(s.Methods, ", ")
}

// workersOf writes how many workers a service has, and how many of them are silent.
func workersOf(s *edda.ServiceInfo) string {
	switch quiet := s.SilentWorkers; {
	case quiet == 0:
		return fmt.Sprint(s.Workers)
	case quiet >= s.Workers:
		return fmt.Sprintf("%d, silent", s.Workers)
	default:
		return fmt.Sprintf("%d, %d silent", s.Workers, quiet)
	}
}

func serviceState(s *edda.ServiceInfo) string {
	switch {
	case s.Paused:
		return "paused"
	case s.StoppedKeyCount > 0:
		return human.Counted(s.StoppedKeyCount, "key") + " stopped"
	case s.Workers <= s.SilentWorkers:
		return "no worker"
	default:
		return "running"
	}
}

// withService makes a command that changes a service, or looks at it, and prints
// what it then is.
func (a *area) withService(
	use, short string, n int, do func(ctx context.Context, c *eddahttp.Client, args []string) (*edda.ServiceInfo, error),
) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.Client()
			if err != nil {
				return err
			}
			s, err := do(cmd.Context(), client, args)
			if err != nil {
				return err
			}
			return a.printService(s)
		},
	}
}

func (a *area) printService(s *edda.ServiceInfo) error {
	if a.JSON {
		return a.PrintJSON(s)
	}
	lines := []string{
		"name", s.Name, "kind", string(s.Kind), "methods", methods(s), "state", serviceState(s),
		"workers", workersOf(s), "in flight", fmt.Sprint(s.InFlight), "queued", fmt.Sprint(s.Queued),
		"versions", strings.Join(s.Versions, ", "), "stopped keys", strings.Join(s.StoppedKeys, ", "),
	}
	if e := s.EndpointInfo; e != nil {
		lines = append(lines, endpointLines(e)...)
	}
	return a.Fields(lines...)
}

func (a *area) servicesRemove() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a service that nobody hosts any more",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.Client()
			if err != nil {
				return err
			}
			if err := client.DeleteService(cmd.Context(), args[0], force); err != nil {
				return err
			}
			return a.PrintDone("removed", args[0])
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also with work pending, which becomes dead letters")
	return cmd
}
