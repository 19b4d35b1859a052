package httpgw

import (
	"net/http"

	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
)

// publishHeaders are the headers that publishing takes: those of an append, but for what
// is of shards.
var publishHeaders = []string{
	"Edda-Type", "append.Edda-Key", "Edda-Id", "Edda-Producer", "Edda-Number", "Edda-Reply-To", "Edda-Source", "Edda-Time", "Edda-Correlation-Id",
	"traceparent", "tracestate",
}

// channelRoutes are those about channels, what is published to them and who hears it.
func channelRoutes() []*route {
	const channel = "/v1/channels/{channel}"
	return []*route{
		named("/v1/channels", get((*Gateway).listChannels, apidoc.Operation{
			ID: "listChannels", Summary: "The channels, in order of their names", Query: []string{"limit", "after"}, Schema: "ChannelList",
		}).needs(toAsk)),
		named(channel,
			get((*Gateway).getChannel, apidoc.Operation{
				ID: "getChannel", Summary: "Messages as they come; without any parameter, what the channel is",
				Query: []string{"patterns", "channel.from"}, Header: []string{"channel.Last-Event-ID"}, Schema: "Channel", Also: []string{reqhead.EventStream},
			}).needs(toSeeChannel),
			put((*Gateway).putChannel, apidoc.Operation{
				ID: "putChannel", Summary: "Create a channel, or change it", Body: "ChannelSpec", Optional: true, Schema: "Channel", Creates: true,
			}),
			post((*Gateway).publish, apidoc.Operation{
				ID: "publish", Summary: "Publish one message, or a batch of them, all or none", Header: publishHeaders,
				Bodies:  messageBodies,
				Success: http.StatusAccepted, Schema: "PublishAnswer",
			}).needs(toPublish),
			remove((*Gateway).deleteChannel, apidoc.Operation{
				ID: "deleteChannel", Summary: "Remove a channel with what was published to it; its subscriptions end", Success: http.StatusNoContent,
			}),
		),
		named(channel+"/presence", get((*Gateway).getPresence, apidoc.Operation{
			ID: "getPresence", Summary: "Who has subscribed to a channel at this node, in order of names", Query: []string{"limit", "after"}, Schema: "PresenceList",
		}).needs(toSubscribe)),
		named(channel+"/history", get((*Gateway).getHistory, apidoc.Operation{
			ID: "getHistory", Summary: "Messages of a channel that are kept; next is where to go on, also for a subscription",
			Query: []string{"channel.from", "limit"}, Schema: "LivePage",
		}).needs(toSubscribe)),
	}
}
