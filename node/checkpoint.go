package node

import (
	"context"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/store"
)

// runCheckpoints writes the folds to the store each time enough was logged, and
// lets the log forget what the store then holds.
func (n *Node) runCheckpoints() {
	for {
		select {
		case <-n.halt:
			return
		case <-n.checkpoint:
		}
		n.logBytes.Store(0)
		if err := n.writeCheckpoint(); err != nil {
			n.fail(fmt.Errorf("checkpoint: %w", err))
			return
		}
	}
}

// writeCheckpoint returns when the store has everything durably that was applied
// when it began. It returns nil early when the node stops.
func (n *Node) writeCheckpoint() error {
	n.saving.Lock()
	defer n.saving.Unlock()
	ctx := context.Background()
	if n.opts.Durability == edda.OS {
		// Most of it here, where nobody waits; save syncs the little that is added.
		if err := n.engine.Sync(ctx); err != nil {
			return err
		}
	}
	for _, p := range n.parts {
		done := make(chan error, 1)
		if !p.in.do(func() { done <- p.save() }) {
			return nil
		}
		select {
		case err := <-done:
			if err != nil {
				return err
			}
		case <-n.halt:
			return nil
		}
	}
	n.saveBatch.Store(nil) // it may be large
	return n.trim(ctx)
}

// save commits what has changed in the partition since the last time.
func (p *partition) save() error {
	if p.broken {
		return errNodeStopped
	}
	b := p.n.saveBatch.Swap(nil) // that of an earlier save, if no other partition has it
	if b == nil {
		b = &store.Batch{}
	}
	defer func() {
		b.Reset()
		p.n.saveBatch.Store(b)
	}()
	if err := p.fold.Checkpoint(b); err != nil {
		return err
	}
	if p.n.opts.Durability == edda.OS {
		// The store writes what is committed when it likes, and must never know more
		// than the log keeps.
		if err := p.n.engine.Sync(context.Background()); err != nil {
			return err
		}
	}
	if err := p.table.Commit(b, engine.Position(p.env.Position)); err != nil {
		return err
	}
	p.fold.Committed()
	p.sweepTails()
	p.report()
	return nil
}

// streamShare is the part of a checkpoint's bytes that one partition's messages of
// streams may take in memory.
const streamShare = 4

// saveStreams writes what has changed in the partition to the store when much of it is
// messages of streams: to write all of it at once with the next checkpoint would keep
// the partition from its work for too long.
func (p *partition) saveStreams() error {
	if p.streams.Bytes() < max(p.n.opts.CheckpointBytes/streamShare, 1) {
		return nil
	}
	return p.save()
}

// trim flushes the store and lets the log forget what the store holds durably.
func (n *Node) trim(ctx context.Context) error {
	if err := n.store.Flush(ctx); err != nil {
		return err
	}
	starts := make([]engine.Start, len(n.parts))
	for i := range n.parts {
		durable, err := n.store.DurableApplied(engine.Partition(i))
		if err != nil {
			return err
		}
		starts[i] = engine.Start{Partition: engine.Partition(i), Position: durable + 1}
	}
	return n.engine.Trim(ctx, starts...)
}
