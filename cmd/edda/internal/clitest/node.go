package clitest

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker/httppush"
)

// Node is a node that commands talk to over HTTP.
type Node struct {
	URL string

	node   *node.Node
	server *httptest.Server
}

// OpenNode opens a node that hosts services. It keeps its data in the directory, or nothing
// when that is "", and is stopped when the test ends.
func OpenNode(t *testing.T, dir string, services ...*edda.Service) *Node {
	t.Helper()
	o := node.Options{Dir: dir, Services: services, Endpoints: func(spec edda.EndpointSpec) (node.Endpoint, error) {
		return httppush.New(spec, httppush.Options{})
	}}
	if dir == "" {
		o.Durability = edda.Memory
	}
	n, err := node.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	g, err := httpgw.New(n, httpgw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := &Node{node: n, server: httptest.NewServer(g)}
	v.URL = v.server.URL
	t.Cleanup(func() { v.Stop(t) })
	return v
}

// Stop stops it, unless it was stopped.
func (v *Node) Stop(t *testing.T) {
	t.Helper()
	if err := v.node.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	v.server.Close()
}
