package request

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/keystate"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
)

// Machine is the state of the requests of one partition.
type Machine struct {
	env    *fold.Env
	outbox *outbox.Machine
	state  *keystate.Keys
	steps  Steps
	groups Deliveries

	appends func(*record.StreamAppended) error

	fence uint64
	open  map[uint64]*Request  // unfinished, by Seq
	byID  map[edda.ID]*Request // unfinished, and ended ones the table does not have yet
	keys  map[string]*Key      // with requests, or stopped
	scope map[string]*Request  // of byID

	dirty   []*Request         // unfinished ones that changed since the last checkpoint
	ended   []*Request         // ended and kept since the last checkpoint
	again   map[*Request]int   // how often they stand in ended too often
	dropped []*Request         // let go of since then though the table has rows of them
	gone    map[edda.ID]stored // ended requests of the table that are no more what they are there
	keyRows map[string]bool    // stopped keys that changed since then: stopped or not

	partRows []partRange // rows of parts that have to go

	kept      kept // what the table says
	next      kept // what it will say after the checkpoint that is being written
	keptLimit int64
	bytes     int

	told      []toldEnd // steps and deliveries that ended in the record being applied
	numbers   uint64    // that requests of the record at numbersAt have, the highest
	numbersAt uint64

	effects []Effect
	taken   int // as many effects were handed out last
	hint    hint

	lastAddr, lastType string // the last Addr and ReplyType
	flat               []byte // room for the next Addr
}

// New returns a machine without requests.
func New(env *fold.Env, box *outbox.Machine) *Machine {
	return &Machine{
		env: env, outbox: box, state: keystate.New(env.Table),
		open: map[uint64]*Request{}, byID: map[edda.ID]*Request{}, keys: map[string]*Key{}, scope: map[string]*Request{},
		gone: map[edda.ID]stored{}, again: map[*Request]int{}, keyRows: map[string]bool{},
	}
}

// Types are the record types the machine owns.
func (m *Machine) Types() []record.Type {
	return []record.Type{
		record.TypeAccepted, record.TypeDispatched, record.TypeCompleted, record.TypeAttemptFailed, record.TypeEnded,
		record.TypeDue, record.TypeReleased, record.TypeLetterRetried, record.TypeLetterDropped, record.TypeKeyResumed, record.TypePart,
		record.TypeStepCancelled,
	}
}

// SetAppends sets who takes what handlers append to streams, within the application of
// the record that has it and after what the handler sends. It is called once, before
// the first record. The machine that is called keeps the messages.
func (m *Machine) SetAppends(f func(*record.StreamAppended) error) { m.appends = f }

// Hint spares decoding the message of the next record, if that is an accepted
// one: it is the message the record was made from, and where it goes in its flat form.
// The machine keeps both.
func (m *Machine) Hint(msg *edda.Message, addr string) { m.hint = hint{msg, addr} }

// hint is what is known of the next record. The zero value is nothing.
type hint struct {
	msg  *edda.Message
	addr string
}

// Effects returns what the records since the last call brought about. The slice
// is valid until the next record is applied.
func (m *Machine) Effects() []Effect {
	e := m.effects
	if len(e) < m.taken {
		clear(e[len(e):m.taken]) // so that they hold on to nothing
	}
	m.taken = len(e)
	m.effects = e[:0]
	return e
}

// Bytes is about how much memory the unfinished requests take.
func (m *Machine) Bytes() int { return m.bytes }

// Apply changes the state by one record. A slot that was reserved for it is used
// or spared, exactly once: with each record that has record.FlagStart, and with
// each dispatched one, there comes one effect Dispatch or one Spare. What becomes of
// slots that are reserved for steps is up to Steps; a completed record that came too
// late uses none of them.
func (m *Machine) Apply(r record.Record) error {
	if err := m.apply(r); err != nil {
		return err
	}
	return m.tell()
}

func (m *Machine) apply(r record.Record) error {
	start := r.Flags&record.FlagStart != 0
	known := m.hint
	m.hint = hint{}
	switch r.Type {
	case record.TypeAccepted:
		return m.applyAccepted(r, known, start)
	case record.TypeCompleted:
		return m.applyCompleted(r, start)
	case record.TypeDispatched:
		var d record.Dispatched
		if err := d.Decode(r.Body); err != nil {
			return err
		}
		if req := m.open[d.Seq]; req != nil && req.Ready(m.env.Time) {
			m.dispatch(req)
		} else {
			m.effect(Spare, req)
		}
		return nil
	case record.TypeAttemptFailed:
		return m.applyAttemptFailed(r, start)
	case record.TypeEnded:
		return m.applyEnded(r, start)
	case record.TypeDue:
		var d record.Due
		if err := d.Decode(r.Body); err != nil {
			return err
		}
		if req := m.open[d.Seq]; req != nil && !req.Queued() {
			m.enqueue(req, start)
		} else {
			m.spare(start)
		}
		return nil
	case record.TypeReleased:
		return m.applyReleased(r, start)
	case record.TypeLetterRetried, record.TypeLetterDropped:
		return m.applyLetter(r, start)
	case record.TypeKeyResumed:
		return m.applyKeyResumed(r, start)
	case record.TypePart:
		return m.applyPart(r, start)
	case record.TypeStepCancelled:
		return m.applyStepCancelled(r, start)
	default:
		return fmt.Errorf("%s record is not the request machine's", r.Type)
	}
}

