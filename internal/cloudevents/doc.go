// Package cloudevents reads and writes messages of streams as CloudEvents 1.0.2: in
// the HTTP binding's binary mode, in the JSON event format, and in its batches.
//
// id, type, source, time and datacontenttype are what the message calls them;
// partitionkey, or else subject, is its key. All other attributes, subject too, are
// headers "ce-NAME", which are attributes again when it is written; other headers are
// not. So an event comes out as it went in, but for the types of extensions, which
// become strings, and the zone of its time, which becomes UTC.
//
// The errors of reading are *edda.Error: BadJSON, BadMediaType, TooLarge for more
// events than an append has messages, and BadValue, which names the attribute, and in
// a batch the event by its index. What was read holds parts of the document.
//
// The functions keep no state and are safe for concurrent use.
package cloudevents
