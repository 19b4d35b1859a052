package node_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// metric returns the value of a counter or gauge, or the number of observations
// of a histogram; labels are a comma list of values in order of their names.
func metric(t *testing.T, reg *prometheus.Registry, name, labels string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if strings.Join(values, ",") == labels {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

// The metrics count what happened (Q4).
func TestMetrics(t *testing.T) {
	bubble(t, "metrics", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		gate := make(chan struct{})
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			switch m.Type {
			case "fail":
				return nil, edda.Final("NO", "no")
			case "die":
				return nil, errHandler
			case "wait":
				return waitFor(gate)(ctx, m)
			case "stubborn":
				<-gate
			case "ok":
				return nil, ctx.Part("", nil)
			}
			return nil, nil
		})
		s.Retry = edda.RetryPolicy{Max: 3}
		n := start(t, node.Options{Metrics: reg}, s)
		for i, method := range []string{"ok", "ok", "fail", "die", "wait", "stubborn"} {
			send(t, n, msg(fmt.Sprint("s/", i), method, ""))
		}
		time.Sleep(time.Second)
		if got := metric(t, reg, "edda_handlers_running", ""); got != 2 {
			t.Errorf("got %v running handlers, want 2", got)
		}
		items, _, err := n.Requests(t.Context(), node.RequestFilter{}, node.Page{})
		if err != nil || len(items) != 2 {
			t.Fatalf("got %d requests, %v, want 2", len(items), err)
		}
		for _, q := range items {
			if q.Method == "stubborn" {
				if _, err := n.Client().Cancel(t.Context(), q.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		close(gate)
		synctest.Wait()
		want := map[string]float64{
			"edda_requests_accepted_total default,s":        6,
			"edda_requests_ended_total default,s,succeeded": 3,
			"edda_requests_ended_total default,s,failed":    1,
			"edda_requests_ended_total default,s,dead":      1,
			"edda_requests_ended_total default,s,cancelled": 1,
			"edda_late_outcomes_total default,s":            1,
			"edda_parts_total default,s":                    2,
			"edda_attempt_seconds default,ok,s":             5,
			"edda_attempt_seconds default,failed,s":         3,
			"edda_handlers_running ":                        0,
		}
		for key, v := range want {
			name, labels, _ := strings.Cut(key, " ")
			if got := metric(t, reg, name, labels); got != v {
				t.Errorf("got %s{%s} %v, want %v", name, labels, got, v)
			}
		}
	})
	bubble(t, "the registry can be used again", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		for range 3 {
			n := open(t, node.Options{Metrics: reg}, balanced("b", echo))
			call(t, n, msg("b", "m", "")).replied(t, 204, "")
			if got := metric(t, reg, "edda_requests_accepted_total", "default,b"); got != 1 {
				t.Errorf("got %v accepted, want 1", got)
			}
			stop(t, n)
		}
		// Not by two at a time, and one that cannot be opened leaves nothing behind.
		n := open(t, node.Options{Metrics: reg})
		if _, err := node.Open(t.Context(), withDefaults(node.Options{Metrics: reg})); err == nil {
			t.Error("two nodes share a registry")
		}
		if got := metric(t, reg, "edda_handlers_running", ""); got != 0 {
			t.Errorf("got %v, want the first node's metrics", got)
		}
		families, err := reg.Gather()
		if err != nil || len(families) == 0 {
			t.Errorf("got %d families, %v: the second node took away the first one's", len(families), err)
		}
		stop(t, n)
		d := newDisk()
		first := d.open(t, node.Options{})
		o := withDefaults(node.WithoutGather(node.Options{Dir: "data", FS: d.fs, Metrics: reg}))
		if _, err := node.Open(t.Context(), o); err == nil {
			t.Error("two nodes share a directory")
		}
		stop(t, first)
		stop(t, open(t, node.Options{Metrics: reg}))
	})
}

// A handler that takes long is logged, with what it takes to find it (Q4).
func TestSlowHandlersAreLogged(t *testing.T) {
	tests := []struct {
		slow time.Duration
		took time.Duration
		want bool
	}{
		{0, 999 * time.Millisecond, false}, {0, 1001 * time.Millisecond, true},
		{5 * time.Second, 2 * time.Second, false}, {5 * time.Second, 6 * time.Second, true}, {-1, 20 * time.Second, false},
	}
	for _, tt := range tests {
		bubble(t, fmt.Sprint(tt.slow, "/", tt.took), func(t *testing.T) {
			logged := new(journalHandler)
			n := start(t, node.Options{SlowAttempt: tt.slow, Logger: slog.New(logged)}, ordered("s", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
				time.Sleep(tt.took)
				return nil, nil
			}))
			r := call(t, n, msg("s/k", "m", ""))
			if r.err != nil {
				t.Fatal(r.err)
			}
			lines := logged.all()
			if got := len(lines) == 1; got != tt.want {
				t.Fatalf("logged %q, want a warning: %t", lines, tt.want)
			}
			for _, part := range []string{"slow handler", "service=s", "key=k", "method=m", "request=" + r.reply.RequestID.String(), "attempt=1", "took=" + tt.took.String()} {
				if tt.want && !strings.Contains(lines[0], part) {
					t.Errorf("logged %q, want %q in it", lines[0], part)
				}
			}
		})
	}
}

