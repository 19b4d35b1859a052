package node_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// farEndpoint is an endpoint, as a test plays it.
type farEndpoint struct{ farWorker }

func (e *farEndpoint) Change(edda.EndpointSpec) error { return nil }

func (e *farEndpoint) Serve(ctx context.Context, _ *node.Worker) { <-ctx.Done() }

// keyIn returns a key of the service that lives in the partition.
func keyIn(n *node.Node, service string, part uint64) string {
	for k := 'a'; ; k++ {
		a := edda.Address{Namespace: edda.DefaultNamespace, Name: service, Key: string(k)}
		if node.HomeOf(n, a.Hash()) == part {
			return string(k)
		}
	}
}

// A request that was on its way from another partition while its service was deleted
// may come when that partition is done with the deletion, and the endpoint is still
// there. It must not be left without anybody who would ever handle or end it.
func TestDeletedEndpointLeavesNoRequests(t *testing.T) {
	bubble(t, "sent meanwhile", func(t *testing.T) {
		e := &farEndpoint{}
		gate := make(chan struct{})
		var target edda.Address
		n := start(t, node.Options{
			Endpoints: func(edda.EndpointSpec) (node.Endpoint, error) { return e, nil },
		}, ordered("sender", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			<-gate
			return nil, ctx.Send(&edda.Message{To: target, Type: "m"})
		}))
		if _, _, err := n.SetEndpoint(t.Context(), edda.EndpointSpec{ServiceSpec: orderedSpec("s"), URL: "http://localhost/"}); err != nil {
			t.Fatal(err)
		}
		target = edda.Address{Name: "s", Key: keyIn(n, "s", 0)}
		send(t, n, msg("sender/"+keyIn(n, "sender", 1), "m", ""))
		synctest.Wait()
		one, three := node.HoldPartition(n, 1), node.HoldPartition(n, 3)
		close(gate)
		synctest.Wait()
		deleted := make(chan error)
		go func() { deleted <- n.DeleteService(t.Context(), "", "s", true) }()
		synctest.Wait()
		one()
		e.got()
		three()
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		left, _, err := n.Requests(t.Context(), node.RequestFilter{Service: "s"}, node.Page{})
		if err != nil || len(left) > 0 {
			t.Errorf("left are %+v, %v; want none", left, err)
		}
	})
}
