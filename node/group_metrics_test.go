package node_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda/node"
)

func TestGroupMetrics(t *testing.T) {
	bubble(t, "metrics", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		n := start(t, node.Options{Metrics: reg})
		group(t, n, "s/g", nil)
		group(t, n, "s/done", nil)
		feed(t, n, "s", "1", "2", "3")
		gets(t, n, "s/g", "m", 2, "1 2")
		settles(t, n.Ack, settleOf("s/done", gets(t, n, "s/done", "m", 5, "1 2 3")), 3)
		for _, c := range []struct {
			name, labels string
			want         float64
		}{
			{"edda_group_lag", "g,default,s", 3},
			{"edda_group_pending", "g,default,s", 2},
			{"edda_group_members", "g,default,s", 1},
			{"edda_group_lag", "done,default,s", 0},
			{"edda_group_members", "done,default,s", 1},
			{"edda_requests_accepted_total", "default,s/g", 3},
			{"edda_requests_ended_total", "default,s/done,succeeded", 3},
		} {
			if got := metric(t, reg, c.name, c.labels); got != c.want {
				t.Errorf("%s{%s} is %v, want %v", c.name, c.labels, got, c.want)
			}
		}
	})
}

// However many groups people make up, there are not more figures than some.
func TestGroupMetricsAreBounded(t *testing.T) {
	bubble(t, "names", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		n := start(t, node.Options{Metrics: reg})
		for i := range 600 {
			group(t, n, fmt.Sprint("s/g", i), nil)
		}
		feed(t, n, "s", "x")
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if got := len(f.GetMetric()); f.GetName() == "edda_group_lag" && got > 501 || f.GetName() == "edda_requests_accepted_total" && got > 502 {
				t.Errorf("%s has %d figures", f.GetName(), got)
			}
		}
		if got := metric(t, reg, "edda_group_lag", "other,other,other"); got < 99 {
			t.Errorf("the groups that are not told apart have a lag of %v, want that of about 100", got)
		}
	})
}
