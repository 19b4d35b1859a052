// Package sagaid makes the ids of sagas that were given none, and reads those that
// somebody names. An id decides which partition its saga lives in.
//
// It has no state: all of it is safe for concurrent use. An id from chance is that of no
// other saga; one from an idempotency key is the same each time.
package sagaid

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/saga"
)

// Family stands in the id of a saga that is a step of another: after the id of
// that one, and before the step's.
const Family = "~"

// Ref names a saga that there is, or might be; the namespace may be empty. The id of a saga
// that is a step has several parts. The error is an *edda.Error, BadName.
func Ref(namespace, id string) (saga.Ref, error) {
	ref := saga.Ref{Namespace: cmp.Or(namespace, edda.DefaultNamespace), ID: id}
	if err := edda.CheckName("namespace", ref.Namespace); err != nil {
		return ref, err
	}
	for part := range strings.SplitSeq(id, Family) {
		if err := edda.CheckName("saga id", part); err != nil {
			return ref, err
		}
	}
	return ref, nil
}

// New returns the id of a saga that was given none: from chance, or from the
// idempotency key, so that the same key finds the same saga. The node has so many
// partitions.
func New(s *edda.SagaSpec, partitions int) string {
	if s.IdempotencyKey == "" {
		return nearSteps(s, uint64(partitions))
	}
	// A principal may be called anything, so its length says where the key begins.
	p := string(s.Principal)
	sum := sha256.Sum256([]byte(strconv.Itoa(len(p)) + " " + p + s.IdempotencyKey))
	return text.EncodeToString(sum[:16])
}

// text is how ids are written: in lower case.
var text = base32.NewEncoding(digits).WithPadding(base32.NoPadding)

const digits = "abcdefghijklmnopqrstuvwxyz234567"

// tries is how often, for each partition, another id is tried.
const tries = 16

// nearSteps returns an id from chance: one by which the saga lives with its steps that
// have keys or are messages, as far as one partition has them, because every way to another one costs two
// flushes. A few of the id's digits are chosen for that.
func nearSteps(s *edda.SagaSpec, partitions uint64) string {
	id := strings.ToLower(rand.Text())
	home, ok := homeOfSteps(s, partitions)
	if !ok {
		return id
	}
	b := []byte(id)
	for i := range int(tries * partitions) {
		if fold.Home(saga.Hash(s.Namespace, string(b)), partitions) == home {
			return string(b)
		}
		for at, v := len(b)-1, i; v >= 0; at, v = at-1, v/len(digits)-1 {
			b[at] = digits[v%len(digits)]
		}
	}
	return id
}

// homeOfSteps returns the partition that has most of the steps which have a place of
// their own, because they have a key or are messages on a stream; of several the one that
// has the last of them. It is false when no step has one.
func homeOfSteps(s *edda.SagaSpec, partitions uint64) (home uint64, ok bool) {
	var count map[uint64]int
	for i := range s.Steps {
		var hash uint64
		switch t := &s.Steps[i]; {
		case t.Queue != nil:
			hash = edda.StreamHash(s.Namespace, t.Queue.Stream)
		case t.Key != "":
			hash = edda.Address{Namespace: s.Namespace, Name: t.Service, Key: t.Key}.Hash()
		default:
			continue
		}
		if count == nil {
			count = map[uint64]int{}
		}
		p := fold.Home(hash, partitions)
		count[p]++
		if !ok || count[p] >= count[home] {
			home, ok = p, true
		}
	}
	return home, ok
}
