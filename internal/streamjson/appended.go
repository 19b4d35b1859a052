package streamjson

import (
	"strconv"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// AppendAppended appends where one message of an append is.
func AppendAppended(b []byte, a *edda.Appended, position string) []byte {
	b = append(b, `{"id":`...)
	b = jsondata.AppendString(b, a.ID)
	b = appendText(b, "shard", a.Shard)
	if !a.Unknown {
		b = append(b, `,"offset":`...)
		b = strconv.AppendUint(b, a.Offset, 10)
	}
	b = appendText(b, "position", position)
	if a.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	if a.Unknown {
		b = append(b, `,"unknown":true`...)
	}
	return append(b, '}')
}

// AppendLast adds the last message of an append's producer, if there is one, to an object
// that has members.
func AppendLast(b []byte, l *edda.Numbered) []byte {
	if l.Number == 0 {
		return b
	}
	b = append(b[:len(b)-1], `,"last":{"number":`...)
	b = strconv.AppendUint(b, l.Number, 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendUint(b, l.Offset, 10)
	return append(appendText(b, "id", l.ID), '}', '}')
}

// Numbered is the last message of a producer, as it is read.
type Numbered struct {
	Number uint64 `json:"number"`
	Offset uint64 `json:"offset"`
	ID     string `json:"id"`
}

// Appended says where one message is, as it is read.
type Appended struct {
	ID       string `json:"id"`
	Shard    string `json:"shard"`
	Offset   uint64 `json:"offset"`
	Position string `json:"position"`
	Replayed bool   `json:"replayed"`
	Unknown  bool   `json:"unknown,omitempty"`
}

// Result returns what it says.
func (a *Appended) Result() edda.Appended {
	return edda.Appended{ID: a.ID, Shard: a.Shard, Offset: a.Offset, Replayed: a.Replayed, Unknown: a.Unknown}
}

// Settled says what became of leases.
type Settled struct {
	Done  int      `json:"done"`
	Stale []string `json:"stale"`
}
