package logcmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/cmd/edda/internal/logcmd"
	"github.com/edda-io/edda/cmd/edda/internal/requestcmd"
	"github.com/edda-io/edda/cmd/edda/internal/sagacmd"
	"github.com/edda-io/edda/cmd/edda/internal/streamcmd"
	"github.com/edda-io/edda/examples"
)

var commands = clitest.Commands{logcmd.New, requestcmd.Call, sagacmd.New, streamcmd.New}

// written makes a data directory with one call in it.
func written(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	node := clitest.OpenNode(t, dir, examples.Services()...)
	commands.OK(t, node.URL, "", "call", "counter/c", "add", `{"n":1}`)
	node.Stop(t)
	return dir
}

func TestLogDump(t *testing.T) {
	dir := written(t)
	r := commands.Run(t, nil, "", "log", "dump", dir)
	for _, want := range []string{"accepted", "counter/c add from anonymous, payload 7 B", "completed", "ordered counter"} {
		if r.Code != cli.ExitDone || !strings.Contains(r.Out, want) {
			t.Errorf("exit code %d, no %q in\n%s%s", r.Code, want, r.Out, r.ErrOut)
		}
	}
	if want := "PART POSITION  TIME                         TYPE                     SIZE WHAT\n"; !strings.HasPrefix(r.Out, want) {
		t.Errorf("got\n%.200s\nwant it to begin with\n%s", r.Out, want)
	}
	r = commands.Run(t, nil, "", "log", "dump", filepath.Join(dir, "log"), "--json", "--partition", "0")
	if r.Code != cli.ExitDone || !strings.Contains(r.Out, `"partition":0,`) || strings.Contains(r.Out, `"partition":1,`) || strings.Contains(r.Out, "POSITION") {
		t.Errorf("exit code %d, not only partition 0 in\n%s%s", r.Code, r.Out, r.ErrOut)
	}
}

func TestLogDumpOfNoPartition(t *testing.T) {
	dir := written(t)
	for _, p := range []string{"-1", "64", "99"} {
		r := commands.Run(t, nil, "", "log", "dump", dir, "--partition", p)
		if want := "--partition is " + p + ", must be 0 to 63"; r.Code != cli.ExitUsage || r.Out != "" || !strings.Contains(r.ErrOut, want) {
			t.Errorf("got exit code %d and %q, want %d and %q", r.Code, r.ErrOut, cli.ExitUsage, want)
		}
	}
	if r := commands.Run(t, nil, "", "log", "dump", dir, "--partition", "63"); r.Code != cli.ExitDone || r.Out == "" {
		t.Errorf("got %+v, want the records of the last partition", r)
	}
}

// Of each record of a saga the dump says what it is about.
func TestLogDumpOfSagas(t *testing.T) {
	dir := t.TempDir()
	node := clitest.OpenNode(t, dir, examples.Services()...)
	edda := func(stdin string, args ...string) {
		t.Helper()
		commands.OK(t, node.URL, stdin, args...)
	}
	edda("", "call", "flights/LH1", "open", `{"places":5}`)
	edda(`{"name":"trip","steps":[{"id":"flight","service":"flights","key":"LH1","method":"book","args":[2]}]}`, "sagas", "start", "-", "--id", "t1", "--hold")
	edda(`{"id":"nap","service":"slow","method":"nap","after":["flight"]}`, "sagas", "add", "t1", "-")
	edda("", "sagas", "cancel", "t1")
	edda("", "sagas", "prune", "t1")
	edda(`{"name":"trip","steps":[{"id":"flight","service":"flights","key":"LH1","method":"book","args":[2]}]}`, "sagas", "start", "-", "--id", "t2", "--wait")
	node.Stop(t)
	r := commands.Run(t, nil, "", "log", "dump", dir)
	for _, want := range []string{
		"saga t1 trip from anonymous, 1 steps, not started", "saga t1, 1 steps\n", "saga t1 CANCELLED\n", "saga-removed", "saga t1\n",
		"saga t2 trip from anonymous, 1 steps\n", "flights/LH1 book from anonymous, payload", "B, saga t2 step 0\n", "saga t2 step 0 succeeded, attempts 1\n",
	} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("no %q in\n%s%s", want, r.Out, r.ErrOut)
		}
	}
}

// Of each record of a stream and of a group the dump says what it is about.
func TestLogDumpOfStreams(t *testing.T) {
	dir := t.TempDir()
	node := clitest.OpenNode(t, dir)
	for _, args := range []string{
		"create orders --shard default --shard eu --retain-age 72h --retain-count 9", "append orders x --shard eu", "append orders y --expect none",
		"append orders z --expect 0", "groups create orders mail --from start", "groups read orders mail --member m --ack",
		"groups reset orders mail --to end --shard eu", "groups rm orders mail --yes", "trim orders --before 1", "trim orders --before 1h", "rm orders --yes",
		"append orders w --namespace other", "append orders n --namespace other --producer relay --number 7",
	} {
		commands.OK(t, node.URL, "", append([]string{"streams"}, strings.Fields(args)...)...)
	}
	node.Stop(t)
	r := commands.Run(t, nil, "", "log", "dump", dir)
	for _, want := range []string{
		"stream orders shards default, eu keeps 72h, 9 messages\n", "stream orders shard eu, 1 message, ", " B, if it is empty\n", " B, if the last offset is 0\n",
		"group orders/mail from start\n", "group orders/mail shard eu to end\n", "group-removed", "group orders/mail\n", "stream orders before 1\n",
		"stream orders before 20", "stream-removed", "stream orders\n", "stream other:orders, 1 message, ", ", relay's numbers 7 to 7\n",
	} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("no %q in\n%s%s", want, r.Out, r.ErrOut)
		}
	}
}

func TestLogVerify(t *testing.T) {
	dir := written(t)
	if r := commands.Run(t, nil, "", "log", "verify", dir); r.Code != cli.ExitDone || !strings.Contains(r.Out, "no damage") {
		t.Fatalf("got %+v, want no damage", r)
	}
	flipFirst(t, filepath.Join(dir, "log"), `{"n":1}`)
	if r := commands.Run(t, nil, "", "log", "verify", dir); r.Code != cli.ExitFailed || !strings.Contains(r.Out, "damage in ") {
		t.Errorf("got %+v, want damage", r)
	}
	r := commands.Run(t, nil, "", "log", "verify", dir, "--json")
	if r.Code != cli.ExitFailed || !strings.Contains(r.Out, `"damage": [`) || !strings.Contains(r.Out, `"segment": `) {
		t.Errorf("got %+v, want damage as JSON", r)
	}
	if r := commands.Run(t, nil, "", "log", "verify", filepath.Join(dir, "nowhere")); r.Code != cli.ExitFailed {
		t.Errorf("got %+v, want a failure", r)
	}
}

// flipFirst flips a bit of the text where it first stands in the directory's files.
func flipFirst(t *testing.T, dir, text string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(b), text); at >= 0 {
			b[at] ^= 1
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%q is in none of %v", text, files)
}
