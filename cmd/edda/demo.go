package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/club"
	"github.com/edda-io/edda/cmd/edda/internal/setting"
	"github.com/edda-io/edda/cmd/edda/internal/story"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/internal/eddahttp"
)

// demoListen is where the demo listens unless it is told, or the port is taken.
const demoListen = "127.0.0.1:7400"

// newsletter is what members of the club are told to.
const newsletter = "weekly"

// demo is one telling: a node, its directory and the settings that open it.
type demo struct {
	*app
	settings *setting.Node
	server   *server
	// club is the app of commands that the node hosts.
	club *club.Club
	// conns are the connections to it.
	conns     *http.Transport
	temporary bool
	// suffix makes the names of this telling its own, where the directory held something.
	suffix string
}

func (a *app) demo() *cobra.Command {
	var dir, listen string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a node at work, then play with it",
		Long: `Starts a node with the example services, and a club that people join by
commands, in a temporary directory, sends it a short story over HTTP, prints
what happened and what to try next, and stays up until Ctrl-C. With --once it
ends after the story; the exit code is 1 when anything went otherwise than
told.`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{cli.NoNode: "true"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.JSON {
				return cli.WrongUse("demo tells a story to people: it has no --json")
			}
			if listen != "" && !setting.Loopback(listen) {
				return cli.WrongUse("--listen is %q, must be a loopback address such as %s: the demo asks nobody for credentials", listen, demoListen)
			}
			return a.runDemo(cmd.Context(), dir, listen, once)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "data `DIR`, kept afterwards (default: a temporary one)")
	f.StringVar(&listen, "listen", "", "`HOST:PORT` to listen on (default "+demoListen+", or a free port when that is taken)")
	f.BoolVar(&once, "once", false, "end after the story")
	return cmd
}

func (a *app) runDemo(ctx context.Context, dir, listen string, once bool) (err error) {
	d, err := a.newDemo(dir, listen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	if err := d.open(ctx); err != nil {
		return err
	}
	// A restart must come back to the same port.
	d.settings.Listen = d.server.addr

	fmt.Fprintf(a.Stdout, "A node with the example services is up at %s\n", d.server.url)
	fmt.Fprintf(a.Stdout, "Its data is in %s, and what it acknowledges is on disk (fsync).\n", d.settings.Dir)
	begin := time.Now()
	told, err := d.tell(ctx)
	if err != nil {
		return err
	}
	if told.Wrong > 0 {
		fmt.Fprintf(a.Stdout, "\nSteps that were not as told: %d\n", told.Wrong)
		return cli.Silent(errors.New("the story went wrong"))
	}
	fmt.Fprintf(a.Stdout, "\nAll as told, in %v.\n", time.Since(begin).Round(10*time.Millisecond))
	if once {
		return nil
	}
	d.whatNext(told.Event)
	return d.server.run(ctx)
}

// newDemo makes the directory and picks the port.
func (a *app) newDemo(dir, listen string) (*demo, error) {
	d := &demo{app: a, conns: &http.Transport{}, temporary: dir == "", settings: &setting.Node{
		Listen: cmp.Or(listen, demoListen), Dir: dir, Durability: edda.Fsync, Partitions: 64,
		Example: true, LogLevel: slog.LevelError,
	}}
	if listen == "" && taken(demoListen) {
		d.settings.Listen = "127.0.0.1:0"
	}
	if !d.temporary {
		entries, err := os.ReadDir(dir)
		if len(entries) > 0 {
			d.suffix = "-" + strconv.FormatInt(time.Now().Unix(), 36)
		}
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return d, err
	}
	var err error
	d.settings.Dir, err = os.MkdirTemp("", "edda-demo-")
	return d, err
}

// taken reports whether somebody listens on the address.
func taken(addr string) bool {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	return err != nil || l.Close() != nil
}

// open opens the club and the node that hosts it. What there is of them is shut down in any
// case.
func (d *demo) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(d.settings.Dir, 0o700); err != nil {
		return err
	}
	if d.club, err = club.Open(ctx, d.settings.Dir, newsletter+d.suffix, newLogger(d.settings, d.Stderr)); err != nil {
		return err
	}
	if d.server, err = serve(ctx, d.settings, append(examples.Services(), d.club.Services()...), d.Stderr); err != nil {
		return err
	}
	return d.club.Start(ctx, d.server.node)
}

// shut stops what is open, the node until the context ends.
func (d *demo) shut(ctx context.Context) error {
	var err error
	if d.club != nil {
		err = d.club.Close(ctx)
		d.club = nil
	}
	if d.server != nil {
		err = errors.Join(err, d.server.stop(ctx))
		d.server = nil
	}
	return err
}

func (d *demo) tell(ctx context.Context) (story.Told, error) {
	client, err := eddahttp.New(d.server.url, eddahttp.Options{Transport: d.conns})
	if err != nil {
		return story.Told{}, err
	}
	return story.Tell(ctx, story.Stage{
		Out: d.Stdout, Colour: d.IsTerminal(d.Stdout), Client: client, Restart: d.restart, Suffix: d.suffix,
	})
}

// restart stops the node without a grace for handlers and opens it again.
func (d *demo) restart(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	d.conns.CloseIdleConnections() // a server waits for those that were never used
	if err := d.shut(noGrace(ctx)); err != nil {
		return 0, err
	}
	if err := d.open(ctx); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// noGrace returns a context that has ended.
func noGrace(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// whatNext prints commands to copy, some about an event.
func (d *demo) whatNext(event edda.ID) {
	url, env := d.server.url, environment(d.server.url)
	fmt.Fprintf(d.Stdout, "\nThe node stays up until Ctrl-C. Try next:\n\n")
	d.print(
		"curl -i "+url+`/v1/call/users/grace/login -H 'Content-Type: application/json' -d '{"email":"grace@example.com"}'`,
		"curl -i "+url+`/v1/call/counter/mine/add -H 'Content-Type: application/json' -H 'Idempotency-Key: once' -d '{"n":1}'`,
		"curl -i "+url+`/v1/call/slow/nap -H 'Prefer: respond-async' -d '{"ms":5000}'`,
		"curl -N "+url+"/v1/channels/shop"+d.suffix+"?from=start",
	)
	fmt.Fprintln(d.Stdout)
	d.print(
		env+d.Program+" channels subscribe shop"+d.suffix+"    # and, in another terminal:",
		env+d.Program+" channels publish shop"+d.suffix+` '{"text":"hello"}' --type said`,
		env+d.Program+` call flaky/mine try '{"fail":-1}'`,
		env+d.Program+" deadletters ls",
		env+d.Program+" services ls",
		d.Program+" log dump "+d.settings.Dir,
	)
	fmt.Fprintln(d.Stdout)
	d.print(
		env+d.Program+` call members/grace join.club '{"email":"grace@example.com"}'`,
		env+d.Program+" cqrs events",
		env+d.Program+" cqrs trace "+event.String(),
		env+d.Program+" cqrs projections",
		env+d.Program+" cqrs rebuild members/Domains.count",
	)
	if d.temporary {
		fmt.Fprintf(d.Stdout, "\nIts directory goes when it ends; to keep one: %s demo --dir DIR\n", d.Program)
	}
}

func (d *demo) print(lines ...string) {
	for _, line := range lines {
		fmt.Fprintln(d.Stdout, "  "+line)
	}
}

// close stops the node and removes a temporary directory.
func (d *demo) close(ctx context.Context) error {
	d.conns.CloseIdleConnections()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := d.shut(stopping)
	if d.temporary {
		err = errors.Join(err, os.RemoveAll(d.settings.Dir))
	}
	return err
}
