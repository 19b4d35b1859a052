package httpgw

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
)

// listWorkers answers with the workers that host something in the namespace, in
// order of their ids.
func (g *Gateway) listWorkers(x *exchange) error {
	q, err := x.query()
	if err != nil {
		return err
	}
	p, err := reqhead.PageOf(q)
	if err != nil {
		return err
	}
	all := slices.DeleteFunc(g.node.Workers(), func(w edda.WorkerInfo) bool {
		return w.ID <= p.After && p.After != "" || !hostsIn(&w, x.namespace)
	})
	next := ""
	if len(all) > p.Limit {
		all = all[:p.Limit]
		next = all[p.Limit-1].ID
	}
	return page(x, all, next)
}

// hostsIn reports whether the worker hosts a service of the namespace.
func hostsIn(w *edda.WorkerInfo, namespace string) bool {
	return slices.ContainsFunc(w.Services, func(s string) bool {
		ns, _, other := strings.Cut(s, "/")
		if !other {
			ns = edda.DefaultNamespace
		}
		return ns == namespace
	})
}

// worker returns the worker of the path. One that hosts nothing in the namespace is
// not there.
func (g *Gateway) worker(x *exchange) (*edda.WorkerInfo, error) {
	w, err := g.node.Worker(x.args[0])
	if err == nil && !hostsIn(w, x.namespace) {
		return nil, refuse(edda.NoWorkerID, "worker "+strconv.Quote(w.ID)+" hosts nothing in namespace "+x.namespace)
	}
	return w, err
}

func (g *Gateway) getWorker(x *exchange) error {
	w, err := g.worker(x)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, w)
}

func (g *Gateway) drainWorker(x *exchange) error { return g.manageWorker(x, g.node.DrainWorker) }

func (g *Gateway) pauseWorker(x *exchange) error { return g.manageWorker(x, g.node.PauseWorker) }

func (g *Gateway) resumeWorker(x *exchange) error { return g.manageWorker(x, g.node.ResumeWorker) }

// manageWorker changes a worker and answers with what it is then.
func (g *Gateway) manageWorker(x *exchange, change func(id string) (*edda.WorkerInfo, error)) error {
	if err := g.noBody(x); err != nil {
		return err
	}
	w, err := g.worker(x)
	if err == nil {
		w, err = change(w.ID)
	}
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, w)
}
