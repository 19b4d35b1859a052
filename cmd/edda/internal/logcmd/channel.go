package logcmd

import (
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// channelText says what a record of a channel is about.
func (d *dumpedRecord) channelText(r *record.Record) (string, error) {
	switch r.Type {
	case record.TypeChannelSet:
		var c record.ChannelSet
		err := c.Decode(r.Body)
		text := "channel " + inNamespace(c.Namespace, c.Name)
		if len(c.From) > 0 {
			text += " from " + sourcesText(c.From)
		}
		return text + keepsText(edda.Retention{Age: c.History.Age, Count: c.History.Count}), err
	case record.TypeChannelRemoved:
		var c record.ChannelRemoved
		err := c.Decode(r.Body)
		return "channel " + inNamespace(c.Namespace, c.Name), err
	default:
		return "", nil
	}
}

// sourcesText names the streams that feed a channel, with what of them does.
func sourcesText(sources []edda.ChannelSource) string {
	const most = 8
	var names []string
	for _, s := range sources[:min(len(sources), most)] {
		name := s.Stream
		if len(s.Patterns) > 0 {
			name += " (" + strings.Join(s.Patterns[:min(len(s.Patterns), most)], ", ")
			if len(s.Patterns) > most {
				name += fmt.Sprintf(" and %d more", len(s.Patterns)-most)
			}
			name += ")"
		}
		names = append(names, name)
	}
	text := strings.Join(names, ", ")
	if len(sources) > most {
		text += fmt.Sprintf(" and %d more", len(sources)-most)
	}
	return text
}
