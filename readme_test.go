package edda_test

import (
	"os"
	"strings"
	"testing"
)

// The program that the README shows is the one that can be run.
func TestReadmeShowsTheProgram(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("examples/accounts/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```go\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("README.md has no Go program")
	}
	if !strings.HasSuffix(string(program), block) {
		t.Error("the program in README.md is not the one in examples/accounts/main.go")
	}
}
