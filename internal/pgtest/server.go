package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is a PostgreSQL server in a directory of its own, which listens on a socket
// there. Its methods are safe for concurrent use.
type Server struct {
	bin, dir string
	settings []string
	// reaper stops the server and removes the directory when the pipe is closed: when the
	// process ends, that is, even if it is killed.
	reaper *os.File

	mu   sync.Mutex // guards what follows, and is held while the server is started or stopped
	on   bool
	made int      // databases
	free []string // databases that no test has
}

// Start makes and starts a server. Settings are like work_mem=64MB, and come after those
// that make tests quick: nothing is flushed to the disk, so that a server that is killed
// keeps what it has committed, and a machine that loses power does not.
func Start(settings ...string) (*Server, error) {
	bin, err := installed()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "edda-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, settings: append([]string{
		"fsync=off", "full_page_writes=off", "max_connections=200", "autovacuum=off", "log_min_messages=fatal",
	}, settings...)}
	if err := s.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *Server) start() error {
	if err := own(s.dir); err != nil {
		return err
	}
	if err := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return err
	}
	if err := s.reap(); err != nil {
		return err
	}
	return s.Run()
}

// reap starts a shell that waits until this process is gone.
func (s *Server) reap() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	script := `cat >/dev/null; pid=$(head -n 1 "$1/data/postmaster.pid") && kill -QUIT "$pid"; while kill -0 "$pid"; do sleep 0.1; done; rm -rf "$1"`
	cmd := exec.Command("sh", "-c", script, "sh", s.dir)
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		return errors.Join(err, w.Close())
	}
	s.reaper = w
	return cmd.Process.Release()
}

// Run starts the server again after Stop, and returns when it takes connections.
func (s *Server) Run() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	options := []string{"-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir}
	for _, setting := range s.settings {
		options = append(options, "-c", setting)
	}
	err := s.command("pg_ctl", "start", "-w", "-s", "-t", "60", "-D", s.data(), "-l", filepath.Join(s.dir, "log"), "-o", strings.Join(options, " "))
	s.on = err == nil
	return err
}

// Stop stops the server as a crash does: it is killed, and what runs with it. The
// directory stays.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	return s.command("pg_ctl", "stop", "-w", "-s", "-t", "60", "-m", "immediate", "-D", s.data())
}

// Close stops the server and removes its directory.
func (s *Server) Close() error {
	var err error
	if s.running() {
		err = s.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.dir), s.reaper.Close())
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

// socket is the name of the socket that a server listens on.
const socket = ".s.PGSQL.5432"

// DSN is the connection string of a database of the server.
func (s *Server) DSN(database string) string { return dsnOf(s.dir, database) }

func dsnOf(dir, database string) string {
	return fmt.Sprintf("host=%s user=postgres dbname=%s sslmode=disable", dir, database)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command runs a program of PostgreSQL, as a user that it accepts.
func (s *Server) command(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	if err := unprivileged(cmd); err != nil {
		return err
	}
	// A file and no pipe: the server inherits it, and a pipe would be waited for.
	out, err := os.CreateTemp(s.dir, "out")
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(text))
	}
	return nil
}

var errNotInstalled = errors.New("initdb is neither in PATH nor in /usr/lib/postgresql")

// installed finds the newest PostgreSQL.
func installed() (dir string, err error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if _, err := exec.LookPath("pg_ctl"); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.Join(errNotInstalled, err)
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}
