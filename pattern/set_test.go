package pattern_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/edda-io/edda/pattern"
)

func TestSetNumbersMatchesInOrder(t *testing.T) {
	var s pattern.Set
	for id, text := range []string{"test.*", "test.created", ":x.created", "other", "test.created", "*"} {
		s.Add(must(pattern.Parse(text)), id)
	}
	s.Add(must(pattern.Parse("test.:crud")), 3) // a second one of this id
	s.Add(must(pattern.Parse("test.*")), 1)
	s.Add(must(pattern.Parse("test.*")), 1)
	for _, tc := range []struct {
		subject string
		want    []int
	}{
		{"test.created", []int{9, 9, 0, 1, 2, 3, 4, 5}}, {"test.updated", []int{9, 9, 0, 1, 3, 5}}, {"other", []int{9, 9, 3, 5}}, {"", []int{9, 9, 5}},
	} {
		if got := s.AppendMatches([]int{9, 9}, tc.subject); !slices.Equal(got, tc.want) {
			t.Errorf("%q: got %v, want %v", tc.subject, got, tc.want)
		}
	}
	s.Remove(1)
	s.Remove(1)
	s.Remove(77)
	if got := s.AppendMatches(nil, "test.created"); !slices.Equal(got, []int{0, 2, 3, 4, 5}) {
		t.Errorf("without 1: %v", got)
	}
}

func TestSetRemovesAndAddsAgain(t *testing.T) {
	var s pattern.Set
	in := map[int][]*pattern.Pattern{}
	for round := range 3 {
		for id := range 600 {
			p := mixed(id)
			s.Add(p, id)
			in[id] = []*pattern.Pattern{p}
		}
		for id := range 600 {
			if id%(round+2) == 0 {
				s.Remove(id)
				delete(in, id)
			}
		}
		for id := range 600 {
			checkSet(t, &s, in, subject(id))
		}
	}
}

func TestSetIsSafeForConcurrentMatches(t *testing.T) {
	s := mixedSet(200)
	in := map[int][]*pattern.Pattern{}
	for id := range 200 {
		in[id] = []*pattern.Pattern{mixed(id)}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range 100 {
				checkSet(t, s, in, subject(id))
			}
		})
	}
	wg.Wait()
}

// Each of these would take longer than anybody waits if the ways through them were
// tried one after the other.
func TestManyWaysThrough(t *testing.T) {
	long := strings.Repeat("a.", 5_000) + "b"
	var s pattern.Set
	var want []int
	for i := 1; i <= (pattern.MaxSegments-1)/3; i++ {
		for j, seg := range []string{"*.", ":x?.", "*.:x?.", "*.a.", ":x?.*.a."} {
			head := strings.Repeat(seg, i)
			if strings.Count(head, "?") > pattern.MaxOptional {
				continue
			}
			for k, tail := range []string{"z", "*", "b"} {
				p := must(pattern.Parse(head + tail))
				id := i*100 + j*10 + k
				s.Add(p, id)
				if matches := tail != "z" && seg != ":x?." || seg == ":x?." && tail == "*"; p.Match(long) != matches {
					t.Errorf("%s matches: %t", p, !matches)
				} else if matches {
					want = append(want, id)
				}
			}
		}
	}
	if got := s.AppendMatches(nil, long); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Patterns with many ways through them are as quick in a set as others.
func TestCraftedPatterns(t *testing.T) {
	var s pattern.Set
	for id := range 1 << 12 { // any eight of :a? and *, and then another one
		text := ""
		for bit := range 8 {
			text += [2]string{":a?.", "*."}[id>>bit&1]
		}
		s.Add(must(pattern.Parse(text+"x"+strconv.Itoa(id>>8))), id)
	}
	if n := pattern.Nodes(&s); n > 9*(1+16)+8 {
		t.Errorf("there are %d nodes", n)
	}
}

// 10,000 patterns of all kinds, two or three of which match.
func BenchmarkSet(b *testing.B) {
	s := mixedSet(10_000)
	ids := make([]int, 0, 10_000)
	matches, n := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		ids = s.AppendMatches(ids[:0], subjects[n%len(subjects)])
		matches += len(ids)
		n++
	}
	b.ReportMetric(float64(matches)/float64(n), "matches/op")
}

func BenchmarkMatch(b *testing.B) {
	for _, p := range []*pattern.Pattern{
		must(pattern.Parse("shop3.order.created")), must(pattern.Parse("shop3.:what.:crud")), must(pattern.Parse("*.created")), must(pattern.ParseFold("Shop3.*.(created|updated)")),
	} {
		b.Run(p.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Match("shop3.order.created")
			}
		})
	}
}

// mixed returns one of many patterns of all kinds.
func mixed(i int) *pattern.Pattern {
	area := fmt.Sprintf("area%d", i/10)
	switch i % 10 {
	case 0:
		return must(pattern.Parse(area + ".order.created"))
	case 1:
		return must(pattern.Parse(area + ".:what.created"))
	case 2:
		return must(pattern.Parse(area + ".order.:id.:crud?"))
	case 3:
		return must(pattern.Parse(area + ".*"))
	case 4:
		return must(pattern.Parse("*." + area))
	case 5:
		return must(pattern.Parse(":shop." + area + ".*.created"))
	case 6:
		return must(pattern.Parse(area + ".*.:id.created"))
	case 7:
		return must(pattern.ParseFold("Area" + area[4:] + ".Order.(created|updated)"))
	case 8:
		return must(pattern.ParseFold(":what?." + area + ".*"))
	default:
		return must(pattern.Parse("*." + area + ".:id?.done"))
	}
}

func mixedSet(n int) *pattern.Set {
	var s pattern.Set
	for i := range n {
		s.Add(mixed(i), i)
	}
	return &s
}

var subjects = func() []string {
	all := make([]string, 1000)
	for i := range all {
		all[i] = fmt.Sprintf([]string{"area%d.order.created", "area%d.order.7.updated", "shop.area%d.7.created", "x.area%d", "nothing%d.of.this"}[i%5], i)
	}
	return all
}()

func subject(i int) string { return subjects[i] }
