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
func newSagaID(p edda.Principal, key string) string {
	if key == "" {
		return strings.ToLower(rand.Text())
	}
	// A principal may be called anything, so its length says where the key begins.
	sum := sha256.Sum256([]byte(strconv.Itoa(len(p)) + " " + string(p) + key))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}
