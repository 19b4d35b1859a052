package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

var rewrite = flag.Bool("rewrite", false, "write what was seen into testdata")

// lease is what a member of a group has on a message.
var lease = regexp.MustCompile(`[A-Za-z0-9._]{22}A[A-Za-z0-9._]{9}`)

// scrubbed is what differs from run to run.
var scrubbed = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "URL"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`(\d+ms|[\d.]+[smh]) ago`), "AGE"},
	{regexp.MustCompile(`\bin (\d+ms|[\d.]+[smh])`), "SOON"},
	{regexp.MustCompile(`("position": "|position +)[^"\n]+`), "${1}POSITION"},
	{regexp.MustCompile(`("inFlight": |"queued": |in flight +|queued +)\d+`), "${1}N"},
	{regexp.MustCompile(`"from":"p[A-Za-z0-9_-]+"`), `"from":"POINT"`},
	{regexp.MustCompile(`--from p[A-Za-z0-9_-]+`), "--from POINT"},
	{regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`), "SECRET"},
	{regexp.MustCompile(`(?m)(after |within |for |AGE +|<br/>)(?:<|#lt;)?[\d.]+m?s($|[ ";])`), "${1}TOOK$2"},
	{regexp.MustCompile(`<?[\d.]+m?s +│`), "TOOK │"},
	{regexp.MustCompile(`\+<?[\d.]+m?s`), "+TOOK"},
	{regexp.MustCompile(`(?m)(took +)<?[\d.]+m?s$`), "${1}TOOK"},
	{lease, "LEASE"},
	{regexp.MustCompile(`SOON \(\d+/s\)`), "SOON (N/s)"},
	{regexp.MustCompile(`─+`), "─"}, // boxes too
	{regexp.MustCompile(`(?m)^ +([╭╰│])`), "$1"},
	{regexp.MustCompile(` +([╭╰│])`), " $1"},
	{regexp.MustCompile(`  +`), "  "}, // columns are as wide as what was scrubbed
}

// TestTranscript plays the commands in testdata against a node and compares all
// that they print. A line "$ edda …" is a command; $ID and $LEASE in it are the id and
// the lease that were printed last. Where an app of package cqrs is hosted, a line "$ sql …" is
// done to its tables. Other lines are its output, its errors behind "! ", and its exit
// code unless it is 0.
func TestTranscript(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want), strings.HasPrefix(filepath.Base(file), "cqrs"))
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// play runs the commands of a script and returns it with what they print.
func play(t *testing.T, script string, hosts bool) []byte {
	t.Helper()
	node := dev(t, "--example", "--dir", filepath.Join(t.TempDir(), "data"))
	var hosted *cqrsApp
	if hosts {
		hosted = hostApp(t, node.url, "shop")
	}
	id, held := "", ""
	var b bytes.Buffer
	for line := range strings.Lines(script) {
		text, isCommand := strings.CutPrefix(line, "$ edda ")
		switch {
		case strings.HasPrefix(line, "#"):
			fmt.Fprintf(&b, "\n%s", line)
			continue
		case strings.HasPrefix(line, "$ sql "):
			hosted.tamper(strings.TrimPrefix(line, "$ sql "))
			fmt.Fprint(&b, line)
			continue
		case !isCommand:
			continue
		}
		fmt.Fprint(&b, line)
		args := split(strings.NewReplacer("$ID", id, "$LEASE", held).Replace(strings.TrimSpace(text)))
		r := command(t, []string{"EDDA_URL=" + node.url}, "from stdin", args...)
		if found := scrubbed[1].pattern.FindString(r.out + r.errOut); found != "" {
			id = found
		}
		if found := lease.FindString(r.out); found != "" {
			held = found
		}
		fmt.Fprint(&b, scrub(r.out))
		for errLine := range strings.Lines(scrub(r.errOut)) {
			fmt.Fprint(&b, "! ", errLine)
		}
		if r.code != cli.ExitDone {
			fmt.Fprintf(&b, "[exit %d]\n", r.code)
		}
		if hosted != nil {
			hosted.settle()
		}
	}
	return bytes.TrimLeft(b.Bytes(), "\n")
}

func scrub(s string) string {
	for _, e := range scrubbed {
		s = e.pattern.ReplaceAllString(s, e.text)
	}
	return s
}

// split parts a command line at spaces outside of single quotes.
func split(s string) []string {
	var args []string
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	return args
}
