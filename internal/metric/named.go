package metric

import "sync"

// named are figures by what they are called, of which only so many are told apart.
type named[K comparable, V any] struct {
	most  int // beside other
	other K

	mu  sync.RWMutex // guards all
	all map[K]*V
}

func newNamed[K comparable, V any](most int, other K) named[K, V] {
	return named[K, V]{most: most, other: other, all: map[K]*V{}}
}

// find returns what stands under the key, made when there is room for one more,
// else what stands under the other one.
func (n *named[K, V]) find(key K, fresh func(K) *V) *V {
	n.mu.RLock()
	v := n.all[key]
	if v == nil && len(n.all) > n.most {
		v = n.all[n.other]
	}
	n.mu.RUnlock()
	if v != nil {
		return v
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all[key] == nil && len(n.all) >= n.most {
		key = n.other
	}
	if n.all[key] == nil {
		n.all[key] = fresh(key)
	}
	return n.all[key]
}
