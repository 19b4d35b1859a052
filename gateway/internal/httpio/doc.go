// Package httpio is what the gateways over HTTP have in common: how a request is read, how
// it is answered, with a document, a reply or a problem, and how that is counted and traced.
//
// The functions keep no state; all of it is safe for concurrent use.
package httpio
