package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

func TestWrongUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edda.yaml")
	if err := os.WriteFile(file, []byte("listn: 127.0.0.1:7400\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	listed := filepath.Join(t.TempDir(), "list.json")
	if err := os.WriteFile(listed, []byte(`[]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		environ []string
		args    string
		want    string
	}{
		{"unknown command", nil, "frob", `edda has no command "frob": it has bench, call, channels, cqrs, `},
		{"misspelt command", nil, "strems ls", `edda has no command "strems", but streams`},
		{"unknown command of a group", nil, "requests frob", `edda requests has no command "frob": it has `},
		{"misspelt command of a group", nil, "cqrs deadletters", `edda cqrs has no command "deadletters": it has dead, event, events`},
		{"log of something else", nil, "log dump " + t.TempDir(), "holds no log: name a node's data directory"},
		{"group alone", nil, "services", "edda services needs a command: ls, pause, put, resume, resume-key, rm, show"},
		{"unknown flag", nil, "call users/1 login --frob", "edda: unknown flag: --frob\n"},
		{"misspelt flag", nil, "dev --exmple", "unknown flag: --exmple: did you mean --example?"},
		{"misspelt flag of all", nil, "services ls --tokn x", "unknown flag: --tokn: did you mean --token?"},
		{"too few arguments", nil, "call users/1", "got 1 argument, must be as in edda call SERVICE"},
		{"too many arguments", nil, "channels ls chat", "got 1 argument, must be as in edda channels ls\n"},
		{"bad number", nil, "channels create c --history-count -1", `--history-count is "-1", must be a whole number that is not below zero`},
		{"bad duration", nil, "call users/1 login --delay soon", `--delay is "soon", must be a duration such as`},
		{"bad choice", nil, "channels rm c --yes=so", `--yes is "so", must be true or false`},
		{"bad address", nil, "call users/ login", `"users/" has an empty key`},
		{"bad method", nil, "call users/1 a/b", `method "a/b" must be`},
		{"bad header", nil, "call users/1 login --header X", `header "X" must be 'NAME: VALUE'`},
		{"negative delay", nil, "call users/1 login --delay -1s", "--delay is -1s"},
		{"wait for no time", nil, "call users/1 login --wait 0", "--wait is 0s, must be whole seconds, at least 1s; --async does not wait"},
		{"wait for a part of a second", nil, "call users/1 login --wait 1500ms", "--wait is 1.5s, must be whole seconds"},
		{"wait that does not wait", nil, "call users/1 login --async --wait 3s", "leave one out, or wait later with requests reply ID --wait 3s"},
		{"deadline at once", nil, "call users/1 login --deadline 0s", "--deadline is 0s, must be above zero"},
		{"no key", nil, "call users/1 login --idempotency-key=", "--idempotency-key is empty: give it a value, or leave it out"},
		{"no id of a message", nil, "streams append s x --id=", "--id is empty: give it a value, or leave it out"},
		{"bench for no time", nil, "bench --duration 0s", "--duration is 0s, must be above zero"},
		{"bench for less", nil, "bench --duration -1s", "--duration is -1s, must be above zero"},
		{"bench of nothing", nil, "bench --completed -1", "--completed is -1, must be at least 1"},
		{"bench of what there is not", nil, "bench --only flush,call --in-flight 7", "no row of flush, call has 7 in flight, but 1, 64, 256, 1024"},
		{"bench of no number", nil, "bench --in-flight x", `--in-flight is "x", must be whole numbers such as 1,64`},
		{"bench without a server", nil, "bench --only sql-pg", "row sql-pg needs a PostgreSQL server: name one with --postgres"},
		{"bench of an argument", nil, "bench extra", "got 1 argument, must be as in edda bench\n"},
		{"bad URL", nil, "--url localhost:7400 services ls", `the node's URL is "localhost:7400"`},
		{"bad URL in the environment", []string{"EDDA_URL=frob"}, "services ls", `EDDA_URL in the environment: the node's URL is "frob"`},
		{"bad namespace", []string{"EDDA_URL=http://127.0.0.1:1"}, "--namespace a/b services ls", `edda: check namespace: namespace "a/b" must be`},
		{"endpoint without a kind", nil, "services put far --endpoint http://a", "--kind is missing"},
		{"endpoint without a URL", nil, "services put far --kind ordered", "--endpoint is missing"},
		{"bad id", nil, "requests show 17", `id "17" is not a UUID`},
		{"bad id among good ones", nil, "deadletters drop 0190a5c1-7b2e-7000-8000-000000000001 x", `id "x" is not a UUID`},
		{"URL without a node", nil, "dev --url http://x", "--url says how to talk to a node, which edda dev does not do"},
		{"URL without a node, below a group", nil, "log verify --url http://x DIR", "which edda log verify does not do"},
		{"demo in JSON", nil, "demo --json", "it has no --json"},
		{"demo for everybody", nil, "demo --listen 0.0.0.0:0", "must be a loopback address"},
		{"dev for everybody", nil, "dev --listen 0.0.0.0:7400", "there are no credentials: listen on 127.0.0.1, or give each caller a token"},
		{"unknown setting in the file", nil, "dev --config " + file, `"listn" in ` + file + ":1 is no setting"},
		{"unknown setting in the environment", []string{"EDDA_LISTN=x"}, "dev", "EDDA_LISTN in the environment is no setting"},
		{"unknown command of sagas", nil, "sagas", "edda sagas needs a command: add, cancel, complete, fail, ls, prune, resolve, retry, show, skip, start"},
		{"saga from nothing", nil, "sagas start", "say what to start: a FILE with a definition"},
		{"saga from no file", nil, "sagas start nowhere.json", "open nowhere.json: no such file"},
		{"saga from YAML", nil, "sagas start " + file, "edda.yaml is not JSON: line 1"},
		{"saga from a list", nil, "sagas start " + listed, "is no definition of a saga: it must be an object"},
		{"hold of what was created", nil, "sagas start --id a --hold", "are for a new saga, which needs a FILE or -"},
		{"wait for what is held", nil, "sagas start - --hold --wait", "leave one out"},
		{"wait with a space", nil, "sagas show a --wait 30s", "needs an equals sign: --wait=30s"},
		{"negative wait", nil, "sagas show a --wait=-1s", "must be a positive duration such as 30s"},
		{"two documents of one saga", nil, "sagas show a --json --mermaid", "leave one out"},
		{"unknown state", nil, "sagas ls --state done", `--state is "done", must be one of created, running`},
		{"bad time", nil, "sagas ls --since yesterday", `--since is "yesterday", must be how long ago`},
		{"prune of what", nil, "sagas prune", "say which sagas go"},
		{"prune of all and some", nil, "sagas prune --all --state succeeded", "say which sagas go"},
		{"prune of ids and flags", nil, "sagas prune a --state succeeded", "not both"},
		{"result that is no JSON", nil, "sagas complete a b text", "RESULT is not JSON"},
		{"bad step", nil, "sagas skip a b/c", `step "b/c" must be`},
		{"bad saga", nil, "sagas show ..", `".." is no id of a saga`},
		{"streams alone", nil, "streams", "edda streams needs a command: append, create, groups, ls, read, rm, show, tail, trim"},
		{"bad stream", nil, "streams read a/b", `stream "a/b" must be`},
		{"retention for no time", nil, "streams create s --retain-age 0s", `--retain-age is "0s", must be a duration above zero such as 90s, 72h or 30d`},
		{"retention of no messages", nil, "streams create s --retain-count 0", "--retain-count is 0, must be at least 1"},
		{"retention of no size", nil, "streams create s --retain-bytes 1GB", `--retain-bytes is "1GB", must be a number above zero such as 65536, 64KiB or 1GiB`},
		{"ids for too long", nil, "streams create s --dedupe 31d", "dedupe is 744h0m0s, at most 720h0m0s"},
		{"bad shard", nil, "streams create s --shard a/b", `shard "a/b" must be`},
		{"bad expectation", nil, "streams append s x --expect last", `--expect is "last", must be the offset of the shard's last message, or none`},
		{"data and lines", nil, "streams append s x --lines", "leave DATA out"},
		{"lines and an expectation", nil, "streams append s --lines --expect 4", "--expect is for one message"},
		{"lines and a reply", nil, "streams append s --lines --wait-reply r", "--wait-reply waits for one reply"},
		{"lines with an id that is too long", nil, "streams append s --lines --id " + strings.Repeat("x", 250), "with --lines at most 241 are allowed"},
		{"two places for a reply", nil, "streams append s x --reply-to a --wait-reply b", "leave --reply-to out"},
		{"reply from another namespace", nil, "streams append s x --wait-reply other:r", "must be a stream of the namespace that --namespace names"},
		{"bad place for a reply", nil, "streams append s x --reply-to a/b/c", "must be STREAM, STREAM/SHARD"},
		{"wait for no reply", nil, "streams append s x --wait 1s", "--wait is for --wait-reply STREAM"},
		{"wait for too long", nil, "streams append s x --wait-reply r --wait 1h", "must be above zero and at most 10m"},
		{"bad header of a message", nil, "streams append s x --header X", `header "X" must be 'NAME: VALUE'`},
		{"read from nowhere", nil, "streams read s --from here", `--from is "here", must be start, end, an offset, how long ago`},
		{"read from too far", nil, "streams read s --from 99999999999999999999", `--from: `},
		{"read of none", nil, "streams read s --limit 0", "--limit is 0, must be at least 1"},
		{"read of all and some", nil, "streams read s --all --limit 3", "exclude each other"},
		{"two ways to print a message", nil, "streams tail s --raw --json", "leave one out"},
		{"tail from two places", nil, "streams tail s --from start -n 3", "-n and --from both say where to begin"},
		{"trim of what", nil, "streams trim s", "--before is missing"},
		{"trim to the end", nil, "streams trim s --before end", `--before is "end", must be an offset, how long ago`},
		{"groups of what", nil, "streams groups", "or a command: ack, create, extend, read, reject, reset, rm"},
		{"paging of one group", nil, "streams groups s g --limit 3", "--limit is for the list of groups"},
		{"bad group", nil, "streams groups create s a/b", `"a/b" must be`},
		{"group of no members", nil, "streams groups create s g --min-members 0", "--min-members is 0"},
		{"group without patience", nil, "streams groups create s g --processing-timeout 0s", "--processing-timeout is 0s, must be above zero"},
		{"reset to where", nil, "streams groups reset s g", "--to is missing"},
		{"member without a name", nil, "streams groups read s g", "--member is missing"},
		{"member that wants too much", nil, "streams groups read s g --member m --max 1001", "--max is 1001, must be from 1 to 1000"},
		{"leases that are not seen", nil, "streams groups read s g --member m --raw", "say --ack too"},
		{"no leases in standard input", nil, "streams groups ack s g -", "there are no leases in standard input"},
		{"extend to the past", nil, "streams groups extend s g l --for -1s", "--for is -1s, must be above zero"},
		{"channels alone", nil, "channels", "edda channels needs a command: create, history, ls, presence, publish, rm, show, subscribe"},
		{"bad channel", nil, "channels show a/b", `channel "a/b" must be`},
		{"channel from nothing", nil, "channels create c --from =x", `--from is "=x", must be STREAM, or STREAM=PATTERN`},
		{"channel from no pattern", nil, "channels create c --from s=", `--from is "s=", must be STREAM, or STREAM=PATTERN`},
		{"channel from all and some", nil, "channels create c --from s=a.* --from s", "one of them without a pattern, which means all its messages"},
		{"channel from some and all", nil, "channels create c --from s --from s=a.*", "one of them without a pattern, which means all its messages"},
		{"channel from a bad stream", nil, "channels create c --from a/b", `stream "a/b" must be`},
		{"channel from a bad pattern", nil, "channels create c --from s=a,b.:", `segment 2, ":", has no name after its colon`},
		{"history of no messages", nil, "channels create c --history-count 0", "--history-count is 0, must be at least 1"},
		{"history of no time", nil, "channels create c --history-age 0s", `--history-age is "0s", must be a duration above zero`},
		{"data and lines of a channel", nil, "channels publish c x --lines", "leave DATA out"},
		{"bad header of a publication", nil, "channels publish c x --header X", `header "X" must be 'NAME: VALUE'`},
		{"bad id of a publication", nil, "channels publish c x --id " + strings.Repeat("x", 256), "id has 256 bytes, at most 255"},
		{"subscription from nowhere", nil, "channels subscribe c --from here", `--from is "here", must be start, end, how long ago`},
		{"subscription from an offset", nil, "channels subscribe c --from 17", `--from is "17", must be start, end, how long ago`},
		{"subscription to a bad pattern", nil, "channels subscribe c a.:", `segment 2, ":", has no name after its colon`},
		{"subscription to a comma", nil, "channels subscribe c a,b", "patterns are arguments of their own"},
		{"subscription to nothing", nil, "channels subscribe c --max 0", "--max is 0, must be at least 1"},
		{"two ways to print what is heard", nil, "channels subscribe c --raw --json", "leave one out"},
		{"history from nowhere", nil, "channels history c --from here", `--from is "here", must be start, end, how long ago`},
		{"history of none", nil, "channels history c --limit 0", "--limit is 0, must be at least 1"},
		{"history of all and some", nil, "channels history c --all --limit 3", "exclude each other"},
		{"no directory", nil, "log verify " + file, "is not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := command(t, c.environ, "", strings.Fields(c.args)...)
			if r.code != cli.ExitUsage {
				t.Errorf("got exit code %d, want %d", r.code, cli.ExitUsage)
			}
			if !strings.Contains(r.errOut, c.want) || !strings.Contains(r.errOut, "--help") {
				t.Errorf("got on stderr:\n%swant %q and a way to the help", r.errOut, c.want)
			}
			if r.out != "" {
				t.Errorf("got %q on stdout, want nothing", r.out)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"", "--help", "help", "dev --help", "help requests", "call -h"} {
		if r := command(t, nil, "", strings.Fields(args)...); r.code != cli.ExitDone || !strings.Contains(r.out, "Usage:") || r.errOut != "" {
			t.Errorf("edda %s: got exit code %d, %q, want help", args, r.code, r.errOut)
		}
	}
	if r := command(t, nil, "", "dev", "--help"); strings.Contains(r.out, "--url") {
		t.Errorf("dev --help shows --url:\n%s", r.out)
	}
	if r := command(t, []string{"EDDA_TOKEN=s3cret"}, "", "call", "--help"); strings.Contains(r.out, "s3cret") {
		t.Errorf("the help shows the token:\n%s", r.out)
	}
}

func TestVersion(t *testing.T) {
	if r := command(t, nil, "", "version"); r.code != cli.ExitDone || !strings.HasPrefix(r.out, "edda ") {
		t.Errorf("got %+v, want a version", r)
	}
	if r := command(t, nil, "", "version", "--json"); r.code != cli.ExitDone || !strings.Contains(r.out, `"version": "`) {
		t.Errorf("got %+v, want JSON", r)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	l.Close()
	r := command(t, []string{"EDDA_URL=" + url}, "", "call", "users/1", "login")
	if r.code != cli.ExitFailed {
		t.Errorf("got exit code %d, want %d", r.code, cli.ExitFailed)
	}
	for _, want := range []string{"no answer from " + url, "start a node with: edda dev --example", "EDDA_URL"} {
		if !strings.Contains(r.errOut, want) {
			t.Errorf("got on stderr:\n%swant %q", r.errOut, want)
		}
	}
}

// What a setting's help says goes on from the setting before, so they stand in their order.
func TestHelpOfSettingsIsInTheirOrder(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), &cli.Invocation{Args: []string{"serve", "--help"}, Program: "edda", Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}); code != cli.ExitDone {
		t.Fatalf("got exit code %d: %s", code, &out)
	}
	_, flags, _ := strings.Cut(out.String(), "\nFlags:\n")
	last := 0
	for _, flag := range []string{"--config", "--listen", "--dir", "--tls-cert", "--tls-key", "--auth-service", "--auth-namespace", "--limits-partition-requests", "--limits-partition-bytes"} {
		at := strings.Index(flags, "  "+flag+" ")
		if at < last {
			t.Errorf("%s is out of order in\n%s", flag, &out)
		}
		last = at
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"one two", "one two"},
		{"one two three", "one two\nthree"},
		{"unbreakable one", "unbreakable\none"},
	} {
		if got := wrap(c.text, 7); got != c.want {
			t.Errorf("wrap %q: got %q, want %q", c.text, got, c.want)
		}
	}
}
