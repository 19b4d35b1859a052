package node

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
)

// sagaFamily stands in the id of a saga that is a step of another: after the id of
// that one, and before the step's.
const sagaFamily = "~"

// sagaHome returns the partition of a saga.
func (n *Node) sagaHome(ref sagafold.Ref) *partition {
	return n.homeOf(sagafold.Hash(ref.Namespace, ref.ID))
}

// sagaRef names a saga that there is, or might be; the namespace may be empty. The
// id of a saga that is a step has several parts.
func sagaRef(namespace, id string) (sagafold.Ref, error) {
	ref := sagafold.Ref{Namespace: cmp.Or(namespace, edda.DefaultNamespace), ID: id}
	if err := edda.CheckName("namespace", ref.Namespace); err != nil {
		return ref, err
	}
	for part := range strings.SplitSeq(id, sagaFamily) {
		if err := edda.CheckName("saga id", part); err != nil {
			return ref, err
		}
	}
	return ref, nil
}

// newSagaID returns the id of a saga that was given none: from chance, or from the
// idempotency key, so that the same key finds the same saga.
func (n *Node) newSagaID(s *edda.SagaSpec) string {
	if s.IdempotencyKey == "" {
		return n.idNearSteps(s)
	}
	// A principal may be called anything, so its length says where the key begins.
	p := string(s.Principal)
	sum := sha256.Sum256([]byte(strconv.Itoa(len(p)) + " " + p + s.IdempotencyKey))
	return idText.EncodeToString(sum[:16])
}

// idText is how ids are written: in lower case.
var idText = base32.NewEncoding(idDigits).WithPadding(base32.NoPadding)

const idDigits = "abcdefghijklmnopqrstuvwxyz234567"

// idTries is how often, for each partition, another id is tried.
const idTries = 16

// idNearSteps returns an id from chance: one by which the saga lives with its steps that
// have keys or are messages, as far as one partition has them, because every way to another one costs two
// flushes. A few of the id's digits are chosen for that.
func (n *Node) idNearSteps(s *edda.SagaSpec) string {
	id := strings.ToLower(rand.Text())
	home := n.homeOfSteps(s)
	if home == nil {
		return id
	}
	b := []byte(id)
	for i := range idTries * len(n.parts) {
		if n.sagaHome(sagafold.Ref{Namespace: s.Namespace, ID: string(b)}) == home {
			return string(b)
		}
		for at, v := len(b)-1, i; v >= 0; at, v = at-1, v/len(idDigits)-1 {
			b[at] = idDigits[v%len(idDigits)]
		}
	}
	return id
}

// homeOfSteps returns the partition that has most of the steps which have a place of
// their own, because they have a key or are messages on a stream; of several the one that
// has the last of them, and nil when no step has one.
func (n *Node) homeOfSteps(s *edda.SagaSpec) (home *partition) {
	var count map[*partition]int
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
			count = map[*partition]int{}
		}
		p := n.homeOf(hash)
		if count[p]++; count[p] >= count[home] {
			home = p
		}
	}
	return home
}
