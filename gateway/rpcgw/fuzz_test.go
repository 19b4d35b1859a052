package rpcgw

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/wire"
	"github.com/edda-io/edda/node"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// script is a stream that plays messages, and keeps what is sent.
type script struct {
	grpc.ServerStream
	ctx  context.Context
	in   [][]byte
	sent chan *eddav1.NodeFrames
}

func (s *script) Context() context.Context { return s.ctx }

func (s *script) RecvMsg(m any) error {
	if len(s.in) == 0 {
		return io.EOF
	}
	in := m.(*incoming)
	in.err = proto.Unmarshal(s.in[0], &in.WorkerFrames)
	s.in = s.in[1:]
	return nil
}

func (s *script) SendMsg(m any) error {
	out := new(eddav1.NodeFrames)
	switch m := m.(type) {
	case *encoded:
		if err := proto.Unmarshal(m.bytes, out); err != nil {
			panic(err) // what is written by hand is not of the protocol
		}
	case *eddav1.NodeFrames:
		out = m
	}
	s.sent <- out
	return nil
}

func (s *script) Recv() (*eddav1.WorkerFrames, error) { return nil, errors.ErrUnsupported }
func (s *script) Send(*eddav1.NodeFrames) error       { return errors.ErrUnsupported }

// FuzzFrames plays whatever a worker may send. The node must neither panic, nor
// hang, nor lose the worker's requests: another worker can end each.
func FuzzFrames(f *testing.F) {
	seed := func(ms ...*eddav1.WorkerFrames) {
		var b []byte
		for _, m := range ms {
			e, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			b = append(b, byte(len(e)))
			b = append(b, e...)
		}
		f.Add(b)
	}
	frames := func(fs ...*eddav1.WorkerFrame) *eddav1.WorkerFrames { return &eddav1.WorkerFrames{Frames: fs} }
	register := frames(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Register{Register: &eddav1.Register{
		WorkerId: "w", Services: []*eddav1.Service{{Name: "s", Kind: eddav1.Kind_KIND_ORDERED}},
	}}})
	seed(register)
	seed(register, register)
	seed(register,
		frames(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Taken{Taken: &eddav1.Taken{AttemptIds: []uint64{1}}}}),
		frames(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_StateGet{StateGet: &eddav1.StateGet{AttemptId: 1, List: true}}},
			&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Part{Part: &eddav1.Part{AttemptId: 1, Payload: []byte("p")}}},
			&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Outcome{Outcome: &eddav1.Outcome{AttemptId: 1, Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{}}}}}))
	seed(frames(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Drain{Drain: &eddav1.Drain{}}}))
	f.Add([]byte{3, 0xff, 0xff, 0xff})

	n, err := node.Open(f.Context(), node.Options{Durability: edda.Memory, Partitions: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = n.Stop(context.Background()) })
	g, err := New(n, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), grantKey{}, &auth.Grant{Principal: edda.Anonymous, Rights: auth.Everything()}))
		defer cancel()
		s := &script{ctx: ctx, in: split(b), sent: make(chan *eddav1.NodeFrames, 1000)}
		if err := g.Work(s); err != nil && edda.ReasonOf(err) == edda.Internal {
			t.Errorf("ended with %v", err)
		}
		g.routines.Wait()
		if left := n.Workers(); len(left) != 0 {
			t.Errorf("%d workers are left", len(left))
		}
	})
}

// split cuts bytes into messages, each after its length.
func split(b []byte) (ms [][]byte) {
	for len(b) > 0 {
		n := min(int(b[0]), len(b)-1)
		ms = append(ms, b[1:1+n])
		b = b[1+n:]
	}
	return ms
}

// entries is the state of a key.
type entries []edda.StateEntry

func (es entries) Get(context.Context, string) ([]byte, bool, error) { return nil, false, nil }

func (es entries) List(context.Context, string) iter.Seq2[edda.StateEntry, error] {
	return func(yield func(edda.StateEntry, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// What is written by hand is what protobuf writes.
func TestStepIsOfTheProtocol(t *testing.T) {
	for _, s := range []edda.StepRef{{}, {SagaID: "trip"}, {SagaID: "trip", Undo: true}} {
		got := new(eddav1.Dispatch)
		if err := proto.Unmarshal(wire.AppendUint(appendStep(nil, &s), fieldTimeout, 5), got); err != nil {
			t.Fatal(err)
		}
		want := &eddav1.Dispatch{Step: &eddav1.StepRef{SagaId: s.SagaID, Undo: s.Undo}, AttemptTimeout: 5}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// What a worker says of a step is what the node gets, whatever the result is.
func TestOutcomeOfAStep(t *testing.T) {
	step := &eddav1.StepSpec{Id: "x", Task: &eddav1.Task{Service: "cars", Method: "rent"}}
	for _, o := range []*eddav1.Outcome{
		{Result: &eddav1.Outcome_Pending{Pending: true}}, {Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{}}},
	} {
		o.AddSteps = []*eddav1.StepSpec{step}
		o.Set, o.Delete = []*eddav1.StateEntry{{Name: "a"}}, []string{"b"}
		o.Sends = []*eddav1.Message{{Service: "s", Type: "m"}}
		out, err := outcomeOf(o)
		if err != nil || out.Pending != o.GetPending() || (out.Reply == nil) != out.Pending || len(out.Set) != 1 || len(out.Delete) != 1 || len(out.Sends) != 1 ||
			len(out.Steps) != 1 || out.Steps[0].Service != "cars" {
			t.Errorf("%v is read as %+v, %v", o, out, err)
		}
	}
}

// What is written by hand is what protobuf writes.
func TestStateIsOfTheProtocol(t *testing.T) {
	state := entries{{Name: "", Value: []byte{}}, {Name: "a", Value: []byte("1")}, {Name: "b", Value: bytes.Repeat([]byte{2}, 40<<10)}}
	want := &eddav1.State{}
	for _, e := range state {
		want.Entries = append(want.Entries, &eddav1.StateEntry{Name: e.Name, Value: e.Value})
	}
	for _, extra := range []int{0, 30 << 10} {
		if extra > 0 {
			state = append(state, edda.StateEntry{Name: "c", Value: make([]byte, extra)})
			want.Partial = true
		}
		b, err := appendState(t.Context(), nil, state)
		if err != nil {
			t.Fatal(err)
		}
		got := new(eddav1.State)
		if err := proto.Unmarshal(b, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if _, err := appendState(t.Context(), nil, entries{{Name: "\xff"}}); err == nil {
		t.Error("a name that is not UTF-8 was written")
	}
}
