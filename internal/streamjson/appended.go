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
	b = append(b, `,"offset":`...)
	b = strconv.AppendUint(b, a.Offset, 10)
	b = appendText(b, "position", position)
	if a.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	return append(b, '}')
}

// Appended says where one message is, as it is read.
type Appended struct {
	ID       string `json:"id"`
	Shard    string `json:"shard"`
	Offset   uint64 `json:"offset"`
	Position string `json:"position"`
	Replayed bool   `json:"replayed"`
}

// Result returns what it says.
func (a *Appended) Result() edda.Appended {
	return edda.Appended{ID: a.ID, Shard: a.Shard, Offset: a.Offset, Replayed: a.Replayed}
}

// Settled says what became of leases.
type Settled struct {
	Done  int      `json:"done"`
	Stale []string `json:"stale"`
}
