// Package logcmd has the commands that read the log in a data directory, without a node.
package logcmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// area is what these commands share.
type area struct{ *cli.Invocation }

// New returns the command log.
func New(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	cmd := cli.Group("log", "Read the log in a data directory, also while a node has it open", a.dump(), a.verify())
	cmd.Annotations = map[string]string{cli.NoNode: "true"}
	return cmd
}

// logDir returns where the log is: in the directory log of a node's data
// directory, or in the directory itself.
func logDir(dir string) (string, error) {
	below := filepath.Join(dir, "log")
	if info, err := os.Stat(below); err == nil && info.IsDir() {
		return below, nil
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "", fmt.Errorf("read the log: %w", err)
	case !info.IsDir():
		return "", cli.WrongUse("%s is not a directory: name a node's data directory", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "meta")); errors.Is(err, os.ErrNotExist) {
		return "", cli.WrongUse("%s holds no log: name a node's data directory", dir)
	}
	return dir, nil
}
