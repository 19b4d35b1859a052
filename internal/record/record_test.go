package record

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

func TestParseRefusesLaterReleases(t *testing.T) {
	good := appendBody(TypeDue, &Due{Seq: 1})
	for _, c := range []struct{ typ, version byte }{{0, 1}, {37, 1}, {255, 1}, {1, 0}, {1, 2}, {1, 255}, {27, 3}, {4, 3}} {
		b := slices.Clone(good)
		b[0], b[1] = c.typ, c.version
		_, err := Parse(b)
		u, ok := errors.AsType[*UnknownError](err)
		if !ok || u.Type != Type(c.typ) || u.Version != c.version {
			t.Errorf("type %d version %d: %v", c.typ, c.version, err)
		}
	}
	for n := range HeaderBytes {
		_, err := Parse(good[:n])
		if _, unknown := errors.AsType[*UnknownError](err); err == nil || unknown {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if r, err := Parse(good[:HeaderBytes]); err != nil || len(r.Body) != 0 {
		t.Errorf("a header alone: %+v, %v", r, err)
	}
}

func TestTypesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, typ := range types() {
		if seen[typ.String()] || newBody(typ) == nil {
			t.Errorf("type %d has the name %q, and the body %v", typ, typ, newBody(typ))
		}
		seen[typ.String()] = true
	}
	if got := Type(200).String(); got != "type-200" {
		t.Errorf("type 200 is %q", got)
	}
}

func TestStampKeepsTheRest(t *testing.T) {
	b := appendBody(TypeDue, &Due{Seq: 1})
	Stamp(b, 0x8001, -5)
	r, err := Parse(b)
	if err != nil || r.Flags != 0x8001 || r.Time != -5 || r.Type != TypeDue {
		t.Errorf("%+v, %v", r, err)
	}
	var d Due
	if err := d.Decode(r.Body); err != nil || d.Seq != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestKeepUntilIsAddedLater(t *testing.T) {
	c := Completed{Seq: 1, Fence: 2, Reply: []byte("r")}
	var got Completed
	if err := got.Decode(AppendKeepUntil(c.AppendTo(nil), 77)[HeaderBytes:]); err != nil || got.KeepUntil != 77 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStartsAreAddedLater(t *testing.T) {
	c := Completed{Seq: 1, Fence: 2}
	var got Completed
	if err := got.Decode(AppendStarts(c.AppendTo(nil), []uint32{3, 4})[HeaderBytes:]); err != nil || !slices.Equal(got.Starts, []uint32{3, 4}) {
		t.Errorf("%+v, %v", got, err)
	}
	e := StepEnded{State: edda.StateFailed}
	d := AppendDelivery(nil, TypeStepEnded, e.AppendBody(nil), Origin{From: 1, Number: 4})
	var ended StepEnded
	if err := ended.Decode(AppendStepStarts(d, []uint32{5})[HeaderBytes:]); err != nil || !slices.Equal(ended.Starts, []uint32{5}) ||
		ended.Origin != (Origin{From: 1, Number: 4}) {
		t.Errorf("%+v, %v", ended, err)
	}
}

// Whatever bytes there are, decoding does not panic; and what can be decoded is
// encoded to what decodes to the same.
func FuzzDecode(f *testing.F) {
	for _, typ := range types() {
		f.Add(appendBody(typ, full(typ)))
	}
	for name, v := range stepForms() {
		typ := TypeAccepted
		if strings.HasPrefix(name, TypeCompleted.String()) {
			typ = TypeCompleted
		}
		f.Add(appendBody(typ, v))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		v := newBody(r.Type)
		if v.Decode(r.Body) != nil {
			return
		}
		again := newBody(r.Type)
		if err := again.Decode(appendBody(r.Type, v)[HeaderBytes:]); err != nil {
			t.Fatalf("%+v: encoded, it is refused: %v", v, err)
		}
		if v, again := plain(normal(v)), plain(normal(again)); !reflect.DeepEqual(v, again) {
			t.Fatalf("%+v\nis encoded to\n%+v", v, again)
		}
	})
}

// normal takes off what encoding leaves out because it says nothing.
func normal(v body) body {
	origin := func(o *Origin) {
		if o.Number == 0 {
			*o = Origin{}
		}
	}
	values := func(all [][]byte) {
		for i := range all {
			all[i] = append([]byte{}, all[i]...)
		}
	}
	switch v := v.(type) {
	case *Accepted:
		origin(&v.Origin)
	case *Completed:
		values(v.Added)
		for i := range v.Sends {
			origin(&v.Sends[i].Origin)
		}
		for i := range v.Appends {
			origin(&v.Appends[i].Origin)
			values(v.Appends[i].Messages)
		}
	case *StreamAppended:
		origin(&v.Origin)
		values(v.Messages)
	case *StreamSet:
		if v.Shards = slices.DeleteFunc(v.Shards, func(s string) bool { return s == "" }); len(v.Shards) == 0 {
			v.Shards = nil
		}
	case *ChannelSet:
		for i := range v.From {
			if p := slices.DeleteFunc(v.From[i].Patterns, func(s string) bool { return s == "" }); len(p) == 0 {
				v.From[i].Patterns = nil
			} else {
				v.From[i].Patterns = p
			}
		}
	case *ServiceChanged:
		origin(&v.Origin)
	case *SagaCreated:
		values(v.Steps)
	case *SagaStepsAdded:
		values(v.Steps)
	case *StepEnded:
		origin(&v.Origin)
		values(v.Added)
	case *StepCancelled:
		origin(&v.Origin)
	case *ServiceSet:
		v.Methods = slices.DeleteFunc(v.Methods, func(m string) bool { return m == "" })
		if len(v.Methods) == 0 {
			v.Methods = nil
		}
	}
	return v
}

func BenchmarkDecode(b *testing.B) {
	id := edda.ID{1}
	msg, _ := (&edda.Message{ID: id, Type: "m", To: edda.Address{Name: "users", Key: "42"}, Payload: make([]byte, 256)}).AppendBinary(nil)
	accepted := (&Accepted{Hash: 1, Kind: edda.Ordered, Message: msg}).AppendTo(nil)[HeaderBytes:]
	completed := (&Completed{Seq: 1 << 20, Fence: 1 << 33, Reply: wire.AppendUint(nil, 1, 200)}).AppendTo(nil)[HeaderBytes:]
	b.Run("accepted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var a Accepted
			if err := a.Decode(accepted); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("completed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var c Completed
			if err := c.Decode(completed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The page of the format lists every type.
func TestDocsListEveryType(t *testing.T) {
	page, err := os.ReadFile("../../docs/records.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range types() {
		if row := fmt.Sprintf("| %d | %s |", typ, typ); !strings.Contains(string(page), row) {
			t.Errorf("docs/records.md has no row %q", row)
		}
	}
}
