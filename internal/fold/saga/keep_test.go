package saga

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

func TestIdempotencyKey(t *testing.T) {
	w := newWorld(t)
	keyed := func(fingerprint string) func(c *record.SagaCreated) {
		return func(c *record.SagaCreated) { c.IdempotencyKey, c.Fingerprint = "key", []byte(fingerprint) }
	}
	check(t, w.create(saga("a"), keyed("one")), "created t")
	check(t, w.create(saga("a"), keyed("one")), "joined t")
	check(t, w.create(saga("a"), keyed("two")), "refused IDEMPOTENCY_MISMATCH the idempotency key was used for another saga")
	check(t, w.create(saga("a")), `refused EXISTS there is a saga "t" already`)
	check(t, w.create(saga("a"), keyed("one"), func(c *record.SagaCreated) { c.Principal = "eve" }), `refused EXISTS there is a saga "t" already`)
	w.ok("t.a", "1")
	check(t, w.create(saga("a"), keyed("one")), "joined t")
}

func TestEndedSagasExpire(t *testing.T) {
	w := newWorld(t)
	w.create(nest(saga("a"), "a", inner("x")), func(c *record.SagaCreated) { c.Keep = 10 })
	w.ok("t~a.x", "1")
	ended := w.time
	for _, id := range []string{"t", "t~a"} {
		if s, _ := w.m().Get("default", id, ended+9); s == nil {
			t.Errorf("%s has gone too early", id)
		}
		if s, _ := w.m().Get("default", id, ended+10); s != nil {
			t.Errorf("%s is kept", id)
		}
	}
	w.time = ended + 10
	check(t, w.create(saga("b")), "created t")
	w.want("running b:running", "t.b")
	w.ok("t.b", "1")
	// Whatever expires leaves no rows.
	w.time += 2 * int64(time.Hour)
	w.changed(record.TypeSagaStarted, "nobody")
	for i, s := range w.sides {
		s.checkpoint(t)
		s.checkpoint(t)
		for p := range s.tree.Scan(nil, nil) {
			if strings.IndexByte("ghjklt", p.Key[0]) >= 0 {
				t.Errorf("side %d: row %q is left", i, p.Key)
			}
		}
		if s.m.Loaded() != 0 {
			t.Errorf("side %d: %d sagas are in memory", i, s.m.Loaded())
		}
	}
}

// One with a failed compensation stays until a person has dealt with it.
func TestFailedCompensationsAreKept(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b:a"))
	w.ok("t.a", "1")
	w.dies("t.b")
	w.dies("-t.a")
	w.time += int64(24 * time.Hour)
	check(t, w.compensation("t", "a", edda.SkipCompensation), "applied t; ended t compensated")
	w.want("compensated a:not_compensated/skipped b:failed", "")
	w.time += int64(time.Hour)
	check(t, w.create(saga("a")), "created t")
}

func TestRemove(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b c d e f g h i j k l m n o p q r"))
	check(t, w.changed(record.TypeSagaRemoved, "t"), "unchanged t")
	w.cancel("t", edda.Cancelled)
	check(t, w.changed(record.TypeSagaRemoved, "t"), "applied t")
	check(t, w.changed(record.TypeSagaRemoved, "t"), `refused NO_SAGA there is no saga "t"`)
	for _, s := range w.sides {
		s.checkpoint(t)
		for p := range s.tree.Scan([]byte("g"), []byte("m")) {
			t.Errorf("row %q is left", p.Key)
		}
	}
}

// A saga that nobody touches between two checkpoints is dropped from memory, and is
// there again when something of it happens.
func TestSagasLeaveMemory(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b:a"), func(c *record.SagaCreated) { c.Deadline = 1 << 60 })
	s := w.sides[0]
	for want := range 2 {
		s.checkpoint(t)
		if got := s.m.Loaded(); got != 1-want {
			t.Errorf("%d sagas are in memory after checkpoint %d", got, want+1)
		}
	}
	if s.m.NextDeadline() != 1<<60 {
		t.Error("the deadline is forgotten")
	}
	check(t, w.ok("t.a", "1"), "step t.a succeeded")
	w.want("running a:succeeded b:running", "t.b")
	if s.m.Loaded() != 1 {
		t.Errorf("%d sagas are in memory", s.m.Loaded())
	}
	w.ok("t.b", "1")
	s.checkpoint(t)
	if s.m.Loaded() != 0 {
		t.Error("an ended saga stays in memory")
	}
}

