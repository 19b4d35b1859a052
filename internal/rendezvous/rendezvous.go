// Package rendezvous says which of several workers a key belongs to: the one with
// the highest score for it. When a worker comes, only the keys that it takes move;
// when one goes, only those that it had. The function is part of the worker
// protocol and never changes.
package rendezvous

// Hash is the FNV-1a hash, of 64 bits, of a worker's id.
func Hash(worker string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(worker) {
		h = (h ^ uint64(worker[i])) * 1099511628211
	}
	return h
}

// Score is how much a worker deserves a key: its id's Hash, exclusive or the key's
// address hash, mixed by the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
func Score(worker string, key uint64) uint64 { return ScoreHashed(Hash(worker), key) }

// ScoreHashed is Score of the worker whose id has the Hash.
func ScoreHashed(worker, key uint64) uint64 {
	z := worker ^ key
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Owner returns the worker with the highest score, the first of several; "" when
// there are none.
func Owner(workers []string, key uint64) string {
	owner, top := "", uint64(0)
	for i, w := range workers {
		if s := Score(w, key); i == 0 || s > top {
			owner, top = w, s
		}
	}
	return owner
}
