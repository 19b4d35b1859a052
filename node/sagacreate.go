package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/sagaid"
)

// CreateSaga makes a saga durable. See edda.SagaBackend.
func (n *Node) CreateSaga(ctx context.Context, s *edda.SagaSpec) (ack *edda.SagaAck, err error) {
	s.Namespace, s.Principal = cmp.Or(s.Namespace, edda.DefaultNamespace), cmp.Or(s.Principal, edda.Anonymous)
	if n.tracer != nil {
		done := n.traceSaga(ctx, s)
		defer func() { done(ack, err) }()
	}
	const op = "create saga"
	if err := n.checkSaga(op, s); err != nil {
		return nil, err
	}
	created := record.NewSagaCreated(s)
	if created.ID = s.ID; created.ID == "" {
		created.ID = sagaid.New(s, len(n.parts))
	}
	if s.IdempotencyKey != "" {
		created.Fingerprint = sagaFingerprint(s, created)
	}
	created.Secret = make([]byte, record.SagaSecretBytes)
	_, _ = rand.Read(created.Secret) // it never fails
	created.Keep = n.opts.KeepSagas
	rec := created.AppendTo(nil)
	if len(rec) > edda.MaxSagaBytes {
		return nil, sagaTooLarge(op, len(rec))
	}
	if err := n.readQueues(ctx, op, s.Namespace, s.Steps); err != nil {
		return nil, err
	}
	return n.created(ctx, op, s, created, rec)
}

// created makes the record of a saga durable.
func (n *Node) created(ctx context.Context, op string, s *edda.SagaSpec, created *record.SagaCreated, rec []byte) (*edda.SagaAck, error) {
	// Of the partition's goroutine until the change is done, and for ever when the caller
	// leaves before.
	ack := &edda.SagaAck{ID: created.ID, Durability: n.info.Durability}
	var answer error
	c := &sagaChange{op: op, saga: sagafold.Ref{Namespace: created.Namespace, ID: created.ID}, bytes: len(rec)}
	c.make = func(p *partition, part *sagaPart) ([]byte, error) {
		return p.createSaga(op, s, created, rec, part)
	}
	c.applied = func(e *sagafold.Effect) {
		switch e.Kind {
		case sagafold.Created, sagafold.Joined:
			if e.Saga.Ref() == c.saga { // not one that a step is
				ack.State, ack.Joined = e.Saga.State, e.Kind == sagafold.Joined
			}
		case sagafold.Refused:
			answer = refused(op, e)
		}
	}
	if err := n.change(ctx, c); err != nil {
		return nil, err
	}
	if answer != nil {
		return nil, answer
	}
	return ack, nil
}

// createSaga completes the record of a new saga in the partition's goroutine.
func (p *partition) createSaga(op string, s *edda.SagaSpec, c *record.SagaCreated, rec []byte, part *sagaPart) ([]byte, error) {
	if c.Deadline != 0 && c.Deadline <= p.now() {
		// Who repeats a request learns what became of the first.
		if _, err := p.findSaga(op, part.change.saga); err != nil {
			return nil, errPastDeadline(op, s.Deadline)
		}
	}
	if s.DeadlineAfter != 0 {
		c.Deadline = p.now() + int64(s.DeadlineAfter)
	}
	if c.Start {
		roots := sagafold.Roots(c)
		part.slots = p.reserve(part.change.saga, roots)
		part.away = slices.ContainsFunc(roots, func(s sagafold.Start) bool { return p.n.homeOf(s.Hash) != p })
		c.Starts = part.slots.indexes()
	}
	if s.DeadlineAfter == 0 && len(c.Starts) == 0 {
		return rec, nil
	}
	return c.AppendTo(rec[:0]), nil
}

// checkSaga refuses what is malformed, too large, or asks for what there is not.
func (n *Node) checkSaga(op string, s *edda.SagaSpec) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return n.checkTasks(op, s.Namespace, s.Steps)
}

func sagaTooLarge(op string, bytes int) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.TooLarge, Err: fmt.Errorf("the steps have %d bytes, at most %d are allowed in one request", bytes, edda.MaxSagaBytes)}
}

func errPastDeadline(op string, d time.Time) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.DeadlineExceeded, Err: fmt.Errorf("the deadline %s has passed already", d.UTC().Format(time.RFC3339Nano))}
}

// sagaFingerprint tells sagas of one idempotency key apart: by what was asked for,
// and not by what the clock, chance or tracing make of it. It is the first half of a
// SHA-256.
func sagaFingerprint(s *edda.SagaSpec, c *record.SagaCreated) []byte {
	asked := record.SagaCreated{
		Namespace: c.Namespace, ID: s.ID, Name: c.Name, Start: c.Start, Deadline: c.Deadline, OnFailure: c.OnFailure,
		Principal: c.Principal, Correlation: c.Correlation, Keep: s.DeadlineAfter, // in a place that is free here
	}
	h := sha256.New()
	b := asked.AppendTo(nil)
	h.Write(b)
	for _, step := range c.Steps {
		b = append(binary.AppendUvarint(b[:0], uint64(len(step))), step...)
		h.Write(b)
	}
	return h.Sum(nil)[:16]
}
