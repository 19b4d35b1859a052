package request

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// Over the limit the oldest replies go, their requests stay until they expire, and
// the account is right in the end.
func TestRepliesOverTheLimitGoFirst(t *testing.T) {
	const requests = 20
	w := newWorld(t)
	_, one := pair(0, "1", 0)
	limit := 5 * int64(len(one.rec.(*record.Completed).Reply))
	w.req.LimitKept(limit)
	for n := range requests {
		accepted, completed := pair(n, "1", int64(1000+n))
		w.runPair(accepted, completed)
		w.checkpoint()
	}
	w.checkpoint()
	w.crash()
	bodies := 0
	for n := range requests {
		r, err := w.req.Lookup(testID(n), w.env.Time)
		if err != nil || r == nil || r.State != edda.StateSucceeded || r.ReplySize == 0 {
			t.Fatalf("request %d is %+v, %v; want it succeeded", n, r, err)
		}
		if r.Reply != nil {
			bodies++
			if n < requests-5 {
				t.Errorf("request %d has its reply, and a later one does not", n)
			}
		}
	}
	if bodies == 0 || bodies > 5 {
		t.Errorf("%d replies are kept, want 1 to 5", bodies)
	}
	accepted, completed := pair(requests, "1", 0)
	accepted.time, completed.time = 1<<40, 1<<40
	w.runPair(accepted, completed)
	w.checkpoint()
	if w.req.kept.bytes != 0 {
		t.Errorf("%d bytes of replies are counted after all have expired", w.req.kept.bytes)
	}
}

// More may expire between two checkpoints than one of them removes. The rest is
// counted until it is removed, and no longer, though what comes after it has been
// shed.
func TestTheAccountOfRepliesSurvivesManyThatExpireAtOnce(t *testing.T) {
	const requests = maxExpire + 100
	w := newWorld(t)
	for n := range requests {
		accepted, completed := pair(n, "1", int64(requests+2))
		w.runPair(accepted, completed)
	}
	accepted, completed := pair(requests, "1", 1<<40)
	w.runPair(accepted, completed)
	w.checkpoint()
	w.req.LimitKept(1)
	for n := requests + 1; n < requests+5; n++ {
		accepted, completed = pair(n, "1", 1<<40)
		accepted.time, completed.time = int64(requests+3), int64(requests+3)
		w.runPair(accepted, completed)
		w.checkpoint()
	}
	last := int64(len(completed.rec.(*record.Completed).Reply))
	if got := w.req.kept.bytes; got < 0 || got > last {
		t.Errorf("%d bytes of replies are counted, want those of the last one at most, %d", got, last)
	}
}
