package node

import "container/heap"

// timers holds the open requests of a partition that wait for a time, the
// earliest first. Every request is in it at most once.
type timers []*live

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at < t[j].at }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].slot, t[j].slot = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	l := x.(*live)
	l.slot = len(*t)
	*t = append(*t, l)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	old := *t
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	l.slot = -1
	return l
}

// set makes l wait until at; zero is for ever.
func (t *timers) set(l *live, at int64) {
	switch {
	case at == l.at:
		return
	case at == 0:
		heap.Remove(t, l.slot)
		l.at = 0
	case l.at == 0:
		l.at = at
		heap.Push(t, l)
	default:
		l.at = at
		heap.Fix(t, l.slot)
	}
}

// next returns the earliest time, zero when nothing waits.
func (t timers) next() int64 {
	if len(t) == 0 {
		return 0
	}
	return t[0].at
}
