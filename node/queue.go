package node

import (
	"context"
	"slices"

	"github.com/edda-io/edda"
	groupfold "github.com/edda-io/edda/internal/fold/group"
	"github.com/edda-io/edda/internal/record"
)

// A step of a saga may be a message on a stream, which another message finishes, on one
// of two other streams. The node reads those in a group that is its own: no caller can
// have one of this name.

// queueGroup is the group by which messages finish steps.
const queueGroup = "edda.sagas"

// queueWorker begins the ids of workers by which the node reads those groups. No other
// worker's id can have it.
const queueWorker = queueGroup + "/"

// queueRetry is how messages that could not be handled are: until they can be.
var queueRetry = edda.RetryPolicy{Max: -1}

// readQueues has the messages that finish steps read from now on. It returns once that
// is durable, before the steps are.
func (n *Node) readQueues(ctx context.Context, namespace string, steps []edda.StepSpec) error {
	for _, stream := range n.unread(namespace, steps) {
		set := record.GroupSet{GroupSpec: edda.GroupSpec{Namespace: namespace, Stream: stream, Name: queueGroup, Retry: queueRetry}.WithDefaults()}
		err := n.changeGroup(ctx, n.groupHome(namespace, stream), "read stream "+stream, set.AppendTo(nil), func(*partition, *groupfold.Effect) {})
		if err != nil {
			return err
		}
	}
	return nil
}

// readQueues is that of the node for steps that a handler adds. Its error is that of the
// handler.
func (a *Attempt) readQueues(out *edda.Outcome) {
	if out.Err != nil || len(out.Steps) == 0 {
		return
	}
	if err := a.p.n.readQueues(a.Context(), a.msg.To.Namespace, out.Steps); err != nil {
		*out = edda.Outcome{Err: err}
	}
}

// unread returns the streams whose messages finish steps and are not read yet.
func (n *Node) unread(namespace string, steps []edda.StepSpec) (streams []string) {
	for i := range steps {
		s := &steps[i]
		switch {
		case s.Saga != nil:
			streams = append(streams, n.unread(namespace, s.Saga.Steps)...)
		case s.Queue != nil:
			for _, name := range [...]string{s.Queue.Success, s.Queue.Failure} {
				if svc := n.known(namespace, name+"/"+queueGroup); (svc == nil || !svc.view().registered) && !slices.Contains(streams, name) {
					streams = append(streams, name)
				}
			}
		}
	}
	return streams
}

// hostQueue has the node handle the messages of a group that is its own.
func (n *Node) hostQueue(svc *service) {
	w := n.newWorker(WorkerSpec{
		ID: queueWorker + svc.addr.String(), Transport: "in-process",
		Services: []edda.ServiceSpec{{Namespace: svc.addr.Namespace, Name: svc.addr.Name, Concurrency: queueConcurrency}},
	}, nil)
	def := &edda.Service{Namespace: svc.addr.Namespace, Name: svc.addr.Name}
	def.HandleAny(n.stepMessage)
	w.hosts[0].def = def
	_ = n.join("read stream", w) // else the node stops
}

// queueConcurrency is how many messages of one stream the node handles at a time.
const queueConcurrency = 256

// unhostQueue ends what hostQueue has begun, when the group is gone.
func (s *service) unhostQueue() {
	s.mu.Lock()
	hosts := slices.Clone(s.hosts)
	s.mu.Unlock()
	for _, h := range hosts {
		if h.w.spec.ID == queueWorker+s.addr.String() {
			h.w.Detach()
		}
	}
}
