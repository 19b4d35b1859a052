// Package specjson reads the documents that say what is to be done: sagas, their
// steps, messages to append, and retry policies, as JSON that somebody sent.
//
// Each function reads its document in one pass, whatever is nested in it, and
// refuses what it does not know, or what is given twice, by name, with the path that leads
// there: steps[2].compensate.retry.max. Their errors are *edda.Error with the reasons
// BadJSON, UnknownField and BadValue, and TooLarge for more steps than a saga has, or
// messages than an append. Whether the parts make sense together is not theirs to
// say. What they return holds parts of the document, which must not change any more.
//
// The functions keep no state and are safe for concurrent use.
package specjson
