package eddaproto_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddaproto"
	"github.com/edda-io/edda/node"
)

// double returns a service whose method twice doubles a duration's seconds.
func double() *edda.Service {
	s := edda.NewBalanced("double")
	eddaproto.Handle(s, "twice", func(_ *edda.Context, in *durationpb.Duration) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(2 * in.GetSeconds()), nil
	})
	return s
}

func TestFormats(t *testing.T) {
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 1, Services: []*edda.Service{double()}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop(t.Context())
	binary, err := proto.Marshal(durationpb.New(21e9))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, contentType string
		payload           []byte
		want              string
		reason            edda.Reason
	}{
		{"binary", "application/protobuf", binary, "application/protobuf \b*", ""},
		{"JSON", "application/json", []byte(`"21s"`), `application/json "42"`, ""},
		{"no content type", "", []byte(`"21s"`), `application/json "42"`, ""},
		{"empty", "application/protobuf", nil, "application/protobuf ", ""},
		{"not the message", "application/json", []byte(`{"a":1}`), "", edda.BadSchema},
		{"not binary", "application/protobuf", []byte("\xff"), "", edda.BadSchema},
		{"another format", "text/plain", []byte(`"21s"`), "", edda.BadMediaType},
	} {
		r, err := n.Client().Call(t.Context(), &edda.Message{
			To: edda.Address{Name: "double"}, Type: "twice", ContentType: c.contentType, Payload: c.payload,
		})
		if got := edda.ReasonOf(err); got != c.reason {
			t.Errorf("%s: got reason %q (%v), want %q", c.name, got, err, c.reason)
			continue
		}
		if err != nil {
			continue
		}
		if got := fmt.Sprintf("%s %s", r.ContentType, r.Payload); got != c.want || r.Status != 200 {
			t.Errorf("%s: got %d %q, want 200 %q", c.name, r.Status, got, c.want)
		}
	}
}
