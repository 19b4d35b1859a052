package logcmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/record"
)

// streamText says what a record of a stream is about.
func (d *dumpedRecord) streamText(r *record.Record) (string, error) {
	switch r.Type {
	case record.TypeStreamAppended:
		var a record.StreamAppended
		err := a.Decode(r.Body)
		return appended(&a), err
	case record.TypeStreamSet:
		var s record.StreamSet
		err := s.Decode(r.Body)
		return "stream " + inNamespace(s.Namespace, s.Name) + specText(&s.StreamSpec), err
	case record.TypeStreamRemoved:
		var s record.StreamRemoved
		err := s.Decode(r.Body)
		return "stream " + inNamespace(s.Namespace, s.Name), err
	case record.TypeStreamTrimmed:
		var s record.StreamTrimmed
		err := s.Decode(r.Body)
		text := shardName(s.Namespace, s.Name, s.Shard)
		if s.Time != 0 {
			return text + " before " + time.Unix(0, s.Time).UTC().Format(time.RFC3339Nano), err
		}
		return text + fmt.Sprintf(" before %d", s.Offset), err
	default:
		return d.groupText(r)
	}
}

// groupText says what a record of a consumer group is about.
func (d *dumpedRecord) groupText(r *record.Record) (string, error) {
	switch r.Type {
	case record.TypeGroupSet:
		var g record.GroupSet
		err := g.Decode(r.Body)
		text := "group " + inNamespace(g.Namespace, g.Service())
		if g.From != "" {
			text += " from " + string(g.From)
		}
		return text, err
	case record.TypeGroupRemoved, record.TypeGroupAdvanced:
		var g record.GroupChanged
		err := g.Decode(r.Body)
		return "group " + inNamespace(g.Namespace, g.Stream+"/"+g.Group), err
	case record.TypeGroupReset:
		var g record.GroupReset
		err := g.Decode(r.Body)
		text := "group " + inNamespace(g.Namespace, g.Stream+"/"+g.Group)
		if g.Shard != "" {
			text += " shard " + g.Shard
		}
		return text + " to " + string(g.To), err
	default:
		return d.channelText(r)
	}
}

// appended says what an append is, of its own or in what a handler left.
func appended(a *record.StreamAppended) string {
	bytes := 0
	for _, m := range a.Messages {
		bytes += len(m)
	}
	text := fmt.Sprintf("%s, %s, %d B", shardName(a.Namespace, a.Stream, a.Shard), human.Counted(len(a.Messages), "message"), bytes)
	if n := len(a.Numbers); n > 0 {
		text += fmt.Sprintf(", %s's numbers %d to %d", a.Producer, a.Numbers[0], a.Numbers[n-1])
	}
	switch a.Expect {
	case 0:
	case 1:
		text += ", if it is empty"
	default:
		text += fmt.Sprintf(", if the last offset is %d", a.Expect-2)
	}
	if len(a.Starts) > 0 {
		text += ", " + human.Counted(len(a.Starts), "start")
	}
	return text
}

// appendsText says what a handler appends to streams.
func appendsText(appends []record.StreamAppended) string {
	var b strings.Builder
	for i := range appends {
		b.WriteString("; to " + appended(&appends[i]))
	}
	return b.String()
}

// specText says what a stream is to be like, as far as it is not like others.
func specText(s *edda.StreamSpec) string {
	text := ""
	if len(s.Shards) > 0 {
		const most = 8
		text += " shards " + strings.Join(s.Shards[:min(len(s.Shards), most)], ", ")
		if len(s.Shards) > most {
			text += fmt.Sprintf(" and %d more", len(s.Shards)-most)
		}
	}
	return text + keepsText(s.Retention)
}

// keepsText says what is kept; nothing, if everything is.
func keepsText(r edda.Retention) string {
	var keeps []string
	if r.Age > 0 {
		keeps = append(keeps, human.TrimZeros(r.Age.String()))
	}
	if r.Count > 0 {
		keeps = append(keeps, fmt.Sprintf("%d messages", r.Count))
	}
	if r.Bytes > 0 {
		keeps = append(keeps, fmt.Sprintf("%d B", r.Bytes))
	}
	if len(keeps) == 0 {
		return ""
	}
	return " keeps " + strings.Join(keeps, ", ")
}

// shardName names a shard; the default one, and all, are the stream, or the channel
// whose stream it is.
func shardName(namespace, stream, shard string) string {
	name := "stream " + inNamespace(namespace, stream)
	if channel, own := edda.ChannelOf(stream); own {
		name = "channel " + inNamespace(namespace, channel)
	}
	if shard != "" && shard != edda.DefaultShard {
		name += " shard " + shard
	}
	return name
}

// inNamespace writes a name with its namespace, unless that is the default one.
func inNamespace(namespace, name string) string {
	if namespace == "" || namespace == edda.DefaultNamespace {
		return name
	}
	return namespace + ":" + name
}