// A saga that waits for somebody outside is dropped at once.
func TestSagasThatRestLeaveMemory(t *testing.T) {
	w := newWorld(t)
	s := w.sides[0]
	loaded := func(want int) {
		t.Helper()
		s.checkpoint(t)
		if got := s.m.Loaded(); got != want {
			t.Errorf("%d sagas are in memory, want %d", got, want)
		}
	}
	w.create(saga("a b"))
	w.end("t.a", func(e *record.StepEnded) { e.Pending = true })
	loaded(1) // b runs
	w.end("t.b", func(e *record.StepEnded) { e.Pending = true })
	loaded(0)
	w.want("running a:running(pending) b:running(pending)", "")
}

func TestList(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		s := saga("a")
		s.ID, s.Name, s.Principal = fmt.Sprintf("s%d", i), []string{"odd", "even"}[i%2], edda.Principal("p"+fmt.Sprint(i%3))
		w.create(s)
	}
	elsewhere := saga("a")
	elsewhere.Namespace = "other"
	w.create(elsewhere)
	w.ok("s3.a", "1")
	w.dies("s4.a")
	created := func(i int) time.Time { return w.view(fmt.Sprintf("s%d", i)).CreatedAt }
	for _, c := range []struct {
		f    edda.SagaFilter
		want string
	}{
		{edda.SagaFilter{}, "s9 s8 s7 s6 s5 s4 s3 s2 s1 s0"},
		{edda.SagaFilter{Namespace: "other"}, "t"},
		{edda.SagaFilter{Namespace: "none"}, ""},
		{edda.SagaFilter{Name: "even"}, "s9 s7 s5 s3 s1"},
		{edda.SagaFilter{State: edda.SagaSucceeded}, "s3"},
		{edda.SagaFilter{State: edda.SagaCompensated}, "s4"},
		{edda.SagaFilter{State: edda.SagaRunning, Principal: "p0"}, "s9 s6 s0"},
		{edda.SagaFilter{ID: "s5"}, "s5"},
		{edda.SagaFilter{ID: "s5", State: edda.SagaSucceeded}, ""},
		{edda.SagaFilter{ID: "none"}, ""},
		{edda.SagaFilter{Since: created(3), Until: created(7)}, "s6 s5 s4 s3"},
		{edda.SagaFilter{Since: created(3), Until: created(7), State: edda.SagaRunning}, "s6 s5"},
	} {
		for i, s := range w.sides {
			for _, n := range []int{1, 3, 1000} {
				if got := strings.Join(s.list(t, c.f, n), " "); got != c.want {
					t.Errorf("%+v, pages of %d, side %d: %s, want %s", c.f, n, i, got, c.want)
				}
			}
		}
	}
}

// list reads a list page by page.
func (s *side) list(t *testing.T, f edda.SagaFilter, n int) (ids []string) {
	t.Helper()
	var at Cursor
	for {
		page, err := s.m.List(&f, at, n, s.env.Time)
		if err != nil || len(page) > n {
			t.Fatalf("%d sagas, %v", len(page), err)
		}
		for _, one := range page {
			ids = append(ids, one.ID)
			at = CursorOf(one)
		}
		if len(page) < n || f.ID != "" {
			return ids
		}
	}
}

// A record has room for so many requests; others start with the next ones.
func TestNoRoom(t *testing.T) {
	w := newWorld(t)
	w.room = 2
	check(t, w.create(saga("a b c d e f:a")), "created t; advance t")
	w.want("running a:running b:running c:ready d:ready e:ready f:waiting", "t.a t.b")
	if got := w.m().Unadvanced(); !slices.Equal(got, []Ref{{"default", "t"}}) {
		t.Errorf("sagas to advance are %v", got)
	}
	w.room = 1
	check(t, w.ok("t.a", "1"), "step t.a succeeded") // an advance is on its way
	w.want("running a:succeeded b:running c:running d:ready e:ready f:ready", "t.b t.c")
	check(t, w.changed(record.TypeSagaAdvanced, "t"), "applied t; advance t")
	w.want("running a:succeeded b:running c:running d:running e:ready f:ready", "t.b t.c t.d")
	w.room = 2
	check(t, w.changed(record.TypeSagaAdvanced, "t"), "applied t")
	check(t, w.changed(record.TypeSagaAdvanced, "t"), "unchanged t")
	for _, step := range []string{"b", "c", "d", "e"} {
		w.ok("t."+step, "1")
	}
	w.room = 1
	check(t, w.dies("t.f"), "step t.f failed; advance t")
	w.want("compensating a:compensating/running b:succeeded c:succeeded d:succeeded e:succeeded f:failed", "-t.a")
	check(t, w.ok("-t.a", ""), "step t.a succeeded")
	w.room = 9
	check(t, w.changed(record.TypeSagaAdvanced, "t"), "applied t")
	w.want("compensating a:compensated/succeeded b:compensating/running c:compensating/running d:compensating/running e:compensating/running f:failed",
		"-t.b -t.c -t.d -t.e")
}

