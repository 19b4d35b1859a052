package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/internal/streamjson"
)

// numbers are the lines 1 to n.
func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

// ok runs a command that must work, and returns what it printed.
func ok(t *testing.T, url, stdin string, args ...string) string {
	t.Helper()
	r := command(t, []string{"EDDA_URL=" + url}, stdin, args...)
	if r.code != cli.ExitDone {
		t.Fatalf("edda %s: got %+v", strings.Join(args, " "), r)
	}
	return r.out
}

// A table goes to a terminal only as wide as that is; who reads page after page sees its
// header once.
func TestReadAll(t *testing.T) {
	t.Parallel()
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	ok(t, node.url, numbers(1100), "streams", "append", "s", "--lines")
	got := ok(t, node.url, "", "streams", "read", "s", "--all")
	if n := strings.Count(got, "\n"); n != 1101 || strings.Count(got, "OFFSET") != 1 || !strings.HasSuffix(got, "  1100\n") {
		t.Errorf("got %d lines that end in %q, want a header and 1100 messages", n, got[len(got)-40:])
	}
	r := command(t, []string{"EDDA_URL=" + node.url}, "", "streams", "read", "s", "--limit", "1050", "--raw")
	if r.out != numbers(1050) || r.errOut != "there is more: --from 1050\n" {
		t.Errorf("got %d bytes and %q, want 1050 messages and how to go on", len(r.out), r.errOut)
	}
}

func TestPreview(t *testing.T) {
	for _, c := range []struct{ payload, want string }{
		{"hello", "hello"},
		{"\x00\x01", "2 B x/y"},
		{"\xff", "1 B x/y"},
		{strings.Repeat("ä", 3000), strings.Repeat("ä", 2048) + "…"},
		{"x" + strings.Repeat("ä", 3000), "x" + strings.Repeat("ä", 2047) + "…"},
		{strings.Repeat("\xff", 2<<20), "2 MiB x/y"},
		{strings.Repeat("\x80", 2<<20), "2 MiB x/y"},
	} {
		m := edda.StreamMessage{Payload: []byte(c.payload), ContentType: "x/y"}
		if got := preview(&m); got != c.want {
			t.Errorf("%.20q: got %.40q (%d), want %.40q (%d)", c.payload, got, len(got), c.want, len(c.want))
		}
	}
}

func TestWordsOfStreams(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{cursor(map[string]uint64{"default": 4}), "4"}, {cursor(map[string]uint64{"eu": 4}), "eu:4"}, {cursor(nil), ""},
		{cursor(map[string]uint64{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}), "a:1 b:2 c:3 and 2 more"},
		{keeps(nil), "everything"}, {keeps(&streamjson.Retention{Age: "1h0m0s", Count: 1, Bytes: 1 << 20}), "1h, 1 message, 1 MiB"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestParsePlace(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]edda.From{
		"": "", "start": "start", "end": "end", "0": "0", "17": "17", "1h": "2026-11-21T08:00:00Z", "1d": "2026-11-20T09:00:00Z",
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T10:00:00.5+01:00": "2026-11-01T09:00:00.5Z",
	} {
		if got, err := parsePlace("--from", text, now); err != nil || got != want {
			t.Errorf("%q: got %q and %v, want %q", text, got, err, want)
		}
	}
}

// Of each record of a stream and of a group the dump says what it is about.
func TestLogDumpOfStreams(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	node := dev(t, "--dir", dir)
	for _, args := range []string{
		"create orders --shard default --shard eu --retain-age 72h --retain-count 9", "append orders x --shard eu", "append orders y --expect none",
		"append orders z --expect 0", "groups create orders mail --from start", "groups read orders mail --member m --ack",
		"groups reset orders mail --to end --shard eu", "groups rm orders mail --yes", "trim orders --before 1", "trim orders --before 1h", "rm orders --yes",
		"append orders w --namespace other", "append orders n --namespace other --producer relay --number 7",
	} {
		ok(t, node.url, "", append([]string{"streams"}, strings.Fields(args)...)...)
	}
	node.stop()
	r := command(t, nil, "", "log", "dump", dir)
	for _, want := range []string{
		"stream orders shards default, eu keeps 72h, 9 messages\n", "stream orders shard eu, 1 message, ", " B, if it is empty\n", " B, if the last offset is 0\n",
		"group orders/mail from start\n", "group orders/mail shard eu to end\n", "group-removed", "group orders/mail\n", "stream orders before 1\n",
		"stream orders before 20", "stream-removed", "stream orders\n", "stream other:orders, 1 message, ", ", relay's numbers 7 to 7\n",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.errOut)
		}
	}
}
