package eddatest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// Call is a call that came to a mock, expected or not.
type Call struct {
	// Message is what was sent. Nobody may change it.
	Message *edda.Message
	// Attempt counts the attempts of its request from 1.
	Attempt int
	// At is when it came.
	At time.Time

	m *Mock
}

// String returns address, method and payload: payments/42 charge {"cents":5}.
// JSON is shown without white space, other text quoted, anything else as a number of bytes.
func (c Call) String() string { return line(c.Message.To, c.Message.Type, c.Message.Payload) }

// withAttempt is String, with the attempt if it is not the first.
func (c Call) withAttempt() string {
	if c.Attempt > 1 {
		return fmt.Sprintf("%s (attempt %d)", c, c.Attempt)
	}
	return c.String()
}

// Payload returns the payload of a call, decoded from JSON. A payload that does not
// fit fails the test at once.
func Payload[T any](c Call) T {
	c.m.n.t.Helper()
	var v T
	if err := json.Unmarshal(c.Message.Payload, &v); err != nil {
		c.m.n.t.Fatalf("eddatest: the payload of %s is no %T: %v", c, v, err)
	}
	return v
}

// Payloads returns the payloads of the calls of a method, in the order in which
// they came, decoded from JSON. One that does not fit fails the test at once.
func Payloads[T any](m *Mock, method string) []T {
	m.n.t.Helper()
	var all []T
	for _, c := range m.Calls() {
		if c.Message.Type == method {
			all = append(all, Payload[T](c))
		}
	}
	return all
}

// Calls returns the calls that came to the mock, in order.
func (m *Mock) Calls() []Call {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	return m.calls()
}

// Calls returns the calls that came to all mocks, in order.
func (n *Node) Calls() []Call {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

// calls is Calls for a caller who holds mu.
func (m *Mock) calls() []Call {
	return slices.DeleteFunc(slices.Clone(m.n.calls), func(c Call) bool { return c.m != m })
}

// AssertCalls fails the test unless exactly these calls came to the mock until now,
// in this order, each as Call.String writes it: payments/42 charge {"cents":5}.
// White space and the order of members in JSON do not matter. It does not wait:
// Settle does.
func (m *Mock) AssertCalls(want ...string) {
	m.n.t.Helper()
	assertLines(m.n.t, "calls to "+m.addr.String(), linesOf(m.Calls()), want)
}

// AssertCalls is Mock.AssertCalls for the calls to all mocks of the node.
func (n *Node) AssertCalls(want ...string) {
	n.t.Helper()
	assertLines(n.t, "calls", linesOf(n.Calls()), want)
}

func linesOf(calls []Call) []string {
	lines := make([]string, len(calls))
	for i, c := range calls {
		lines[i] = c.String()
	}
	return lines
}

// assertLines fails the test unless the lines are the same, and shows where they
// begin to differ.
func assertLines(t testing.TB, what string, got, want []string) {
	t.Helper()
	differ := -1
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !sameLine(got[i], want[i]) {
			differ = i
			break
		}
	}
	if differ >= 0 {
		t.Errorf("eddatest: the %s are not as expected, from number %d on\n%s\n%s", what, differ+1,
			numbered("came", got, differ), numbered("expected", want, differ))
	}
}

// came lists calls.
func came(calls []Call) string { return numbered("came", linesOf(calls), -1) }

// numbered lists lines under a title, with a mark where they differ from others.
func numbered(title string, lines []string, differ int) string {
	if len(lines) == 0 {
		return title + ": none"
	}
	var b strings.Builder
	b.WriteString(title + ":")
	for i, l := range lines {
		mark := " "
		if i == differ {
			mark = ">"
		}
		fmt.Fprintf(&b, "\n    %s %d. %s", mark, i+1, clip(l))
	}
	return b.String()
}

// line shows a message in one line.
func line(to edda.Address, method string, payload []byte) string {
	return strings.TrimSuffix(fmt.Sprintf("%s %s %s", to, method, show(payload)), " ")
}

// sameLine compares lines, whose JSON may be written in several ways.
func sameLine(a, b string) bool {
	if a == b {
		return true
	}
	headA, a := cutPayload(a)
	headB, b := cutPayload(b)
	return headA == headB && same([]byte(a), []byte(b))
}

// cutPayload cuts a line where its JSON begins: at the first place from which on
// it is JSON to the end. A key may have blanks too.
func cutPayload(l string) (head, payload string) {
	for i := range len(l) {
		if l[i] == ' ' && json.Valid([]byte(l[i+1:])) {
			return l[:i], l[i+1:]
		}
	}
	return l, ""
}

// same reports whether payloads are equal, as JSON values or as bytes.
func same(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	va, okA := value(a)
	vb, okB := value(b)
	return okA && okB && reflect.DeepEqual(va, vb)
}

// value reads one JSON value; its numbers stay as they are written.
func value(b []byte) (v any, ok bool) {
	if !json.Valid(b) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return v, d.Decode(&v) == nil
}

// show shows a payload.
func show(payload []byte) string {
	var b bytes.Buffer
	switch {
	case len(payload) == 0:
		return ""
	case json.Compact(&b, payload) == nil:
		return b.String()
	case utf8.Valid(payload):
		return fmt.Sprintf("%q", payload)
	default:
		return fmt.Sprintf("(%d bytes)", len(payload))
	}
}

// maxLine is how much of a line is shown, in bytes.
const maxLine = 2000

func clip(l string) string {
	if len(l) <= maxLine {
		return l
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(l[:maxLine], ""), len(l))
}

// encode returns v as a payload: JSON, or a []byte as it is. What cannot be encoded
// fails the test at once.
func (n *Node) encode(v any) []byte { return encode(n.t, v) }

func encode(t testing.TB, v any) []byte {
	t.Helper()
	if b, ok := v.([]byte); ok {
		return b
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("eddatest: encode %T as JSON: %v", v, err)
	}
	return b
}
