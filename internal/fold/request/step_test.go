package request

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edda-io/edda/internal/record"
)

// A record makes 1,023 requests beside its own, those that are sent and steps
// together; whoever wants more steps is told.
func TestAdmitStepRunsOutOfRoom(t *testing.T) {
	s := &scenario{t: t, w: newWorld(t), seqs: map[string]uint64{}, time: 1}
	s.do(strings.Fields("own 1"))
	s.do(strings.Fields("accept r1 users/1 start step=1"))
	o := s.op("complete", strings.Fields("r1 reply=x send=r2:1:echo send=r3:2:users/1"))
	c := o.rec.(*record.Completed)
	for n := 4; n < 1100; n++ {
		c.Added = append(c.Added, fmt.Appendf(nil, "admit %d 4", n))
	}
	o.time = 1
	said := s.w.do(o)
	s.w.check()
	want := 1100 - 4 - (1023 - 2)
	if got := strings.Count(said, "no room"); got != want {
		t.Errorf("no room for %d steps, want %d", got, want)
	}
	if got := s.w.req.Count(); got != 1023-1 {
		t.Errorf("%d requests are open, want 1,022: r2 and the steps", got)
	}
	seen := map[uint64]bool{}
	for r := range s.w.req.All() {
		if r.Position() != 3 || seen[r.Seq] {
			t.Errorf("%s has the number %d, at %d", idName(r.ID), r.Seq, r.Position())
		}
		seen[r.Seq] = true
	}
	s.do([]string{"reload"})
	if got := s.w.req.Count(); got != 1022 {
		t.Errorf("after a reload %d requests are open", got)
	}
}
