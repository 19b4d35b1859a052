package streamjson

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
)

// ReplyTo writes where replies to a message of a namespace go: STREAM or STREAM/SHARD,
// with NAMESPACE: before it when it is another one.
func ReplyTo(namespace string, to edda.Address) string {
	other := cmp.Or(to.Namespace, edda.DefaultNamespace)
	to.Namespace = ""
	if other == cmp.Or(namespace, edda.DefaultNamespace) {
		return to.String()
	}
	return other + ":" + to.String()
}

// ParseReplyTo reads what ReplyTo writes. The address names its namespace. The error's
// reason is BadName.
func ParseReplyTo(namespace, s string) (edda.Address, error) {
	a := edda.Address{Namespace: cmp.Or(namespace, edda.DefaultNamespace)}
	rest := s
	if before, after, ok := strings.Cut(s, ":"); ok && !strings.Contains(before, "/") {
		a.Namespace, rest = before, after
	}
	var sharded bool
	a.Name, a.Key, sharded = strings.Cut(rest, "/")
	err := edda.CheckName("namespace", a.Namespace)
	if err == nil {
		err = edda.CheckName("stream", a.Name)
	}
	if err == nil && sharded {
		err = edda.CheckName("shard", a.Key)
	}
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return edda.Address{}, &edda.Error{
			Reason: edda.BadName, Err: errors.New(strconv.Quote(s) + " must be STREAM, STREAM/SHARD or NAMESPACE:STREAM/SHARD: " + e.Err.Error()),
		}
	}
	return a, nil
}
