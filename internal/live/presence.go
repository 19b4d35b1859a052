package live

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edda-io/edda"
)

// presence knows who subscribes to a channel. Those who want to know are told one thing
// after the other, without a lock, by whoever came first of those who had something to
// tell.
type presence struct {
	mu  sync.Mutex // guards what follows; nothing is locked under it
	all map[edda.Principal]*present
	// listeners are subscriptions that are told.
	listeners map[*subscription]struct{}
	news      []func()
	telling   bool
}

type present struct {
	edda.Presence
	subscriptions int
}

// join counts a subscription in. Its own listener is not told of it.
func (p *presence) join(s *subscription) {
	p.mu.Lock()
	if p.all == nil {
		p.all, p.listeners = map[edda.Principal]*present{}, map[*subscription]struct{}{}
	}
	who := p.all[s.principal]
	if who == nil {
		who = &present{Presence: edda.Presence{Principal: s.principal, Since: time.Now()}}
		p.all[s.principal] = who
		p.announce(s.t, who.Presence, true)
	}
	who.subscriptions++
	if s.present != nil {
		p.listeners[s] = struct{}{}
	}
	p.mu.Unlock()
	p.tell(s.t.h)
}

// leave undoes join.
func (p *presence) leave(s *subscription) {
	p.mu.Lock()
	delete(p.listeners, s)
	who := p.all[s.principal]
	who.subscriptions--
	if who.subscriptions == 0 {
		delete(p.all, s.principal)
		p.announce(s.t, who.Presence, false)
	}
	p.mu.Unlock()
	p.tell(s.t.h)
}

// announce notes whom to tell that somebody has joined or left. p.mu is held.
func (p *presence) announce(t *topic, who edda.Presence, joined bool) {
	hook := t.h.o.Left
	if joined {
		hook = t.h.o.Joined
	}
	if hook != nil {
		p.news = append(p.news, func() { hook(t.key.namespace, t.key.name, who) })
	}
	for s := range p.listeners {
		p.news = append(p.news, func() {
			if !s.closed.Load() {
				s.present(who, joined)
			}
		})
	}
}

// tell tells all news, unless somebody is about it.
func (p *presence) tell(h *Hub) {
	p.mu.Lock()
	if p.telling {
		p.mu.Unlock()
		return
	}
	p.telling = true
	for len(p.news) > 0 {
		news := p.news
		p.news = nil
		p.mu.Unlock()
		for _, f := range news {
			h.call(f)
		}
		p.mu.Lock()
	}
	p.telling = false
	p.mu.Unlock()
}

// list returns who is there, in order of names.
func (p *presence) list() []edda.Presence {
	p.mu.Lock()
	list := make([]edda.Presence, 0, len(p.all))
	for _, who := range p.all {
		list = append(list, who.Presence)
	}
	p.mu.Unlock()
	slices.SortFunc(list, func(a, b edda.Presence) int { return cmp.Compare(a.Principal, b.Principal) })
	return list
}

// call calls what is not ours. A panic in it ends nobody else's news.
func (h *Hub) call(f func()) {
	defer func() {
		if r := recover(); r == nil {
			return
		} else if kept, ok := h.hookPanics.Pass(); ok {
			h.o.Logger.Error("a hook of who joins and leaves panicked", "panic", fmt.Sprint(r), "more", kept)
		}
	}()
	f()
}
