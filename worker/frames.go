package worker

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// The numbers of frames in WorkerFrame and NodeFrame of edda.proto.
const (
	wfRegister  = 1
	wfTaken     = 3
	wfHeartbeat = 4
	wfPart      = 5
	wfOutcome   = 6
	wfStateGet  = 7
	wfDrain     = 8

	nfRegistered = 1
	nfDispatch   = 2
	nfFenced     = 3
	nfPartStored = 4
	nfStateValue = 5
	nfMembers    = 6
	nfDrain      = 7
	nfError      = 8
)

// frame appends one frame of the given kind; body appends what it holds.
func frame(b []byte, kind int, body func([]byte) []byte) []byte {
	b, outer := wire.Begin(b, 1)
	b, inner := wire.Begin(b, kind)
	b = body(b)
	wire.End(b, inner)
	wire.End(b, outer)
	return b
}

// attemptFrame appends a frame that lists attempts.
func attemptFrame(b []byte, kind int, ids []uint64) []byte {
	return frame(b, kind, func(b []byte) []byte {
		if len(ids) == 0 {
			return b
		}
		b, mark := wire.Begin(b, 1)
		for _, id := range ids {
			b = binary.AppendUvarint(b, id)
		}
		wire.End(b, mark)
		return b
	})
}

func drainFrame(b []byte, reason string) []byte {
	return frame(b, wfDrain, func(b []byte) []byte { return wire.AppendString(b, 1, reason) })
}

// handBackFrame appends an outcome that says that nothing came of the attempt.
func handBackFrame(b []byte, id uint64) []byte {
	return frame(b, wfOutcome, func(b []byte) []byte {
		return wire.AppendUint(wire.AppendUint(b, 1, id), 5, 1)
	})
}

// outcomeFrame appends what a handler asks for.
func outcomeFrame(b []byte, id uint64, out *edda.Outcome) ([]byte, error) {
	b, outer := wire.Begin(b, 1)
	b, inner := wire.Begin(b, wfOutcome)
	b = wire.AppendUint(b, 1, id)
	var err error
	if out.Pending {
		b = wire.AppendUint(b, 4, 1)
	} else if b, err = nested(b, 2, rpcconn.ValidReply(out.Reply)); err != nil {
		return nil, err
	}
	for _, e := range out.Set {
		if !utf8.ValidString(e.Name) {
			return nil, fmt.Errorf("the state's name %q is not UTF-8", e.Name)
		}
		var mark int
		b, mark = wire.Begin(b, 6)
		b = wire.AppendString(b, 1, e.Name)
		b = wire.AppendBytes(b, 2, e.Value)
		wire.End(b, mark)
	}
	for _, name := range out.Delete {
		if !utf8.ValidString(name) {
			continue // there can be none
		}
		b = append(wire.AppendLen(b, 7, len(name)), name...)
	}
	for _, m := range out.Sends {
		m, err := rpcconn.ValidMessage(m)
		if err != nil {
			return nil, err
		}
		if b, err = nested(b, 8, m); err != nil {
			return nil, err
		}
	}
	for i := range out.Steps {
		if b, err = rpcconn.AppendStep(b, 9, &out.Steps[i]); err != nil {
			return nil, err
		}
	}
	for _, a := range out.Appends {
		if b, err = rpcconn.AppendAppend(b, 10, a); err != nil {
			return nil, err
		}
	}
	wire.End(b, inner)
	wire.End(b, outer)
	return b, nil
}

// nested appends a field that holds a message or a reply.
func nested(b []byte, field int, v interface{ AppendBinary([]byte) ([]byte, error) }) ([]byte, error) {
	b, mark := wire.Begin(b, field)
	b, err := v.AppendBinary(b)
	if err != nil {
		return nil, err
	}
	wire.End(b, mark)
	return b, nil
}

// failure is why an attempt did not succeed, as it is told to the node.
type failure struct {
	reason, message string
	final, panicked bool
	after           time.Duration
}

