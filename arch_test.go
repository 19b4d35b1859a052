package edda_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/edda-io/edda"

// room is a part of the module and what its packages may import. The rules hold
// for all files but tests, whatever their build tags.
type room struct {
	// dir is a directory of the module, "." for the root package alone. It stands
	// for the directories below it too, unless they have a room of their own.
	dir string
	// imports are the other directories of the module that it may import, with what
	// is below them. Its own it may always.
	imports []string
	// never are imports from elsewhere that it may not have, with what is below them.
	never []string
	// stdlib says that it may import the standard library alone, beside the above.
	stdlib bool
}

// Imports that reach for what a room must be handed, or must not touch.
var (
	// A library reports spans to the provider that it is given; whoever runs it chooses one.
	sdk   = "go.opentelemetry.io/otel/sdk"
	disk  = []string{"os", "io/ioutil", "golang.org/x/sys"} // disks are reached through a vfs.FS
	world = append([]string{"net", "math/rand", "crypto/rand", "log", "github.com/cockroachdb/pebble"}, disk...)
)

// rooms draws the arrows: cmd → console|gateway → stream|saga|cqrs → node →
// fold, store, engine → root. An arrow may pass over rooms, but gateways reach
// what is below the node only through it, and the console nothing but HTTP.
var rooms = []room{
	{dir: ".", imports: []string{"internal/wire", "pattern"}, stdlib: true},
	{dir: "pattern", stdlib: true},
	{dir: "internal/live", imports: []string{".", "pattern", "internal/seldom"}, never: append([]string{"net"}, disk...)},
	{dir: "internal/wire", stdlib: true},
	{dir: "internal/rendezvous", stdlib: true},
	{dir: "internal/slot", imports: []string{"internal/rendezvous"}, stdlib: true},
	{dir: "internal/jsondata", imports: []string{"."}, stdlib: true},
	{dir: "internal/specjson", imports: []string{".", "internal/streamjson", "internal/jsondata"}, stdlib: true},
	{dir: "internal/cloudevents", imports: []string{".", "internal/jsondata"}, stdlib: true},
	{dir: "internal/streamjson", imports: []string{".", "internal/jsondata"}, stdlib: true},
	{dir: "internal/httpheader", imports: []string{"."}, stdlib: true},
	{dir: "internal/lazyctx", stdlib: true},
	{dir: "internal/option", imports: []string{"."}, stdlib: true},
	{dir: "internal/ownhost", imports: []string{"internal/option"}, stdlib: true},
	{dir: "internal/crashfs"},                     // for tests
	{dir: "internal/pgtest", imports: []string{}}, // for tests
	{dir: "internal/directio"},                    // what a vfs.FS cannot do with a disk
	{dir: "internal/record", imports: []string{".", "internal/wire"}, never: world},
	{dir: "internal/fold", imports: []string{".", "internal/wire", "internal/record", "internal/store"}, never: world},
	{dir: "internal/store", imports: []string{".", "engine", "internal/wire", "internal/record"}, never: disk},
	{dir: "engine", imports: []string{".", "internal/wire"}},
	{dir: "engine/filelog", imports: []string{".", "engine", "internal/wire", "internal/directio"}, never: disk},
	{dir: "node", imports: []string{
		".", "engine", "internal/wire", "internal/record", "internal/fold", "internal/store", "internal/jsondata",
		"internal/rendezvous", "internal/methodschema", "internal/guard", "internal/slot", "internal/metric", "internal/follow", "internal/sagaid", "internal/nodedir", "internal/msgtrace", "internal/lazyctx", "internal/seldom", "internal/live", "pattern",
	}, never: append([]string{sdk}, disk...)},
	{dir: "auth", imports: []string{"."}},
	{dir: "internal/testca", stdlib: true},
	{dir: "internal/freeport", stdlib: true}, // for tests
	{dir: "eddaproto", imports: []string{"."}},
	{dir: "rpc", imports: []string{}, never: world},
	{dir: "worker", imports: []string{".", "internal/wire", "internal/rendezvous", "internal/rpcconn", "internal/inputschema", "internal/lazyctx"}},
	{dir: "worker/httppush", imports: []string{".", "node", "route", "internal/seldom", "internal/jsondata", "internal/httpheader", "internal/specjson"}},
	{dir: "client", imports: []string{".", "internal/wire", "internal/rpcconn"}},
	{dir: "internal/rpcconn", imports: []string{".", "internal/wire", "internal/certwhy"}, never: disk},
	{dir: "internal/certwhy", stdlib: true},
	{dir: "internal/seldom", stdlib: true},
	{dir: "internal/collector", imports: []string{}, never: world},
	{dir: "internal/inputschema", imports: []string{".", "internal/jsondata"}},
	{dir: "internal/methodschema", imports: []string{".", "internal/record", "internal/inputschema", "internal/guard"}, never: world},
	{dir: "internal/nodedir", imports: []string{"."}, never: disk},
	{dir: "internal/msgtrace", imports: []string{"."}, never: append([]string{sdk}, world...)},
	{dir: "internal/sagaid", imports: []string{".", "internal/fold"}, never: disk},
	{dir: "internal/follow", imports: []string{"internal/fold"}, never: world},
	{dir: "internal/metric", imports: []string{".", "internal/live"}, never: world},
	{dir: "internal/guard", imports: []string{"."}, stdlib: true},
	{dir: "route", imports: []string{"."}, stdlib: true},
	{dir: "stream", imports: []string{"."}, stdlib: true},
	{dir: "channel", imports: []string{"."}, stdlib: true},
	{dir: "saga", imports: []string{"."}, stdlib: true},
	{dir: "cqrs", imports: []string{".", "pattern", "internal/specjson", "internal/jsondata", "cqrs/internal"}},
	{dir: "cqrs/internal/rawjson", imports: []string{}, stdlib: true},
	{dir: "cqrs/internal/settings", imports: []string{".", "cqrs/internal/rawjson"}, stdlib: true},
	{dir: "cqrs/internal/merge", imports: []string{"cqrs/internal/rawjson", "cqrs/internal/settings"}, stdlib: true},
	{dir: "cqrs/internal/dbtest", imports: []string{"cqrs", "internal/pgtest"}}, // for tests
	{dir: "cqrs/internal/ledger", imports: []string{".", "cqrs/driver", "cqrs/internal/rawjson"}, stdlib: true},
	{dir: "cqrs/internal/observe", imports: []string{".", "internal/collector"}, never: []string{sdk}},
	{dir: "cqrs/internal/relay", imports: []string{
		".", "cqrs/driver", "cqrs/internal/ledger", "internal/collector", "internal/jsondata",
	}},
	{dir: "cqrs/internal/eventual", imports: []string{".", "cqrs/driver", "cqrs/internal/ledger"}, stdlib: true},
	{dir: "cqrs/internal/rebuild", imports: []string{
		".", "cqrs/driver", "cqrs/internal/ledger", "cqrs/internal/double", "cqrs/internal/eventual",
	}, stdlib: true},
	{dir: "cqrs/internal/double", imports: []string{".", "cqrs/driver"}, stdlib: true},
	{dir: "eddatest", imports: []string{".", "node", "internal/inputschema"}, never: disk},
	{dir: "gateway", imports: []string{".", "auth", "node", "internal/collector", "internal/seldom", "stream", "saga", "cqrs", "pattern", "rpc", "web", "internal/jsondata", "internal/wire", "internal/httpheader", "internal/option", "internal/ownhost", "internal/specjson",
		"internal/streamjson", "internal/cloudevents", "internal/inputschema", "internal/lazyctx", "route", "gateway/httpgw/internal",
	}, never: []string{sdk}},
	{dir: "gateway/httpgw/internal/reqhead", imports: []string{".", "gateway/internal/httpio", "internal/streamjson"}, never: disk},
	{dir: "gateway/httpgw/internal/apidoc", imports: []string{".", "gateway/httpgw/internal/reqhead", "gateway/internal/httpio"}, never: disk}, // it knows no server
	{dir: "gateway/httpgw/internal/jsonbody", imports: []string{".", "gateway/httpgw/internal/reqhead"}, stdlib: true},
	{dir: "gateway/httpgw/internal/sitefile", imports: []string{".", "gateway/internal/httpio"}, never: disk}, // it is handed an fs.FS
	{dir: "web", stdlib: true}, // nothing but files
	{dir: "console", imports: []string{}},
	{dir: "internal/eddahttp", imports: []string{".", "internal/jsondata", "internal/streamjson", "internal/httpheader", "internal/certwhy"}, stdlib: true},
	{dir: "examples", imports: []string{".", "saga", "stream"}, stdlib: true},
	{dir: "examples/accounts", imports: []string{".", "node", "gateway"}},
	{dir: "examples/web", imports: []string{".", "node", "gateway", "examples"}},
	{dir: "examples/chat", imports: []string{".", "node", "gateway", "auth"}},
	{dir: "examples/hammer", imports: []string{".", "node", "saga"}},
	{dir: "examples/howdy", imports: []string{".", "node", "stream"}},
	{dir: "examples/signup", imports: []string{".", "node", "cqrs"}},
	{dir: "examples/createuser", imports: []string{".", "node", "gateway", "cqrs", "channel"}},
	{dir: "bench", imports: []string{
		".", "engine", "node", "examples", "worker", "client", "gateway", "stream", "saga", "cqrs", "pattern", "internal",
	}},
	{dir: "cmd", imports: []string{
		".", "auth", "engine", "node", "examples", "worker", "stream", "saga", "cqrs", "pattern", "gateway", "console", "bench",
		"internal/eddahttp", "internal/jsondata", "internal/streamjson",
		"internal/option", // to say which setting is wrong
		"cmd/edda/internal",
	}},
	// What commands share knows none of them, and they do not know each other. But for the one
	// that reads a log, they reach a node over HTTP alone.
	{dir: "cmd/edda/internal/human", stdlib: true},
	{dir: "cmd/edda/internal/cli", imports: []string{".", "auth", "internal/eddahttp", "cmd/edda/internal/human"}},
	{dir: "cmd/edda/internal/message", imports: []string{".", "cmd/edda/internal/cli", "cmd/edda/internal/human"}},
	{dir: "cmd/edda/internal/requestcmd", imports: []string{
		".", "internal/eddahttp", "internal/jsondata", "cmd/edda/internal/cli", "cmd/edda/internal/human",
	}},
	{dir: "cmd/edda/internal/servicecmd", imports: []string{".", "internal/eddahttp", "cmd/edda/internal/cli", "cmd/edda/internal/human"}},
	{dir: "cmd/edda/internal/sagacmd", imports: []string{
		".", "internal/eddahttp", "cmd/edda/internal/cli", "cmd/edda/internal/human", "cmd/edda/internal/sagadraw",
	}},
	{dir: "cmd/edda/internal/streamcmd", imports: []string{
		".", "stream", "internal/eddahttp", "internal/streamjson", "cmd/edda/internal/cli", "cmd/edda/internal/human", "cmd/edda/internal/message",
	}},
	{dir: "cmd/edda/internal/channelcmd", imports: []string{
		".", "internal/eddahttp", "internal/streamjson", "cmd/edda/internal/cli", "cmd/edda/internal/human", "cmd/edda/internal/message",
	}},
	{dir: "cmd/edda/internal/cqrscmd", imports: []string{
		".", "cqrs", "internal/eddahttp", "cmd/edda/internal/cli", "cmd/edda/internal/human", "cmd/edda/internal/tracedraw",
	}},
	{dir: "cmd/edda/internal/logcmd", imports: []string{
		".", "engine", "internal/record", "cmd/edda/internal/cli", "cmd/edda/internal/human",
	}},
}

