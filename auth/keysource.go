package auth

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of how an issuer's keys are fetched.
const (
	fetchTimeout = 10 * time.Second
	maxKeySet    = 1 << 20 // bytes
	// askInterval is how long an unknown key id causes no further fetch after one
	// has: whoever sends invented ones gets no more out of the node than that.
	askInterval = 10 * time.Second
	// askWait is how long a request with an unknown key id waits for the fetch.
	askWait    = 3 * time.Second
	firstRetry = time.Second
)

// keySource keeps the keys of an issuer fresh. Its one goroutine fetches them at
// intervals, and when it is asked to.
type keySource struct {
	url     *url.URL // nil for a file
	where   string
	client  *http.Client
	own     *http.Transport // of the client, unless the client was given
	refresh time.Duration
	log     *slog.Logger

	current atomic.Pointer[keySet] // nil until the first fetch that succeeds
	ask     chan struct{}          // holds one
	stop    context.CancelFunc
	done    chan struct{}

	mu sync.Mutex // guards what is below
	// fetching is closed when the fetch that is asked for or under way has ended;
	// nil when there is none.
	fetching chan struct{}
	asked    time.Time
}

func newKeySource(o *JWTOptions) (*keySource, error) {
	s := &keySource{
		where: o.Keys, refresh: o.Refresh, log: o.Logger, ask: make(chan struct{}, 1), done: make(chan struct{}),
	}
	u, err := url.Parse(o.Keys)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return s, nil
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, badOption("option Keys is %q: keys from another machine must come over https", o.Keys)
	}
	s.url, s.client = u, &http.Client{}
	if o.Client != nil {
		*s.client = *o.Client
	} else {
		s.own = http.DefaultTransport.(*http.Transport).Clone()
		s.client.Transport = s.own
	}
	// Where the keys are is said by whoever runs the node, not by a redirect.
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// start fetches the keys and begins to keep them fresh. A file must be good; what
// an issuer does not answer now it may answer later.
func (s *keySource) start(ctx context.Context) error {
	err := s.fetch(ctx)
	if err != nil && s.url == nil {
		return badOption("option Keys: %w", err)
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	go s.run(ctx, err)
	return nil
}

// close ends the goroutine and waits for it.
func (s *keySource) close() {
	s.stop()
	<-s.done
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
}

func (s *keySource) run(ctx context.Context, err error) {
	defer close(s.done)
	retry := firstRetry
	for {
		wait := s.refresh
		if err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "the keys of the issuer of JSON Web Tokens could not be fetched",
				slog.Any("error", err), slog.Duration("nextTry", retry))
			wait, retry = retry, min(2*retry, s.refresh)
		} else {
			retry = firstRetry
		}
		timer := time.NewTimer(wait + rand.N(wait/10+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.ask:
			timer.Stop()
		}
		ended := s.begin()
		err = s.fetch(ctx)
		s.mu.Lock()
		s.fetching = nil
		s.mu.Unlock()
		close(ended)
		if ctx.Err() != nil {
			return
		}
	}
}

// begin notes that a fetch is under way, unless somebody who asked has.
func (s *keySource) begin() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetching == nil {
		s.fetching = make(chan struct{})
	}
	return s.fetching
}

// again has the keys fetched, or joins a fetch that is under way, and returns when
// that has ended; false when it must not be fetched again so soon.
func (s *keySource) again(ctx context.Context) bool {
	s.mu.Lock()
	ended := s.fetching
	if ended == nil {
		now := time.Now()
		if now.Sub(s.asked) < askInterval {
			s.mu.Unlock()
			return false
		}
		s.asked = now
		ended = make(chan struct{})
		s.fetching = ended
		select {
		case s.ask <- struct{}{}:
		default: // an earlier one is still there, because a timer came first
		}
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	select {
	case <-ended:
		return true
	case <-s.done:
	case <-ctx.Done():
	}
	return false
}

// fetch reads the keys once, and keeps those before when they have not changed.
func (s *keySource) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	raw, err := s.read(ctx)
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	if held := s.current.Load(); held != nil && bytes.Equal(held.raw, raw) {
		return nil
	}
	set, err := parseKeys(raw)
	if err != nil {
		return fmt.Errorf("read the keys in %s: %w", s.where, err)
	}
	s.current.Store(set)
	return nil
}

func (s *keySource) read(ctx context.Context) ([]byte, error) {
	if s.url == nil {
		f, err := os.Open(s.where)
		if err != nil {
			return nil, err
		}
		b, err := readSome(f)
		return b, cmp.Or(err, f.Close())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.where, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // it was read to its end, or its error is known
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d, must be 200", s.where, res.StatusCode)
	}
	return readSome(res.Body)
}

func readSome(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKeySet+1))
	if err == nil && len(b) > maxKeySet {
		err = fmt.Errorf("there are more than %d bytes", maxKeySet)
	}
	return b, err
}
