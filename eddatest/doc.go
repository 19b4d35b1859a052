// Package eddatest runs services in a test: on a node of their own, with the
// other services mocked, or one handler without any node.
//
// Start gives a node that keeps everything in memory, opens no file and no
// socket, and is stopped when the test ends. It is the node that runs in
// production, with its ordering, retries and dead letters; only its disk is
// missing. Inside a testing/synctest bubble delays, retries and timeouts cost no
// time, and a goroutine that is left behind fails the test:
//
//	func TestOrder(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			n := eddatest.Start(t, orders.Service())
//			payments := n.Mock("payments")
//			payments.On("charge").Reply(Receipt{"r-1"})
//			...
//		})
//	}
//
// A mock takes what the services under test send or call. What nobody expected
// fails the test at once, whatever the caller makes of the error; what was
// expected and never came fails it when it ends.
//
// Invoke runs one handler with a given state, and returns its outcome.
//
// Everything here is safe for concurrent use, but for functions that fail the test
// at once (they say so): call those from the goroutine of the test.
package eddatest
