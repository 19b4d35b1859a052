package httpgw

import (
	"github.com/edda-io/edda/gateway/internal/httpio"

	"strings"
	"testing"
)

func TestIdempotencyKey(t *testing.T) {
	long := strings.Repeat("k", 255)
	for _, tc := range []struct{ value, want string }{
		{"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
		{`"8e03978e"`, "8e03978e"},
		{`"a \"b\" \\c"`, `a "b" \c`},
		{`"a"; p=1`, "a"},
		{"order 1,2", "order 1,2"},
		{long, long},
		{`"` + long + `"`, long},
		{"", ""},
		{`""`, ""},
		{`"`, ""},
		{`"a`, ""},
		{`"a\"`, ""},
		{`"a\n"`, ""},
		{`"a" b`, ""},
		{`a"b`, ""},
		{"é", ""},
		{"a\tb", ""},
		{"\xff", ""},
		{long + "k", ""},
		{`"` + long + `k"`, ""},
	} {
		got, err := httpio.IdempotencyKey(tc.value)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("Idempotency-Key: %s: got %q, %v, want %q", tc.value, got, err, tc.want)
		}
		if err != nil && !strings.Contains(err.Error(), "Idempotency-Key") {
			t.Errorf("Idempotency-Key: %s: the header is not named: %v", tc.value, err)
		}
	}
}

func TestTrace(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, tc := range []struct {
		name, parent, state string // several values are separated by |
		flags, wantState    string // no flags: a new trace
	}{
		{"sampled", "00-" + id + "-" + span + "-01", "a=1,b=2", "01", "a=1,b=2"},
		{"not sampled", "00-" + id + "-" + span + "-00", "", "00", ""},
		{"unknown flags", "00-" + id + "-" + span + "-ff", "", "03", ""},
		{"later version", "01-" + id + "-" + span + "-01-more", "a=1|b=2", "01", "a=1,b=2"},
		{"later version, same length", "cc-" + id + "-" + span + "-01", "", "01", ""},
		{"later version, badly ended", "01-" + id + "-" + span + "-01.more", "", "", ""},
		{"version 00 is never longer", "00-" + id + "-" + span + "-01-more", "a=1", "", ""},
		{"version ff", "ff-" + id + "-" + span + "-01", "a=1", "", ""},
		{"upper case", "00-" + strings.ToUpper(id) + "-" + span + "-01", "", "", ""},
		{"zero trace", "00-" + strings.Repeat("0", 32) + "-" + span + "-01", "", "", ""},
		{"zero span", "00-" + id + "-" + strings.Repeat("0", 16) + "-01", "", "", ""},
		{"short", "00-" + id, "a=1", "", ""},
		{"empty", "", "", "", ""},
		{"two", "00-" + id + "-" + span + "-01|00-" + id + "-" + span + "-01", "a=1", "", ""},
		{"bad flags", "00-" + id + "-" + span + "-0g", "", "", ""},
		{"state with spaces", "00-" + id + "-" + span + "-01", "a@b/c=1 , ,d-*_=2", "01", "a@b/c=1 , ,d-*_=2"},
		{"state with a bad key", "00-" + id + "-" + span + "-01", "A=1", "01", ""},
		{"state without a value", "00-" + id + "-" + span + "-01", "a", "01", ""},
		{"state too long", "00-" + id + "-" + span + "-01", "a=" + strings.Repeat("x", 511), "01", ""},
		{"state of too many", "00-" + id + "-" + span + "-01", strings.Repeat("a=1,", 32) + "b=1", "01", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			parent, state := httpio.TraceContext(strings.Split(tc.parent, "|"), strings.Split(tc.state, "|"))
			if !httpio.ValidTraceParent(parent) {
				t.Fatalf("got %q, which is invalid", parent)
			}
			if state != tc.wantState {
				t.Errorf("got state %q, want %q", state, tc.wantState)
			}
			if parent[36:52] == span {
				t.Errorf("got %q, want a span of the node's own", parent)
			}
			if same := parent[3:35] == id; same != (tc.flags != "") {
				t.Errorf("got trace %q, want the caller's: %v", parent[3:35], tc.flags != "")
			}
			if tc.flags != "" && parent[53:] != tc.flags {
				t.Errorf("got flags %q, want %q", parent[53:], tc.flags)
			}
		})
	}
}
