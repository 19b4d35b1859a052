package saga

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
)

// maxForeseen is how large the record of a saga is at most, in bytes, whose creation is
// foreseen: that takes as long as the creation itself. It has no room for as many steps
// as would fill the partition with requests, which a forecast does not look at.
const maxForeseen = 8 << 10

// Foreseen is what a record will send to other partitions.
type Foreseen struct {
	To      uint64
	Entries []outbox.Entry // numbered from 1
}

// Foresee returns what the record of a new saga, whose body is given, will send if it is
// the next one that is applied, at that time; nil when that is nothing, or not certain.
// Here says whether it makes requests in this partition too.
func (m *Machine) Foresee(body []byte, now int64) (sent []Foreseen, here bool, err error) {
	var c record.SagaCreated
	if len(body) > maxForeseen {
		return nil, false, nil
	}
	if err := c.Decode(body); err != nil {
		return nil, false, err
	}
	ref := Ref{c.Namespace, c.ID}
	if known, err := m.read(ref); err != nil || known != nil || m.sagas[ref] != nil || m.gone[ref.root()] {
		return nil, false, err
	}
	// A machine that has nothing does what this one will, and is forgotten.
	env := *m.env
	env.Time = max(env.Time, now)
	var r rehearsal
	double := New(&env, outbox.New(&env), &r)
	double.SetStreams(&r)
	if err := double.Apply(record.Record{Type: record.TypeSagaCreated, Time: env.Time, Body: body}); err != nil || r.streams {
		return nil, false, err
	}
	for _, to := range double.outbox.Touched() {
		sent = append(sent, Foreseen{to, double.outbox.After(to, 0, maxForeseen)})
	}
	return sent, r.requests, nil
}

// rehearsal notes what a machine asks of others.
type rehearsal struct{ requests, streams bool }

// AdmitStep implements Requests.
func (r *rehearsal) AdmitStep(*record.Accepted, *edda.Message, bool) (bool, error) {
	r.requests = true
	return true, nil
}

// CancelStep implements Requests.
func (r *rehearsal) CancelStep(edda.ID) error { return nil }

// Send implements Streams.
func (r *rehearsal) Send(*record.StreamAppended) error {
	r.streams = true
	return nil
}
