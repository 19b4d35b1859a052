package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// What workers are told when they register.
func TestLifeOfWorkersIsASetting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args                []string
		heartbeat, lifetime time.Duration
	}{
		{nil, time.Second, 3 * time.Second},
		{[]string{"--workers-heartbeat", "5s"}, 5 * time.Second, 15 * time.Second},
		{[]string{"--workers-heartbeat", "5s", "--workers-lifetime", "20s"}, 5 * time.Second, 20 * time.Second},
	} {
		node := dev(t, append(c.args, "--durability", "memory")...)
		conn := must(grpc.NewClient(strings.TrimPrefix(node.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials())))
		stream := must(eddav1.NewWorkerServiceClient(conn).Work(t.Context()))
		register := &eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Register{Register: &eddav1.Register{
			Services: []*eddav1.Service{{Name: "echo", Kind: eddav1.Kind_KIND_BALANCED, Methods: []*eddav1.Method{{Name: "say"}}}},
		}}}
		if err := stream.Send(&eddav1.WorkerFrames{Frames: []*eddav1.WorkerFrame{register}}); err != nil {
			t.Fatal(err)
		}
		got := must(stream.Recv()).GetFrames()[0].GetRegistered()
		if time.Duration(got.GetHeartbeat()) != c.heartbeat || time.Duration(got.GetLifetime()) != c.lifetime {
			t.Errorf("%q: a worker is told %v, want a beat every %v and a lifetime of %v", c.args, got, c.heartbeat, c.lifetime)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		node.stop()
	}
}

// What is slow is said as often as it was asked for.
func TestSlowWarningIsASetting(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]bool{"1ns": true, "1m": false, "0": false} {
		node := dev(t, "--example", "--dir", filepath.Join(t.TempDir(), "data"), "--log-level", "warn", "--slow-warning", flag)
		ok(t, node.url, "", "call", "echo", "say", "hello")
		ok(t, node.url, "", "streams", "append", "inbox", "hello")
		left := node.stop()
		for _, text := range []string{"slow handler", "slow request"} {
			if strings.Contains(left.errOut, text) != want {
				t.Errorf("--slow-warning %s: %q in the log is %v, want %v:\n%s", flag, text, !want, want, left.errOut)
			}
		}
	}
}

// Readers of events are bounded as WebSockets are.
func TestBehindIsASettingForEvents(t *testing.T) {
	t.Parallel()
	const slow, last = `"reason":"SLOW"`, `"data":"last"`
	for flag, want := range map[string]string{"100KiB": slow, "1GiB": last} {
		node := dev(t, "--durability", "memory", "--live-behind-bytes", flag)
		ok(t, node.url, "", "channels", "create", "chat")
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, node.url+"/v1/channels/chat", http.NoBody))
		r.Header.Set("Accept", "text/event-stream")
		transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				err = c.(*net.TCPConn).SetReadBuffer(64 << 10) // little may lie between the two
			}
			return c, err
		}}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		for range 600 { // more, in number and size, than may be on its way to the reader
			ask(t, "POST", node.url+"/v1/channels/chat", strings.Repeat("x", 32<<10))
		}
		ask(t, "POST", node.url+"/v1/channels/chat", "last")
		got := ""
		for lines := bufio.NewReader(res.Body); err == nil && !strings.Contains(got, slow) && !strings.Contains(got, last); {
			got, err = lines.ReadString('\n')
		}
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("--live-behind-bytes %s: a reader that is megabytes behind gets %.200q and %v in the end, want %s", flag, got, err, want)
		}
		_ = res.Body.Close()
		node.stop()
	}
}
