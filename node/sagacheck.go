package node

import (
	"fmt"

	"github.com/edda-io/edda"
)

// checkTasks refuses steps that services which are registered now would not take.
// Whatever is not registered yet may be when its step starts.
func (n *Node) checkTasks(op, namespace string, steps []edda.StepSpec) error {
	for i := range steps {
		s := &steps[i]
		if s.Saga != nil {
			if err := n.checkTasks(op, namespace, s.Saga.Steps); err != nil {
				return err
			}
			continue
		}
		if err := n.checkTask(op, namespace, "step "+s.ID, &s.Task); err != nil {
			return err
		}
		if s.Compensate == nil {
			continue
		}
		if err := n.checkTask(op, namespace, "compensation of step "+s.ID, s.Compensate); err != nil {
			return err
		}
	}
	return nil
}

// checkTask is checkTasks for one task, which what names.
func (n *Node) checkTask(op, namespace, what string, t *edda.Task) error {
	svc := n.known(namespace, t.Service)
	if svc == nil {
		return nil
	}
	v := svc.view()
	if !v.registered {
		return nil
	}
	err := checkKind(edda.Address{Namespace: namespace, Name: t.Service, Key: t.Key}, t.Method, v)
	if err == nil {
		return nil
	}
	return &edda.Error{Op: op, Reason: err.Reason, Key: t.Key, Err: fmt.Errorf("%s: %w", what, err.Err)}
}
