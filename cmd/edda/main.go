// Command edda runs a node, and talks to one.
//
// It is flags, settings and wiring; what a node does is in package node, what it
// serves in gateway/httpgw. The commands that talk to a node, or read its log, are in
// packages below internal, and so is what all commands share, in cli.
//
// Exit codes: 0 done, 1 the work failed, 2 wrong use.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

func main() { os.Exit(start()) }

func start() int {
	defer runtime.KeepAlive(keepHeadroom())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// It ends with the process. The first signal ends the work, in its time; the
	// second one everything, at once.
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(cli.ExitFailed)
	}()
	return run(ctx, &cli.Invocation{
		Args: os.Args[1:], Environ: os.Environ(), Program: programName(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
}

// programName returns how the program was called, for commands that it prints to
// be copied.
func programName() string {
	if self, err := os.Executable(); err == nil && strings.Contains(self, "go-build") {
		return "go run ./cmd/edda"
	}
	return "edda"
}
