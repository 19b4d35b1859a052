// Package eddav1 is the protocol between a node and its workers and clients, as
// Go code generated from edda.proto. docs/protocol.md explains it. What users
// build with is package worker; what a node serves is package gateway/rpcgw.
package eddav1
