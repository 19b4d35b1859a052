package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *app) services() *cobra.Command {
	return group("services", "Look at services, pause and resume them",
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

func (a *app) servicesList() *cobra.Command {
	var q eddahttp.Query
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List services",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.listing(&q)
			if err != nil {
				return err
			}
			p, err := client.Services(cmd.Context(), q)
			if err != nil {
				return err
			}
			return list(a, p, "no services", []string{"NAME", "KIND", "METHODS", "WORKERS", "IN FLIGHT", "QUEUED", "STATE"},
				func(s *edda.ServiceInfo) []string {
					return []string{
						s.Name, string(s.Kind), methods(s), fmt.Sprint(s.Workers), fmt.Sprint(s.InFlight), fmt.Sprint(s.Queued), serviceState(s),
					}
				})
		},
	}
	addPaging(cmd.Flags(), &q)
	return cmd
}

func methods(s *edda.ServiceInfo) string {
	if len(s.Methods) == 0 {
		return "any"
	}
	return strings.Join(s.Methods, ", ")
}

func serviceState(s *edda.ServiceInfo) string {
	switch {
	case s.Paused:
		return "paused"
	case s.StoppedKeyCount > 0:
		return fmt.Sprintf("%d keys stopped", s.StoppedKeyCount)
	case s.Workers == 0:
		return "no worker"
	default:
		return "running"
	}
}

// withService makes a command that changes a service, or looks at it, and prints
// what it then is.
func (a *app) withService(
	use, short string, n int, do func(ctx context.Context, c *eddahttp.Client, args []string) (*edda.ServiceInfo, error),
) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
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

func (a *app) printService(s *edda.ServiceInfo) error {
	if a.json {
		return a.printJSON(s)
	}
	lines := []string{
		"name", s.Name, "kind", string(s.Kind), "methods", methods(s), "state", serviceState(s),
		"workers", fmt.Sprint(s.Workers), "in flight", fmt.Sprint(s.InFlight), "queued", fmt.Sprint(s.Queued),
		"versions", strings.Join(s.Versions, ", "), "stopped keys", strings.Join(s.StoppedKeys, ", "),
	}
	if e := s.EndpointInfo; e != nil {
		lines = append(lines, endpointLines(e)...)
	}
	return a.fields(lines...)
}

func (a *app) servicesRemove() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a service that nobody hosts any more",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if err := client.DeleteService(cmd.Context(), args[0], force); err != nil {
				return err
			}
			return a.printDone("removed", args[0])
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also with work pending, which becomes dead letters")
	return cmd
}
