package rpcgw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// maxCalls is how many calls, sends and appends of one Batch may be open; the next is read
// when the answer to one was sent.
const maxCalls = 2048

// calls are the open requests of one Batch. Its reader's goroutine starts each in a
// goroutine of its own; the goroutine of the Batch sends answers, all that are
// ready at once.
type calls struct {
	g   *Gateway
	ctx context.Context

	slots chan struct{} // one is taken by each request until it is answered
	wg    sync.WaitGroup
	wake  chan struct{} // one signal that an answer is ready

	mu    sync.Mutex                    // guards what follows; nothing is locked under it
	open  map[uint64]context.CancelFunc // requests whose answer is awaited: it ends the wait
	ready []*eddav1.BatchResponse
	ended bool  // nothing more is read
	err   error // why, when it is not the end of what the client sends
}

// Batch carries calls, sends and appends, and answers each as it is ready.
func (g *Gateway) Batch(stream eddav1.EddaService_BatchServer) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	c := &calls{
		g: g, ctx: ctx, slots: make(chan struct{}, maxCalls), wake: make(chan struct{}, 1), open: map[uint64]context.CancelFunc{},
	}
	g.routines.Go(func() {
		err := c.read(stream)
		if err != nil {
			cancel(err) // nobody waits for the open ones any more
		}
		c.wg.Wait()
		c.finish(err)
	})
	for {
		ready, ended, err := c.take()
		for len(ready) > 0 {
			n := fitting(ready)
			if err := stream.Send(&eddav1.BatchResponses{Responses: ready[:n]}); err != nil {
				return err
			}
			for range n {
				<-c.slots
			}
			ready = ready[n:]
		}
		if ended {
			return err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.stop:
			return errStopping
		}
	}
}

// fitting returns how many answers go into one message, at least one.
func fitting(ready []*eddav1.BatchResponse) int {
	size := 0
	for n, r := range ready {
		size += 64 + len(r.GetReply().GetReply().GetPayload()) + 64*len(r.GetAppended().GetItems())
		if n > 0 && size > batchBytes {
			return n
		}
	}
	return len(ready)
}

// take returns the answers that are ready, and whether they are the last ones.
func (c *calls) take() (ready []*eddav1.BatchResponse, ended bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ready, c.ready = c.ready, nil
	return ready, c.ended, c.err
}

func (c *calls) finish(err error) {
	c.mu.Lock()
	c.ended, c.err = true, err
	c.mu.Unlock()
	c.ring()
}

func (c *calls) ring() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// read starts what the client asks for, until it asks for nothing more.
func (c *calls) read(stream eddav1.EddaService_BatchServer) error {
	for {
		in, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		for _, r := range in.GetRequests() {
			if err := c.start(r); err != nil {
				return err
			}
		}
	}
}

func (c *calls) start(r *eddav1.BatchRequest) error {
	var do func(context.Context) (*eddav1.BatchResponse, error)
	var method string
	switch q := r.GetRequest().(type) {
	case *eddav1.BatchRequest_Send:
		method, do = batchSend, func(ctx context.Context) (*eddav1.BatchResponse, error) { return c.send(ctx, q.Send) }
	case *eddav1.BatchRequest_Call:
		method, do = batchCall, func(ctx context.Context) (*eddav1.BatchResponse, error) { return c.call(ctx, q.Call) }
	case *eddav1.BatchRequest_Append:
		method, do = batchAppend, func(ctx context.Context) (*eddav1.BatchResponse, error) { return c.append(ctx, q.Append) }
	case *eddav1.BatchRequest_Forget:
		c.forget(r.GetRef())
		return nil
	default:
		return &edda.Error{Reason: edda.BadValue, Err: fmt.Errorf("the request with ref %d is none that this node knows", r.GetRef())}
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	taken := c.open[r.GetRef()] != nil
	if !taken {
		c.open[r.GetRef()] = cancel
	}
	c.mu.Unlock()
	if taken {
		cancel()
		return &edda.Error{Reason: edda.BadValue, Err: fmt.Errorf("ref %d is in use", r.GetRef())}
	}
	c.wg.Go(func() {
		defer cancel()
		begin := time.Now()
		err := c.run(ctx, r.GetRef(), do)
		c.g.metrics.ended(method, err, begin)
	})
	return nil
}

// run does one request and has its answer sent. The error is in the answer.
func (c *calls) run(ctx context.Context, ref uint64, do func(context.Context) (*eddav1.BatchResponse, error)) error {
	answer, err := c.answer(ctx, do)
	if err != nil {
		answer = &eddav1.BatchResponse{Response: &eddav1.BatchResponse_Error{Error: errorOf(err)}}
	}
	answer.Ref = ref
	c.mu.Lock()
	delete(c.open, ref)
	c.ready = append(c.ready, answer)
	c.mu.Unlock()
	c.ring()
	return err
}

func (c *calls) answer(ctx context.Context, do func(context.Context) (*eddav1.BatchResponse, error)) (answer *eddav1.BatchResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, c.g.panicked("Batch", p)
		}
	}()
	return do(ctx)
}

func (c *calls) send(ctx context.Context, r *eddav1.Message) (*eddav1.BatchResponse, error) {
	m, err := received(grantOf(ctx), r)
	if err != nil {
		return nil, err
	}
	ctx, ended := c.g.traceCall(ctx, batchSend, m)
	ack, err := c.g.calls.Send(ctx, m)
	ended(err)
	if err != nil {
		return nil, err
	}
	return &eddav1.BatchResponse{Response: &eddav1.BatchResponse_Ack{Ack: ackOf(ack)}}, nil
}

func (c *calls) call(ctx context.Context, r *eddav1.Message) (*eddav1.BatchResponse, error) {
	m, err := received(grantOf(ctx), r)
	if err != nil {
		return nil, err
	}
	ctx, ended := c.g.traceCall(ctx, batchCall, m)
	reply, err := c.g.calls.Call(ctx, m)
	ended(err)
	if err != nil {
		return nil, err
	}
	return &eddav1.BatchResponse{Response: &eddav1.BatchResponse_Reply{Reply: response(reply)}}, nil
}

func (c *calls) append(ctx context.Context, r *eddav1.AppendRequest) (*eddav1.BatchResponse, error) {
	ack, err := c.g.append(ctx, batchAppend, r)
	if err != nil {
		return nil, err
	}
	return &eddav1.BatchResponse{Response: &eddav1.BatchResponse_Appended{Appended: ack}}, nil
}

// forget ends the wait for an answer: what is known of the request then is the
// answer. The request goes on.
func (c *calls) forget(ref uint64) {
	c.mu.Lock()
	cancel := c.open[ref]
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}
