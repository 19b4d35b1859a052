package request

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// Deliveries is told of the ends of the requests that are messages of streams, within
// the application of the record that ended them and after everything else that the
// record does; of those that were dead letters too, once they have been retried and
// ended again. It may call AdmitDelivery and CancelDelivery. The request is the
// machine's; its message is there, or in the table, only if it is a dead letter.
type Deliveries interface {
	DeliveryEnded(r *Request) error
}

// SetDeliveries sets who is told. It is called once, before the first record.
func (m *Machine) SetDeliveries(d Deliveries) { m.groups = d }

// shardMark stands before the shard in a flat address. No name has such a byte.
const shardMark = 1

// shard is the shard that the request's key is in, "" for the default one and for
// what is no message of a stream.
func (r *Request) shard() string {
	if r.Delivery == nil || r.Delivery.Shard == edda.DefaultShard {
		return ""
	}
	return r.Delivery.Shard
}

// InShard is Key for a key of a group's consumer, in a shard of its stream.
func (m *Machine) InShard(a edda.Address, shard string) *Key {
	if shard == edda.DefaultShard {
		shard = ""
	}
	m.flat = appendFlat(m.flat[:0], a, shard)
	return m.keys[string(m.flat)]
}

// finalState is how a request ends that failed for good.
func (r *Request) finalState() edda.State {
	if r.Delivery != nil {
		return edda.StateDead
	}
	return edda.StateFailed
}

// AdmitDelivery makes a request of a stream's message in the record that is being
// applied; a.Delivery says which. What AdmitStep says holds for it too. The id must be
// one that no other request has, nor a dead letter.
func (m *Machine) AdmitDelivery(a *record.Accepted, msg *edda.Message, start bool) (room bool, err error) {
	return m.admitMade(a, msg, start)
}

// CancelDelivery ends the request of a message as cancelled if it has not ended, without
// a word to Deliveries. An attempt of it that runs is fenced. Whoever cancels all of a
// key begins with the last one, so that none comes to be ready meanwhile.
func (m *Machine) CancelDelivery(id edda.ID) error {
	req := m.byID[id]
	if req == nil || req.Delivery == nil || req.State.Ended() {
		return nil
	}
	m.fenceRunning(req)
	f := record.Failure{Reason: edda.Cancelled, Message: "its group was reset or removed"}
	m.startOrWait(m.end(req, edda.StateCancelled, f, 0), false)
	m.told = m.told[:len(m.told)-1]
	return nil
}

// DropKeys forgets the state of all keys of a service, in whatever shard.
func (m *Machine) DropKeys(namespace, name string) {
	service := namespace + "\x00" + name
	m.state.Drop(service + "\x00")
	m.state.Drop(service + string(rune(shardMark)))
}

// Size is what the request's message takes, encoded.
func (r *Request) Size() int { return int(r.size) }
