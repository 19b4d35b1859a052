package httpgw

import (
	"net/http"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
)

// appendHeaders are the headers that an append takes.
var appendHeaders = []string{
	"Edda-Type", "append.Edda-Key", "Edda-Id", "Edda-Producer", "Edda-Number", "Edda-Shard", "Edda-Reply-To", "Edda-Source", "Edda-Time", "Edda-Correlation-Id",
	"traceparent", "tracestate", "If-Match", "If-None-Match",
}

// messageBodies are what messages can be sent as.
var messageBodies = map[string]string{"*/*": "", batchMedia: "MessageBatch", eventMedia: "", eventBatchMedia: ""}

// streamRoutes are those about streams and their messages.
func streamRoutes() []*route {
	messages := named("/v1/streams/{stream}/messages/{id}", get((*Gateway).getMessage, apidoc.Operation{
		ID: "getMessage", Summary: "The message to which its producer gave the id, with wait once it is there",
		Query: []string{"wait"}, Schema: "StreamMessage", Also: []string{eventMedia},
	}).needs(toRead))
	messages.checkID = edda.CheckMessageID
	return []*route{
		named("/v1/streams", get((*Gateway).listStreams, apidoc.Operation{
			ID: "listStreams", Summary: "The streams, in order of their names", Query: []string{"limit", "after"}, Schema: "StreamList",
		}).needs(toAsk)),
		named("/v1/streams/{stream}",
			get((*Gateway).getStream, apidoc.Operation{
				ID: "getStream", Summary: "Messages of a shard, as a page or as they come; without any parameter, what the stream is",
				Query: []string{"shard", "from", "limit", "wait"}, Header: []string{"Last-Event-ID"},
				Schema: "StreamAnswer", Also: []string{reqhead.EventStream, eventBatchMedia},
			}).needs(toSee),
			put((*Gateway).putStream, apidoc.Operation{
				ID: "putStream", Summary: "Create a stream, or change it", Body: "StreamSpec", Optional: true, Schema: "Stream", Creates: true,
			}),
			post((*Gateway).appendMessages, apidoc.Operation{
				ID: "appendMessages", Summary: "Append one message, or a batch of them, all or none", Header: appendHeaders,
				Bodies: messageBodies,
				Schema: "AppendAnswer", Creates: true,
			}).needs(toAppend),
			remove((*Gateway).deleteStream, apidoc.Operation{
				ID: "deleteStream", Summary: "Remove a stream with its messages and groups", Success: http.StatusNoContent,
			}),
		),
		messages,
		named("/v1/streams/{stream}/trim", post((*Gateway).trimStream, apidoc.Operation{
			ID: "trimStream", Summary: "Remove the messages before an offset or a time", Body: "StreamTrim", Schema: "Stream",
		})),
	}
}

// groupRoutes are those about consumer groups.
func groupRoutes() []*route {
	const group = "/v1/streams/{stream}/groups/{group}"
	return []*route{
		named("/v1/streams/{stream}/groups", get((*Gateway).listGroups, apidoc.Operation{
			ID: "listGroups", Summary: "The groups of a stream, in order of their names", Query: []string{"limit", "after"}, Schema: "GroupList",
		}).needs(toSee)),
		named(group,
			get((*Gateway).getGroup, apidoc.Operation{ID: "getGroup", Summary: "A consumer group", Schema: "Group"}).needs(toSee),
			put((*Gateway).putGroup, apidoc.Operation{
				ID: "putGroup", Summary: "Create a consumer group, and its stream, or change it",
				Body: "GroupSpec", Optional: true, Schema: "Group", Creates: true,
			}),
			remove((*Gateway).deleteGroup, apidoc.Operation{
				ID: "deleteGroup", Summary: "Remove a consumer group; its dead letters stay", Success: http.StatusNoContent,
			}),
		),
		named(group+"/reset", post((*Gateway).resetGroup, apidoc.Operation{
			ID: "resetGroup", Summary: "Set the cursor of a shard, or of all, and take from the members what they have", Body: "GroupReset", Schema: "Group",
		})),
		named(group+"/read", post((*Gateway).readGroup, apidoc.Operation{
			ID: "readGroup", Summary: "Give a member messages, each under a lease", Body: "GroupRead", Schema: "DeliveryList",
		}).needs(toConsume)),
		named(group+"/ack", post((*Gateway).ackLeases, apidoc.Operation{
			ID: "ackLeases", Summary: "Say that messages were handled", Body: "LeaseAck", Schema: "Settled",
		}).needs(toConsume)),
		named(group+"/reject", post((*Gateway).rejectLeases, apidoc.Operation{
			ID: "rejectLeases", Summary: "Say that handling messages failed", Body: "LeaseReject", Schema: "Settled",
		}).needs(toConsume)),
		named(group+"/extend", post((*Gateway).extendLeases, apidoc.Operation{
			ID: "extendLeases", Summary: "Keep leases from ending", Body: "LeaseExtend", Schema: "Settled",
		}).needs(toConsume)),
	}
}
