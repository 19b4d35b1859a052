package node

import (
	"cmp"
	"context"
	"fmt"
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

// maxUnread is how many streams are read for the first time because of one request.
const maxUnread = 1000

// readQueues has the messages that finish steps read from now on. It returns once that
// is durable, before the steps are. It refuses steps whose own messages could not be
// appended.
func (n *Node) readQueues(ctx context.Context, op, namespace string, steps []edda.StepSpec) error {
	queues := queuesOf(nil, steps)
	if len(queues) == 0 {
		return nil
	}
	unread := n.unread(namespace, queues)
	if len(unread) > maxUnread {
		return &edda.Error{Op: op, Reason: edda.TooLarge,
			Err: fmt.Errorf("the steps are finished on %d streams that no saga has named yet, at most %d are allowed in one request", len(unread), maxUnread)}
	}
	if err := n.checkShards(ctx, op, namespace, queues); err != nil {
		return err
	}
	for _, stream := range unread {
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
	if err := a.p.n.readQueues(a.Context(), "add steps", a.msg.To.Namespace, out.Steps); err != nil {
		*out = edda.Outcome{Err: err}
	}
}

// queuesOf appends where the messages of steps go, with those of nested sagas.
func queuesOf(all []*edda.QueueSpec, steps []edda.StepSpec) []*edda.QueueSpec {
	for i := range steps {
		switch s := &steps[i]; {
		case s.Saga != nil:
			all = queuesOf(all, s.Saga.Steps)
		case s.Queue != nil:
			all = append(all, s.Queue)
		}
	}
	return all
}

// unread returns the streams whose messages finish steps and are not read yet.
func (n *Node) unread(namespace string, queues []*edda.QueueSpec) (streams []string) {
	seen := map[string]bool{}
	for _, q := range queues {
		for _, name := range [...]string{q.Success, q.Failure} {
			if seen[name] {
				continue
			}
			seen[name] = true
			if svc := n.known(namespace, name+"/"+queueGroup); svc == nil || !svc.view().registered {
				streams = append(streams, name)
			}
		}
	}
	return streams
}

// checkShards refuses messages for shards that their streams, as they are now, do not
// have: when the step starts nobody is there to be told.
func (n *Node) checkShards(ctx context.Context, op, namespace string, queues []*edda.QueueSpec) error {
	at := map[*partition][]*edda.QueueSpec{}
	for _, q := range queues {
		p := n.streamHome(namespace, q.Stream)
		at[p] = append(at[p], q)
	}
	for p, here := range at {
		var refused error
		err := n.inPartition(ctx, p, op, func() {
			for _, q := range here {
				shard := cmp.Or(q.Shard, edda.DefaultShard)
				if s := p.streams.Stream(namespace, q.Stream); s != nil && !s.May(shard) {
					refused = errNoShard(op, s, shard)
				}
			}
		})
		if err = cmp.Or(err, refused); err != nil {
			return err
		}
	}
	return nil
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
