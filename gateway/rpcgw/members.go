package rpcgw

import (
	"slices"
	"sync"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// members is the last frame of that name, encoded. The workers of a service are told
// of each other one after the other, and thousands are told of thousands: one frame
// for all is megabytes instead of gigabytes.
type members struct {
	mu      sync.Mutex // guards what follows
	service edda.Address
	ids     []string
	encoded []byte
}

// frame returns the frame, which nobody may change. It keeps ids.
func (m *members) frame(service edda.Address, ids []string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.encoded != nil && m.service == service && slices.Equal(m.ids, ids) {
		return m.encoded, nil
	}
	f := &eddav1.Members{Namespace: service.Namespace, Service: service.Name, WorkerIds: ids}
	var b []byte
	if err := appendFrame(&b, &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Members{Members: f}}); err != nil {
		return nil, err
	}
	m.service, m.ids, m.encoded = service, ids, b
	return b, nil
}
