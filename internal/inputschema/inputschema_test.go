package inputschema_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/inputschema"
)

type embedded struct{ Raw json.RawMessage }

// A schema takes what the type reads, also when that is not what its fields look like.
func TestOfTakesWhatTheTypeReads(t *testing.T) {
	type everything struct {
		embedded

		ID     edda.ID
		IDs    []edda.ID
		ByAddr map[netip.Addr]*netip.Addr
		At     time.Time
		Bytes  []byte
		Raw    json.RawMessage
	}
	v := everything{
		embedded: embedded{Raw: json.RawMessage("[1]")},
		ID:       edda.NewID(0, time.Now()), IDs: []edda.ID{edda.NewID(0, time.Now())},
		ByAddr: map[netip.Addr]*netip.Addr{netip.IPv6Loopback(): new(netip.IPv6Loopback())},
		At:     time.Now(), Bytes: []byte("x"), Raw: json.RawMessage("{}"),
	}
	for _, c := range []struct {
		of   reflect.Type
		form string
		fits bool
	}{
		{reflect.TypeFor[everything](), string(edda.JSON(v)), true},
		{reflect.TypeFor[edda.ID](), `"x"`, true},
		{reflect.TypeFor[edda.ID](), `[1,2,3]`, false},
		{reflect.TypeFor[netip.Addr](), `{}`, false},
		{reflect.TypeFor[embedded](), `{"Raw":7}`, true},
		{reflect.TypeFor[embedded](), `[]`, false},
	} {
		s, err := inputschema.Of(c.of)
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := s.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		var payload any
		if err := json.Unmarshal([]byte(c.form), &payload); err != nil {
			t.Fatal(err)
		}
		if err := resolved.Validate(payload); (err == nil) != c.fits {
			t.Errorf("%s for a %s: got %v, want it to fit: %v", c.form, c.of, err, c.fits)
		}
	}
}
