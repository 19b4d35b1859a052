// Chat is a page where people talk, and the node that serves it. What they say is kept, and
// everybody who was away, or whose node was, hears it once and in order.
//
//	go run ./examples/chat        and open http://127.0.0.1:7400/ in two windows
//
// Saying something is a call of the service chat, which checks it and publishes it to the
// channel that all pages are subscribed to. Who says it is the principal of the credentials,
// whatever the page claims: whoever is the first to join under a name gets a token for it.
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
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

//go:embed page
var files embed.FS

func main() {
	listen := flag.String("listen", "127.0.0.1:7400", "where to listen")
	dir := flag.String("dir", "chat-data", "what was said, and who has joined, is kept there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *listen, *dir)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run serves the chat until the context ends.
func run(ctx context.Context, listen, dir string) error {
	tokens, err := newTokens(filepath.Join(dir, "secret"))
	if err != nil {
		return err
	}
	n, err := node.Open(ctx, node.Options{Dir: filepath.Join(dir, "node"), Services: []*edda.Service{people(tokens), chat()}})
	if err != nil {
		return err
	}
	if _, _, err := n.SetChannel(ctx, edda.ChannelSpec{Name: "chat", History: edda.History{Count: 1000, Age: 30 * 24 * time.Hour}}); err != nil {
		return errors.Join(err, n.Stop(ctx))
	}
	live, err := wsgw.New(n, wsgw.Options{Authenticator: tokens})
	if err != nil {
		return errors.Join(err, n.Stop(ctx))
	}
	server, err := newServer(n, tokens, live)
	if err != nil {
		return errors.Join(err, n.Stop(ctx))
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return errors.Join(err, n.Stop(ctx))
	}
	log.Printf("listening on http://%s/", l.Addr())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // Shutdown ends it
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, live.Drain(ending), n.Stop(ending), server.Shutdown(ending))
}

// newServer serves the page, the client, what the page asks for, and how one joins.
func newServer(n *node.Node, t *tokens, live http.Handler) (*http.Server, error) {
	routes, err := routegw.New(routegw.Backends{Calls: n}, routegw.Options{Authenticator: t, Routes: []routegw.Route{{
		Route: "POST /join/{name}", Service: "people", Method: "join", Key: "path.name", Public: true, Rate: &routegw.Rate{Limit: 20},
	}}})
	if err != nil {
		return nil, err
	}
	page, err := fs.Sub(files, "page")
	if err != nil {
		return nil, err
	}
	gateway, err := httpgw.New(n, httpgw.Options{Authenticator: t, Live: live, Routes: routes, Pages: []httpgw.Page{{Path: "/", Files: page}}})
	if err != nil {
		return nil, err
	}
	return httpgw.NewServer(gateway, nil), nil
}
