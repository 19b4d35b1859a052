package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
	"github.com/edda-io/edda/internal/record"
)

func (a *app) log() *cobra.Command {
	cmd := cli.Group("log", "Read the log in a data directory, also while a node has it open", a.logDump(), a.logVerify())
	cmd.Annotations = map[string]string{cli.NoNode: "true"}
	return cmd
}

// logDir returns where the log is: in the directory log of a node's data
// directory, or in the directory itself.
func logDir(dir string) (string, error) {
	below := filepath.Join(dir, "log")
	if info, err := os.Stat(below); err == nil && info.IsDir() {
		return below, nil
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "", fmt.Errorf("read the log: %w", err)
	case !info.IsDir():
		return "", cli.WrongUse("%s is not a directory: name a node's data directory", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "meta")); errors.Is(err, os.ErrNotExist) {
		return "", cli.WrongUse("%s holds no log: name a node's data directory", dir)
	}
	return dir, nil
}

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

func (a *app) logDump() *cobra.Command {
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

func (a *app) dumpEntry(e *engine.Entry) error {
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
func (a *app) dumpHeader() error {
	if a.JSON {
		return nil
	}
	_, err := fmt.Fprintf(a.Stdout, "%4s %8s  %-27s  %-20s %8s %s\n", "PART", "POSITION", "TIME", "TYPE", "SIZE", "WHAT")
	return err
}

func (a *app) dumpRecord(d *dumpedRecord) error {
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

// decode fills in what the record says of itself. What it cannot read it names:
// a dump is for logs that something is wrong with, too.
func (d *dumpedRecord) decode(b []byte) {
	r, err := record.Parse(b)
	if err != nil {
		d.Type, d.Text = "unknown", err.Error()
		return
	}
	d.Type, d.Time = r.Type.String(), time.Unix(0, r.Time).UTC()
	if d.Text, err = d.text(&r); err != nil {
		d.Text = "unreadable: " + err.Error()
	}
}

// text says what a record is about.
func (d *dumpedRecord) text(r *record.Record) (string, error) {
	switch r.Type {
	case record.TypeAccepted:
		return d.accepted(r.Body)
	case record.TypeCompleted:
		var c record.Completed
		err := c.Decode(r.Body)
		text := fmt.Sprintf("request %d fence %d%s, %d state changes, %d sends", c.Seq, c.Fence, failure(c.Failure), len(c.Changes), len(c.Sends))
		if c.Pending {
			text += ", pending"
		}
		if len(c.Added) > 0 {
			text += fmt.Sprintf(", %d steps added", len(c.Added))
		}
		text += appendsText(c.Appends)
		return text, err
	case record.TypeAttemptFailed:
		var f record.AttemptFailed
		err := f.Decode(r.Body)
		next := ", dead"
		if f.RetryAt != 0 {
			next = ", again at " + time.Unix(0, f.RetryAt).UTC().Format(time.RFC3339Nano)
		}
		return fmt.Sprintf("request %d fence %d%s%s", f.Seq, f.Fence, failure(f.Failure), next), err
	case record.TypeEnded:
		var e record.Ended
		err := e.Decode(r.Body)
		return fmt.Sprintf("request %d%s", e.Seq, failure(e.Failure)), err
	case record.TypeDispatched:
		var p record.Dispatched
		err := p.Decode(r.Body)
		return fmt.Sprintf("request %d", p.Seq), err
	case record.TypePart:
		var p record.Part
		err := p.Decode(r.Body)
		return fmt.Sprintf("request %d fence %d part %d, %d B", p.Seq, p.Fence, p.Number, len(p.Payload)), err
	case record.TypeReleased:
		var p record.Released
		err := p.Decode(r.Body)
		return fmt.Sprintf("request %d fence %d", p.Seq, p.Fence), err
	case record.TypeDue:
		var p record.Due
		err := p.Decode(r.Body)
		return fmt.Sprintf("request %d", p.Seq), err
	case record.TypeLetterRetried, record.TypeLetterDropped:
		var l record.Letter
		err := l.Decode(r.Body)
		d.ID = l.ID
		return "", err
	case record.TypeServiceSet:
		var s record.ServiceSet
		err := s.Decode(r.Body)
		return fmt.Sprintf("%s %s", s.Kind, s.Address), err
	case record.TypeServiceRemoved, record.TypeServicePaused:
		var s record.ServiceChanged
		err := s.Decode(r.Body)
		return fmt.Sprintf("%s paused=%v", s.Address, s.Paused), err
	case record.TypeKeyResumed:
		var k record.KeyResumed
		err := k.Decode(r.Body)
		return k.Address.String(), err
	case record.TypeOwned:
		var o record.Owned
		err := o.Decode(r.Body)
		return fmt.Sprintf("epoch %d node %s", o.Epoch, o.Node), err
	case record.TypeOutboxAcked:
		var o record.OutboxAcked
		err := o.Decode(r.Body)
		return fmt.Sprintf("by partition %d up to %d", o.To, o.Number), err
	}
	return d.sagaText(r)
}

func (d *dumpedRecord) accepted(body []byte) (string, error) {
	var acc record.Accepted
	if err := acc.Decode(body); err != nil {
		return "", err
	}
	var m edda.Message
	if err := m.UnmarshalBinary(acc.Message); err != nil {
		return "", err
	}
	d.ID = m.ID
	text := fmt.Sprintf("%s %s from %s, payload %d B", m.To, m.Type, m.Principal, len(m.Payload))
	if acc.Step != nil {
		text += ", " + stepName(m.To.Namespace, acc.Step)
	}
	return text, nil
}

func failure(f record.Failure) string {
	if f.Reason == "" {
		return ""
	}
	return fmt.Sprintf(" %s", f.Reason)
}

func (a *app) logVerify() *cobra.Command {
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

func (a *app) printReport(dir string, r *filelog.Report) error {
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
