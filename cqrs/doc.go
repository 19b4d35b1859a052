// Package cqrs turns commands into events, and commits each event together with its
// projections, the commands that follow from it and the user's own tables in one SQL
// transaction: everything, or nothing.
//
// A Broadcaster says what there is: commands, validators, hooks, reversible calls,
// projectors, processors, dispatchers and channels, routed by patterns of types. An App
// runs broadcasters over a database (package sqlitedb: SQLite in a file; package pgdb:
// PostgreSQL) and an Edda node, in process or elsewhere. App.Do runs a command:
//
//	validators → before hooks → reversible calls → after hooks →
//	transaction { command, version, event, strong handlers by priority } →
//	stream and channels, eventual handlers
//
// No transaction is open across a call to a third party. The intention of every
// reversible call is durable before the call, and whatever fails afterwards, up to and
// including the commit, and a crash too, undoes the calls in reverse order.
//
// Events reach Edda's stream exactly once each, in the order of their commits for each
// aggregate; so do eventual handlers hear of them, and what they change in SQL is changed
// once per event. All methods of App are safe for concurrent use.
package cqrs
