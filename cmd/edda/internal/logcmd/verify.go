package logcmd

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/engine/filelog"
)

func (a *area) verify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every frame of the log",
		Long: `Checks every frame of the log against its checksum. Damage, which is bad bytes
that were known to be on disk, makes the exit code 1. A torn tail, which an
interrupted write leaves behind, is no damage: nothing in it was acknowledged,
and the next start cuts it off. It is printed where a frame was begun. What fills
frames up, and the space behind the last one, hold nothing and are not checked.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := logDir(args[0])
			if err != nil {
				return err
			}
			r, err := filelog.Verify(dir, nil)
			if err != nil {
				return fmt.Errorf("verify the log in %s: %w", dir, err)
			}
			if err := a.printReport(dir, &r); err != nil {
				return err
			}
			if len(r.Damage) > 0 {
				return errors.New("the log is damaged")
			}
			return nil
		},
	}
}

func (a *area) printReport(dir string, r *filelog.Report) error {
	if a.JSON {
		return a.PrintJSON(reportDocument(r))
	}
	torn := ""
	if r.Torn != nil {
		torn = fmt.Sprintf("segment %d from byte %d", r.Torn.Segment, r.Torn.Offset)
	}
	if err := a.Fields(
		"log", dir, "partitions", fmt.Sprint(r.Partitions), "segments", fmt.Sprint(r.Segments),
		"frames", fmt.Sprint(r.Frames), "records", fmt.Sprint(r.Records), "bytes", fmt.Sprint(r.Bytes), "torn tail", torn,
	); err != nil {
		return err
	}
	for _, d := range r.Damage {
		fmt.Fprintln(a.Stdout, human.Plain(d.Error()))
	}
	if len(r.Damage) == 0 {
		fmt.Fprintln(a.Stdout, "no damage")
	}
	return nil
}

// reportDocument is a report as JSON.
func reportDocument(r *filelog.Report) any {
	type place struct {
		Segment uint64 `json:"segment"`
		From    int64  `json:"from"`
		To      int64  `json:"to,omitempty"`
		LSN     uint64 `json:"lsn"`
		Detail  string `json:"detail,omitempty"`
	}
	doc := struct {
		Partitions int     `json:"partitions"`
		Segments   int     `json:"segments"`
		Frames     int     `json:"frames"`
		Records    int     `json:"records"`
		Bytes      uint64  `json:"bytes"`
		TornTail   *place  `json:"tornTail,omitempty"`
		Damage     []place `json:"damage"`
	}{r.Partitions, r.Segments, r.Frames, r.Records, r.Bytes, nil, []place{}}
	if r.Torn != nil {
		doc.TornTail = &place{Segment: r.Torn.Segment, From: r.Torn.Offset, LSN: r.Torn.LSN}
	}
	for _, d := range r.Damage {
		doc.Damage = append(doc.Damage, place{d.Segment, d.From, d.To, d.LSN, d.Err.Error()})
	}
	return doc
}
