package setting_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/setting"
)

// load reads a file's text, an environment and flags. Without text there is no file.
func load(t *testing.T, text string, environ []string, args ...string) (*setting.Node, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	setting.AddFlags(flags)
	if text != "" {
		path := filepath.Join(t.TempDir(), "edda.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return setting.Load(flags, environ)
}

func defaults() *setting.Node {
	return &setting.Node{
		Listen: "127.0.0.1:7400", Dir: "edda-data", Durability: edda.Fsync, Partitions: 64, LogLevel: slog.LevelInfo,
		Credentials: map[string]edda.Principal{}, DrainTimeout: 10 * time.Second, MaxBody: 4 << 20,
	}
}

func TestSourcesInOrder(t *testing.T) {
	everything := defaults()
	everything.Listen, everything.Dir, everything.Durability = "0.0.0.0:80", "/data", edda.OS
	everything.Partitions, everything.Example, everything.LogLevel, everything.LogJSON = 16, true, slog.LevelWarn, true
	everything.Credentials = map[string]edda.Principal{"t1": "ada@example.com", "t2": "bob"}
	everything.DrainTimeout, everything.MaxBody = time.Minute, 1000
	file := `
listen: 0.0.0.0:80
dir: /data
durability: os
partitions: 16
example: true
logLevel: warn
logFormat: json
drainTimeout: 1m
maxBody: 1000
credentials:
  ada@example.com: t1
  bob: t2
`
	flagged := defaults()
	flagged.Partitions, flagged.Dir, flagged.Durability = 8, "env", edda.Memory
	flagged.Credentials = map[string]edda.Principal{"t1": "ada", "t2": "bob", "t3": "eve"}
	for _, c := range []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    *setting.Node
	}{
		{"nothing", "", []string{"PATH=/bin", "EDDA_URL=http://x", "EDDA_PORT=tcp://10.0.0.1:7400", "EDDA_DB_SERVICE_HOST=10.0.0.1"}, nil, defaults()},
		{"a file", file, nil, nil, everything},
		{"all of them", "dir: file\ndurability: os\ncredentials: {ada: t1}",
			[]string{"EDDA_DIR=env", "EDDA_PARTITIONS=32", "EDDA_DURABILITY=memory", "EDDA_CREDENTIALS=bob=t2"},
			[]string{"--partitions", "8", "--credential", "eve=t3"}, flagged},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := load(t, c.file, c.environ, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigFileFromTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edda.yaml")
	if err := os.WriteFile(path, []byte("partitions: 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := load(t, "", []string{"EDDA_CONFIG=" + path})
	if err != nil || n.Partitions != 2 {
		t.Errorf("got %+v, %v, want 2 partitions", n, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    []string // parts of the error
	}{
		{"unknown in the file", "listn: x", nil, nil, []string{`"listn" in `, "edda.yaml is no setting", "listen, dir,", "credentials"}},
		{"unknown in the environment", "", []string{"EDDA_LISTN=x"}, nil, []string{"EDDA_LISTN in the environment is no setting"}},
		{"nested", "log:\n  level: info", nil, nil, []string{`"log" in `, "is no setting"}},
		{"nested below a setting", "listen:\n  host: x", nil, nil, []string{"listen in ", "one value", `"host"`}},
		{"not YAML", "a: [", nil, nil, []string{"read the config file "}},
		{"no file", "", []string{"EDDA_CONFIG=/does/not/exist"}, nil, []string{"read the config file /does/not/exist: no such file"}},
		{"listen without port", "", nil, []string{"--listen", "localhost"}, []string{`listen of --listen is "localhost", must be HOST:PORT`}},
		{"listen with a wrong port", "", []string{"EDDA_LISTEN=localhost:99999"}, nil, []string{"listen in the environment as EDDA_LISTEN", "0 to 65535"}},
		{"empty", "listen:", nil, nil, []string{`listen in `, `is "", must be HOST:PORT`}},
		{"durability", "durability: quorum", nil, nil, []string{`"quorum", must be fsync, os or memory`}},
		{"partitions", "partitions: 3", nil, nil, []string{"power of two"}},
		{"log level", "", nil, []string{"--log-level", "loud"}, []string{"logLevel of --log-level", "error, warn, info or debug"}},
		{"drain", "drainTimeout: 10", nil, nil, []string{"drainTimeout", "a duration such as 10s"}},
		{"body", "maxBody: 0", nil, nil, []string{"maxBody", "from 1 to"}},
		{"everywhere", "", nil, []string{"--listen", ":7400"}, []string{`":7400" can be reached from other machines`, "--credential NAME=TOKEN"}},
		{"another machine", "", nil, []string{"--listen", "192.168.0.1:7400"}, []string{"can be reached from other machines"}},
		{"credential without token", "", nil, []string{"--credential", "ada"}, []string{"--credential: a credential must be NAME=TOKEN"}},
		{"credential in the environment", "", []string{"EDDA_CREDENTIALS=ada"}, nil, []string{"EDDA_CREDENTIALS in the environment: ", "NAME=TOKEN"}},
		{"empty token", "credentials: {ada: ''}", nil, nil, []string{"the token of ada"}},
		{"a number", "credentials: {ada: 0123}", nil, nil, []string{"the token of ada must be text"}},
		{"the same token", "credentials: {ada: x, bob: x}", nil, nil, []string{"ada and bob have the same token"}},
		{"no map", "credentials: x", nil, nil, []string{"credentials in ", "must map names to tokens"}},
		{"deep map", "credentials: {ada: {token: x}}", nil, nil, []string{"must map names to tokens"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.file, c.environ, c.args...)
			if err == nil {
				t.Fatal("it was taken, want an error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestExposedWithCredentials(t *testing.T) {
	for _, listen := range []string{":7400", "0.0.0.0:7400", "[::]:7400", "example.com:7400"} {
		if _, err := load(t, "", nil, "--listen", listen); err == nil {
			t.Errorf("%s was taken without credentials, want an error", listen)
		}
		if _, err := load(t, "", nil, "--listen", listen, "--credential", "ada=t1"); err != nil {
			t.Errorf("%s with credentials: %v", listen, err)
		}
	}
	for _, listen := range []string{"localhost:0", "127.0.0.2:1", "[::1]:7400"} {
		if _, err := load(t, "", nil, "--listen", listen); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
}
