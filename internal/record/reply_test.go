package record

import (
	"testing"

	"github.com/edda-io/edda"
)

func TestReadReplyReadsWhatTheReplySays(t *testing.T) {
	for _, reply := range []edda.Reply{
		{},
		{Payload: []byte("ok")},
		{Status: 404, ContentType: "text/plain"},
		{Status: 201, ContentType: "application/json", Payload: []byte("{}"), Headers: edda.Headers{{Name: "A", Value: "b"}}},
	} {
		b, err := reply.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ReadReply(b)
		if err != nil || h.Status != reply.EffectiveStatus() || string(h.ContentType) != reply.ContentType || h.Size != len(reply.Payload) ||
			string(h.Payload) != string(reply.Payload) {
			t.Errorf("%+v reads as %+v, %v", reply, h, err)
		}
	}
	if h, err := ReadReply(nil); err != nil || h.Status != 204 {
		t.Errorf("nothing reads as %+v, %v", h, err)
	}
	if _, err := ReadReply([]byte{0xff}); err == nil {
		t.Error("malformed fields are taken")
	}
}
