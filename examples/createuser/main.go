// Createuser is what happens when a user is created: the email is looked up, a third party is
// told, and the event, two projections, a command that follows from it and its event are
// stored in one transaction, or nothing is, and the third party is told to forget it.
//
//	go run ./examples/createuser        and open http://127.0.0.1:7400/
//	go run ./examples/createuser -db postgres://me@localhost/users
//
// The page has a switch that has any step of it fail.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/channel"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/examples/createuser/party"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

//go:embed page
var files embed.FS

// settings are the program's flags.
type settings struct {
	listen, dir, db, party, dieAt string
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:7400", "where to listen")
	flag.StringVar(&s.dir, "dir", "createuser-data", "the node's log is kept there, and the database, if it is a file")
	flag.StringVar(&s.db, "db", "", "the database: sqlite:FILE, or a connection string of PostgreSQL such as postgres://me@localhost/users (default: a file in -dir)")
	flag.StringVar(&s.party, "party", "", "where the third party is (default: in this process)")
	flag.StringVar(&s.dieAt, "die", "", "the step at which the process dies, as by kill -9: before, call, called, after, profile, friends")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves the example until the context ends.
func run(ctx context.Context, s settings) (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if s.db == "" {
		s.db = "sqlite:" + filepath.Join(s.dir, "users.db")
	}
	db, err := openDatabase(ctx, s.db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	var own net.Listener // of the third party, when it is in this process
	if s.party == "" {
		if own, err = listen(ctx, "127.0.0.1:0"); err != nil {
			return err
		}
		s.party = "http://" + own.Addr().String()
	}
	f := &flow{party: party.Client{URL: s.party}, trouble: &trouble{dieAt: s.dieAt}}
	app, err := cqrs.New(db, cqrs.Options{Name: "createuser"}, f.broadcaster())
	if err != nil {
		return err
	}
	n, err := node.Open(ctx, node.Options{Dir: filepath.Join(s.dir, "node"), Services: append(app.Services(), views(app, db))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Stop(context.WithoutCancel(ctx))) }()
	if own != nil {
		server, err := thirdParty(ctx, own, n)
		if err != nil {
			return err
		}
		defer func() { _ = server.Close() }() // nobody speaks to it any more
	}
	if err := app.Start(ctx, n); err != nil {
		return err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, app.Stop(ending))
	}()
	return serve(ctx, s.listen, n)
}

// thirdParty serves the third party, and publishes what it is told, for the page.
func thirdParty(ctx context.Context, l net.Listener, n *node.Node) (*http.Server, error) {
	if _, _, err := n.SetChannel(ctx, edda.ChannelSpec{Name: "party"}); err != nil {
		return nil, err
	}
	server := httpgw.NewServer(&party.Party{Heard: func(t party.Told) {
		told := edda.StreamMessage{ID: t.ID + "." + t.What, Type: t.What, ContentType: "application/json", Payload: edda.JSON(t)}
		if _, err := channel.Publish(ctx, n, "party", told); err != nil {
			log.Printf("the page does not hear of %s %s: %v", t.What, t.Name, err)
		}
	}}, nil)
	go func() { _ = server.Serve(l) }() // Close ends it
	return server, nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

// serve serves the page.
func serve(ctx context.Context, address string, n *node.Node) error {
	live, err := wsgw.New(n, wsgw.Options{})
	if err != nil {
		return err
	}
	page, err := fs.Sub(files, "page")
	if err != nil {
		return err
	}
	l, err := listen(ctx, address)
	if err != nil {
		return err
	}
	gateway, err := httpgw.New(n, httpgw.Options{Listen: []string{l.Addr().String()}, Live: live, Pages: []httpgw.Page{{Path: "/", Files: page}}})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	log.Printf("listening on http://%s/", l.Addr())
	server := httpgw.NewServer(gateway, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // Shutdown ends it
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, live.Drain(ending), server.Shutdown(ending))
}

// views is what the page reads: the tables.
func views(app *cqrs.App, db database) *edda.Service {
	type question struct {
		After cqrs.Position `json:"after,omitzero"`
	}
	s := edda.NewBalanced("views")
	edda.Handle(s, "all", func(ctx *edda.Context, q question) (stored, error) {
		// Who has done a command sees what it brought about, by the eventual handler too.
		if err := app.Wait(ctx, "users/Logger.log", q.After); err != nil {
			return stored{}, err
		}
		return read(ctx, db.SQL())
	})
	return s
}
