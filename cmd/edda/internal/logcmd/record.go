package logcmd

import (
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

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
