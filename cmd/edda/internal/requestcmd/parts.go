package requestcmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/jsondata"
)

func (a *area) requestsParts() *cobra.Command {
	var after string
	var include bool
	cmd := a.withID("parts", "Print the parts of a reply as they come, then the reply",
		func(ctx context.Context, c *eddahttp.Client, id edda.ID) error {
			from, err := edda.ParsePartID(after)
			if err != nil {
				return cli.AsWrongUse(err)
			}
			parts, err := c.Parts(ctx, id, from)
			if err != nil {
				return err
			}
			return a.printParts(ctx, c, parts, include)
		})
	cmd.Flags().StringVar(&after, "after", "", "go on after this part: `ATTEMPT.PART`, such as 2.7")
	cmd.Flags().BoolVarP(&include, "include", "i", false, "print status and headers of the reply too")
	return cmd
}

// callParts calls and prints the parts of the reply as they come, then the reply.
func (a *area) callParts(ctx context.Context, c *eddahttp.Client, call eddahttp.Call, include bool) error {
	parts, err := c.CallParts(ctx, call)
	if err != nil {
		return err
	}
	return a.printParts(ctx, c, parts, include)
}

func (a *area) printParts(ctx context.Context, c *eddahttp.Client, parts *eddahttp.Parts, include bool) error {
	defer func() { _ = parts.Close() }() // it was read to its end, or its error is known
	var last edda.PartID
	for part, err := range parts.All() {
		if err == nil {
			last, err = part.ID(), a.printPart(&part)
		}
		if err != nil {
			if edda.ReasonOf(err) == edda.Unavailable {
				fmt.Fprintf(a.Stderr, "  to go on: %s\n", a.Spell("requests parts", parts.RequestID.String(), "--after "+last.String()))
			}
			return err
		}
	}
	answer, err := c.Reply(ctx, parts.RequestID, 0)
	if err != nil {
		return err
	}
	return a.printAnswer(answer, include)
}

func (a *area) printPart(p *edda.Part) error {
	switch {
	case a.JSON:
		return a.PrintLine(struct {
			Number      edda.PartID `json:"number"`
			Attempt     int         `json:"attempt"`
			Reset       bool        `json:"reset,omitempty"`
			ContentType string      `json:"contentType,omitempty"`
			jsondata.Data
		}{p.ID(), p.Attempt, p.Reset, p.ContentType, jsondata.Encode(p.ContentType, p.Payload)})
	case p.Reset:
		fmt.Fprintf(a.Stderr, "  attempt %d begins anew: what came before is void\n", p.Attempt)
		return nil
	default:
		return cli.WriteLine(a.Stdout, p.Payload)
	}
}
