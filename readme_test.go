package edda_test

import (
	"os"
	"strings"
	"testing"
)

// The programs that the README shows are those that can be run.
func TestReadmeShowsThePrograms(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		heading, program string
		lines            int // at most; 0: any
	}{
		{"## A whole service\n", "examples/accounts/main.go", 0},
		{"## Sagas\n", "examples/hammer/main.go", 30},
		{"## Streams\n", "examples/howdy/main.go", 40},
		{"## Commands and events\n", "examples/signup/main.go", 60},
	} {
		program, err := os.ReadFile(c.program)
		if err != nil {
			t.Fatal(err)
		}
		_, section, _ := strings.Cut(string(readme), c.heading)
		_, block, _ := strings.Cut(section, "```go\n")
		block, _, found := strings.Cut(block, "```")
		if !found {
			t.Fatalf("README.md has no Go program under %q", c.heading)
		}
		if !strings.HasSuffix(string(program), block) {
			t.Errorf("the program under %q in README.md is not the one in %s", c.heading, c.program)
		}
		if n := strings.Count(block, "\n"); c.lines > 0 && n >= c.lines {
			t.Errorf("the program under %q has %d lines, want fewer than %d", c.heading, n, c.lines)
		}
	}
}

// So are the configuration and the page.
func TestReadmeShowsThePage(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "## On the web\n")
	for language, file := range map[string]string{"yaml": "examples/live/edda.yaml", "html": "examples/live/page/index.html"} {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, block, _ := strings.Cut(section, "```"+language+"\n")
		if block, _, _ = strings.Cut(block, "```"); block != string(want) {
			t.Errorf("the %s under \"On the web\" in README.md is not %s", language, file)
		}
	}
}
