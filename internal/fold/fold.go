// Package fold turns the records of a partition's log into what a node knows.
//
// A Fold hands each record to the machine that owns its type. Machines are pure:
// they read the record, their memory and one ordered table, and have no clock,
// no goroutine and no other input, so that the same records always give the same
// state. What has to happen outside they leave behind as effects, which the node
// takes after each record.
//
// Between two checkpoints what changed is kept in memory; a checkpoint writes it
// to the table together with the position it belongs to. What began and ended in
// between never touches the table.
//
// A Fold and its machines belong to one goroutine.
package fold

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
	"github.com/edda-io/edda/internal/wire"
)

// Env is what the machines of one partition share. The Fold sets it before each
// record; machines read it.
type Env struct {
	// Table is the partition's ordered table as of the last checkpoint.
	Table store.Table
	// Partition and Partitions say which partition this is, of how many (a power of
	// two).
	Partition  uint64
	Partitions uint64
	// Position is that of the record being applied, or applied last.
	Position uint64
	// Time is that record's, in Unix nanoseconds. It never goes back.
	Time int64
	// Epoch is the current owner's.
	Epoch uint64
	// RowsVersion is the version of the table's rows. A machine that writes such as
	// earlier releases do not know raises it.
	RowsVersion uint64
}

// Home returns the partition that owns an address hash: partitions own ranges of
// equal size, in order.
func (e *Env) Home(hash uint64) uint64 { return Home(hash, e.Partitions) }

// Home returns which of n partitions (a power of two) owns an address hash.
func Home(hash, n uint64) uint64 {
	hi, _ := bits.Mul64(hash, n)
	return hi
}

// Machine is the part of a fold that owns some record types.
type Machine interface {
	// Types are the record types the machine owns.
	Types() []record.Type
	// Apply changes the state by one record. An error means that the log cannot be
	// understood; a record that has come too late is no error.
	Apply(r record.Record) error
	// Checkpoint adds to b whatever changed since the last one. When b is
	// committed, Committed follows, else the fold is given up.
	Checkpoint(b *store.Batch) error
	// Committed lets go of what the table now has.
	Committed()
	// Load reads the state from the table into a new machine.
	Load() error
}

// Fold is the state of one partition.
type Fold struct {
	env      *Env
	machines []Machine
	owner    [256]Machine
	unknown  []byte // fields of the meta row that a later release wrote
}

// RowsVersion is the latest version of the rows of all machines. A later one is
// refused; rows and fields that are merely new do not need one.
const RowsVersion = RowsOfProducers

// The versions of rows. A table has the first one until something needs a later one,
// so that the release before can be gone back to.
const (
	RowsAtFirst   = 1
	RowsOfSagas   = 2 // requests that are steps are no ordinary ones
	RowsOfStreams = 3 // requests that are deliveries are none either
	// RowsOfChannels: some streams are channels' own, which no append creates.
	RowsOfChannels = 4
	// RowsOfProducers: some messages are passed over because of their numbers, also of
	// those on their way in the outbox.
	RowsOfProducers = 5
)

// metaKey is the row that says which version the rows have, and what holds of
// the partition as a whole.
var metaKey = []byte("m")

// The fields of the meta row.
const (
	metaVersion = 1
	metaEpoch   = 2
	metaTime    = 3
)

// New loads the state that the table holds. The position it belongs to is
// applied; the records after it must be applied next.
func New(env *Env, applied uint64, machines ...Machine) (*Fold, error) {
	f := &Fold{env: env, machines: machines}
	for _, m := range machines {
		for _, t := range m.Types() {
			f.owner[t] = m
		}
	}
	env.Position, env.RowsVersion = applied, RowsAtFirst
	if err := f.loadMeta(); err != nil {
		return nil, fmt.Errorf("load fold: %w", err)
	}
	for _, m := range machines {
		if err := m.Load(); err != nil {
			return nil, fmt.Errorf("load fold: %w", err)
		}
	}
	return f, nil
}

func (f *Fold) loadMeta() error {
	meta, found, err := f.env.Table.Get(metaKey)
	if err != nil || !found {
		return err
	}
	version := uint64(0)
	r := wire.NewReader(meta)
	for fd := (wire.Field{}); r.Next(&fd); {
		switch fd.Num {
		case metaVersion:
			version = fd.Uint
		case metaEpoch:
			f.env.Epoch = fd.Uint
		case metaTime:
			f.env.Time = int64(fd.Uint)
		default:
			f.unknown = append(f.unknown, fd.Raw...)
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("meta row: %w", err)
	}
	if version == 0 || version > RowsVersion {
		return fmt.Errorf("the table's rows have version %d, this release knows versions 1 to %d: start the release that wrote them",
			version, RowsVersion)
	}
	f.env.RowsVersion = version
	return nil
}

// Apply applies the record at the position after the last one. The fold keeps
// slices of rec, whose bytes must not change.
func (f *Fold) Apply(position uint64, rec []byte) error {
	if position != f.env.Position+1 {
		return fmt.Errorf("apply record %d of partition %d: the last one was %d", position, f.env.Partition, f.env.Position)
	}
	r, err := record.Parse(rec)
	if err != nil {
		return fmt.Errorf("apply record %d of partition %d: %w", position, f.env.Partition, err)
	}
	f.env.Position = position
	f.env.Time = max(f.env.Time, r.Time)
	r.Time = f.env.Time
	if r.Type == record.TypeOwned {
		var o record.Owned
		if err := o.Decode(r.Body); err != nil {
			return fmt.Errorf("apply record %d of partition %d: %w", position, f.env.Partition, err)
		}
		f.env.Epoch = o.Epoch
		return nil
	}
	m := f.owner[r.Type]
	if m == nil {
		return fmt.Errorf("apply record %d of partition %d: no machine takes %s records here", position, f.env.Partition, r.Type)
	}
	if err := m.Apply(r); err != nil {
		return fmt.Errorf("apply record %d of partition %d: %w", position, f.env.Partition, err)
	}
	return nil
}

// Checkpoint adds all that changed to b; the caller commits it with the applied
// position and then calls Committed.
func (f *Fold) Checkpoint(b *store.Batch) error {
	meta := wire.AppendUint(nil, metaVersion, f.env.RowsVersion)
	meta = wire.AppendUint(meta, metaEpoch, f.env.Epoch)
	meta = wire.AppendFixed(meta, metaTime, uint64(f.env.Time))
	b.Set(metaKey, append(meta, f.unknown...))
	for _, m := range f.machines {
		if err := m.Checkpoint(b); err != nil {
			return fmt.Errorf("checkpoint partition %d: %w", f.env.Partition, err)
		}
	}
	return nil
}

// Committed lets go of what the table now has.
func (f *Fold) Committed() {
	for _, m := range f.machines {
		m.Committed()
	}
}

// Row returns a table key: a kind, then parts, each as it is. Every kind of row
// begins with a byte of its own; docs/records.md lists them.
func Row(kind byte, parts ...[]byte) []byte {
	k := []byte{kind}
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

// RowNumber returns the table key of a kind and a number; numbers sort.
func RowNumber(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

// RowEnd returns the first key after every row of the kind.
func RowEnd(kind byte) []byte { return []byte{kind + 1} }
