package node

import "github.com/edda-io/edda/engine/memlog"

// WithoutGather returns the options of a node whose log does not wait for company
// by looking at the clock, which stands still in a bubble.
func WithoutGather(o Options) Options {
	o.gather = -1
	return o
}

// Memlog returns the engine of a node that keeps nothing, so that tests can
// inject faults.
func (n *Node) Memlog() *memlog.Log { return n.engine.(*memlog.Log) }

// Home returns the partition of an id.
func (n *Node) Home(route uint16) uint64 { return uint64(n.home(route).id) }
