package rpcgw

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// A tail begins with a page, goes on where that ended, and ends with the gateway.
func TestTail(t *testing.T) {
	f := oneOrder()
	f.page = &edda.StreamPage{Messages: []edda.StreamMessage{placed()}, First: 4, Next: 4, End: 9} // again and again
	g, err := build(nil, backends{streams: f, groups: f}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &tailStream{ctx: context.WithValue(t.Context(), grantKey{}, &auth.Grant{Rights: auth.Everything()}), pages: make(chan *eddav1.StreamPage)}
	ended := make(chan error, 1)
	go func() { ended <- g.Tail(&eddav1.TailRequest{Stream: "orders", From: "2"}, s) }()
	for range 3 {
		if p := <-s.pages; p.GetNext() != 4 || len(p.GetMessages()) != 1 {
			t.Errorf("got %v", p)
		}
	}
	f.mu.Lock()
	if f.read.Limit != tailLimit || f.read.Bytes != tailBytes || f.asked[0] != "read 2, wait 0s" || f.asked[1] != "read 4, wait 1h0m0s" {
		t.Errorf("asked to %q, %+v", f.asked, f.read)
	}
	f.page = nil
	f.mu.Unlock()
	go func() {
		for range s.pages { // one may be on its way
		}
	}()
	g.Close(t.Context())
	if err := <-ended; edda.ReasonOf(err) != edda.Draining {
		t.Errorf("ended with %v", err)
	}
	close(s.pages)
}

// A tail ends when the credentials do that it was begun on the strength of.
func TestTailExpires(t *testing.T) {
	f := oneOrder()
	f.page = nil
	g, err := build(nil, backends{streams: f, groups: f}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close(t.Context())
	grant := &auth.Grant{Rights: auth.Everything(), Expires: time.Now().Add(time.Millisecond)}
	err = g.Tail(new(eddav1.TailRequest), &tailStream{ctx: context.WithValue(t.Context(), grantKey{}, grant)})
	if edda.ReasonOf(err) != edda.NoCredentials {
		t.Errorf("ended with %v", err)
	}
}

type tailStream struct {
	grpc.ServerStream
	ctx   context.Context
	pages chan *eddav1.StreamPage
}

func (s *tailStream) Context() context.Context { return s.ctx }

func (s *tailStream) Send(p *eddav1.StreamPage) error {
	s.pages <- p
	return nil
}
