package httppush

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/edda-io/edda/internal/seldom"
)

const (
	// firstProbe is how long after an endpoint went out of service it is looked at
	// again. Each time that it is still out the delay doubles, up to that of its health
	// check, or to maxProbe where it has none.
	firstProbe = 100 * time.Millisecond
	maxProbe   = 5 * time.Second
	// probeTimeout bounds one look.
	probeTimeout = 5 * time.Second
)

// watcher decides whether the endpoint is in service. It belongs to one
// goroutine, so that what the worker is told is in order.
type watcher struct {
	r      *Runner
	w      worker
	t      *target
	ready  bool
	asking bool          // a probe is on its way
	delay  time.Duration // to the next probe while out of service
	timer  *time.Timer

	told      bool        // ready, as the log has it
	ins, outs seldom.Gate // of the lines that tell
}

// probed is what a probe found.
type probed struct {
	t   *target
	err error
}

// watch runs until ctx ends, and has then left nothing behind.
func (r *Runner) watch(ctx context.Context, w worker) {
	found := make(chan probed, 1)
	var probes sync.WaitGroup
	defer probes.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &watcher{r: r, w: w, ready: true, told: true, timer: time.NewTimer(time.Hour)}
	defer s.timer.Stop()
	s.begin()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
			s.begin()
		case y := <-r.lost:
			s.unreached(y)
			y.HandBack()
		case <-r.alive:
			w.Beat()
		case <-s.timer.C:
			if s.asking {
				continue // its answer sets the timer again
			}
			s.asking = true
			t := s.t
			probes.Go(func() { found <- probed{t, t.probe(ctx)} })
		case p := <-found:
			s.asking = false
			s.took(p)
		}
	}
}

// begin looks at the endpoint as it is specified now. One with a health check is
// out of service until it has passed; any other is taken to be there until an
// attempt finds that it is not.
func (s *watcher) begin() {
	t := s.r.target.Load()
	if t == s.t {
		return
	}
	known := s.t != nil
	s.t, s.delay = t, 0
	if t.health == nil {
		s.set(true, nil)
		s.timer.Stop()
		return
	}
	if !known {
		s.set(false, nil)
		s.told = false
	}
	s.timer.Reset(0)
}

// unreached notes that an attempt did not get a connection.
func (s *watcher) unreached(y *try) {
	if s.ready && y.t == s.t {
		s.set(false, y.unreached)
		s.again()
	}
}

// took notes what a probe has found.
func (s *watcher) took(p probed) {
	switch {
	case p.t != s.t: // of a specification that has changed
		s.timer.Reset(0)
	case p.err != nil:
		s.set(false, p.err)
		s.tell(p.err)
		s.again()
	default:
		s.w.Beat()
		s.set(true, nil)
		s.tell(nil)
		if s.delay = 0; s.t.health != nil {
			s.timer.Reset(s.t.spec.HealthInterval)
		} else if s.told != s.ready {
			s.timer.Reset(seldom.Every)
		}
	}
}

// again has the endpoint looked at after a delay that grows.
func (s *watcher) again() {
	most := maxProbe
	if s.t.health != nil {
		most = s.t.spec.HealthInterval
	}
	s.delay = min(max(2*s.delay, firstProbe), most)
	s.timer.Reset(s.delay)
}

func (s *watcher) set(ready bool, why error) {
	if ready == s.ready {
		return
	}
	s.ready = ready
	s.w.SetReady(ready)
	s.tell(why)
}

// tell logs whether the endpoint is in service, if that is not what was logged last. Of
// one that goes in and out again and again the log gets only now and then a line, and
// in the end what holds, with the next probe.
func (s *watcher) tell(why error) {
	if s.ready == s.told || !s.ready && why == nil {
		return
	}
	gate := &s.outs
	if s.ready {
		gate = &s.ins
	}
	more, ok := gate.Pass()
	if !ok {
		return
	}
	s.told = s.ready
	if s.ready {
		s.r.log.Info("endpoint is in service", "service", s.t.spec.Name, "endpoint", s.t.spec.URL, "others", more)
	} else {
		s.r.log.Warn("endpoint is out of service", "service", s.t.spec.Name, "endpoint", s.t.spec.URL, "error", why, "others", more)
	}
}

// probe returns nil when the endpoint is healthy, or where it has no health check,
// can be connected to.
func (t *target) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if t.health == nil {
		return t.tryConnect(ctx)
	}
	r := (&http.Request{
		Method: http.MethodGet, URL: t.health, Host: t.health.Host, Header: http.Header{"User-Agent": userAgent},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	res, err := t.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	_ = res.Body.Close() // nothing of it is needed
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("its health check answered %d", res.StatusCode)
	}
	return nil
}

// tryConnect opens a connection, with TLS where attempts have it, and closes it.
func (t *target) tryConnect(ctx context.Context) error {
	port := t.url.Port()
	if port == "" {
		port = t.url.Scheme // its name is that of the port
	}
	address := net.JoinHostPort(t.url.Hostname(), port)
	var c net.Conn
	var err error
	if t.url.Scheme == "https" {
		d := tls.Dialer{NetDialer: &t.dialer, Config: t.transport.TLSClientConfig}
		c, err = d.DialContext(ctx, "tcp", address)
	} else {
		c, err = t.dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return err
	}
	return c.Close()
}