// failureOf reads the error that a handler returned.
func failureOf(out *edda.Outcome) failure {
	f := failure{message: out.Err.Error()}
	if out.Stack != nil {
		f.reason, f.panicked = string(edda.Panicked), true
		return f
	}
	he, ok := errors.AsType[*edda.HandlerError](out.Err)
	if !ok {
		return f
	}
	f.final, f.after = he.Final, he.RetryAfter
	if he.Error() == f.message {
		f.reason, f.message = he.Reason, he.Message
	}
	return f
}

func failureFrame(b []byte, id uint64, f *failure) []byte {
	return frame(b, wfOutcome, func(b []byte) []byte {
		b, mark := wire.Begin(wire.AppendUint(b, 1, id), 3)
		b = wire.AppendString(b, 1, rpcconn.Text(f.reason))
		b = wire.AppendString(b, 2, rpcconn.Text(clip(f.message)))
		b = wire.AppendUint(b, 3, flag(f.final))
		b = wire.AppendUint(b, 4, uint64(f.after))
		b = wire.AppendUint(b, 5, flag(f.panicked))
		wire.End(b, mark)
		return b
	})
}

// clip bounds a handler's own words, as the node does.
func clip(s string) string { return s[:min(len(s), 8<<10)] }

func flag(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

// query asks for state of an attempt's key.
type query struct {
	attempt     uint64
	name, after string
	list        bool
}

func queryFrame(b []byte, id uint64, q *query) []byte {
	return frame(b, wfStateGet, func(b []byte) []byte {
		b = wire.AppendUint(b, 1, q.attempt)
		b = wire.AppendUint(b, 2, id)
		b = wire.AppendString(b, 3, q.name)
		b = wire.AppendUint(b, 4, flag(q.list))
		return wire.AppendString(b, 5, q.after)
	})
}

// registerFrame says who the worker is and what it hosts.
func registerFrame(o *Options, id string, specs []edda.ServiceSpec) []byte {
	return frame(nil, wfRegister, func(b []byte) []byte {
		b = wire.AppendString(b, 1, id)
		b = wire.AppendString(b, 2, rpcconn.Text(o.Version))
		for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
			var mark int
			b, mark = wire.Begin(b, 3)
			b = wire.AppendString(b, 1, rpcconn.Text(name))
			b = wire.AppendString(b, 2, rpcconn.Text(o.Labels[name]))
			wire.End(b, mark)
		}
		for i := range specs {
			var mark int
			b, mark = wire.Begin(b, 4)
			b = appendService(b, &specs[i])
			wire.End(b, mark)
		}
		return wire.AppendString(b, 5, sdk())
	})
}

func appendService(b []byte, s *edda.ServiceSpec) []byte {
	kinds := map[edda.Kind]uint64{edda.Ordered: 1, edda.Balanced: 2}
	ends := map[edda.OnDead]uint64{edda.StopKey: 1, edda.Pause: 2}
	b = wire.AppendString(b, 1, s.Namespace)
	b = wire.AppendString(b, 2, s.Name)
	b = wire.AppendUint(b, 3, kinds[s.Kind])
	b = wire.AppendUint(b, 4, uint64(s.Concurrency))
	b = wire.AppendUint(b, 5, uint64(s.AttemptTimeout))
	b = rpcconn.AppendRetry(b, 6, s.Retry)
	b = wire.AppendUint(b, 7, ends[s.OnDead])
	for _, m := range s.Methods {
		var mark int
		b, mark = wire.Begin(b, 8)
		b = wire.AppendString(b, 1, m)
		b = wire.AppendString(b, 2, s.Schemas[m])
		wire.End(b, mark)
	}
	if s.Group != nil {
		b = rpcconn.AppendGroup(b, 9, s.Group)
	}
	return b
}

// registered is the node's answer to Register.
type registered struct {
	workerID, nodeID, nodeVersion string
	heartbeat, lifetime           time.Duration
}

func (d *registered) read(b []byte) error {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			d.workerID = string(f.Bytes)
		case 2:
			d.heartbeat = time.Duration(f.Uint)
		case 3:
			d.lifetime = time.Duration(f.Uint)
		case 4:
			d.nodeID = string(f.Bytes)
		case 5:
			d.nodeVersion = string(f.Bytes)
		}
	}
	return r.Err()
}

