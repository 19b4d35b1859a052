package logcmd

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

// dumpedRecord is one record as it is printed.
type dumpedRecord struct {
	Partition engine.Partition `json:"partition"`
	Position  engine.Position  `json:"position"`
	Epoch     engine.Epoch     `json:"epoch"`
	Time      time.Time        `json:"time,omitzero"`
	Type      string           `json:"type"`
	Bytes     int              `json:"bytes"`
	ID        edda.ID          `json:"id,omitzero"`
	Text      string           `json:"text,omitempty"`
}

func (a *area) dump() *cobra.Command {
	partition := -1
	cmd := &cobra.Command{
		Use:   "dump DIR",
		Short: "Print every record of the log",
		Long: `Prints every record of the log, one a line, in the order in which they were written.

A record is what was asked for. What becomes of it is decided when it is applied, the
same way each time: an append that expected another offset, the reset of a group that
is gone, or a message that was there before, have their record and change nothing.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := logDir(args[0])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("partition") {
				if err := checkPartition(dir, partition); err != nil {
					return err
				}
			}
			if err := a.dumpHeader(); err != nil {
				return err
			}
			for frame, err := range filelog.Scan(dir, nil) {
				if err != nil {
					return fmt.Errorf("read the log in %s: %w", dir, err)
				}
				for _, e := range frame.Entries {
					if partition >= 0 && int(e.Partition) != partition {
						continue
					}
					if err := a.dumpEntry(&e); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&partition, "partition", -1, "only the records of partition `N` (default all)")
	cmd.Flags().Lookup("partition").DefValue = "0" // -1 would be shown
	return cmd
}

// checkPartition refuses a partition that the log has not.
func checkPartition(dir string, p int) error {
	n, err := filelog.Partitions(dir, nil)
	switch {
	case err != nil:
		return err
	case p < 0 || p >= n:
		return cli.WrongUse("--partition is %d, must be 0 to %d", p, n-1)
	}
	return nil
}

func (a *area) dumpEntry(e *engine.Entry) error {
	if len(e.Records) == 0 {
		return a.dumpRecord(&dumpedRecord{Partition: e.Partition, Position: e.First, Epoch: e.Epoch, Type: "epoch"})
	}
	for i, b := range e.Records {
		d := &dumpedRecord{Partition: e.Partition, Position: e.First + engine.Position(i), Epoch: e.Epoch, Bytes: len(b)}
		d.decode(b)
		if err := a.dumpRecord(d); err != nil {
			return err
		}
	}
	return nil
}

// dumpHeader prints what the columns are, for people.
func (a *area) dumpHeader() error {
	if a.JSON {
		return nil
	}
	_, err := fmt.Fprintf(a.Stdout, "%4s %8s  %-27s  %-20s %8s %s\n", "PART", "POSITION", "TIME", "TYPE", "SIZE", "WHAT")
	return err
}

func (a *area) dumpRecord(d *dumpedRecord) error {
	if a.JSON {
		return a.PrintLine(d)
	}
	var at, id string
	if !d.Time.IsZero() {
		at = d.Time.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	if !d.ID.IsZero() {
		id = " " + d.ID.String()
	}
	_, err := fmt.Fprintf(a.Stdout, "%4d %8d  %-27s  %-20s %6d B%s %s\n", d.Partition, d.Position, at, d.Type, d.Bytes, id, human.Plain(d.Text))
	return err
}