func TestImportsFollowTheArchitecture(t *testing.T) {
	for dir, imports := range importsByDir(t) {
		r, ok := roomOf(dir)
		if !ok {
			t.Errorf("%s has no place in the architecture: give it a room, and say what it may import", dir)
			continue
		}
		for _, imp := range imports {
			if why := r.refuses(imp); why != "" {
				t.Errorf("%s imports %s, %s", dir, imp, why)
			}
		}
	}
}

// The rules themselves are tested, so that a mistake in them does not let
// everything pass.
func TestArchitectureRefuses(t *testing.T) {
	for _, c := range []struct {
		dir, imp string
		refused  bool
	}{
		{".", "fmt", false},
		{".", module + "/internal/wire", false},
		{".", module + "/node", true},
		{".", "github.com/spf13/cobra", true},
		{"engine/memlog", module + "/engine", false},
		{"engine/filelog", "os", true},
		{"engine/filelog", "os/exec", true},
		{"engine/filelog", "github.com/cockroachdb/pebble/v2/vfs", false},
		{"internal/fold/request", module + "/internal/fold", false},
		{"internal/fold/request", "math/rand/v2", true},
		{"internal/fold", module + "/node", true},
		{"internal/store", module + "/internal/fold", true},
		{"node", module + "/gateway/httpgw", true},
		{"gateway/httpgw", module, false},
		{"gateway/httpgw", module + "/node", false},
		{"gateway/httpgw", module + "/internal/fold", true},
		{"gateway/httpgw", module + "/internal/store", true},
		{"gateway/httpgw", module + "/engine", true},
		{"console", module + "/node", true},
		{"saga", module + "/stream", true},
		{"saga", module + "/node", true},
		{"stream", module + "/node", true},
		{"bench", module + "/cmd/edda", true},
		{"cmd/edda", module + "/internal/fold", true},
		{"cmd/edda", module + "/internal/store", true},
		{"cmd/edda", module + "/cmd/edda/internal/cli", false},
		{"cmd/edda/internal/cli", module + "/cmd/edda/internal/sagacmd", true},
		{"cmd/edda/internal/channelcmd", module + "/cmd/edda/internal/streamcmd", true},
		{"cmd/edda/internal/sagacmd", module + "/node", true},
	} {
		r, ok := roomOf(c.dir)
		if !ok {
			t.Fatalf("%s has no room", c.dir)
		}
		if got := r.refuses(c.imp) != ""; got != c.refused {
			t.Errorf("%s imports %s: refused is %v, want %v", c.dir, c.imp, got, c.refused)
		}
	}
}

