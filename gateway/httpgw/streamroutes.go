package httpgw

import (
	"net/http"

	"github.com/edda-io/edda"
)

// appendHeaders are the headers that an append takes.
var appendHeaders = []string{
	"Edda-Type", "append.Edda-Key", "Edda-Id", "Edda-Producer", "Edda-Number", "Edda-Shard", "Edda-Reply-To", "Edda-Source", "Edda-Time", "Edda-Correlation-Id",
	"traceparent", "tracestate", "If-Match", "If-None-Match",
}

// streamRoutes are those about streams and their messages.
func streamRoutes() []*route {
	messages := named("/v1/streams/{stream}/messages/{id}", get((*Gateway).getMessage, opDoc{
		id: "getMessage", summary: "The message to which its producer gave the id, with wait once it is there",
		query: []string{"wait"}, schema: "StreamMessage", also: []string{eventMedia},
	}).needs(toRead))
	messages.checkID = edda.CheckMessageID
	return []*route{
		named("/v1/streams", get((*Gateway).listStreams, opDoc{
			id: "listStreams", summary: "The streams, in order of their names", query: []string{"limit", "after"}, schema: "StreamList",
		}).needs(toAsk)),
		named("/v1/streams/{stream}",
			get((*Gateway).getStream, opDoc{
				id: "getStream", summary: "Messages of a shard, as a page or as they come; without any parameter, what the stream is",
				query: []string{"shard", "from", "limit", "wait"}, header: []string{"Last-Event-ID"},
				schema: "StreamAnswer", events: true, also: []string{eventBatchMedia},
			}).needs(toSee),
			put((*Gateway).putStream, opDoc{
				id: "putStream", summary: "Create a stream, or change it", body: "StreamSpec", optional: true, schema: "Stream", creates: true,
			}),
			post((*Gateway).appendMessages, opDoc{
				id: "appendMessages", summary: "Append one message, or a batch of them, all or none", header: appendHeaders,
				bodies: obj{
					"*/*": obj{}, batchMedia: obj{"schema": ref("schemas", "MessageBatch")},
					eventMedia: obj{}, eventBatchMedia: obj{},
				},
				schema: "AppendAnswer", creates: true,
			}).needs(toAppend),
			remove((*Gateway).deleteStream, opDoc{
				id: "deleteStream", summary: "Remove a stream with its messages and groups", success: http.StatusNoContent,
			}),
		),
		messages,
		named("/v1/streams/{stream}/trim", post((*Gateway).trimStream, opDoc{
			id: "trimStream", summary: "Remove the messages before an offset or a time", body: "StreamTrim", schema: "Stream",
		})),
	}
}

// groupRoutes are those about consumer groups.
func groupRoutes() []*route {
	const group = "/v1/streams/{stream}/groups/{group}"
	return []*route{
		named("/v1/streams/{stream}/groups", get((*Gateway).listGroups, opDoc{
			id: "listGroups", summary: "The groups of a stream, in order of their names", query: []string{"limit", "after"}, schema: "GroupList",
		}).needs(toSee)),
		named(group,
			get((*Gateway).getGroup, opDoc{id: "getGroup", summary: "A consumer group", schema: "Group"}).needs(toSee),
			put((*Gateway).putGroup, opDoc{
				id: "putGroup", summary: "Create a consumer group, and its stream, or change it",
				body: "GroupSpec", optional: true, schema: "Group", creates: true,
			}),
			remove((*Gateway).deleteGroup, opDoc{
				id: "deleteGroup", summary: "Remove a consumer group; its dead letters stay", success: http.StatusNoContent,
			}),
		),
		named(group+"/reset", post((*Gateway).resetGroup, opDoc{
			id: "resetGroup", summary: "Set the cursor of a shard, or of all, and take from the members what they have", body: "GroupReset", schema: "Group",
		})),
		named(group+"/read", post((*Gateway).readGroup, opDoc{
			id: "readGroup", summary: "Give a member messages, each under a lease", body: "GroupRead", schema: "DeliveryList",
		}).needs(toConsume)),
		named(group+"/ack", post((*Gateway).ackLeases, opDoc{
			id: "ackLeases", summary: "Say that messages were handled", body: "LeaseAck", schema: "Settled",
		}).needs(toConsume)),
		named(group+"/reject", post((*Gateway).rejectLeases, opDoc{
			id: "rejectLeases", summary: "Say that handling messages failed", body: "LeaseReject", schema: "Settled",
		}).needs(toConsume)),
		named(group+"/extend", post((*Gateway).extendLeases, opDoc{
			id: "extendLeases", summary: "Keep leases from ending", body: "LeaseExtend", schema: "Settled",
		}).needs(toConsume)),
	}
}
