package node

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/edda-io/edda"
)

// Workers returns who is attached, in order of the ids. This process is among them
// when it hosts services; who reads a group is not, nor what the node does for itself.
func (n *Node) Workers() []edda.WorkerInfo {
	n.workers.mu.Lock()
	all := slices.Collect(maps.Values(n.workers.all))
	n.workers.mu.Unlock()
	all = slices.DeleteFunc(all, (*Worker).hidden)
	slices.SortFunc(all, func(a, b *Worker) int { return cmp.Compare(a.spec.ID, b.spec.ID) })
	infos := make([]edda.WorkerInfo, len(all))
	for i, w := range all {
		infos[i] = w.info()
	}
	return infos
}

// Worker returns one worker, with what it has. The error is an *edda.Error,
// NoWorkerID.
func (n *Node) Worker(id string) (*edda.WorkerInfo, error) {
	w, err := n.attached("look up worker", id)
	if err != nil {
		return nil, err
	}
	info := w.info()
	info.Holds = w.holds()
	return &info, nil
}

// DrainWorker has a worker be given nothing more, and tells it. The error is an
// *edda.Error: NoWorkerID, or Conflict for this process, which Stop drains.
func (n *Node) DrainWorker(id string) (*edda.WorkerInfo, error) {
	const op = "drain worker"
	w, err := n.attached(op, id)
	if err != nil {
		return nil, err
	}
	if w.here() {
		return nil, &edda.Error{Op: op, Reason: edda.Conflict, Err: errors.New("this worker is the node itself, which drains when it is stopped")}
	}
	w.Drain()
	w.runner.Drain("an operator drains the worker", false)
	return n.Worker(id)
}

// PauseWorker has a worker be given nothing until ResumeWorker. It keeps what it
// has. The error is an *edda.Error, NoWorkerID.
func (n *Node) PauseWorker(id string) (*edda.WorkerInfo, error) { return n.setWorkerPaused(id, true) }

// ResumeWorker has a paused worker be given requests again.
func (n *Node) ResumeWorker(id string) (*edda.WorkerInfo, error) { return n.setWorkerPaused(id, false) }

func (n *Node) setWorkerPaused(id string, paused bool) (*edda.WorkerInfo, error) {
	w, err := n.attached("pause or resume worker", id)
	if err != nil {
		return nil, err
	}
	w.set(func() { w.paused = paused })
	return n.Worker(id)
}

func (n *Node) attached(op, id string) (*Worker, error) {
	n.workers.mu.Lock()
	defer n.workers.mu.Unlock()
	if w := n.workers.all[id]; w != nil && !w.hidden() {
		return w, nil
	}
	return nil, &edda.Error{Op: op, Reason: edda.NoWorkerID, Err: fmt.Errorf("no worker %q is attached", id)}
}

// quiet reports whether the worker is shown as silent. The caller holds mu.
func (w *Worker) quiet() bool { return w.silent || w.unready }

// isSilent reports whether the worker is shown as silent.
func (w *Worker) isSilent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.quiet()
}

func (w *Worker) info() edda.WorkerInfo {
	info := edda.WorkerInfo{
		ID: w.spec.ID, Version: w.spec.Version, Labels: w.spec.Labels, Transport: w.spec.Transport, State: edda.WorkerReady,
		LastBeat: w.seen(),
	}
	w.mu.Lock()
	switch {
	case w.quiet():
		info.State = edda.WorkerSilent
	case w.draining:
		info.State = edda.WorkerDraining
	case w.paused:
		info.State = edda.WorkerPaused
	}
	w.mu.Unlock()
	for _, h := range w.hosts {
		name := h.svc.addr.Name
		if ns := h.svc.addr.Namespace; ns != edda.DefaultNamespace {
			name = ns + "/" + name
		}
		info.Services = append(info.Services, name)
		load := h.slot.Load()
		info.Slots += load.Slots
		info.InFlight += load.Busy
	}
	slices.Sort(info.Services)
	return info
}

// maxHolds is how many attempts a worker shows.
const maxHolds = 100

// holds shows what the worker has, the oldest first.
func (w *Worker) holds() []edda.WorkerHold {
	w.mu.Lock()
	all := w.has()
	w.mu.Unlock()
	holds := make([]edda.WorkerHold, 0, min(len(all), maxHolds))
	for _, a := range all[:min(len(all), maxHolds)] {
		holds = append(holds, *a.hold)
	}
	return holds
}
