package httpgw

import "net/http"

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
		named("/v1/channels", get((*Gateway).listChannels, opDoc{
			id: "listChannels", summary: "The channels, in order of their names", query: []string{"limit", "after"}, schema: "ChannelList",
		}).needs(toAsk)),
		named(channel,
			get((*Gateway).getChannel, opDoc{
				id: "getChannel", summary: "Messages as they come; without any parameter, what the channel is",
				query: []string{"patterns", "channel.from"}, header: []string{"channel.Last-Event-ID"}, schema: "Channel", events: true,
			}).needs(toSeeChannel),
			put((*Gateway).putChannel, opDoc{
				id: "putChannel", summary: "Create a channel, or change it", body: "ChannelSpec", optional: true, schema: "Channel", creates: true,
			}),
			post((*Gateway).publish, opDoc{
				id: "publish", summary: "Publish one message, or a batch of them, all or none", header: publishHeaders,
				bodies: obj{
					"*/*": obj{}, batchMedia: obj{"schema": ref("schemas", "MessageBatch")},
					eventMedia: obj{}, eventBatchMedia: obj{},
				},
				success: http.StatusAccepted, schema: "PublishAnswer",
			}).needs(toPublish),
			remove((*Gateway).deleteChannel, opDoc{
				id: "deleteChannel", summary: "Remove a channel with what was published to it; its subscriptions end", success: http.StatusNoContent,
			}),
		),
		named(channel+"/presence", get((*Gateway).getPresence, opDoc{
			id: "getPresence", summary: "Who has subscribed to a channel at this node, in order of names", query: []string{"limit", "after"}, schema: "PresenceList",
		}).needs(toSubscribe)),
		named(channel+"/history", get((*Gateway).getHistory, opDoc{
			id: "getHistory", summary: "Messages of a channel that are kept; next is where to go on, also for a subscription",
			query: []string{"channel.from", "limit"}, schema: "LivePage",
		}).needs(toSubscribe)),
	}
}