// What is left over for want of room is dropped when the saga fails.
func TestNoRoomAndFailure(t *testing.T) {
	w := newWorld(t)
	w.room = 1
	w.create(saga("a b c"))
	check(t, w.dies("t.a"), "step t.a failed; ended t compensated")
	if got := w.m().Unadvanced(); len(got) != 0 {
		t.Errorf("sagas to advance are %v", got)
	}
	check(t, w.changed(record.TypeSagaAdvanced, "t"), "unchanged t")
}

// Slots that were reserved are used by their steps, or given back.
func TestSlots(t *testing.T) {
	w := newWorld(t)
	c := record.NewSagaCreated(&edda.SagaSpec{ID: "t", Start: true, Steps: steps("a b/key c:a d:a,b e:d")})
	c.Secret = secret
	roots := Roots(c)
	if len(roots) != 2 || roots[0].Index != 0 || roots[1].Index != 1 || roots[1].Address != (edda.Address{Namespace: "default", Name: "svc", Key: "key"}) ||
		roots[0].Method != "do-a" || roots[0].Hash != Hash("default", "t") || roots[1].Hash != roots[1].Address.Hash() {
		t.Errorf("roots are %+v", roots)
	}
	c.Starts = []uint32{0, 2}
	check(t, w.do(c.AppendTo(nil)), "created t; spare 2")
	if !w.asked("t.a").slot || w.asked("t.b").slot {
		t.Error("slots are not used as reserved")
	}
	s, _ := w.m().Get("default", "t", 0)
	if got := s.Roots(); !slices.Equal(got, roots) {
		t.Errorf("roots are %+v, want %+v", got, roots)
	}
	ref := Ref{"default", "t"}
	if got := w.m().Starts(ref, 0, nil); len(got) != 1 || got[0].Index != 2 {
		t.Errorf("after a may start %+v", got)
	}
	if got := w.m().Starts(ref, 0, func(other uint32) bool { return other == 1 }); len(got) != 2 || got[1].Index != 3 {
		t.Errorf("after a, with b, may start %+v", got)
	}
	for _, none := range [][]Start{w.m().Starts(ref, 2, nil), w.m().Starts(ref, 9, nil), w.m().Starts(Ref{"default", "x"}, 0, nil)} {
		if len(none) != 0 {
			t.Errorf("%+v may start", none)
		}
	}
	check(t, w.end("t.a", func(e *record.StepEnded) { e.Starts = []uint32{2, 3} }), "step t.a succeeded; spare 3")
	if !w.asked("t.c").slot {
		t.Error("the slot is not used")
	}
	late := record.StepEnded{Namespace: "default", Step: record.Step{Saga: "t"}, State: edda.StateSucceeded, Starts: []uint32{3}}
	check(t, w.do(late.AppendTo(nil)), "spare 3")
}

// A large result that many steps depend on is copied for so many at a time.
func TestNoRoomForLargeInputs(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b:a c:a d:a e:a f:a g:a h:a i:a j:a"))
	large := `"` + strings.Repeat("x", 5<<20) + `"`
	check(t, w.ok("t.a", large), "step t.a succeeded; advance t")
	w.want("running a:succeeded b:running c:running d:running e:running f:running g:running h:ready i:ready j:ready",
		"t.b t.c t.d t.e t.f t.g")
	check(t, w.changed(record.TypeSagaAdvanced, "t"), "applied t")
	w.want("running a:succeeded b:running c:running d:running e:running f:running g:running h:running i:running j:running",
		"t.b t.c t.d t.e t.f t.g t.h t.i t.j")
}