func (m *Machine) effect(k EffectKind, r *Request) {
	m.effects = append(m.effects, Effect{Kind: k, Request: r})
}

func (m *Machine) applyAccepted(rec record.Record, h hint, start bool) error {
	var a record.Accepted
	if err := a.Decode(rec.Body); err != nil {
		return err
	}
	if a.Origin.Number != 0 && !m.outbox.Receive(a.Origin) {
		m.spare(start)
		return nil
	}
	req, err := m.make(&a, h, m.env.Position<<seqBits)
	if err != nil {
		return err
	}
	known, mismatch, err := m.known(req, a.GivenID)
	if err != nil {
		return err
	}
	switch {
	case mismatch:
		m.effect(Mismatch, known)
	case known != nil:
		m.join(known, &a)
		m.effect(Joined, known)
	default:
		m.admit(req, a.Refused, start)
		return nil
	}
	m.spare(start)
	return nil
}

// join gives whoever asked again what they asked for.
func (m *Machine) join(known *Request, a *record.Accepted) {
	if a.Keep && !known.Keep && !known.State.Ended() {
		known.Keep = true
		m.touch(known)
	}
}

// make makes a request of an accepted record.
func (m *Machine) make(a *record.Accepted, h hint, seq uint64) (*Request, error) {
	msg := h.msg
	if msg == nil {
		msg = new(edda.Message)
		if err := msg.UnmarshalBinary(a.Message); err != nil {
			return nil, err
		}
	}
	req := &Request{
		Seq: seq, ID: msg.ID, Hash: a.Hash, Kind: a.Kind, Method: msg.Type,
		Correlation: msg.CorrelationID, Causation: msg.CausationID,
		State: edda.Accepted, AcceptedAt: m.env.Time, Keep: a.Keep,
		Message: msg, encoded: a.Message, size: uint32(len(a.Message)), fingerprint: string(a.Fingerprint), Step: a.Step,
		Delivery: a.Delivery,
	}
	if a.Message == nil {
		req.size = uint32(msg.BinarySize())
	}
	req.Principal = cmp.Or(msg.Principal, edda.Anonymous) // a hint may leave it out
	req.To = msg.To
	req.To.Namespace = cmp.Or(msg.To.Namespace, edda.DefaultNamespace)
	if req.Addr = h.addr; req.Addr == "" {
		m.flat = appendFlat(m.flat[:0], req.To, req.shard())
		m.lastAddr = same(m.lastAddr, m.flat)
		req.Addr = m.lastAddr
	}
	if msg.IdempotencyKey != "" && req.Delivery == nil { // there it is the message's id
		req.scope = Scope(req.To, req.Principal, msg.IdempotencyKey)
	}
	if !msg.Deadline.IsZero() {
		req.Deadline = msg.Deadline.UnixNano()
	}
	if !msg.Due.IsZero() {
		req.Due = msg.Due.UnixNano()
	}
	return req, nil
}

// FlatAddress returns an address as one string: namespace, service and key with
// zero bytes between, which none of them can hold.
func FlatAddress(a edda.Address) string {
	return cmp.Or(a.Namespace, edda.DefaultNamespace) + "\x00" + a.Name + "\x00" + a.Key
}

// appendFlat appends an address in its flat form; in a shard, if one is given.
func appendFlat(b []byte, a edda.Address, shard string) []byte {
	b = append(b, cmp.Or(a.Namespace, edda.DefaultNamespace)...)
	b = append(append(b, 0), a.Name...)
	if shard != "" {
		b = append(append(b, shardMark), shard...)
	}
	return append(append(b, 0), a.Key...)
}

// Scope returns what tells idempotency keys apart. A principal may be called
// anything, so its length says where the key begins.
func Scope(a edda.Address, p edda.Principal, key string) string {
	b := make([]byte, 0, len(a.Namespace)+len(a.Name)+len(a.Key)+len(p)+len(key)+16)
	b = append(appendFlat(b, a, ""), 0)
	b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	return string(append(b, key...))
}

