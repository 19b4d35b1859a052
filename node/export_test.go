package node

import "github.com/edda-io/edda/engine/memlog"

// Memlog returns the engine of a node that keeps nothing, so that tests can
// inject faults.
func (n *Node) Memlog() *memlog.Log { return n.engine.(*memlog.Log) }

// Home returns the partition of an id.
func (n *Node) Home(route uint16) uint64 { return uint64(n.home(route).id) }
