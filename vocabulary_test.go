package edda

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"users": {Name: "users"}, "users/42": {Name: "users", Key: "42"}, "users/a/b//": {Name: "users", Key: "a/b//"},
		"U.s-e_r/ü b": {Name: "U.s-e_r", Key: "ü b"},
	} {
		got, err := ParseAddress(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q reads as %+v, %v, which is written %q", text, got, err, got)
		}
	}
	for _, text := range []string{"", "/", "users/", "/42", "edda.users", "-a", "a b", "ü", "a/.", "a/..", "a/\x00", "a/\u0085", "a/\xff",
		strings.Repeat("a", MaxNameBytes+1), "a/" + strings.Repeat("k", MaxKeyBytes+1)} {
		if a, err := ParseAddress(text); ReasonOf(err) != BadName {
			t.Errorf("%q reads as %+v, %v", text, a, err)
		}
	}
	longest := Address{strings.Repeat("n", MaxNameBytes), strings.Repeat("s", MaxNameBytes), strings.Repeat("k", MaxKeyBytes)}
	if err := longest.Validate(); err != nil {
		t.Error(err)
	}
	if got := (Address{"shop", "users", "1"}).String(); got != "shop:users/1" {
		t.Errorf("in a namespace: %q", got)
	}
}

// The hash is stored: it may never change for the addresses of a log.
func TestHashIsForEver(t *testing.T) {
	for a, want := range map[Address]uint64{
		{Name: "users", Key: "42"}:                    0x8a8f540fec7098a8,
		{Namespace: "shop", Name: "users", Key: "42"}: 0xfd85d4ad32e47169,
		{Name: "echo"}:                                0x407c7eb1b1d01431,
	} {
		if got := a.Hash(); got != want {
			t.Errorf("hash of %s is %#x, want %#x", a, got, want)
		}
	}
	if (Address{Name: "a", Key: "bc"}).Hash() == (Address{Name: "ab", Key: "c"}).Hash() {
		t.Error("name and key are not apart")
	}
	if (Address{Name: "a"}).Hash() != (Address{Namespace: DefaultNamespace, Name: "a"}).Hash() {
		t.Error("the default namespace has two hashes")
	}
}

// Keys spread evenly over partitions, the leading bits of the hash.
func TestHashSpreads(t *testing.T) {
	var count [64]int
	const n = 64_000
	for i := range n {
		count[Address{Name: "users", Key: strconv.Itoa(i)}.Hash()>>58]++
	}
	for p, c := range count {
		if c < n/64*8/10 || c > n/64*12/10 {
			t.Errorf("partition %d has %d of %d keys", p, c, n)
		}
	}
}