// read reads a dispatch. The message and the state alias b.
func (a *attempt) read(b []byte) error {
	r := wire.NewReader(b)
	var f wire.Field
	var message []byte
	for r.Next(&f) {
		switch f.Num {
		case 1:
			a.id = f.Uint
		case 2:
			message = f.Bytes
		case 3:
			a.d.Attempt = int(f.Uint)
		case 4:
			a.d.Fence = f.Uint
		case 5:
			a.ctx.SetDeadline(int64(f.Uint))
		case 6:
			a.state.raw, a.state.known = f.Bytes, true
		case 7:
			step, err := readStepRef(f.Bytes)
			if err != nil {
				return fmt.Errorf("dispatch %d: %w", a.id, err)
			}
			a.d.Step = step
		case 8:
			a.timeout = time.Duration(f.Uint)
		case 9:
			d, err := readDeliveryRef(f.Bytes)
			if err != nil {
				return fmt.Errorf("dispatch %d: %w", a.id, err)
			}
			a.d.Delivery = d
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	if err := a.msg.UnmarshalBinary(message); err != nil {
		return fmt.Errorf("dispatch %d: %w", a.id, err)
	}
	a.msg.To.Namespace = cmp.Or(a.msg.To.Namespace, edda.DefaultNamespace)
	return nil
}

// readStepRef reads of which saga an attempt's message is a step.
func readStepRef(b []byte) (*edda.StepRef, error) {
	s := &edda.StepRef{}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			s.SagaID = string(f.Bytes)
		case 2:
			s.Undo = f.Uint != 0
		}
	}
	return s, r.Err()
}

// readDeliveryRef reads which message of a stream an attempt is at.
func readDeliveryRef(b []byte) (*edda.DeliveryRef, error) {
	d := &edda.DeliveryRef{}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			d.Stream = string(f.Bytes)
		case 2:
			d.Group = string(f.Bytes)
		case 3:
			d.Shard = string(f.Bytes)
		case 4:
			d.Offset = f.Uint
		case 5:
			d.ID = string(f.Bytes)
		}
	}
	return d, r.Err()
}

// readFenced reads which attempt was given up, and why.
func readFenced(b []byte) (id uint64, why, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	why = errFenced
	for r.Next(&f) {
		switch f.Num {
		case 1:
			id = f.Uint
		case 2:
			e, err := rpcconn.ReadError("attempt given up", f.Bytes)
			if err != nil {
				return 0, nil, err
			}
			why = e
		}
	}
	return id, why, r.Err()
}

// stateValue is the answer to a query.
type stateValue struct {
	entries []edda.StateEntry
	more    bool
	err     error
}

func readStateValue(b []byte) (id uint64, v stateValue, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			id = f.Uint
		case 2:
			var e edda.StateEntry
			if e, err = readEntry(f.Bytes); err != nil {
				return 0, v, err
			}
			v.entries = append(v.entries, e)
		case 3:
			v.more = f.Uint != 0
		case 4:
			e, err := rpcconn.ReadError("read state", f.Bytes)
			if err != nil {
				return 0, v, err
			}
			v.err = e
		}
	}
	return id, v, r.Err()
}

func readEntry(b []byte) (edda.StateEntry, error) {
	e := edda.StateEntry{Value: []byte{}} // an empty value is a value
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			e.Name = string(f.Bytes)
		case 2:
			e.Value = f.Bytes
		}
	}
	return e, r.Err()
}

// readMembers reads which workers share the keys of a service.
func readMembers(b []byte) (service edda.Address, ids []string, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			service.Namespace = string(f.Bytes)
		case 2:
			service.Name = string(f.Bytes)
		case 3:
			ids = append(ids, string(f.Bytes))
		}
	}
	service.Namespace = cmp.Or(service.Namespace, edda.DefaultNamespace)
	return service, ids, r.Err()
}

// drain is what the node says when it asks the worker to finish.
type drain struct {
	reason   string
	stopping bool // the node stops; else an operator wants the worker gone
}

func readDrain(b []byte) (*drain, error) {
	d := new(drain)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			d.reason = string(f.Bytes)
		case 2:
			d.stopping = f.Uint != 0
		}
	}
	return d, r.Err()
}
