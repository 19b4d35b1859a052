package reqhead

import (
	"strings"
	"testing"
	"time"
)

func TestParsePrefer(t *testing.T) {
	wait := func(n int) Preferences { return Preferences{HasWait: true, Wait: time.Duration(n) * time.Second} }
	async := Preferences{Async: true}
	both := Preferences{Async: true, HasWait: true, Wait: 5 * time.Second}
	for _, tc := range []struct {
		values string // separated by |
		want   Preferences
	}{
		{"", Preferences{}},
		{"respond-async", async},
		{"Respond-Async", async},
		{"respond-async; foo=1", async},
		{`respond-async=""`, async},
		{"respond-async=yes", Preferences{}},
		{"wait=5", wait(5)},
		{"parts", Preferences{Parts: true}},
		{"parts=2", Preferences{}},
		{"WAIT = 5", wait(5)},
		{`wait="5"`, wait(5)},
		{"wait=005", wait(5)},
		{"wait=0", wait(0)},
		{"wait=600", wait(600)},
		{"wait=601", Preferences{}},
		{"wait=-1", Preferences{}},
		{"wait=+1", Preferences{}},
		{"wait=1.5", Preferences{}},
		{"wait=5s", Preferences{}},
		{"wait=", Preferences{}},
		{"wait", Preferences{}},
		{`wait="5`, Preferences{}},
		{`wait="5"x`, Preferences{}},
		{"wait=99999999999999999999999", Preferences{}},
		{"respond-async, wait=5", both},
		{"respond-async,wait=5", both},
		{"wait=5|respond-async", both},
		{"wait=5, wait=7", wait(5)},
		{"wait=x, wait=7", wait(7)},
		{`foo="a, respond-async", wait=5`, wait(5)},
		{`foo="a\", respond-async`, Preferences{}},
		{`foo; x="a,wait=9"; y, wait=5`, wait(5)},
		{",,, wait=5 ,,", wait(5)},
		{"return=minimal, handling=lenient, respond-async", async},
		{`=,;,"`, Preferences{}},
	} {
		if got := parsePrefer(strings.Split(tc.values, "|")); got != tc.want {
			t.Errorf("Prefer: %s: got %+v, want %+v", tc.values, got, tc.want)
		}
	}
}

func TestAcceptsEvents(t *testing.T) {
	for accept, want := range map[string]bool{
		"text/event-stream":                       true,
		"Text/Event-Stream":                       true,
		"application/json, text/event-stream":     true,
		"text/event-stream;q=0.5":                 true,
		"text/event-stream; charset=utf-8; q=1":   true,
		"text/event-stream;q=0":                   false,
		"text/event-stream; q=0.000":              false,
		"*/*":                                     false,
		"text/*":                                  false,
		"":                                        false,
		"text/event-streams":                      false,
		`application/json;x="text/event-stream"`:  false,
		`application/json;x=",text/event-stream"`: false,
	} {
		if got := AcceptsEvents([]string{"application/json", accept}); got != want {
			t.Errorf("Accept: %s: got %t, want %t", accept, got, want)
		}
	}
}
