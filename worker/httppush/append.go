package httppush

import (
	"encoding/json"
	"errors"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/specjson"
)

// appendTo is messages for a stream or a channel, as they stand in an envelope.
type appendTo struct {
	Stream   string          `json:"stream"`
	Channel  string          `json:"channel"`
	Shard    string          `json:"shard"`
	Producer string          `json:"producer"`
	Messages json.RawMessage `json:"messages"`
}

// apply appends the messages with the outcome.
func (a *appendTo) apply(c *edda.Context) error {
	if a.Messages == nil {
		return errors.New("messages is missing, must be an array of messages")
	}
	namespace := c.Message().To.Namespace
	messages, err := specjson.Messages(namespace, a.Messages)
	if err != nil {
		return err
	}
	return c.Append(&edda.Append{
		Namespace: namespace, Stream: a.Stream, Channel: a.Channel, Shard: a.Shard, Producer: a.Producer, Messages: messages,
	})
}
