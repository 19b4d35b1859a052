package sagadraw

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

var rewrite = flag.Bool("rewrite", false, "write what was seen into testdata")

// golden compares what was drawn with a file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal([]byte(got), want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestGolden(t *testing.T) {
	for name, s := range fixtures() {
		t.Run(name, func(t *testing.T) {
			text, _ := Text(s, Options{Now: at(10_000)})
			golden(t, name+".txt", text)
			chart, _ := Mermaid(s, Options{Now: at(10_000)})
			golden(t, name+".mmd", chart)
		})
	}
}

// With colours the same is drawn, and nothing but colours is added.
func TestColour(t *testing.T) {
	for name, s := range fixtures() {
		want, _ := Text(s, Options{Now: at(10_000)})
		got, _ := Text(s, Options{Now: at(10_000), Colour: true})
		for _, c := range []style{bold, dim, red, green, yellow, cyan} {
			got = strings.ReplaceAll(got, "\x1b["+string(c)+"m", "")
		}
		if got = strings.ReplaceAll(got, "\x1b[0m", ""); got != want {
			t.Errorf("%s: got without colours\n%swant\n%s", name, got, want)
		}
	}
	text, _ := Text(hammer(), Options{Colour: true})
	if !strings.Contains(text, "\x1b[32m✓\x1b[0m") {
		t.Errorf("got %q, want a green mark", text)
	}
}

// Boxes are made narrower, and then left, to keep to the width.
func TestWidth(t *testing.T) {
	for _, c := range []struct {
		width int
		boxes bool
	}{{120, true}, {70, true}, {50, true}, {30, false}} {
		text, whole := Text(person(), Options{Now: at(10_000), Width: c.width})
		if boxes := strings.Contains(text, "╭"); boxes != c.boxes || !whole {
			t.Errorf("in %d columns: boxes are %v, want %v; whole is %v, want true\n%s", c.width, boxes, c.boxes, whole, text)
		}
		for l := range strings.Lines(text) {
			if n := widthOf(strings.TrimSuffix(l, "\n")); c.boxes && n > c.width {
				t.Errorf("a line has %d columns, want at most %d: %s", n, c.width, l)
			}
		}
	}
}

func TestAll(t *testing.T) {
	s := large()
	text, whole := Text(s, Options{All: true})
	if lines := strings.Count(text, " mill grind "); lines != 10_000 || !whole {
		t.Errorf("all of a large saga: got %d steps and whole %v, want each", lines, whole)
	}
	chart, whole := Mermaid(s, Options{All: true})
	if lines := strings.Count(chart, "mill grind"); lines != 10_000 || !whole {
		t.Errorf("all of a large saga in Mermaid: got %d steps and whole %v, want each", lines, whole)
	}
	for _, name := range []string{"large", "chain"} {
		text, whole := Text(fixtures()[name], Options{})
		if lines := strings.Count(text, "\n"); lines > 30 || whole {
			t.Errorf("%s: got %d lines and whole %v, want few, which are not all", name, lines, whole)
		}
	}
}

// What a list says below a step keeps to the width too.
func TestNotesAreWrapped(t *testing.T) {
	s := wideSaga()
	s.Steps[18].Error.Message = strings.Repeat("out of ink ", 100)
	text, _ := Text(s, Options{Width: 60})
	notes := 0
	for l := range strings.Lines(text) {
		if strings.Contains(l, "out of ink") {
			notes++
			if n := widthOf(l) - 1; n > 60 {
				t.Errorf("a note has %d columns, want at most 60: %s", n, l)
			}
		}
	}
	if notes != 3 {
		t.Errorf("got %d lines of notes, want 3:\n%s", notes, text)
	}
}

// A saga in which each level is another mixture is told in few lines too.
func TestManyMixtures(t *testing.T) {
	s := &edda.Saga{State: edda.SagaCompensated}
	for i := range 500 {
		state := edda.StepCompensated
		if i%2 == 0 {
			state = edda.StepNotCompensated
		}
		var after []string
		if i > 0 {
			after = []string{fmt.Sprint("s", i-1)}
		}
		s.Steps = append(s.Steps, waiting(fmt.Sprint("s", i), "svc", "do", state, after...))
	}
	text, _ := Text(s, Options{})
	if want := "levels 1–500  500 × 1  ↩ 250 compensated  ! 250 not compensated\n"; text != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
}

// A saga without steps, and one that no node would have made, are drawn somehow.
func TestOddSagas(t *testing.T) {
	if text, whole := Text(&edda.Saga{}, Options{}); text != "" || !whole {
		t.Errorf("a saga without steps: got %q", text)
	}
	circle := &edda.Saga{Steps: []edda.Step{
		waiting("a", "svc", "do", "of-tomorrow", "b"), waiting("b", "svc", "do", edda.StepWaiting, "a", "b"),
	}}
	if text, _ := Text(circle, Options{}); !strings.Contains(text, "? a") || !strings.Contains(text, "of-tomorrow") {
		t.Errorf("a circle: got\n%s", text)
	}
}

func TestMermaidEscapes(t *testing.T) {
	chart, _ := Mermaid(textOfOthers(), Options{})
	for l := range strings.Lines(chart) {
		_, label, ok := strings.Cut(l, `["`)
		if !ok {
			continue
		}
		label, ok = strings.CutSuffix(label, "\"]\n")
		label = strings.ReplaceAll(label, "<br/>", "")
		if !ok || strings.ContainsAny(label, "\"<>`&\x1b") {
			t.Errorf("a label has what ends it or is markup: %s", l)
		}
	}
}