func TestID(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_123)
	id := NewID(0xabcd_0000_0000_0000, now)
	text := id.String()
	if id.Route() != 0xabcd || text[14] != '7' || !strings.ContainsRune("89ab", rune(text[19])) {
		t.Errorf("%s has the route %x", text, id.Route())
	}
	if ms := uint64(id[0])<<40 | uint64(id[1])<<32 | uint64(id[2])<<24 | uint64(id[3])<<16 | uint64(id[4])<<8 | uint64(id[5]); ms != 1_800_000_000_123 {
		t.Errorf("%s is of the time %d", text, ms)
	}
	for _, s := range []string{text, strings.ToUpper(text)} {
		if got, err := ParseID(s); err != nil || got != id {
			t.Errorf("%s reads as %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", text[1:], text + "0", strings.ReplaceAll(text, "-", "x"), "x" + text[1:], strings.Repeat("0", 8) + "-0000-0000-0000-" + strings.Repeat("0", 12)} {
		if got, err := ParseID(s); ReasonOf(err) != BadValue {
			t.Errorf("%q reads as %s, %v", s, got, err)
		}
	}
	var back ID
	if b, err := id.MarshalText(); err != nil || back.UnmarshalText(b) != nil || back != id {
		t.Errorf("text %q, %v, reads as %s", b, err, back)
	}
	if err := back.UnmarshalText(nil); err != nil || !back.IsZero() || back.String() != "" {
		t.Errorf("no text reads as %q, %v", back, err)
	}
	seen := map[ID]bool{}
	for range 10_000 {
		seen[NewID(1, now)] = true
	}
	if len(seen) != 10_000 {
		t.Errorf("%d different ids of 10,000", len(seen))
	}
}

func TestRetryPolicy(t *testing.T) {
	exact := RetryPolicy{Jitter: -1}
	for attempts, want := range map[int]time.Duration{
		0: 100 * time.Millisecond, 1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 3: 400 * time.Millisecond, 9: 25600 * time.Millisecond,
	} {
		if got, again := exact.Next(attempts, 0.5); got != want || !again {
			t.Errorf("after %d attempts: %v, %t, want %v", attempts, got, again, want)
		}
	}
	if _, again := exact.Next(10, 0); again {
		t.Error("there is an eleventh attempt")
	}
	forever := RetryPolicy{Max: -1, Jitter: -1}
	for _, n := range []int{11, 1000, math.MaxInt} {
		if got, again := forever.Next(n, 0); got != 30*time.Second || !again {
			t.Errorf("without a limit, after %d attempts: %v, %t", n, got, again)
		}
	}
	if _, again := (RetryPolicy{Max: 1}).Next(1, 0); again {
		t.Error("max 1 is retried")
	}
	fixed := RetryPolicy{Delay: time.Minute, Backoff: 1, Jitter: -1}
	if got, _ := fixed.Next(5, 0); got != time.Minute {
		t.Errorf("a fixed delay is %v after 5 attempts, want 1m", got)
	}
	for chance, want := range map[float64]time.Duration{0: 80 * time.Millisecond, 0.5: 100 * time.Millisecond} {
		if got, _ := (RetryPolicy{}).Next(1, chance); got != want {
			t.Errorf("with chance %v: %v, want %v", chance, got, want)
		}
	}
	if got, _ := (RetryPolicy{Jitter: 1}).Next(1, 0); got < 0 {
		t.Errorf("a delay of %v", got)
	}
	for name, p := range map[string]RetryPolicy{
		"max": {Max: -2}, "delay": {Delay: -1}, "maxDelay": {MaxDelay: -1}, "backoff": {Backoff: 0.5}, "jitter": {Jitter: 1.1},
	} {
		err := p.Validate()
		if ReasonOf(err) != BadValue || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, p := range []RetryPolicy{{Backoff: math.NaN()}, {Backoff: math.Inf(1)}, {Jitter: math.NaN()}} {
		if ReasonOf(p.Validate()) != BadValue {
			t.Errorf("%+v is taken", p)
		}
	}
	if err := (RetryPolicy{Max: -1, Jitter: -1}).Validate(); err != nil {
		t.Error(err)
	}
}

// Every reason stands in the one table, with a code and a status that fit.
func TestReasons(t *testing.T) {
	for r, e := range reasons {
		if e.code == "" || e.status < 400 || e.status > 599 {
			t.Errorf("%s has code %q and status %d", r, e.code, e.status)
		}
	}
	if Reason("OF_A_HANDLER").Code() != CodeInternal || Reason("").HTTPStatus() != 500 {
		t.Error("an unknown reason is not internal")
	}
}

func TestError(t *testing.T) {
	why := errors.New("disk is full")
	err := error(&Error{Op: "send users/1", Reason: Unavailable, RequestID: ID{1}, Err: why})
	if err.Error() != "send users/1: disk is full" || !errors.Is(err, why) {
		t.Errorf("text %q", err)
	}
	if !errors.Is(err, &Error{Reason: Unavailable}) || errors.Is(err, &Error{Reason: Timeout}) || errors.Is(err, &Error{Reason: Unavailable, Op: "x"}) {
		t.Error("an error is not found by its reason alone")
	}
	if ReasonOf(nil) != "" || ReasonOf(why) != Internal || ReasonOf(errors.Join(why, err)) != Unavailable {
		t.Error("reasons are not found")
	}
	if got := (&Error{Reason: Timeout}).Error(); got != "TIMEOUT" {
		t.Errorf("a bare error is %q", got)
	}
	for text, err := range map[string]error{"NO_FUNDS: 3 short": Final("NO_FUNDS", "%d short", 3), "later": Retry(time.Second, "later")} {
		if h, ok := errors.AsType[*HandlerError](err); !ok || err.Error() != text || h.Final != (h.Reason != "") {
			t.Errorf("%q, want %q", err, text)
		}
	}
}

func TestHeaders(t *testing.T) {
	h := Headers{{"A", "1"}, {"b", "2"}, {"a", "3"}}
	if h.Get("a") != "1" || h.Get("B") != "2" || h.Get("c") != "" {
		t.Errorf("get of %v", h)
	}
	h.Set("A", "4")
	h.Add("B", "5")
	if len(h) != 3 || h.Get("a") != "4" || h[0] != (Header{"b", "2"}) || h[2] != (Header{"B", "5"}) {
		t.Errorf("after set and add: %v", h)
	}
}

func TestReplyStatus(t *testing.T) {
	for want, r := range map[int]Reply{204: {}, 200: {Payload: []byte("x")}, 404: {Status: 404}} {
		if got := r.EffectiveStatus(); got != want {
			t.Errorf("%+v has status %d, want %d", r, got, want)
		}
	}
}

func TestStatesEnd(t *testing.T) {
	for s, want := range map[State]bool{
		Accepted: false, Dispatched: false, Taken: false, Retrying: false,
		StateSucceeded: true, StateFailed: true, StateDead: true, StateCancelled: true, "later": false,
	} {
		if s.Ended() != want {
			t.Errorf("%s has ended: %t", s, s.Ended())
		}
	}
}
