package rpcgw

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// fakeChannels is a backend that knows one channel, and notes what it is asked to do.
type fakeChannels struct {
	edda.ChannelBackend
	channel      *edda.Channel
	subscription edda.Subscription // that there is; nil: nothing to subscribe to

	mu    sync.Mutex // guards what follows
	asked []string
	spec  edda.ChannelSpec

	subscribed *edda.Subscribe
}

// take returns what the backend was asked to since it was called last.
func (f *fakeChannels) take() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := strings.Join(f.asked, ", ")
	f.asked = nil
	return asked
}

func (f *fakeChannels) notef(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fakeChannels) SetChannel(_ context.Context, c edda.ChannelSpec) (*edda.Channel, bool, error) {
	f.notef("set channel")
	f.spec = c
	return f.channel, true, nil
}

func (f *fakeChannels) Channel(_ context.Context, namespace, name string) (*edda.Channel, error) {
	f.notef("channel %s:%s", namespace, name)
	return f.channel, nil
}

func (f *fakeChannels) Channels(_ context.Context, namespace string, limit int, after string) ([]edda.Channel, string, error) {
	f.notef("list %s, %d after %q", namespace, limit, after)
	page := make([]edda.Channel, limit)
	for i := range page {
		page[i] = *f.channel
		page[i].Name = fmt.Sprint([]string{"floor", "other"}[i%2], i)
	}
	return page, page[limit-1].Name, nil
}

func (f *fakeChannels) DeleteChannel(_ context.Context, namespace, name string) error {
	f.notef("delete channel %s:%s", namespace, name)
	return nil
}

func oneFloor() *fakeChannels {
	return &fakeChannels{channel: &edda.Channel{
		ChannelSpec: edda.ChannelSpec{
			Namespace: "shop", Name: "floor", History: edda.History{Count: 2, Age: 3},
			From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"paid.*", "sent"}}, {Stream: "stock"}},
		},
		CreatedAt: time.Unix(2, 0).UTC(), Subscribers: 4,
	}}
}

func floorChannel() *eddav1.Channel {
	return &eddav1.Channel{
		Spec: &eddav1.ChannelSpec{
			Namespace: "shop", Name: "floor", History: &eddav1.History{Count: 2, Age: 3},
			From: []*eddav1.ChannelSource{{Stream: "orders", Patterns: []string{"paid.*", "sent"}}, {Stream: "stock"}},
		},
		CreatedAt: 2e9, Subscribers: 4,
	}
}

// channelCall is a method, called of the channel that there is.
type channelCall struct {
	name string
	call func(context.Context, eddav1.ChannelServiceClient) (proto.Message, error)
	want proto.Message
	asks string
	may  []string // with channelTokens
}

// ofChannels makes a call without its types.
func ofChannels[Req any, Res proto.Message](m func(eddav1.ChannelServiceClient, context.Context, Req, ...grpc.CallOption) (Res, error), r Req) func(context.Context, eddav1.ChannelServiceClient) (proto.Message, error) {
	return func(ctx context.Context, c eddav1.ChannelServiceClient) (proto.Message, error) { return m(c, ctx, r) }
}

func channelCalls() []channelCall {
	type client = eddav1.ChannelServiceClient
	floor := &eddav1.ChannelRef{Namespace: "shop", Channel: "floor"}
	return []channelCall{
		{
			"set", ofChannels(client.SetChannel, &eddav1.SetChannelRequest{Channel: floorChannel().GetSpec()}),
			&eddav1.SetChannelResponse{Channel: floorChannel(), Created: true}, "set channel", []string{"ops"},
		},
		{"get", ofChannels(client.GetChannel, floor), floorChannel(), "channel shop:floor", []string{"ops", "publisher", "subscriber"}},
		{"delete", ofChannels(client.DeleteChannel, floor), new(eddav1.DeleteChannelResponse), "delete channel shop:floor", []string{"ops"}},
	}
}

func TestChannelMethods(t *testing.T) {
	f := oneFloor()
	c := eddav1.NewChannelServiceClient(serveOnly(t, backends{channels: f}, Options{}))
	for _, tc := range channelCalls() {
		got, err := tc.call(as(t, ""), c)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if diff := cmp.Diff(tc.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		if asked := f.take(); asked != tc.asks {
			t.Errorf("%s: the backend is asked to %q, want %q", tc.name, asked, tc.asks)
		}
	}
	if diff := cmp.Diff(f.channel.ChannelSpec, f.spec); diff != "" {
		t.Errorf("the channel (-sent +got):\n%s", diff)
	}
}

// A pattern from before Protocol Buffers took it is shown, not a reason to fail.
func TestChannelsArePrintable(t *testing.T) {
	f := oneFloor()
	f.channel.From[0].Patterns[0] = "a\xff"
	c := eddav1.NewChannelServiceClient(serveOnly(t, backends{channels: f}, Options{}))
	got, err := c.GetChannel(as(t, ""), new(eddav1.ChannelRef))
	if err != nil || got.GetSpec().GetFrom()[0].GetPatterns()[0] != "a\uFFFD" || f.channel.From[0].Patterns[0] != "a\xff" {
		t.Errorf("got %v, %v", got, err)
	}
}

// channelTokens are credentials of each kind, whose tokens are the principals' names.
func channelTokens(t *testing.T) auth.Authenticator {
	t.Helper()
	floor, all := []auth.Pattern{"shop:floor*"}, []auth.Pattern{"*:*"}
	var tokens []auth.Token
	for p, r := range map[edda.Principal]auth.Rights{
		"publisher": {Publish: floor}, "subscriber": {Subscribe: floor}, "ops": {Manage: true},
		"caller": {Call: all, Host: all, Append: all, Read: all},
	} {
		hash, err := auth.HashToken(string(p))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, auth.Token{Principal: p, SHA256: hash, Rights: r})
	}
	a, err := auth.NewTokens(tokens...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestChannelRights(t *testing.T) {
	f := oneFloor()
	c := eddav1.NewChannelServiceClient(serveOnly(t, backends{channels: f}, Options{Authenticator: channelTokens(t)}))
	for _, tc := range channelCalls() {
		for _, who := range []string{"", "publisher", "subscriber", "ops", "caller", "stranger"} {
			want := edda.NotAllowed
			switch {
			case slices.Contains(tc.may, who):
				want = ""
			case who == "" || who == "stranger":
				want = edda.NoCredentials
			}
			_, err := tc.call(as(t, who), c)
			if r, text := reasonOf(err); r != want {
				t.Errorf("%s by %q: got %s (%s), want %q", tc.name, who, r, text, want)
			}
			if asked := f.take(); (asked == "") != (want != "") {
				t.Errorf("%s by %q, which should be %q: the backend was asked to %q", tc.name, who, want, asked)
			}
		}
	}
	for who, want := range map[string]int{"publisher": 2, "subscriber": 2, "ops": 3, "caller": 0} {
		got, err := c.ListChannels(as(t, who), &eddav1.ListChannelsRequest{Namespace: "shop", Limit: 3, After: "a"})
		if err != nil || len(got.GetChannels()) != want || got.GetNext() != "floor2" {
			t.Errorf("%s sees %d channels, %v, want %d and that there are more", who, len(got.GetChannels()), err, want)
		}
		if asked := f.take(); asked != `list shop, 3 after "a"` {
			t.Errorf("the backend was asked to %q", asked)
		}
	}
}
