package apidoc

var (
	patternSchema  = obj{"type": "string", "maxLength": 512, "examples": []string{"test.:crud", "orders.*"}}
	resumeSchema   = obj{"type": "string", "description": "A resume point, opaque."}
	liveFromSchema = obj{
		"type": "string", "examples": []string{"start", "end", "2026-01-02T15:04:05Z"},
		"description": "The first message kept, the next to come (the default of a subscription), a time, or a resume point.",
	}
)

// channelSchemas are those of channels and what is told there.
func channelSchemas() obj {
	source := func() obj {
		return object("stream", obj{"stream": nameSchema, "patterns": obj{"type": "array", "items": patternSchema, "maxItems": 1000}})
	}
	history := func() obj { return object("", obj{"count": atLeast1, "age": duration}) }
	return obj{
		"ChannelSpec": closed(object("", obj{"from": arrayOf(closed(source())), "history": closed(history())})),
		"Channel": object("name from history createdAt subscribers", obj{
			"name": text, "from": arrayOf(source()), "history": history(), "createdAt": instant,
			"subscribers": obj{"type": "integer", "minimum": 0, "description": "Subscriptions at this node now."},
		}),
		"ChannelList":   listOf("Channel"),
		"Published":     object("id", obj{"id": text, "position": text, "replayed": obj{"type": "boolean"}}),
		"PublishAnswer": obj{"anyOf": []any{ref("schemas", "Published"), object("items", obj{"items": arrayOf(ref("schemas", "Published"))})}},
		"PresenceList":  object("items", obj{"items": arrayOf(object("principal since", obj{"principal": text, "since": instant})), "next": text}),
		"LiveMessage": messageSchema("from shard offset id type time", obj{
			"from":   resumeSchema,
			"stream": obj{"type": "string", "description": "The stream that it comes from; missing where it was published to the channel."},
		}),
		"LivePage": object("items next", obj{"items": arrayOf(ref("schemas", "LiveMessage")), "next": resumeSchema}),
	}
}
