package main

import (
	"os"
	"strings"
	"testing"
)

func TestDemoOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := command(t, nil, "", "demo", "--once")
	if r.code != exitDone || !strings.Contains(r.out, "All as told") || strings.Contains(r.out, "✗") || r.errOut != "" {
		t.Errorf("got exit code %d and\n%s%s", r.code, r.out, r.errOut)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("it left %v behind", left)
	}
}

func TestDemoInADirectoryThatHoldsSomething(t *testing.T) {
	dir := written(t)
	r := command(t, nil, "", "demo", "--once", "--listen", "127.0.0.1:0", "--dir", dir)
	if r.code != exitDone || !strings.Contains(r.out, "/v1/call/users/ada-") || !strings.Contains(r.out, "/v1/channels/shop-") {
		t.Fatalf("got exit code %d and\n%s%s", r.code, r.out, r.errOut)
	}
	if r := command(t, nil, "", "log", "verify", dir); r.code != exitDone || !strings.Contains(r.out, "no damage") {
		t.Errorf("got %+v, want a log without damage", r)
	}
}