// known returns the request that the new one repeats, if there is one. It is a
// mismatch when the two are not meant to be the same after all.
func (m *Machine) known(req *Request, givenID bool) (known *Request, mismatch bool, err error) {
	if req.scope != "" {
		known, err = m.ByScope(req.scope, m.env.Time)
		if err != nil || known != nil {
			return known, known != nil && known.fingerprint != req.fingerprint, err
		}
	}
	if known = m.byID[req.ID]; known == nil && givenID {
		known, err = m.endedRow(req.ID)
	}
	switch {
	case err != nil || known == nil:
		return nil, false, err
	case known.expired(m.env.Time):
		m.forgetEnded(known) // the new one takes its place
		return nil, false, nil
	case known.State.Ended() && !givenID:
		return nil, false, nil
	}
	return known, known.Addr != req.Addr || known.Principal != req.Principal, nil
}

// admit takes in a new request.
func (m *Machine) admit(req *Request, refused record.Failure, start bool) {
	m.open[req.Seq] = req
	m.byID[req.ID] = req
	if req.scope != "" {
		m.scope[req.scope] = req
	}
	m.bytes += req.memory()
	m.touch(req)
	m.effect(Accepted, req)
	switch {
	case refused.Reason != "":
		m.end(req, edda.StateDead, refused, 0)
		m.spare(start)
	case req.Due > m.env.Time:
		m.spare(start)
		m.effect(Arm, req)
	default:
		m.enqueue(req, start)
	}
}

// overhead is about what a request takes in memory beside its message and parts.
const overhead = 512

func (r *Request) memory() int {
	if r.Message == nil && r.encoded == nil {
		return overhead + r.parts.memory()
	}
	return overhead + int(r.size) + r.parts.memory()
}

// touch marks a request as changed since the last checkpoint.
func (m *Machine) touch(req *Request) {
	if req.dirty == 0 {
		m.dirty = append(m.dirty, req)
		req.dirty = uint32(len(m.dirty))
	}
}

// untouch is the inverse of touch.
func (m *Machine) untouch(req *Request) {
	if req.dirty == 0 {
		return
	}
	last := len(m.dirty) - 1
	m.dirty[req.dirty-1] = m.dirty[last]
	m.dirty[req.dirty-1].dirty = req.dirty
	m.dirty[last] = nil
	m.dirty = m.dirty[:last]
	req.dirty = 0
}

// enqueue puts a request whose time has come at the end of its key's queue.
func (m *Machine) enqueue(req *Request, start bool) {
	req.order = m.env.Position
	req.Due = 0
	m.touch(req)
	if req.Kind == edda.Ordered {
		m.keyOf(req).push(req)
	}
	m.startOrWait(req, start)
}

// keyOf returns the queue of the request's key.
func (m *Machine) keyOf(req *Request) *Key {
	k := m.keys[req.Addr]
	if k == nil {
		k = &Key{Address: req.To, Shard: req.shard(), addr: req.Addr}
		m.keys[req.Addr] = k
	}
	return k
}

// startOrWait starts the request if it may start and a slot is reserved.
func (m *Machine) startOrWait(req *Request, start bool) {
	switch ready := req != nil && req.Ready(m.env.Time); {
	case ready && start:
		m.dispatch(req)
	case ready:
		m.effect(Ready, req)
	default:
		m.spare(start)
	}
}

// spare gives back a slot if one was reserved.
func (m *Machine) spare(reserved bool) {
	if reserved {
		m.effect(Spare, nil)
	}
}

func (m *Machine) dispatch(req *Request) {
	m.fence = max(m.fence+1, m.env.Epoch<<32)
	req.Fence, req.State, req.Due = m.fence, edda.Dispatched, 0
	req.Attempts++
	if req.StartedAt == 0 {
		req.StartedAt = m.env.Time
	}
	m.touch(req)
	m.effects = append(m.effects, Effect{Kind: Dispatch, Request: req, Fence: req.Fence})
}

// uncount takes back what dispatch has counted.
func (r *Request) uncount() {
	if r.Attempts--; r.Attempts == 0 {
		r.StartedAt = 0
	}
}

// Key returns the queue of a key; nil when it is empty and not stopped.
func (m *Machine) Key(a edda.Address) *Key { return m.keys[FlatAddress(a)] }

// KeyAt is Key for an address in its flat form.
func (m *Machine) KeyAt(flat string) *Key { return m.keys[flat] }

// KeyOf returns the queue that a request is in, or will be once its time has come; nil
// when that is empty and not stopped, and for one of a balanced service.
func (m *Machine) KeyOf(r *Request) *Key {
	if r.Kind == edda.Balanced {
		return nil
	}
	return m.keys[r.Addr]
}

// View returns the state of a request's key as it is now.
func (m *Machine) View(req *Request) keystate.View { return m.state.View(req.Addr) }

// ViewAt is View for a key whose address is given in its flat form.
func (m *Machine) ViewAt(flat string) keystate.View { return m.state.View(flat) }

// service reports whether a flat address belongs to a service.
func service(addr, namespace, name string) bool {
	rest, ok := strings.CutPrefix(addr, namespace)
	if !ok {
		return false
	}
	rest, ok = strings.CutPrefix(rest, "\x00"+name)
	return ok && rest != "" && (rest[0] == 0 || rest[0] == shardMark)
}
