package live_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
)

// crowd is subscribers that are served by a few goroutines, as sockets are by theirs.
func crowd(b *testing.B, h *live.Hub, n int, patterns func(i int) []string) (subs []edda.Subscription, told *atomic.Int64) {
	b.Helper()
	told = &atomic.Int64{}
	for i := range n {
		s, err := h.Subscribe(b.Context(), stream("s"), &edda.Subscribe{Patterns: patterns(i), Notify: func() { told.Add(1) }})
		if err != nil {
			b.Fatal(err)
		}
		subs = append(subs, s)
		if _, err := s.Take(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
	return subs, told
}

// BenchmarkPublish is one message to so many subscribers, who are told and take it.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct {
		name     string
		patterns func(i int) []string
		want     int
	}{
		{"all", func(int) []string { return nil }, 5_000},
		{"pattern", func(int) []string { return []string{"a.:x"} }, 5_000},
		{"one", func(i int) []string { return []string{fmt.Sprintf("a.%d", i)} }, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := newFake()
			h := live.New(f, live.Options{})
			defer h.Close()
			subs, told := crowd(b, h, 5_000, c.patterns)
			b.ReportAllocs()
			for b.Loop() {
				told.Store(0)
				f.tick(1)
				f.append("s", "x", "a.7", 1)
				for told.Load() < int64(c.want) {
					runtime.Gosched()
				}
				for i, s := range subs {
					if c.want == 1 && i != 7 {
						continue
					}
					got, err := s.Take(context.Background(), 10)
					if err != nil || len(got.Messages) != 1 {
						b.Fatalf("subscriber %d took %d messages, %v", i, len(got.Messages), err)
					}
				}
				f.trim("s", 1)
				f.forget("s")
			}
			for _, s := range subs {
				s.Close()
			}
		})
	}
}

// BenchmarkTell is only how long it takes until so many have been told.
func BenchmarkTell(b *testing.B) {
	f := newFake()
	h := live.New(f, live.Options{})
	defer h.Close()
	subs, told := crowd(b, h, 5_000, func(int) []string { return nil })
	for b.Loop() {
		told.Store(0)
		f.tick(1)
		f.append("s", "x", "a.7", 1)
		for told.Load() < int64(len(subs)) {
			runtime.Gosched()
		}
		b.StopTimer()
		for _, s := range subs {
			if _, err := s.Take(context.Background(), 10); err != nil {
				b.Fatal(err)
			}
		}
		f.trim("s", 1)
		f.forget("s")
		b.StartTimer()
	}
	for _, s := range subs {
		s.Close()
	}
}

// BenchmarkOne is one subscriber that takes what many messages there are.
func BenchmarkOne(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) {
			f := newFake()
			h := live.New(f, live.Options{})
			defer h.Close()
			wake := make(chan struct{}, 1)
			s, err := h.Subscribe(b.Context(), stream("s"), &edda.Subscribe{Notify: func() { wake <- struct{}{} }})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Take(context.Background(), 1); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				f.tick(1)
				f.append("s", "x", "a", batch)
				for got := 0; got < batch; {
					<-wake
					t, err := s.Take(context.Background(), 1000)
					if err != nil {
						b.Fatal(err)
					}
					got += len(t.Messages)
				}
				n += batch
				f.trim("s", batch)
				f.forget("s")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/message")
		})
	}
}

// BenchmarkIdle is what a subscription costs that waits.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		f := newFake()
		h := live.New(f, live.Options{})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const n = 10_000
		subs, _ := crowd(b, h, n, func(i int) []string { return []string{fmt.Sprintf("user.%d.*", i)} })
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/subscription")
		for _, s := range subs {
			s.Close()
		}
		h.Close()
	}
}
