package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The histogram's buckets are 64 to each power of two of nanoseconds, so a
// quantile is right to 1.6 percent.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	shards     = 16
	buckets    = (42 - subBits) * subBuckets // up to 2^41 ns, 36 minutes
)

// histogram counts durations. Its zero value is empty. add is safe for
// concurrent use; callers spread over shards so that they seldom meet.
type histogram struct {
	shard [shards][buckets]atomic.Uint32
}

// add counts one duration for a caller.
func (h *histogram) add(caller int, d time.Duration) {
	h.shard[caller%shards][bucketOf(uint64(max(d, 0)))].Add(1)
}

// bucketOf returns the bucket of n nanoseconds: below 64 its own, above by the
// leading seven bits.
func bucketOf(n uint64) int {
	if n < subBuckets {
		return int(n)
	}
	e := bits.Len64(n) - subBits - 1
	return min(e*subBuckets+int(n>>e), buckets-1)
}

// midOf returns the middle of a bucket in nanoseconds.
func midOf(b int) float64 {
	if b < 2*subBuckets {
		return float64(b)
	}
	e := b/subBuckets - 1
	low := uint64(b-e*subBuckets) << e
	return float64(low) + float64(uint64(1)<<e)/2
}

// quantile returns the q-quantile in microseconds, zero when nothing was added.
func (h *histogram) quantile(q float64) float64 {
	var sum [buckets]uint64
	var total uint64
	for s := range h.shard {
		for b := range h.shard[s] {
			n := uint64(h.shard[s][b].Load())
			sum[b] += n
			total += n
		}
	}
	rank, seen := uint64(q*float64(total)), uint64(0)
	for b, n := range sum {
		if seen += n; seen > rank {
			return midOf(b) / 1e3
		}
	}
	return 0
}
