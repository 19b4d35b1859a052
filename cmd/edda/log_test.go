package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// written makes a data directory with one call in it.
func written(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	node := dev(t, "--example", "--dir", dir)
	if r := command(t, []string{"EDDA_URL=" + node.url}, "", "call", "counter/c", "add", `{"n":1}`); r.code != cli.ExitDone {
		t.Fatalf("got %+v", r)
	}
	node.stop()
	return dir
}

func TestLogDump(t *testing.T) {
	dir := written(t)
	r := command(t, nil, "", "log", "dump", dir)
	for _, want := range []string{"accepted", "counter/c add from anonymous, payload 7 B", "completed", "ordered counter"} {
		if r.code != cli.ExitDone || !strings.Contains(r.out, want) {
			t.Errorf("exit code %d, no %q in\n%s%s", r.code, want, r.out, r.errOut)
		}
	}
	if want := "PART POSITION  TIME                         TYPE                     SIZE WHAT\n"; !strings.HasPrefix(r.out, want) {
		t.Errorf("got\n%.200s\nwant it to begin with\n%s", r.out, want)
	}
	r = command(t, nil, "", "log", "dump", filepath.Join(dir, "log"), "--json", "--partition", "0")
	if r.code != cli.ExitDone || !strings.Contains(r.out, `"partition":0,`) || strings.Contains(r.out, `"partition":1,`) || strings.Contains(r.out, "POSITION") {
		t.Errorf("exit code %d, not only partition 0 in\n%s%s", r.code, r.out, r.errOut)
	}
}

func TestLogDumpOfNoPartition(t *testing.T) {
	dir := written(t)
	for _, p := range []string{"-1", "64", "99"} {
		r := command(t, nil, "", "log", "dump", dir, "--partition", p)
		if want := "--partition is " + p + ", must be 0 to 63"; r.code != cli.ExitUsage || r.out != "" || !strings.Contains(r.errOut, want) {
			t.Errorf("got exit code %d and %q, want %d and %q", r.code, r.errOut, cli.ExitUsage, want)
		}
	}
	if r := command(t, nil, "", "log", "dump", dir, "--partition", "63"); r.code != cli.ExitDone || r.out == "" {
		t.Errorf("got %+v, want the records of the last partition", r)
	}
}

// Of each record of a saga the dump says what it is about.
func TestLogDumpOfSagas(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	node := dev(t, "--example", "--dir", dir)
	edda := func(stdin string, args ...string) {
		t.Helper()
		if r := command(t, []string{"EDDA_URL=" + node.url}, stdin, args...); r.code != cli.ExitDone {
			t.Fatalf("%v: got %+v", args, r)
		}
	}
	edda("", "call", "flights/LH1", "open", `{"places":5}`)
	edda(`{"name":"trip","steps":[{"id":"flight","service":"flights","key":"LH1","method":"book","args":[2]}]}`, "sagas", "start", "-", "--id", "t1", "--hold")
	edda(`{"id":"nap","service":"slow","method":"nap","after":["flight"]}`, "sagas", "add", "t1", "-")
	edda("", "sagas", "cancel", "t1")
	edda("", "sagas", "prune", "t1")
	edda(`{"name":"trip","steps":[{"id":"flight","service":"flights","key":"LH1","method":"book","args":[2]}]}`, "sagas", "start", "-", "--id", "t2", "--wait")
	node.stop()
	r := command(t, nil, "", "log", "dump", dir)
	for _, want := range []string{
		"saga t1 trip from anonymous, 1 steps, not started", "saga t1, 1 steps\n", "saga t1 CANCELLED\n", "saga-removed", "saga t1\n",
		"saga t2 trip from anonymous, 1 steps\n", "flights/LH1 book from anonymous, payload", "B, saga t2 step 0\n", "saga t2 step 0 succeeded, attempts 1\n",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.errOut)
		}
	}
}

func TestLogVerify(t *testing.T) {
	dir := written(t)
	if r := command(t, nil, "", "log", "verify", dir); r.code != cli.ExitDone || !strings.Contains(r.out, "no damage") {
		t.Fatalf("got %+v, want no damage", r)
	}
	flipFirst(t, filepath.Join(dir, "log"), `{"n":1}`)
	if r := command(t, nil, "", "log", "verify", dir); r.code != cli.ExitFailed || !strings.Contains(r.out, "damage in ") {
		t.Errorf("got %+v, want damage", r)
	}
	r := command(t, nil, "", "log", "verify", dir, "--json")
	if r.code != cli.ExitFailed || !strings.Contains(r.out, `"damage": [`) || !strings.Contains(r.out, `"segment": `) {
		t.Errorf("got %+v, want damage as JSON", r)
	}
	if r := command(t, nil, "", "log", "verify", filepath.Join(dir, "nowhere")); r.code != cli.ExitFailed {
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