// Of many slow handlers of a service one in a few seconds is told, and how many others.
func TestSlowHandlersAreToldSeldom(t *testing.T) {
	bubble(t, "1000 of two services", func(t *testing.T) {
		logged := new(journalHandler)
		slow := func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			time.Sleep(2 * time.Second)
			return nil, nil
		}
		a, b := balanced("a", slow), balanced("b", slow)
		a.Concurrency, b.Concurrency = 1000, 1000
		n := start(t, node.Options{Logger: slog.New(logged)}, a, b)
		for range 500 {
			calling(t, n, msg("a", "m", ""))
			calling(t, n, msg("b", "m", ""))
		}
		time.Sleep(3 * time.Second)
		if got := logged.all(); len(got) != 2 {
			t.Errorf("logged %d lines %q, want one for each service", len(got), got)
		}
		time.Sleep(5 * time.Second)
		call(t, n, msg("a", "m", ""))
		if got := logged.all(); len(got) != 3 || !strings.Contains(got[2], "others=499") {
			t.Errorf("logged %q, want the third line to say that there were 499 others", got)
		}
	})
}

// A node says what it is.
func TestInfo(t *testing.T) {
	bubble(t, "memory", func(t *testing.T) {
		begun := time.Now()
		n := start(t, node.Options{Partitions: 8, Version: "1.2.3"})
		i := n.Info()
		if i.ID == "" || i.Version != "1.2.3" || i.Partitions != 8 || i.Durability != edda.Memory || !i.StartedAt.Equal(begun) {
			t.Errorf("got %+v", i)
		}
		if err := n.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
	})
	bubble(t, "disk", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{})
		first := n.Info()
		stop(t, n)
		time.Sleep(time.Minute)
		n = d.open(t, node.Options{})
		defer stop(t, n)
		if i := n.Info(); i.ID != first.ID || i.Durability != edda.Fsync || i.StartedAt.Equal(first.StartedAt) || i.Version != "dev" {
			t.Errorf("got %+v after %+v, want the same id, another start", i, first)
		}
	})
}

// Options that make no sense are refused by name.
func TestBadOptions(t *testing.T) {
	noHandler := edda.NewOrdered("s")
	tests := map[string]node.Options{
		"Dir":                        {},
		"Partitions":                 {Durability: edda.Memory, Partitions: 3},
		"Partitions is -1":           {Durability: edda.Memory, Partitions: -1},
		"durability":                 {Durability: "paper"},
		"CheckpointBytes":            {Durability: edda.Memory, CheckpointBytes: -1},
		"SegmentBytes":               {Durability: edda.Memory, SegmentBytes: -1},
		"InterceptorTimeout":         {Durability: edda.Memory, InterceptorTimeout: -1},
		"KeepSagas":                  {Durability: edda.Memory, KeepSagas: -1},
		"Limits.KeyQueue":            {Durability: edda.Memory, Limits: node.Limits{KeyQueue: -1}},
		"Limits.PartitionRequests":   {Durability: edda.Memory, Limits: node.Limits{PartitionRequests: -1}},
		"Limits.PayloadBytes":        {Durability: edda.Memory, Limits: node.Limits{PayloadBytes: 8 << 20}},
		"Limits.NoWorkerWait":        {Durability: edda.Memory, Limits: node.Limits{NoWorkerWait: -1}},
		"no handler":                 {Durability: edda.Memory, Services: []*edda.Service{noHandler}},
		"stands twice in Services":   {Durability: edda.Memory, Services: []*edda.Service{balanced("s", echo), ordered("s", echo)}},
		"neither ordered":            {Durability: edda.Memory, Services: []*edda.Service{{Name: "s"}}},
		`name "a b" must`:            {Durability: edda.Memory, Services: []*edda.Service{balanced("a b", echo)}},
		"no keys to stop":            {Durability: edda.Memory, Services: []*edda.Service{with2(balanced("s", echo), func(s *edda.Service) { s.OnDead = edda.StopKey })}},
		"attempt timeout is":         {Durability: edda.Memory, Services: []*edda.Service{with2(balanced("s", echo), func(s *edda.Service) { s.AttemptTimeout = -1 })}},
		"max is -2":                  {Durability: edda.Memory, Services: []*edda.Service{with2(balanced("s", echo), func(s *edda.Service) { s.Retry.Max = -2 })}},
		"payload of method m has no": {Durability: edda.Memory, Services: []*edda.Service{withChan()}},
	}
	for want, o := range tests {
		t.Run(want, func(t *testing.T) {
			_, err := node.Open(t.Context(), o)
			if e := edda.ReasonOf(err); (e != edda.BadValue && e != edda.BadName) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want it to name %q", err, want)
			}
		})
	}
}

