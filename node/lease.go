package node

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
)

// lease names one attempt at a message: the group that the attempt is for, the request,
// and the fence. A group that is deleted and made again is another one.
type lease struct {
	group uint64
	seq   uint64
	fence uint64
}

const leaseBytes = 24

// leaseText is how leases are written: as in a URL, but none begins with a dash, which on
// a command line would make a flag of it.
var leaseText = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._").WithPadding(base64.NoPadding).Strict()

// leaseOf names an attempt.
func leaseOf(a *Attempt) lease {
	return lease{group: groupTag(a.svc.addr, a.delivery.Group), seq: a.seq, fence: a.fence}
}

// groupTag tells a group from others, also from those of other partitions.
func groupTag(a edda.Address, serial uint64) uint64 { return a.Hash() ^ serial }

// String is how members see the lease.
func (l lease) String() string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, leaseBytes), l.group)
	b = binary.BigEndian.AppendUint64(b, l.seq)
	b = binary.BigEndian.AppendUint64(b, l.fence)
	return leaseText.EncodeToString(b)
}

// parseLease reads what String returns, and nothing else.
func parseLease(s string) (l lease, ok bool) {
	var b [leaseBytes]byte
	if len(s) != leaseText.EncodedLen(leaseBytes) {
		return l, false
	}
	if n, err := leaseText.Decode(b[:], []byte(s)); err != nil || n != leaseBytes {
		return l, false
	}
	l.group, l.seq, l.fence = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	return l, true
}

// parseLeases reads leases as a member names them.
func parseLeases(op string, texts []string) ([]lease, error) {
	leases := make([]lease, len(texts))
	for i, s := range texts {
		l, ok := parseLease(s)
		if !ok {
			return nil, &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("leases[%d] is no lease that a read has given", i)}
		}
		leases[i] = l
	}
	return leases, nil
}

// conclude ends the attempt as whoever has its lease says, which end notes, and has told
// called in the partition's goroutine with what has become of that: whether it counted,
// or why nobody knows. It is false when the attempt is over already.
func (a *Attempt) conclude(end func(*Attempt), told func(counted bool, err error)) bool {
	if !a.settle() {
		a.late()
		return false
	}
	a.told = told
	end(a)
	a.end()
	return true
}

// tell tells whoever concluded the attempt what has become of that.
func (a *Attempt) tell(counted bool, err error) {
	if a.told != nil {
		a.told(counted, err)
	}
}

// toldOf is what tells them once the record of the end is applied, or is not in the log.
// Nil when nobody waits.
func (a *Attempt) toldOf() func([]request.Effect, error) {
	if a.told == nil {
		return nil
	}
	return func(effects []request.Effect, err error) {
		stale := func(e request.Effect) bool { return e.Kind == request.Stale }
		a.told(err == nil && !slices.ContainsFunc(effects, stale), err)
	}
}
