package stream_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/stream"
)

// Messages are appended, the node goes away and comes back, sources are removed and
// added, loops end and readers are replaced by others, all at the same time and by
// chance. Every source is read from its first message to its last, none of them twice.
func TestReaderMonkey(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) { readerMonkey(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

// places are what the monkey's readers read.
var places = []stream.Source{{Stream: "a"}, {Stream: "a", Shard: "red"}, {Stream: "b"}, {Stream: "b", Shard: "red"}, {Stream: "c"}}

const perPlace = 100

func readerMonkey(t *testing.T, chance *rand.Rand) {
	f := start(t)
	client := stream.NewClient(f)
	for _, name := range []string{"a", "b", "c"} {
		must2(client.Set(ctx, edda.StreamSpec{Name: name}))
	}
	over, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for i, p := range places {
		pause := rand.New(rand.NewPCG(chance.Uint64(), uint64(i)))
		others.Go(func() {
			w := client.Writer(p.Stream, stream.WriterOptions{Shard: p.Shard, Patience: time.Hour})
			for n := range perPlace {
				must(w.Append(ctx, edda.StreamMessage{ID: fmt.Sprint(p.Shard, n), Payload: fmt.Append(nil, n)}))
				time.Sleep(time.Duration(pause.IntN(1000)) * time.Millisecond)
			}
		})
	}
	breaks := rand.New(rand.NewPCG(chance.Uint64(), 99))
	others.Go(func() {
		for over.Err() == nil {
			time.Sleep(time.Duration(breaks.IntN(20_000)) * time.Millisecond)
			f.failWith(func(string) error { return &edda.Error{Reason: edda.Unavailable} })
			time.Sleep(time.Duration(breaks.IntN(5_000)) * time.Millisecond)
			f.failWith(nil)
		}
	})
	got := map[string][]string{}
	r := client.Reader(stream.ReaderOptions{Batch: 1 + chance.IntN(9)}, places...)
	for left := perPlace * len(places); left > 0; {
		r, left = readSome(t, client, r, chance, got, left)
	}
	stop()
	others.Wait()
	for _, place := range slices.Sorted(maps.Keys(got)) {
		if !slices.Equal(got[place], numbers(0, perPlace)) {
			t.Errorf("%s: got %q", place, got[place])
		}
	}
}

// readSome reads until it breaks off by chance, or all was read, and returns what is to
// be read on with.
func readSome(t *testing.T, client *stream.Client, r *stream.Reader, chance *rand.Rand, got map[string][]string, left int) (*stream.Reader, int) {
	var later sync.WaitGroup
	for m, err := range r.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[m.Stream+" "+m.Shard] = append(got[m.Stream+" "+m.Shard], string(m.Payload))
		if left--; left == 0 || chance.IntN(40) == 0 {
			break
		}
		if p := places[chance.IntN(len(places))]; chance.IntN(10) == 0 {
			if s, there := r.Remove(p.Stream, p.Shard); there {
				away := time.Duration(chance.IntN(5000)) * time.Millisecond
				later.Go(func() {
					time.Sleep(away)
					r.Add(s)
				})
			}
		}
	}
	later.Wait()
	if chance.IntN(2) == 0 {
		r = client.Reader(stream.ReaderOptions{Batch: 1 + chance.IntN(9)}, r.Positions()...)
	}
	return r, left
}