func with2(s *edda.Service, change func(*edda.Service)) *edda.Service {
	change(s)
	return s
}

// withChan returns a service whose payload has no JSON form.
func withChan() *edda.Service {
	s := edda.NewBalanced("s")
	edda.Handle(s, "m", func(*edda.Context, struct{ C chan int }) (string, error) { return "", nil })
	return s
}

// Services and requests can be listed in pages.
func TestLists(t *testing.T) {
	bubble(t, "services", func(t *testing.T) {
		var all []*edda.Service
		var want []string
		for i := range 7 {
			all = append(all, balanced(fmt.Sprint("b", i), echo))
			want = append(want, fmt.Sprint("b", i))
		}
		other := balanced("other", echo)
		other.Namespace = "other"
		n := start(t, node.Options{}, append(all, other, typedService())...)
		want = append(want, "typed")
		for _, limit := range []int{1, 3, 8, 0} {
			var got []string
			page := node.Page{Limit: limit}
			for {
				items, next, err := n.Services(t.Context(), "", page)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range items {
					got = append(got, s.Name)
				}
				if next == "" {
					break
				}
				page.After = next
			}
			if !slices.Equal(got, want) {
				t.Errorf("limit %d: got %v, want %v", limit, got, want)
			}
		}
		s, err := n.Service(t.Context(), "", "typed")
		if err != nil || s.Kind != edda.Ordered || !slices.Equal(s.Methods, []string{"add", "checked"}) || s.Workers != 1 || len(s.Schemas) != 1 {
			t.Errorf("got %+v, %v, want two methods, one schema", s, err)
		}
		if items, _, err := n.Services(t.Context(), "other", node.Page{}); err != nil || len(items) != 1 {
			t.Errorf("got %v, %v, want one in the other namespace", items, err)
		}
		_, _, err = n.Services(t.Context(), "", node.Page{Limit: 1001})
		wantReason(t, err, edda.BadValue)
	})
	bubble(t, "requests", func(t *testing.T) {
		gate := make(chan struct{})
		s := ordered("s", waitFor(gate))
		n := start(t, node.Options{}, s, ordered("s2", waitFor(gate)))
		want := map[edda.ID]bool{}
		for i := range 25 {
			want[send(t, n, msg(fmt.Sprint("s/k", i%5), "m", "")).ID] = true
		}
		send(t, n, msg("s2/k", "m", ""))
		synctest.Wait()
		for _, limit := range []int{1, 4, 25, 100} {
			got := map[edda.ID]bool{}
			page := node.Page{Limit: limit}
			for {
				items, next, err := n.Requests(t.Context(), node.RequestFilter{Service: "s"}, page)
				if err != nil || len(items) > limit {
					t.Fatalf("got %d items and %v, want at most %d", len(items), err, limit)
				}
				for _, q := range items {
					if got[q.ID] || !want[q.ID] {
						t.Errorf("got %s twice, or wrongly", q.ID)
					}
					got[q.ID] = true
				}
				if next == "" {
					break
				}
				page.After = next
			}
			if len(got) != len(want) {
				t.Errorf("limit %d: got %d requests, want %d", limit, len(got), len(want))
			}
		}
		for state, count := range map[edda.State]int{edda.Taken: 5, edda.Accepted: 20, edda.Retrying: 0, edda.StateDead: 0, "": 25} {
			items, _, err := n.Requests(t.Context(), node.RequestFilter{Service: "s", State: state}, node.Page{})
			if err != nil || len(items) != count {
				t.Errorf("state %q: got %d requests, %v, want %d", state, len(items), err, count)
			}
		}
		_, _, err := n.Requests(t.Context(), node.RequestFilter{State: edda.StateSucceeded}, node.Page{})
		wantReason(t, err, edda.BadValue)
		info, err := n.Service(t.Context(), "", "s")
		if err != nil || info.InFlight != 5 || info.Queued != 20 {
			t.Errorf("got %+v, %v, want 5 in flight, 20 queued", info, err)
		}
		close(gate)
	})
}
