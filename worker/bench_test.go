package worker

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

var sink *edda.Message

// A dispatch as it comes over the wire, by hand and by generated code, each until
// there is an edda.Message.
func BenchmarkDispatch(b *testing.B) {
	id := edda.NewID(1, time.Unix(1, 0))
	frames := &eddav1.NodeFrames{Frames: []*eddav1.NodeFrame{{Frame: &eddav1.NodeFrame_Dispatch{Dispatch: &eddav1.Dispatch{
		AttemptId: 1, Attempt: 1, Fence: 7, Deadline: 1 << 60, State: &eddav1.State{},
		Message: &eddav1.Message{Id: id[:], Type: "deposit", Service: "accounts", Key: "ada", ContentType: "application/json", Payload: make([]byte, 256), Time: 1 << 60},
	}}}}}
	enc, err := proto.Marshal(frames)
	if err != nil {
		b.Fatal(err)
	}
	dispatch, err := proto.Marshal(frames.GetFrames()[0].GetDispatch())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("hand", func(b *testing.B) {
		s := newSession(&runner{byAddr: map[edda.Address]*hosted{{Namespace: "default", Name: "accounts"}: {}}}, nil, nil, nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.dispatch(dispatch, true); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var in eddav1.NodeFrames
			if err := proto.Unmarshal(enc, &in); err != nil {
				b.Fatal(err)
			}
			m := in.GetFrames()[0].GetDispatch().GetMessage()
			sink = &edda.Message{Type: m.GetType(), To: edda.Address{Name: m.GetService(), Key: m.GetKey()}, ContentType: m.GetContentType(), Payload: m.GetPayload()}
		}
	})
}
