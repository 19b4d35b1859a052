package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// The service that nodes under load host: it replies with what it is sent.
const (
	serviceName = "bench"
	methodName  = "echo"
	contentType = "text/plain"
)

// stopTimeout bounds how long a node drains after its row.
const stopTimeout = 30 * time.Second

func echoService() *edda.Service {
	s := edda.NewOrdered(serviceName)
	s.Add(edda.Method{Name: methodName, Handler: func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Status: 200, ContentType: m.ContentType, Payload: m.Payload}, nil
	}})
	return s
}

// openNode starts a node in the directory; stopNode ends it.
func openNode(ctx context.Context, dir string, d edda.Durability, more ...*edda.Service) (*node.Node, error) {
	return node.Open(ctx, node.Options{Dir: dir, Durability: d, Services: append(more, echoService())})
}

// stopNode drains the node.
func stopNode(n *node.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return n.Stop(ctx)
}

// openOnNode readies a row whose operation is a call into a node; the function
// stop is what has to end before the node does, or nil.
func openOnNode(ctx context.Context, e *env,
	ready func(n *node.Node) (op func(context.Context, int) error, stop func() error, err error), more ...*edda.Service,
) (*driver, error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return nil, err
	}
	n, err := openNode(ctx, dir, e.Durability, more...)
	if err != nil {
		remove()
		return nil, err
	}
	op, stop, err := ready(n)
	if err != nil {
		defer remove()
		return nil, errors.Join(err, stopNode(n))
	}
	return &driver{op: op, close: func() (err error) {
		defer remove()
		if stop != nil {
			err = stop()
		}
		return errors.Join(err, stopNode(n))
	}}, nil
}

// openCall readies the row call: calls spread over all keys.
func openCall(ctx context.Context, e *env, _ int) (*driver, error) {
	keys := allKeys()
	return openCalls(ctx, e, func() string { return keys[rand.IntN(len(keys))] })
}

// openHotKey readies the row hot-key: every call to the same key.
func openHotKey(ctx context.Context, e *env, _ int) (*driver, error) {
	return openCalls(ctx, e, func() string { return "hot" })
}

func openCalls(ctx context.Context, e *env, key func() string) (*driver, error) {
	return openOnNode(ctx, e, func(n *node.Node) (func(context.Context, int) error, func() error, error) {
		body := payload()
		return func(ctx context.Context, _ int) error { return call(ctx, n, key(), "", body) }, nil, nil
	})
}

// call returns once the reply is there, which is when both records are durable.
func call(ctx context.Context, n *node.Node, key, idempotencyKey string, body []byte) error {
	m := newMessage(key, body)
	m.IdempotencyKey = idempotencyKey
	r, err := n.Call(ctx, m)
	if err != nil {
		return err
	}
	if len(r.Payload) != len(body) {
		return fmt.Errorf("reply has %d bytes, want %d", len(r.Payload), len(body))
	}
	return nil
}

// openAccept readies the row accept: requests that nobody waits for.
func openAccept(ctx context.Context, e *env, _ int) (*driver, error) {
	keys, body := allKeys(), payload()
	return openOnNode(ctx, e, func(n *node.Node) (func(context.Context, int) error, func() error, error) {
		return func(ctx context.Context, _ int) error {
			_, err := n.Send(ctx, newMessage(keys[rand.IntN(len(keys))], body))
			return err
		}, nil, nil
	})
}

func newMessage(key string, body []byte) *edda.Message {
	return &edda.Message{
		Type:        methodName,
		To:          edda.Address{Namespace: edda.DefaultNamespace, Name: serviceName, Key: key},
		Principal:   edda.Anonymous,
		ContentType: contentType,
		Payload:     body,
	}
}

// allKeys returns the keys that calls are spread over.
func allKeys() []string {
	keys := make([]string, keyCount)
	for i := range keys {
		keys[i] = keyName(i)
	}
	return keys
}

// keyName returns the i-th key, as long as keyPlace.
func keyName(i int) string { return fmt.Sprintf("k%05d", i%keyCount) }
