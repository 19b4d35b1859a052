// Web is a web service whose routes are messages: a hello that is answered by a consumer of
// a stream, objects that are made, read, changed and deleted under their ids, and the same
// stream over a WebSocket (examples/websocket).
//
//	go run ./examples/web
//	curl localhost:7400/
//	curl --json '{"name":"Ada"}' localhost:7400/data/ada
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

// routes say which requests become which messages.
var routes = []routegw.Route{
	{Route: "GET /{$}", Stream: "hello", Type: "hello", Wait: time.Second}, // no reply within that: 504
	{Route: "POST /data/{id}", Service: "data", Method: "create", Key: "path.id"},
	{Route: "GET /data/{id}", Service: "data", Method: "read", Key: "path.id"},
	{Route: "PUT /data/{id}", Service: "data", Method: "update", Key: "path.id"},
	{Route: "DELETE /data/{id}", Service: "data", Method: "delete", Key: "path.id"},
}

func main() {
	listen := flag.String("listen", "127.0.0.1:7400", "where to listen, on loopback")
	dir := flag.String("dir", "web-data", "what is kept stays there")
	worldless := flag.Bool("worldless", false, "let nobody answer the hello")
	flag.Parse()
	log.Fatal(run(context.Background(), *listen, *dir, *worldless))
}

func run(ctx context.Context, listen, dir string, worldless bool) error {
	services := []*edda.Service{examples.Data()}
	if !worldless {
		world, err := examples.World().Service()
		if err != nil {
			return err
		}
		services = append(services, world)
	}
	n, err := node.Open(ctx, node.Options{Dir: dir, Services: services})
	if err != nil {
		return err
	}
	if _, _, err := n.SetStream(ctx, edda.StreamSpec{Name: "hello.replies", Retention: edda.Retention{Age: time.Hour}}); err != nil {
		return err // it is listened to before the first hello
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	here := []string{l.Addr().String()}
	web, err := routegw.New(routegw.Backends{Calls: n, Streams: n}, routegw.Options{Routes: routes, Listen: here})
	if err != nil {
		return err
	}
	live, err := wsgw.New(n, wsgw.Options{Listen: here})
	if err != nil {
		return err
	}
	gateway, err := httpgw.New(n, httpgw.Options{Listen: here, Live: live, Routes: web})
	if err != nil {
		return err
	}
	log.Printf("listening on http://%s", l.Addr())
	return httpgw.NewServer(gateway, nil).Serve(l)
}
