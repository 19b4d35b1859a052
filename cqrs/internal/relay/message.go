package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// MaxEventBytes bounds data, metadata, explanation and chains of an event together, so that
// its message is one that a node takes.
const MaxEventBytes = 3 << 20

// Headers of the messages.
const (
	HeaderBroadcaster = "Edda-Broadcaster"
	HeaderObject      = "Edda-Object"
	HeaderVersion     = "Edda-Version"
)

// relayed is an event on its way.
type relayed struct {
	position ledger.Position
	shard    int
	message  edda.StreamMessage
}

// Check refuses an event that no stream would take: bytes is what data, metadata, explanation and
// chains have together. The error is a *edda.Error, TooLarge or BadValue.
func Check(e *ledger.Event, bytes int) error {
	if bytes > MaxEventBytes {
		return &edda.Error{Op: "store event " + e.Type, Reason: edda.TooLarge,
			Err: fmt.Errorf("data, metadata, explanation and chains have %d bytes, at most %d are allowed together", bytes, MaxEventBytes)}
	}
	m := messageOf(e.ID.String(), e.Type, e.Object, e.Key, e.Broadcaster, e.CorrelationID, e.Version)
	if err := (&edda.Append{Stream: "s", Messages: []edda.StreamMessage{m}}).Validate(); err != nil {
		return &edda.Error{Op: "store event " + e.Type, Reason: edda.ReasonOf(err), Err: err}
	}
	return nil
}

// messageOf is the message of an event, without payload, cause and time.
func messageOf(id, typ, object, key, broadcaster, correlation string, version uint64) edda.StreamMessage {
	return edda.StreamMessage{
		ID: id, Type: typ, Key: keyOf(object, key), ContentType: "application/json", CorrelationID: correlation,
		Headers: edda.Headers{
			{Name: HeaderBroadcaster, Value: broadcaster}, {Name: HeaderObject, Value: object},
			{Name: HeaderVersion, Value: strconv.FormatUint(version, 10)},
		},
	}
}

// keyOf is what the stream's groups keep the order for: the aggregate, or something that
// stands for it where it cannot be a key.
func keyOf(object, key string) string {
	k := strings.TrimSuffix(object, ledger.ListSuffix) + "/" + key
	if edda.CheckKey(k) == nil {
		return k
	}
	sum := sha256.Sum256([]byte(k))
	return "sha256/" + hex.EncodeToString(sum[:])
}

// shardOf is the shard of the stream that an aggregate's events go to, one of so many.
func shardOf(key string, shards int) int {
	if shards == 1 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // it never fails
	return int(h.Sum64() % uint64(shards))
}

// shardName is what a shard is called; where there is one it is the default one.
func shardName(shard, shards int) string {
	if shards == 1 {
		return edda.DefaultShard
	}
	return strconv.Itoa(shard)
}
