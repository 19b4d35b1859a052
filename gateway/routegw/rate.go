package routegw

import (
	"errors"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"golang.org/x/time/rate"
)

// maxBuckets is how many callers a route has buckets for that it does not forget early.
const maxBuckets = 16_384

// limiter keeps a bucket for each caller of a route. There are at most two generations of
// maxBuckets: a caller that is seen comes into the young one, and the old one is dropped
// when the young one is full, or so old that whoever was not seen since has a full bucket
// anyway.
type limiter struct {
	every rate.Limit // requests per second
	burst int
	// whole is how long an empty bucket takes to be full.
	whole  time.Duration
	policy []string // the value of RateLimit-Policy

	mu         sync.Mutex // guards what follows
	young, old map[string]*rate.Limiter
	since      time.Time // of the young generation
}

func newLimiter(r *Rate) *limiter {
	l := &limiter{every: rate.Limit(float64(r.Limit) / r.Per.Seconds()), burst: r.Burst}
	l.whole = time.Duration(math.Ceil(float64(r.Burst) / float64(r.Limit) * float64(r.Per)))
	l.policy = []string{`"default";q=` + strconv.Itoa(r.Burst) + ";w=" + seconds(l.whole)}
	l.young = map[string]*rate.Limiter{}
	return l
}

// take takes a request from the bucket of a caller, and returns how many it holds
// afterwards, and whether there was one.
func (l *limiter) take(caller string, now time.Time) (left float64, ok bool) {
	b := l.bucket(caller, now)
	ok = b.AllowN(now, 1)
	return max(b.TokensAt(now), 0), ok
}

func (l *limiter) bucket(caller string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.young[caller]; b != nil {
		return b
	}
	if len(l.young) >= maxBuckets || now.Sub(l.since) >= l.whole {
		l.old, l.young, l.since = l.young, map[string]*rate.Limiter{}, now
	}
	b := l.old[caller]
	if b == nil {
		b = rate.NewLimiter(l.every, l.burst)
	}
	l.young[caller] = b
	return b
}

// limit refuses a request when there were too many of its caller.
func (x *exchange) limit() error {
	l := x.route.limiter
	if l == nil {
		return nil
	}
	left, ok := l.take(x.caller(), time.Now())
	full := time.Duration((float64(l.burst) - left) / float64(l.every) * float64(time.Second))
	h := x.w.Header()
	h["Ratelimit-Policy"] = l.policy
	h["Ratelimit"] = []string{`"default";r=` + strconv.Itoa(int(left)) + ";t=" + seconds(full)}
	if ok {
		return nil
	}
	return &edda.Error{
		Reason: edda.RateLimited, RetryAfter: time.Duration((1 - left) / float64(l.every) * float64(time.Second)),
		Err: errors.New("the route takes " + strconv.Itoa(x.route.Rate.Limit) + " requests in " + x.route.Rate.Per.String() +
			" of a caller, and " + strconv.Itoa(l.burst) + " at once"),
	}
}

// seconds returns a duration in whole seconds, none of which is promised too early.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// caller returns whom requests are counted for: the principal, or an address.
func (x *exchange) caller() string {
	if p := x.grant.Principal; p != edda.Anonymous {
		return "p" + string(p)
	}
	if x.g.opts.Client != nil {
		return "a" + x.g.opts.Client(x.r)
	}
	return "a" + peer(x.r)
}

// peer returns the address that a request came from; of IPv6 the network, because a
// caller has all addresses of one.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	network, err := a.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}
