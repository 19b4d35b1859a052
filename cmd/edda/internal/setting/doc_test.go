package setting

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/wsgw"
)

var rewrite = flag.Bool("rewrite", false, "write the table of settings into docs/configuration.md")

const page = "../../../../docs/configuration.md"

// TestDocumented compares the page's table with the settings that there are.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(b), "-rewrite -->\n")
	_, tail, ok2 := strings.Cut(rest, "<!-- end of settings -->")
	if !ok1 || !ok2 {
		t.Fatal("the page has no place for the settings")
	}
	want := head + "-rewrite -->\n" + table() + "<!-- end of settings -->" + tail
	if *rewrite {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	for line := range strings.SplitSeq(table(), "\n") {
		if !strings.Contains(string(b), line) {
			t.Errorf("the page lacks:\n%s", line)
		}
	}
	if string(b) != want {
		t.Error("the page's settings are not those that there are: run this test with -rewrite")
	}
	for _, name := range []string{credentials, pages, routes, grants} {
		if !strings.Contains(string(b), "- `"+name+"`") {
			t.Errorf("the page lacks %s", name)
		}
	}
}

// table writes the settings of both commands, one a line.
func table() string {
	served := map[string]definition{}
	for _, d := range definitions(Serve) {
		served[d.name] = d
	}
	var b strings.Builder
	b.WriteString("\n| setting | flag | variable | default | |\n|---|---|---|---|---|\n")
	for _, d := range definitions(Dev) {
		value, what := "", strings.ReplaceAll(strings.ReplaceAll(d.usage, "`", ""), "|", ", ")
		if d.value != "" {
			value = "`" + d.value + "`"
		}
		switch s, ok := served[d.name]; {
		case !ok:
			what += " (`dev` only)"
		case s.value != d.value:
			value += " (`serve`: none)"
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s |\n", d.name, FlagName(d.name), EnvName(d.name), value, what)
	}
	b.WriteString("\n")
	return b.String()
}

// TestEveryLimitIsASetting checks that no limit of the node was forgotten.
func TestEveryLimitIsASetting(t *testing.T) {
	var n Node
	for _, d := range limitDefinitions() {
		if err := d.set(&n, d.value); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	v := reflect.ValueOf(n.Limits)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("node.Limits.%s is no setting", v.Type().Field(i).Name)
		}
	}
}

// TestEveryLiveLimitIsASetting checks that no limit of WebSockets was forgotten.
func TestEveryLiveLimitIsASetting(t *testing.T) {
	var n Node
	for _, d := range liveDefinitions() {
		if err := d.set(&n, cmp.Or(d.value, "7")); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	v := reflect.ValueOf(n.Live)
	for i := range v.NumField() {
		if k := v.Field(i).Kind(); (k == reflect.Int || k == reflect.Int64) && v.Field(i).IsZero() {
			t.Errorf("wsgw.Options.%s is no setting", v.Type().Field(i).Name)
		}
	}
	n.Live.MaxConnections, n.Live.MaxPerPrincipal, n.Live.Burst = 0, 0, 0
	want := wsgw.Options{
		MaxFrame: wsgw.DefaultMaxFrame, Rate: wsgw.DefaultRate, MaxCalls: wsgw.DefaultMaxCalls, MaxSubscriptions: wsgw.DefaultMaxSubscriptions,
		MaxBuffered: wsgw.DefaultMaxBuffered, MaxBehind: wsgw.DefaultMaxBehind, AuthTimeout: wsgw.DefaultAuthTimeout,
		WriteTimeout: wsgw.DefaultWriteTimeout, Ping: wsgw.DefaultPing,
	}
	if !reflect.DeepEqual(n.Live, want) {
		t.Errorf("the defaults are %+v, want %+v", n.Live, want)
	}
}

// TestDefaultsOfTheService checks that they are those of the package.
func TestDefaultsOfTheService(t *testing.T) {
	var n Node
	for _, d := range authDefinitions() {
		if err := d.set(&n, d.value); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	want := auth.ServiceOptions{
		Namespace: edda.DefaultNamespace, Method: auth.DefaultServiceMethod, Timeout: auth.DefaultServiceTimeout,
		Keep: auth.DefaultServiceKeep, Calls: auth.DefaultServiceCalls,
	}
	if n.AuthService != want {
		t.Errorf("the defaults are %+v, want %+v", n.AuthService, want)
	}
}

// TestExamplesAreTaken loads the files that the documents show: those that name a directory
// as edda serve does.
func TestExamplesAreTaken(t *testing.T) {
	for _, doc := range []string{page, "../../../../README.md"} {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		examples := strings.Split(string(b), "```yaml\n")[1:]
		served := 0
		for _, example := range examples {
			example, _, _ = strings.Cut(example, "```")
			c := Dev
			if strings.Contains(example, "\ndir: ") {
				c = Serve
				served++
			}
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			AddFlags(flags, c)
			file := filepath.Join(t.TempDir(), "edda.yaml")
			if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(flags, []string{"EDDA_CONFIG=" + file}, c); err != nil {
				t.Errorf("%s: %v, of\n%s", doc, err, example)
			}
		}
		if served != 1 {
			t.Errorf("%s shows %d files for edda serve, want 1", doc, served)
		}
	}
}