// refuses says why the room may not have the import, or "".
func (r room) refuses(imp string) string {
	inside, ours := strings.CutPrefix(imp, module)
	switch {
	case ours:
		dir := path.Clean("." + inside)
		if home, _ := roomOf(dir); home.dir == r.dir || slices.ContainsFunc(r.imports, func(may string) bool {
			return within(dir, may)
		}) {
			return ""
		}
		return "which it may not: the arrows point the other way"
	case r.stdlib && strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
		return "but the standard library is all it may have"
	case slices.ContainsFunc(r.never, func(no string) bool { return within(imp, no) }):
		return "which it must be handed, or must not touch"
	}
	return ""
}

// roomOf returns the room with the longest matching directory.
func roomOf(dir string) (room, bool) {
	var best room
	for _, r := range rooms {
		if within(dir, r.dir) && len(r.dir) > len(best.dir) {
			best = r
		}
	}
	return best, best.dir != ""
}

// within reports whether p is root or below it. The module's root has nothing below it.
func within(p, root string) bool {
	return p == root || strings.HasPrefix(p, root+"/")
}

// importsByDir reads the imports of each package's files, tests aside.
func importsByDir(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string]map[string]bool{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skip(p, d.Name())
		case !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(p))
		if all[dir] == nil {
			all[dir] = map[string]bool{}
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			all[dir][name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("found %d packages, which cannot be all of them", len(all))
	}
	sorted := map[string][]string{}
	for dir, set := range all {
		sorted[dir] = slices.Sorted(maps.Keys(set))
	}
	return sorted
}

// skip leaves out what the go command does not build, and other modules.
func skip(p, name string) error {
	if p == "." {
		return nil
	}
	if name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}
