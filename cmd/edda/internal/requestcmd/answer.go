package requestcmd

import (
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/jsondata"
)

// printAnswer prints a reply or an acknowledgement. A reply of status 400 or
// above is a failure.
func (a *area) printAnswer(answer *eddahttp.Answer, include bool) error {
	if answer.Ack != nil {
		return a.printAck(answer.Ack)
	}
	r := answer.Reply
	if err := a.printReply(r, answer.Durability, include); err != nil {
		return err
	}
	if r.Status >= 400 {
		return fmt.Errorf("the reply has status %d", r.Status)
	}
	return nil
}

func (a *area) printAck(ack *edda.Ack) error {
	if a.JSON {
		return a.PrintJSON(ack)
	}
	fmt.Fprintf(a.Stdout, "accepted %s (%s)\n", ack.ID, ack.Durability)
	fmt.Fprintf(a.Stderr, "  its reply: %s\n", a.Spell("requests reply", ack.ID.String(), "--wait 30s"))
	return nil
}

func (a *area) printReply(r *edda.Reply, d edda.Durability, include bool) error {
	if a.JSON {
		return a.PrintJSON(struct {
			RequestID   edda.ID          `json:"requestId"`
			Position    string           `json:"position"`
			Durability  edda.Durability  `json:"durability"`
			Attempts    int              `json:"attempts"`
			Replayed    bool             `json:"replayed,omitempty"`
			Status      int              `json:"status"`
			Headers     jsondata.Headers `json:"headers,omitempty"`
			ContentType string           `json:"contentType,omitempty"`
			jsondata.Data
		}{
			r.RequestID, r.Position, d, r.Attempts, r.Replayed,
			r.Status, jsondata.Headers(r.Headers), r.ContentType, jsondata.Encode(r.ContentType, r.Payload),
		})
	}
	if include {
		if err := a.Fields("status", fmt.Sprint(r.Status), "content type", r.ContentType, "request", r.RequestID.String(),
			"attempts", fmt.Sprint(r.Attempts), "replayed", yes(r.Replayed), "durability", string(d)); err != nil {
			return err
		}
		for _, h := range r.Headers {
			fmt.Fprintf(a.Stdout, "%s: %s\n", human.Plain(h.Name), human.Plain(h.Value))
		}
		fmt.Fprintln(a.Stdout)
	}
	return cli.WriteLine(a.Stdout, r.Payload)
}

// yes is "yes", or "" for what need not be said.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
