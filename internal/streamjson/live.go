package streamjson

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// Events of a subscription beside those that are messages, which are named like their
// messages.
const (
	// GapEvent says that messages after the resume point which was asked for may have been
	// removed before they could be told. Its data is an object without members.
	GapEvent = "edda.gap"
)

// Live returns a message that subscribers get as it stands in JSON, as one line without
// line breaks: an object whose first member is "from", and whose "stream" is missing
// where it was published to the channel itself. It is what every gateway gives to
// LiveMessage.Encoded, so that those who share a message share it too.
func Live(m *edda.LiveMessage) []byte {
	b := make([]byte, 0, 256+len(m.Message.Payload)*5/4)
	b = append(b, `{"from":`...)
	b = jsondata.AppendString(b, string(m.From))
	b = appendText(b, "stream", m.Message.Stream)
	b = append(b, ',')
	at := len(b)
	b = AppendMessage(b, m.Namespace, &m.Message)
	return append(b[:at], b[at+1:]...) // without the brace
}

// LiveItem is a message that subscribers get, as it is read.
type LiveItem struct {
	From   edda.From `json:"from"`
	Stream string    `json:"stream"`
	Item
}

// Live returns the message of a namespace that the item stands for.
func (i *LiveItem) Live(namespace string) (*edda.LiveMessage, error) {
	m, err := i.Message(namespace)
	m.Stream = i.Stream
	return &edda.LiveMessage{Message: m, Namespace: namespace, From: i.From}, err
}

// LivePage is a page of what a channel keeps.
type LivePage struct {
	Items []LiveItem `json:"items"`
	Next  edda.From  `json:"next"`
}

// AppendPublished appends what is said of one message that was published.
func AppendPublished(b []byte, a *edda.Appended, position string) []byte {
	b = append(b, `{"id":`...)
	b = jsondata.AppendString(b, a.ID)
	b = appendText(b, "position", position)
	if a.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	return append(b, '}')
}
